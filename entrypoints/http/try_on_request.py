"""Understand the JSON of a try-on or a product, in today's shape and in all that came before; every fault is named.

Today: `{"products": [{"externalId", "images": [{"source": {"url" | "fileKey" | "id"}}]}],
"person": {"image": {"source": {…}}}, "externalUserId", "output": {"keepForDays"}}`. Before: `product` for `products`,
`customer` for `person`, no `source` or `image` level, `imageUrls`, `customerId`, days at the top level, `productId`.
"""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from application.keep_product import WantedProduct
from application.read_image import FileSource, PhotoSource, StoredSource, UrlSource
from application.start_try_on import TryOnCommand
from domain.account import Account, RetentionPolicy
from domain.customer import IdempotencyRecord, Pseudonyms
from domain.errors import CustomerImageRequired, MultipartFileNotFound, ProductImagesRequired
from domain.image import ImageId
from domain.product import product_id_problem
from entrypoints.http.request_parts import decoded_object
from entrypoints.http.upload_form import (
    Check,
    Problems,
    customer_id_problem,
    days_problem,
    flag_problem,
    shown,
    whole_number,
)

MAX_GARMENTS: Final = 8
"""Pictures of one product. Each is prepared and kept; an engine is given them one after the other."""
MAX_ID_CHARS: Final = 100
MAX_URL_CHARS: Final = 2048
valid_days_problem: Final = whole_number(1, 3650)
SOURCE_KEYS: Final = ("url", "fileKey", "id")

Json = dict[str, Any]
Files = Mapping[str, bytes | bytearray | memoryview]


def to_command(
    data: bytes | bytearray, files: Files, account: Account, idempotency_key: str | None, pseudonyms: Pseudonyms
) -> TryOnCommand:
    """Raises: ValidationFailed that names every malformed field; else CustomerImageRequired, ProductImagesRequired,
    MultipartFileNotFound.
    """
    body, problems = decoded_object(data), Problems()
    request = _Request(body, files, problems)
    person, product = request.person(), request.product(account)
    customer_id, days = request.customer_id(), request.days()
    request.expect_flags()
    key = problems.idempotency_key(idempotency_key)
    problems.expect_none()
    if person is None:
        raise CustomerImageRequired
    return TryOnCommand(
        account=account,
        person=person,
        product=request.complete(product),
        customer=pseudonyms.customer(account.account_id, customer_id) if customer_id is not None else None,
        retention=RetentionPolicy(days) if days is not None else None,
        idempotency=asked_once(key, "try-on", body, files, account=account, pseudonyms=pseudonyms),
    )


def to_registration(
    data: bytes | bytearray, files: Files, account: Account, idempotency_key: str | None, pseudonyms: Pseudonyms
) -> tuple[WantedProduct, timedelta | None, IdempotencyRecord | None]:
    """The product, how long it is valid, and the record of the request. Raises: as `to_command`."""
    body, problems = decoded_object(data), Problems()
    request = _Request(body, files, problems)
    product = request.registered_product(account)
    days = problems.checked("validForDays", body.get("validForDays"), valid_days_problem)
    key = problems.idempotency_key(idempotency_key)
    problems.expect_none()
    record = asked_once(key, "products", body, files, account=account, pseudonyms=pseudonyms)
    return request.complete(product), timedelta(days=days) if days else None, record


def asked_once(
    key: str | None, operation: str, body: Json, files: Files, *, account: Account, pseudonyms: Pseudonyms
) -> IdempotencyRecord | None:
    """The idempotency key with a digest of its request, however the JSON of that was written."""
    if key is None:
        return None
    request = hashlib.sha256(f"{operation}\0".encode() + msgspec.json.encode(body, order="sorted"))
    for name, content in sorted(files.items()):
        request.update(f"\0{name}\0".encode() + hashlib.sha256(content).digest())
    return pseudonyms.request(account.account_id, key, request.digest())


