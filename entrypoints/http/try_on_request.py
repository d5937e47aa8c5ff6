"""Understand the JSON of a try-on, in today's shape and in all that came before; every malformed field is named.

Today: `{"products": [{"externalId", "images": [{"source": {"url" | "fileKey" | "id"}}]}],
"person": {"image": {"source": {…}}}, "externalUserId", "output": {"keepForDays"}}`. Before: `product` for `products`,
`customer` for `person`, no `source` or no `image` level, `imageUrls`, `customerId`, and days at the top level.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from application.start_try_on import FileSource, PhotoSource, StoredSource, TryOnCommand, UrlSource
from domain.account import Account
from domain.customer import MAX_EXTERNAL_ID_CHARS, Customer, external_id_problem
from domain.errors import (
    CustomerImageRequired,
    FieldProblem,
    MultipartFileNotFound,
    ProductImagesRequired,
    ValidationFailed,
)
from domain.image import ImageId
from domain.product import is_product_id
from domain.retention import RetentionPolicy
from entrypoints.http.form_parts import malformed_body

MAX_GARMENTS: Final = 8
"""Pictures of one product. Each is prepared and kept; an engine is given them one after the other."""
MOCK_TITLE: Final = "mock"
MAX_DATA_BYTES: Final = 256 * 1024
MAX_ID_CHARS: Final = 100
MAX_URL_CHARS: Final = 2048
SOURCE_KEYS: Final = ("url", "fileKey", "id")

Json = dict[str, Any]
Files = Mapping[str, bytes | bytearray]


@dataclass(frozen=True, slots=True)
class _NamedFile:
    """A file that is yet to be looked up among the parts of the form."""

    key: str
    path: str


_Source = StoredSource | UrlSource | _NamedFile


def to_command(data: bytes | bytearray, files: Files, account: Account) -> TryOnCommand:
    """Raises: ValidationFailed that names every malformed field; else CustomerImageRequired, ProductImagesRequired,
    MultipartFileNotFound.
    """
    request = _Request(_decode(data))
    person = request.person()
    product_id, garments, has_product = request.product()
    is_mock = request.is_mock()
    customer_id, days = request.customer_id(), request.days()
    request.expect_texts_and_flags()
    if request.problems:
        raise ValidationFailed(tuple(request.problems))
    if person is None:
        raise CustomerImageRequired
    if not has_product or not (garments or product_id):
        raise ProductImagesRequired
    return TryOnCommand(
        account=account,
        person=_with_file(person, files),
        garments=tuple(_with_file(garment, files) for garment in garments),
        product_id=product_id,
        is_mock=is_mock,
        customer=Customer(account.account_id, customer_id) if customer_id is not None else None,
        retention=RetentionPolicy(days) if days is not None else None,
    )


def _decode(data: bytes | bytearray) -> Json:
    try:
        decoded = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise malformed_body("is not valid JSON in UTF-8, or is nested too deeply") from None
    if not isinstance(decoded, dict):
        raise malformed_body("must be a JSON object")
    return decoded


def _with_file(source: _Source, files: Files) -> PhotoSource:
    if not isinstance(source, _NamedFile):
        return source
    if source.key not in files:
        raise MultipartFileNotFound(source.path)
    return FileSource(files[source.key], source.path)


class _Request:
    """Walks through the JSON and takes note of what is wrong. `null` counts as not sent."""

    def __init__(self, body: Json) -> None:
        self._body = body
        self.problems: list[FieldProblem] = []

    def person(self) -> _Source | None:
        """None when there is nothing that could be the person's photo."""
        given = [name for name in ("person", "customer") if self._body.get(name) is not None]
        if len(given) > 1:
            self._note("customer", 'is the former name of "person"; send one of them')
        for name in given[:1]:
            holder = self._object(self._body[name], name)
            if holder is None:
                return None
            if holder.get("image") is None:
                return self._source(holder, name) if _names_a_source(holder) else None
            image = self._object(holder["image"], f"{name}.image")
            return self._source(image, f"{name}.image") if image else None
        return None

    def product(self) -> tuple[str | None, tuple[_Source, ...], bool]:
        """The merchant's id, the pictures, and whether there is a product at all."""
        found = self._the_product()
        if found is None:
            return None, (), False
        product, path = found
        product_id = product.get("externalId")
        if product_id is not None and not (isinstance(product_id, str) and is_product_id(product_id)):
            self._note(f"{path}.externalId", f"must be a string of 1 to {MAX_EXTERNAL_ID_CHARS} characters")
            product_id = None
        images = self._list(product, "images", path)
        urls = self._list(product, "imageUrls", path)
        if len(images) + len(urls) > MAX_GARMENTS:
            self._note(f"{path}.images", f"must hold at most {MAX_GARMENTS} images")
        sources = [self._garment(image, f"{path}.images.{index}") for index, image in enumerate(images)]
        sources += [self._url(url, f"{path}.imageUrls.{index}") for index, url in enumerate(urls)]
        for name in ("title", "description"):
            self._expect(product, name, str, path, "a string")
        return product_id, tuple(source for source in sources if source is not None), True

    def is_mock(self) -> bool:
        """Whether the product is the one that any engine answers with the person's picture unchanged."""
        found = self._the_product()
        return found is not None and found[0].get("title") == MOCK_TITLE

    def customer_id(self) -> str | None:
        """The end user, under the new name or the old one."""
        given = {name: self._body.get(name) for name in ("externalUserId", "customerId")}
        sent = {name: value for name, value in given.items() if value is not None}
        for name, value in sent.items():
            problem = external_id_problem(value) if isinstance(value, str) else "must be a string"
            if problem:
                self._note(name, problem)
        if len(sent) == len(given) and given["externalUserId"] != given["customerId"]:
            self._note("customerId", 'differs from "externalUserId", of which it is a deprecated alias')
        return next((value for value in sent.values() if isinstance(value, str)), None)

    def days(self) -> int | None:
        """How long photos and result are kept: `output.keepForDays`, or one of its former places."""
        output = self._output()
        given = {
            f"{prefix}{name}": holder[name]
            for prefix, holder in (("output.", output), ("", self._body))
            for name in ("keepForDays", "retentionDays")
            if holder.get(name) is not None
        }
        for path, value in given.items():
            if type(value) is not int or value not in RetentionPolicy.ALLOWED_DAYS:
                self._note(path, "must be 1, 3 or 7")
        if any(value != first for first in list(given.values())[:1] for value in given.values()):
            self._note(list(given)[-1], "differs from the other number of days in this request")
        return next((value for value in given.values() if type(value) is int), None)

    def expect_texts_and_flags(self) -> None:
        """Fields that change nothing here, but have to be what they are said to be."""
        for name in ("watermark", "aiLabel"):
            self._expect(self._output(), name, bool, "output", "true or false")
        self._expect(self._body, "useWatermark", bool, "", "true or false")

    def _the_product(self) -> tuple[Json, str] | None:
        products, product = self._body.get("products"), self._body.get("product")
        if products is None:
            found = None if product is None else self._object(product, "product")
            return None if found is None else (found, "product")
        if product is not None:
            self._note("product", 'is the former name of "products"; send one of them')
        if not isinstance(products, list) or len(products) != 1:
            self._note("products", "must be a list of exactly one product")
            return None
        found = self._object(products[0], "products.0")
        return None if found is None else (found, "products.0")

    def _garment(self, image: Any, path: str) -> _Source | None:
        holder = self._object(image, path)
        return None if holder is None else self._source(holder, path)

    def _source(self, holder: Json, path: str) -> _Source | None:
        if holder.get("source") is not None:
            path = f"{path}.source"
            inner = self._object(holder["source"], path)
            if inner is None:
                return None
            holder = inner
        named = [key for key in SOURCE_KEYS if holder.get(key) is not None]
        if len(named) != 1:
            self._note(path, "must hold exactly one of url, fileKey and id")
            return None
        key, value = named[0], holder[named[0]]
        if key == "url":
            return self._url(value, f"{path}.url")
        if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_CHARS or "\0" in value:
            self._note(f"{path}.{key}", f"must be a string of 1 to {MAX_ID_CHARS} characters")
            return None
        return StoredSource(ImageId(value)) if key == "id" else _NamedFile(value, f"{path}.fileKey")

    def _url(self, value: Any, path: str) -> UrlSource | None:
        if isinstance(value, str):
            url = f"https:{value}" if value.startswith("//") else value  # as shops' pages write it
            if _is_web_url(url):
                return UrlSource(url, path)
        self._note(path, f"must be an absolute https URL of at most {MAX_URL_CHARS:,} characters")
        return None

    def _output(self) -> Json:
        output = self._body.get("output")
        return output if isinstance(output, dict) else {}

    def _expect(self, holder: Json, name: str, kind: type, path: str, what: str) -> None:
        if holder.get(name) is not None and not isinstance(holder[name], kind):
            self._note(f"{path}.{name}" if path else name, f"must be {what}")

    def _object(self, value: Any, path: str) -> Json | None:
        if isinstance(value, dict):
            return value
        self._note(path, "must be an object")
        return None

    def _list(self, holder: Json, name: str, path: str) -> list[Any]:
        value = holder.get(name)
        if value is None or isinstance(value, list):
            return value or []
        self._note(f"{path}.{name}", "must be a list")
        return []

    def _note(self, path: str, message: str) -> None:
        problem = FieldProblem(path, message)
        if problem not in self.problems:
            self.problems.append(problem)


def _names_a_source(holder: Json) -> bool:
    return any(holder.get(key) is not None for key in ("source", *SOURCE_KEYS))


def _is_web_url(text: str) -> bool:
    if len(text) > MAX_URL_CHARS or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in {"https", "http"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an address in brackets that is none, or a port that is no number
        return False
