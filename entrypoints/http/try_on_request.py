"""Understand the JSON of a try-on or a product, in today's shape and in all that came before; every fault is named.

Today: `{"products": [{"externalId", "images": [{"source": {"url" | "fileKey" | "id"}}]}],
"person": {"image": {"source": {…}}}, "externalUserId", "output": {"keepForDays"}}`. Before: `product` for `products`,
`customer` for `person`, no `source` or `image` level, `imageUrls`, `customerId`, days at the top level, `productId`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from application.keep_product import WantedProduct
from application.read_image import FileSource, PhotoSource, StoredSource, UrlSource
from application.start_try_on import TryOnCommand
from domain.account import Account, RetentionPolicy
from domain.customer import IdempotencyRecord, Pseudonyms, external_id_problem
from domain.errors import (
    CustomerImageRequired,
    FieldProblem,
    MultipartFileNotFound,
    ProductImagesRequired,
    ValidationFailed,
)
from domain.image import ImageId
from domain.product import product_id_problem
from entrypoints.http.request_parts import decoded_object
from entrypoints.http.upload_form import shown, unquoted

MAX_GARMENTS: Final = 8
"""Pictures of one product. Each is prepared and kept; an engine is given them one after the other."""
MAX_ID_CHARS: Final = 100
MAX_URL_CHARS: Final = 2048
MAX_KEY_CHARS: Final = 255
MAX_VALID_DAYS: Final = 3650
MAX_PROBLEMS: Final = 50
SOURCE_KEYS: Final = ("url", "fileKey", "id")

Json = dict[str, Any]
Files = Mapping[str, bytes | bytearray | memoryview]


@dataclass(frozen=True, slots=True)
class _NamedFile:
    """A file that is yet to be looked up among the parts of the form."""

    key: str
    path: str


_Source = StoredSource | UrlSource | _NamedFile


@dataclass(frozen=True, slots=True)
class _Product:
    """A product as it was sent; `days` is how long one that is registered is valid."""

    external_id: str | None
    garments: tuple[_Source, ...]
    title: str | None
    description: str | None
    days: int | None


def to_command(
    data: bytes | bytearray, files: Files, account: Account, idempotency_key: str | None, pseudonyms: Pseudonyms
) -> TryOnCommand:
    """Raises: ValidationFailed that names every malformed field; else CustomerImageRequired, ProductImagesRequired,
    MultipartFileNotFound.
    """
    body = decoded_object(data)
    request = _Request(body)
    person, product = request.person(), request.product()
    customer_id, days = request.customer_id(), request.days()
    request.expect_texts_and_flags()
    asked = request.asked_once(idempotency_key, "try-on", files)
    request.expect_no_problems()
    if person is None:
        raise CustomerImageRequired
    if product is None or not (product.garments or product.external_id):
        raise ProductImagesRequired
    return TryOnCommand(
        account=account,
        person=_with_file(person, files),
        product=_wanted(product, account, files),
        customer=pseudonyms.customer(account.account_id, customer_id) if customer_id is not None else None,
        retention=RetentionPolicy(days) if days is not None else None,
        idempotency=pseudonyms.request(account.account_id, *asked) if asked else None,
    )


def to_registration(
    data: bytes | bytearray, files: Files, account: Account, idempotency_key: str | None, pseudonyms: Pseudonyms
) -> tuple[WantedProduct, timedelta | None, IdempotencyRecord | None]:
    """The product, how long it is valid, and the record of the request. Raises: as `to_command`."""
    request = _Request(decoded_object(data))
    product = request.registered_product()
    asked = request.asked_once(idempotency_key, "products", files)
    request.expect_no_problems()
    if product is None or not (product.garments or product.external_id):
        raise ProductImagesRequired
    record = pseudonyms.request(account.account_id, *asked) if asked else None
    return _wanted(product, account, files), timedelta(days=product.days) if product.days else None, record


def _wanted(product: _Product, account: Account, files: Files) -> WantedProduct:
    return WantedProduct(
        account=account,
        external_id=product.external_id,
        garments=tuple(_with_file(garment, files) for garment in product.garments),
        title=product.title,
        description=product.description,
    )


def asked_once(header: str | None, operation: str, body: Json, files: Files) -> tuple[str, bytes] | None:
    """The key, and a digest of the request, however its JSON was written. Raises: ValidationFailed."""
    key = unquoted(header)
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY_CHARS:
        raise ValidationFailed((FieldProblem("Idempotency-Key", f"must have 1 to {MAX_KEY_CHARS} characters"),))
    request = hashlib.sha256(f"{operation}\0".encode() + msgspec.json.encode(body, order="sorted"))
    for name, content in sorted(files.items()):
        request.update(f"\0{name}\0".encode() + hashlib.sha256(content).digest())
    return key, request.digest()


def _with_file(source: _Source, files: Files) -> PhotoSource:
    if not isinstance(source, _NamedFile):
        return source
    if source.key not in files:
        raise MultipartFileNotFound(source.path, [shown(name) for name in files])
    return FileSource(files[source.key], source.path)


class _Request:
    """Walks through the JSON and takes note of what is wrong. `null` counts as not sent."""

    def __init__(self, body: Json) -> None:
        self._body = body
        self._problems: dict[FieldProblem, None] = {}

    def expect_no_problems(self) -> None:
        """Raises: ValidationFailed."""
        if self._problems:
            raise ValidationFailed(tuple(self._problems))

    def asked_once(self, key: str | None, operation: str, files: Files) -> tuple[str, bytes] | None:
        try:
            return asked_once(key, operation, self._body, files)
        except ValidationFailed as error:
            self._problems.update(dict.fromkeys(error.problems))
            return None

    def person(self) -> _Source | None:
        """None when there is nothing that could be the person's photo."""
        given = [name for name in ("person", "customer") if self._body.get(name) is not None]
        if len(given) > 1:
            self._note("customer", 'is the former name of "person"; send one of them')
        image_id = self._body.get("customerImageId")
        if given and image_id is not None:
            self._note("customerImageId", f'is what "{given[0]}" was first; send one of them')
        for name in given[:1]:
            holder = self._object(self._body[name], name)
            if holder is None:
                return None
            if holder.get("image") is None:
                return self._source(holder, name) if _names_a_source(holder) else None
            image = self._object(holder["image"], f"{name}.image")
            return self._source(image, f"{name}.image") if image else None
        return None if image_id is None else self._stored(image_id, "customerImageId")

    def product(self) -> _Product | None:
        """None when there is no product at all."""
        found = self._the_product()
        return None if found is None else self._described(*found)

    def registered_product(self) -> _Product | None:
        """The whole body is the product, or it is in `product`."""
        holder = self._body.get("product")
        found = self._body if holder is None else self._object(holder, "product")
        return None if found is None else self._described(found, "" if holder is None else "product.")

    def _described(self, product: Json, at: str) -> _Product:
        images, urls = self._list(product, "images", at), self._list(product, "imageUrls", at)
        if len(images) + len(urls) > MAX_GARMENTS:
            self._note(f"{at}images", f"must hold at most {MAX_GARMENTS} images")
        sources = [self._source(each, f"{at}images.{index}") for index, each in enumerate(images[:MAX_GARMENTS])]
        sources += [self._url(each, f"{at}imageUrls.{index}") for index, each in enumerate(urls[:MAX_GARMENTS])]
        return _Product(
            external_id=self._product_id(product, at),
            garments=tuple(source for source in sources if source is not None),
            title=self._text(product, "title", at),
            description=self._text(product, "description", at),
            days=self._valid_for_days(),
        )

    def _product_id(self, product: Json, at: str) -> str | None:
        """Under its name, or the one it had first."""
        sent = {name: product[name] for name in ("externalId", "productId") if product.get(name) is not None}
        for name, value in sent.items():
            if problem := product_id_problem(value if isinstance(value, str) else ""):
                self._note(f"{at}{name}", problem)
        if len(set(map(repr, sent.values()))) > 1:
            self._note(f"{at}productId", 'differs from "externalId", of which it is the former name')
        return next((value for value in sent.values() if isinstance(value, str)), None)

    def _valid_for_days(self) -> int | None:
        days = self._body.get("validForDays")
        if days is None or (type(days) is int and 1 <= days <= MAX_VALID_DAYS):
            return days
        self._note("validForDays", f"must be a whole number from 1 to {MAX_VALID_DAYS:,}")
        return None

    def customer_id(self) -> str | None:
        """The end user, under the new name or the old one."""
        given = {name: self._body.get(name) for name in ("externalUserId", "customerId")}
        sent = {name: value for name, value in given.items() if value is not None}
        for name, value in sent.items():
            if problem := external_id_problem(value) if isinstance(value, str) else "must be a string":
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
                self._note(path, RetentionPolicy.PROBLEM)
        if any(value != first for first in list(given.values())[:1] for value in given.values()):
            self._note(list(given)[-1], "differs from the other number of days in this request")
        return next((value for value in given.values() if type(value) is int), None)

    def expect_texts_and_flags(self) -> None:
        """Fields that change nothing here, but have to be what they are said to be."""
        for holder, name, at in (
            (self._output(), "watermark", "output."),
            (self._output(), "aiLabel", "output."),
            (self._body, "useWatermark", ""),
        ):
            if holder.get(name) is not None and not isinstance(holder[name], bool):
                self._note(f"{at}{name}", "must be true or false")

    def _the_product(self) -> tuple[Json, str] | None:
        products, product = self._body.get("products"), self._body.get("product")
        alone = self._body.get("productId")
        if alone is not None and not (products is None and product is None):
            self._note("productId", 'is what "products" was first; send one of them')
        if products is None and product is None:
            return None if alone is None else ({"productId": alone}, "")
        if products is None:
            found = self._object(product, "product")
            return None if found is None else (found, "product.")
        if product is not None:
            self._note("product", 'is the former name of "products"; send one of them')
        if not isinstance(products, list) or len(products) != 1:
            self._note("products", "must be a list of exactly one product")
            return None
        found = self._object(products[0], "products.0")
        return None if found is None else (found, "products.0.")

    def _source(self, value: Any, path: str) -> _Source | None:
        holder = self._object(value, path)
        if holder and holder.get("source") is not None:
            path = f"{path}.source"
            holder = self._object(holder["source"], path)
        if holder is None:
            return None
        named = [key for key in SOURCE_KEYS if holder.get(key) is not None]
        if len(named) != 1:
            self._note(path, "must hold exactly one of url, fileKey and id")
            return None
        key, value = named[0], holder[named[0]]
        if key != "fileKey":
            return self._url(value, f"{path}.url") if key == "url" else self._stored(value, f"{path}.id")
        return _NamedFile(value, f"{path}.fileKey") if self._is_short(value, f"{path}.fileKey") else None

    def _stored(self, value: Any, path: str) -> StoredSource | None:
        return StoredSource(ImageId(value), path) if self._is_short(value, path) else None

    def _is_short(self, value: Any, path: str) -> bool:
        if isinstance(value, str) and 1 <= len(value) <= MAX_ID_CHARS and "\0" not in value:
            return True
        self._note(path, f"must be a string of 1 to {MAX_ID_CHARS} characters")
        return False

    def _url(self, value: Any, path: str) -> UrlSource | None:
        if isinstance(value, str):
            url = f"https:{value}" if value.startswith("//") else value  # as shops' pages write it
            if _is_web_url(url):
                return UrlSource(url, path)
        self._note(path, f"must be an absolute https URL of at most {MAX_URL_CHARS:,} characters")
        return None

    def _output(self) -> Json:
        output = self._body.get("output")
        return {} if output is None else self._object(output, "output") or {}

    def _text(self, holder: Json, name: str, at: str) -> str | None:
        value = holder.get(name)
        if value is None or (isinstance(value, str) and "\0" not in value):
            return value
        self._note(f"{at}{name}", "must be a string without NUL")
        return None

    def _object(self, value: Any, path: str) -> Json | None:
        if isinstance(value, dict):
            return value
        self._note(path, "must be an object")
        return None

    def _list(self, holder: Json, name: str, at: str) -> list[Any]:
        value = holder.get(name)
        if value is None or isinstance(value, list):
            return value or []
        self._note(f"{at}{name}", "must be a list")
        return []

    def _note(self, path: str, message: str) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems[FieldProblem(path, message)] = None


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
