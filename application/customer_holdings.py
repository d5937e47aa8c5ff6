"""All that is held of one customer (GDPR Art. 15), proof that an erasure left nothing of it, and receipts for that."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Final, Protocol
from urllib.parse import quote

from application.erase_customer import ErasureOutcome
from application.ports.objects import ObjectStore, RawFiles, RawSearch
from application.ports.rows import CustomerTraces, ImageToDelete, Repositories, UnitOfWork
from application.ports.system import Clock
from domain.account import AccountId
from domain.customer import Customer, Pseudonyms
from domain.errors import Overloaded
from domain.generation import Generation
from domain.image import ImageId, UploadedImage, image_id_in

PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Holdings:
    """`images`: those that can be read now, results of try-ons too; `traces` counts rows in every state, and of
    idempotency records those of try-ons as well.

    Try-ons that ended long ago, or whose result is gone, name nobody any more and are not here.
    """

    images: tuple[UploadedImage, ...]
    try_ons: tuple[Generation, ...]
    traces: CustomerTraces
    marked_until: datetime | None

    @property
    def results(self) -> frozenset[ImageId]:
        """Those of the images that a try-on made."""
        made = {try_on.result for try_on in self.try_ons}
        return frozenset(image.image_id for image in self.images if image.image_id in made)


@dataclass(frozen=True, slots=True)
class ReadHoldings:
    """For a person who asks, found by the id that the shop knows. Reads only; what ends meanwhile is left out."""

    work: UnitOfWork
    clock: Clock

    async def execute(self, customer: Customer) -> Holdings:
        """Raises: Overloaded."""
        images = [image async for image in self._images(customer)]
        async with self.work.read() as repositories:
            return Holdings(
                images=tuple(sorted(images, key=lambda image: (image.created_at, image.image_id))),
                try_ons=await repositories.generations.of_customer(customer, [image.image_id for image in images]),
                traces=await _traces_of(customer, repositories),
                marked_until=await repositories.erasures.marked_until(customer),
            )

    async def _images(self, customer: Customer) -> AsyncIterator[UploadedImage]:
        after = ""
        while True:
            async with self.work.read() as repositories:
                page = await repositories.images.stored_of(customer, after, PAGE)
            for image in page:
                if image.is_readable(self.clock.now()):
                    yield image
            if len(page) < PAGE:
                return
            after = page[-1].image_id


async def _traces_of(customer: Customer, repositories: Repositories) -> CustomerTraces:
    """Of idempotency records, those of try-ons as well."""
    traces = await repositories.images.traces_of(customer)
    of_requests = len(await repositories.requests.key_digests_of(customer))
    return replace(traces, idempotency_records=traces.idempotency_records + of_requests)


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of a customer. `marked_until`: a salted digest of the pseudonym stops uploads in flight until then.

    `unreachable` counts the account's images of whoever it may be, under a pseudonym key that is not at hand.
    """

    images: int
    idempotency_records: int
    try_ons: int
    objects: int
    unreachable: int
    raw: RawSearch
    marked_until: datetime | None

    @property
    def is_nothing(self) -> bool:
        """The mark does not count: it names nobody, and it passes."""
        counts = self.images, self.idempotency_records, self.try_ons, self.objects, self.unreachable
        return not any(counts) and not self.raw.hits and not self.raw.unread