class _Request:
    """Walks through the JSON and takes note of what is wrong. `null` counts as not sent."""

    def __init__(self, body: Json, files: Files, problems: Problems) -> None:
        self._body, self._files = body, files
        self._note, self._checked = problems.note, problems.checked
        self._missing: MultipartFileNotFound | None = None
        """The first one; malformed and missing fields come before it."""

    def person(self) -> PhotoSource | None:
        """None when there is nothing that could be the person's photo."""
        given = [name for name in ("person", "customer") if self._body.get(name) is not None]
        if len(given) > 1:
            self._note("customer", 'is the former name of "person"; send one of them')
        image_id = self._body.get("customerImageId")
        if given and image_id is not None:
            self._note("customerImageId", f'is what "{given[0]}" was first; send one of them')
        if not given:
            return None if image_id is None else self._stored(image_id, "customerImageId")
        holder = self._object(self._body[given[0]], given[0]) or {}
        if (image := holder.get("image")) is not None:
            return None if image == {} else self._source(image, f"{given[0]}.image")
        return self._source(holder, given[0]) if _names_a_source(holder) else None

    def product(self, account: Account) -> WantedProduct | None:
        """None when there is no product at all."""
        found = self._the_product()
        return None if found is None else self._described(*found, account)

    def registered_product(self, account: Account) -> WantedProduct | None:
        """The whole body is the product, or it is in `product`."""
        holder = self._body.get("product")
        found = self._body if holder is None else self._object(holder, "product")
        return None if found is None else self._described(found, "" if holder is None else "product.", account)

    def complete(self, product: WantedProduct | None) -> WantedProduct:
        """Raises: ProductImagesRequired, MultipartFileNotFound."""
        if product is None or not (product.garments or product.external_id):
            raise ProductImagesRequired
        if self._missing is not None:
            raise self._missing
        return product

    def _described(self, product: Json, at: str, account: Account) -> WantedProduct:
        images, urls = (
            self._checked(f"{at}{name}", product.get(name), _list_problem) or [] for name in ("images", "imageUrls")
        )
        if len(images) + len(urls) > MAX_GARMENTS:
            self._note(f"{at}images", f"must hold at most {MAX_GARMENTS} images")
        sources = [self._source(each, f"{at}images.{index}") for index, each in enumerate(images[:MAX_GARMENTS])]
        sources += [self._url(each, f"{at}imageUrls.{index}") for index, each in enumerate(urls[:MAX_GARMENTS])]
        return WantedProduct(
            account=account,
            external_id=self._product_id(product, at),
            garments=tuple(source for source in sources if source is not None),
            title=self._checked(f"{at}title", product.get("title"), _text_problem),
            description=self._checked(f"{at}description", product.get("description"), _text_problem),
        )

    def _product_id(self, product: Json, at: str) -> Any:
        """Under its name, or the one it had first."""
        sent = {f"{at}{name}": product.get(name) for name in ("externalId", "productId")}
        return self._alike(sent, _product_problem, 'differs from "externalId", of which it is the former name')

    def customer_id(self) -> Any:
        """The end user, under the new name or the old one."""
        sent = {name: self._body.get(name) for name in ("externalUserId", "customerId")}
        differs = 'differs from "externalUserId", of which it is a deprecated alias'
        return self._alike(sent, customer_id_problem, differs)

    def days(self) -> Any:
        """How long photos and result are kept: `output.keepForDays`, or one of its former places."""
        sent = {
            f"{at}{name}": holder.get(name)
            for at, holder in (("output.", self._output()), ("", self._body))
            for name in ("keepForDays", "retentionDays")
        }
        return self._alike(sent, days_problem, "differs from the other number of days in this request")

    def _alike(self, given: Json, problem_of: Check, differs: str) -> Any:
        """What was sent under one name or several, each of which has to be right."""
        sent = {path: value for path, value in given.items() if value is not None}
        found = [self._checked(path, value, problem_of) for path, value in sent.items()]
        if any(value != first for first in list(sent.values())[:1] for value in sent.values()):
            self._note(list(sent)[-1], differs)
        return next(iter(found), None)

    def expect_flags(self) -> None:
        """They change nothing here, but have to be what they are said to be."""
        output = self._output()
        flags = {"output.watermark": output.get("watermark"), "output.aiLabel": output.get("aiLabel")}
        for path, value in (flags | {"useWatermark": self._body.get("useWatermark")}).items():
            self._checked(path, value, flag_problem)

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

    def _source(self, value: Any, path: str) -> PhotoSource | None:
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
        read = {"url": self._url, "fileKey": self._file, "id": self._stored}[named[0]]
        return read(holder[named[0]], f"{path}.{named[0]}")

    def _file(self, value: Any, path: str) -> FileSource | None:
        if not self._checked(path, value, _key_problem):
            return None
        if value not in self._files and self._missing is None:
            self._missing = MultipartFileNotFound(path, [shown(name) for name in self._files])
        return FileSource(self._files.get(value, b""), path)

    def _stored(self, value: Any, path: str) -> StoredSource | None:
        return StoredSource(ImageId(value), path) if self._checked(path, value, _key_problem) else None

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

    def _object(self, value: Any, path: str) -> Json | None:
        if isinstance(value, dict):
            return value
        self._note(path, "must be an object")
        return None


def _product_problem(value: object) -> str | None:
    return product_id_problem(value if isinstance(value, str) else "")


def _key_problem(value: object) -> str | None:
    is_short = isinstance(value, str) and 1 <= len(value) <= MAX_ID_CHARS and "\0" not in value
    return None if is_short else f"must be a string of 1 to {MAX_ID_CHARS} characters"


def _text_problem(value: object) -> str | None:
    return None if isinstance(value, str) and "\0" not in value else "must be a string without NUL"


def _list_problem(value: object) -> str | None:
    return None if isinstance(value, list) else "must be a list"


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
