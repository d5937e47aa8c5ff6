"""Records of erasures: prove them, list them, and apply them again after a database was restored."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar
from urllib.parse import quote

from application.audit import audited
from application.delete_image import TAKE_OVER_AFTER, FinishDeletion
from application.ports.objects import ObjectStore, RawFiles, RawSearch
from application.ports.rows import ImageToDelete, UnitOfWork
from application.ports.system import Clock
from domain.account import AccountId
from domain.audit import Action
from domain.customer import Customer
from domain.erasure import ErasureRecord
from domain.errors import ErasureNotFound, Overloaded
from domain.image import ErasureId, ImageId, image_id_in, is_image_id
from domain.pseudonyms import Pseudonyms

PAGE = 200


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
            traces = await repositories.images.traces_of(customer)
            records = traces.idempotency_records + len(await repositories.requests.key_digests_of(customer))
            try_ons = len(await repositories.generations.of_customer(customer, ()))
            unreachable = await repositories.images.under_other_keys(self.pseudonyms.prefixes, customer.account_id)
            marked_until = await repositories.erasures.marked_until(customer)
        gone = [picture is None async for picture in self._objects([image.object_name for image in erased])]
        objects = len(erased) - sum(gone)
        raw = await self._without_living(await self.files.search(needles))
        return Remains(traces.images, records, try_ons, objects, unreachable.images, raw, marked_until)

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


@dataclass(frozen=True, slots=True)
class RecordedErasure:
    """A record, and the ids of the images it took as long as a backup may still hold them."""

    record: ErasureRecord
    image_ids: tuple[ImageId, ...]


@dataclass(frozen=True, slots=True)
class ReadErasure:
    """How far an erasure is, for the account that asked for it."""

    work: UnitOfWork

    async def execute(self, erasure_id: ErasureId, account_id: AccountId) -> ErasureRecord:
        """Raises: ErasureNotFound: unknown, or another account's; Overloaded."""
        if not is_image_id(erasure_id):
            raise ErasureNotFound
        async with self.work.read() as repositories:
            record = await repositories.erasures.find_record(erasure_id)
        if record is None or record.account_id != account_id:
            raise ErasureNotFound
        return record


@dataclass(frozen=True, slots=True)
class ListErasures:
    """Records of erasures, newest first."""

    work: UnitOfWork

    async def execute(self, account_id: AccountId | None = None) -> AsyncIterator[RecordedErasure]:
        """Raises: Overloaded."""
        last: ErasureRecord | None = None
        while True:
            async with self.work.read() as repositories:
                page = await repositories.erasures.list_records(account_id, PAGE, older_than=last)
                entries = [
                    RecordedErasure(record, await repositories.erasures.images_of(record.erasure_id)) for record in page
                ]
            for entry in entries:
                yield entry
            if len(page) < PAGE:
                return
            last = page[-1]


@dataclass(frozen=True, slots=True)
class ReplayErasure:
    """Applies an erasure again: a database restored from a backup that is older has brought its images back."""

    work: UnitOfWork
    finish: FinishDeletion
    clock: Clock
    backup_retention: timedelta

    async def count(self, entry: RecordedErasure) -> int:
        """Returns: how many of the images are there again. Raises: Overloaded."""
        async with self.work.read() as repositories:
            return len(await repositories.images.objects_of(entry.image_ids))

    async def execute(self, entry: RecordedErasure) -> int:
        """Restores the record too, if it was lost with the database.

        Returns: how many of the images had come back and are unreachable now. Raises: Overloaded.
        """
        record = entry.record
        async with self.work.begin() as repositories:
            marked = await repositories.images.mark_known_deleting(entry.image_ids, self.clock.now() + TAKE_OVER_AFTER)
            is_lost = await repositories.erasures.find_record(record.erasure_id) is None
            if is_lost and await repositories.accounts.find(record.account_id):
                record = replace(record, completed_at=None) if marked else record
                forget_at = record.requested_at + self.backup_retention
                await repositories.erasures.open_record(record, entry.image_ids, forget_at)
            if marked:
                images, now = len(marked), self.clock.now()
                noted = audited(now, Action.ERASURE_REPLAYED, record.account_id, record.erasure_id, images=images)
                await repositories.audit.add(noted)
        await self.finish.execute(marked)
        return len(marked)