@dataclass(frozen=True, slots=True)
class VerifyErasure:
    """Looks for a customer in the database, for what an erasure took in storage, and for both in raw files."""

    MIN_NEEDLE_BYTES: ClassVar = 8
    """Shorter ids stand in any file by chance."""
    SLICE_BYTES: ClassVar = 64
    MAX_IMAGES: ClassVar = 20
    """So many of the photos, and of the idempotency keys, are looked for."""

    work: UnitOfWork
    objects: ObjectStore
    files: RawFiles
    pseudonyms: Pseudonyms

    async def needles(self, customer: Customer, external_id: str) -> tuple[bytes, ...]:
        """What an erasure must leave in no file; to be asked before it: the id as it may be written, its pseudonyms,
        keyed digests of idempotency keys, and a slice out of the middle of each picture that storage hands out: no
        erasure waits for it. Raises: Overloaded.
        """
        async with self.work.read() as repositories:
            images = await repositories.images.stored_of(customer, "", self.MAX_IMAGES)
            digests = list(await repositories.requests.key_digests_of(customer))[: self.MAX_IMAGES]
        pictures = [picture or b"" async for picture in self._objects([image.object_name for image in images])]
        digests += [image.idempotency.key_digest for image in images if image.idempotency]
        written = {external_id, quote(external_id, safe=""), json.dumps(external_id)[1:-1], *customer.pseudonyms}
        slices = [picture[len(picture) // 2 :][: self.SLICE_BYTES] for picture in pictures]
        needles = [*(text.encode() for text in sorted(written)), *digests, *slices]
        return tuple(needle for needle in needles if len(needle) >= self.MIN_NEEDLE_BYTES)

    async def execute(self, customer: Customer, erased: Sequence[ImageToDelete], needles: Sequence[bytes]) -> Remains:
        """What storage does not tell just now is taken to be there. Raises: Overloaded: the database is down."""
        async with self.work.read() as repositories:
            traces = await _traces_of(customer, repositories)
            try_ons = len(await repositories.generations.of_customer(customer, ()))
            unreachable = await repositories.images.under_other_keys(self.pseudonyms.prefixes, customer.account_id)
            marked_until = await repositories.erasures.marked_until(customer)
        gone = [picture is None async for picture in self._objects([image.object_name for image in erased])]
        objects = len(erased) - sum(gone)
        raw = await self._without_living(await self.files.search(needles))
        return Remains(
            traces.images, traces.idempotency_records, try_ons, objects, unreachable.images, raw, marked_until
        )

    async def _objects(self, names: Sequence[str]) -> AsyncIterator[bytes | None]:
        """Until storage is out of reach: each further try would take as long to fail."""
        with suppress(Overloaded):
            for name in names:
                yield await self.objects.get(name)

    async def _without_living(self, raw: RawSearch) -> RawSearch:
        """The very same photo may have been uploaded for somebody else, too: its object has a row."""
        named = {hit: image_id_in("/".join(hit.split("/")[-2:])) for hit in raw.hits}
        async with self.work.read() as repositories:
            living = await repositories.images.objects_of([image_id for image_id in named.values() if image_id])
        return replace(raw, hits=tuple(hit for hit in raw.hits if not hit.endswith(tuple(living))))


MAX_RECEIPT_BYTES: Final = 64 * 1024
PURPOSE: Final = b"tryon-images erasure receipt 1\0"
"""Before what is signed: the same key never signs anything else that could be taken for a receipt."""
Facts = Mapping[str, Any]
SignatureCheck = Callable[[bytes, bytes, bytes], bool]
"""(public key, signature, message): true when the key's owner signed the message."""


class ReceiptSigner(Protocol):
    """Signs with a key of which everybody may know the public half."""

    def sign(self, message: bytes) -> tuple[bytes, bytes]:
        """Returns: the public key and the signature."""


class NotAReceipt(Exception):
    """The text says, in one sentence, why a file proves nothing."""


def receipt_facts(
    account_id: AccountId, outcome: ErasureOutcome, verified: Facts, issued_at: datetime, version: str
) -> Facts:
    """Random ids, times and counts. Not the customer's id: a receipt outlives the erasure, and would keep it."""
    return {
        "erasureId": outcome.erasure_id,
        "accountId": account_id,
        "status": outcome.status,
        "imagesErased": outcome.images,
        "bytesLeft": outcome.bytes_left,
        "requestedAt": _text(outcome.requested_at),
        "issuedAt": _text(issued_at),
        "verified": {name: _text(found) for name, found in verified.items()},
        "toolVersion": version,
    }


def signed_receipt(facts: Facts, signer: ReceiptSigner) -> bytes:
    """A file for people and for `read_receipt`."""
    return _file(facts, *signer.sign(_signed(facts)))


def read_receipt(file: bytes, trusted: Collection[bytes], is_signed: SignatureCheck) -> Facts:
    """The facts of a receipt that one of the `trusted` public keys signed and of which no byte was changed.

    Raises: NotAReceipt.
    """
    try:
        parsed = json.loads(file[:MAX_RECEIPT_BYTES])
        facts, public_key, signature = parsed["receipt"], *map(_decoded, (parsed["publicKey"], parsed["signature"]))
        written = _file(facts, public_key, signature)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise NotAReceipt("This is not a receipt that `customers erase --receipt` wrote.") from None
    # But for line ends, byte for byte: of two fields of one name, a person would read the first and a parser the last.
    if file.split() != written.split():
        raise NotAReceipt("The receipt was changed: it holds more than what was signed, or is written differently.")
    if not is_signed(public_key, signature, _signed(facts)):
        raise NotAReceipt("The receipt was changed: its signature does not fit what it says.")
    if public_key not in trusted:
        raise NotAReceipt(
            f"The receipt is whole, but nothing says whose the key is that signed it: {key_text(public_key)}."
        )
    found: Facts = facts
    return found


def key_text(public_key: bytes) -> str:
    """A public key as receipts and the command line write it."""
    return urlsafe_b64encode(public_key).decode()


def _signed(facts: Facts) -> bytes:
    return PURPOSE + json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def _file(facts: Facts, public_key: bytes, signature: bytes) -> bytes:
    whole = {"receipt": facts, "publicKey": key_text(public_key), "signature": urlsafe_b64encode(signature).decode()}
    return json.dumps(whole, indent=2).encode() + b"\n"


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text.encode("ascii"))


def _text(value: Any) -> Any:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value
