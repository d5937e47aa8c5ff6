"""Images in a dictionary."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from application.ports.rows import (
    CustomerTraces,
    DueBatch,
    ImageToDelete,
    KnownImage,
    OutOfReach,
    Overdue,
    PublishOutcome,
)
from domain.account import AccountId, RetentionPolicy
from domain.customer import Customer, IdempotencyRecord
from domain.errors import IdempotencyKeyInUse
from domain.image import ErasureId, ImageId, ImageState, StoredPhoto, UploadedImage

LIVE = (ImageState.PENDING, ImageState.STORED)


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An image and what its life cycle needs besides."""

    image: UploadedImage
    due_at: datetime
    erasure_id: ErasureId | None = None

    def is_of(self, customer: Customer) -> bool:
        return self.image.customer is not None and self.image.customer.is_same(customer)

    def is_in_flight(self, now: datetime) -> bool:
        return self.image.photo is None and self.due_at > now

    def marked(self, retry_at: datetime, erasure_id: ErasureId | None = None) -> "ImageRow":
        image = replace(self.image, state=ImageState.DELETING, idempotency=None)
        return ImageRow(image, retry_at, erasure_id or self.erasure_id)


class InMemoryImageRepository:
    """Images by their ids."""

    def __init__(self, rows: dict[ImageId, ImageRow]) -> None:
        self._rows = rows

    async def reserve(self, image: UploadedImage) -> None:
        record = image.idempotency
        if record and await self.find_by_idempotency_key(image.account_id, record):
            raise IdempotencyKeyInUse
        self._rows[image.image_id] = ImageRow(image, image.created_at + UploadedImage.PENDING_LEASE)

    async def publish(self, image: UploadedImage, photo: StoredPhoto) -> PublishOutcome:
        row = self._rows.get(image.image_id)
        if row is None or row.image.state is not ImageState.PENDING:
            return PublishOutcome.ERASED if row and row.erasure_id else PublishOutcome.LAPSED
        stored = replace(row.image, state=ImageState.STORED, photo=photo)
        self._rows[image.image_id] = ImageRow(stored, image.expires_at)
        return PublishOutcome.PUBLISHED

    async def abandon(self, image: UploadedImage, retry_at: datetime) -> ImageToDelete | None:
        unnamed = replace(image, customer=None)
        row = self._rows.get(image.image_id) or ImageRow(unnamed, retry_at)
        return self._mark_deleting(row, retry_at) if row.image.photo is None else None

    async def find(self, image_id: ImageId, account_id: AccountId) -> UploadedImage | None:
        row = self._rows.get(image_id)
        return row.image if row and row.image.account_id == account_id else None

    async def hold(self, image_id: ImageId, account_id: AccountId) -> UploadedImage | None:
        return await self.find(image_id, account_id)

    async def adopt(self, image_id: ImageId, customer: Customer) -> bool:
        row = self._rows.get(image_id)
        if row is None or row.image.account_id != customer.account_id or row.image.customer is not None:
            return False
        self._rows[image_id] = replace(row, image=replace(row.image, customer=customer))
        return True

    async def find_by_idempotency_key(self, account_id: AccountId, record: IdempotencyRecord) -> UploadedImage | None:
        for row in self._rows.values():
            kept = row.image.idempotency
            if kept and row.image.account_id == account_id and kept.key_digest in record.key_digests:
                return row.image
        return None

    async def release_idempotency_key(self, image_id: ImageId) -> None:
        row = self._rows[image_id]
        self._rows[image_id] = replace(row, image=replace(row.image, idempotency=None))

    async def mark_deleting(self, image_id: ImageId, account_id: AccountId, retry_at: datetime) -> ImageToDelete | None:
        row = self._rows.get(image_id)
        if row is None or row.image.account_id != account_id or row.image.photo is None:
            return None
        return self._mark_deleting(row, retry_at)

    async def mark_customer_deleting(
        self, customer: Customer, erasure_id: ErasureId, now: datetime, retry_at: datetime
    ) -> tuple[ImageToDelete, ...]:
        return tuple(
            self._mark_deleting(row, row.due_at, erasure_id, is_in_flight=True)
            if row.is_in_flight(now)
            else self._mark_deleting(row, retry_at, erasure_id)
            for row in [row for row in self._rows.values() if row.is_of(customer)]
        )

    async def mark_known_deleting(self, image_ids: Sequence[ImageId], retry_at: datetime) -> tuple[ImageToDelete, ...]:
        return tuple(self._mark_deleting(self._rows[i], retry_at) for i in image_ids if i in self._rows)

    async def mark_stored_deleting(self, image_ids: Sequence[ImageId], retry_at: datetime) -> tuple[ImageToDelete, ...]:
        rows = [self._rows[image_id] for image_id in image_ids if image_id in self._rows]
        return tuple(self._mark_deleting(row, retry_at) for row in rows if row.image.state is ImageState.STORED)

    async def release(self, image_ids: Sequence[ImageId], due_at: datetime) -> None:
        for image_id in image_ids:
            row = self._rows.get(image_id)
            if row and row.image.is_of_product and row.image.state is ImageState.STORED:
                self._rows[image_id] = replace(row, due_at=min(row.due_at, due_at))

    async def mark_due_deleting(self, now: datetime, retry_at: datetime, limit: int) -> DueBatch:
        due = sorted((row for row in self._rows.values() if row.due_at <= now), key=lambda row: row.due_at)[:limit]
        states = [row.image.state for row in due]
        marked = tuple(self._mark_deleting(row, retry_at) for row in due)
        return DueBatch(marked, states.count(ImageState.STORED), states.count(ImageState.PENDING))

    async def remove(self, image_ids: Iterable[ImageId]) -> None:
        for image_id in image_ids:
            row = self._rows.get(image_id)
            if row and row.image.state is not ImageState.STORED:
                del self._rows[image_id]

    async def traces_of(self, customer: Customer) -> CustomerTraces:
        rows = [row for row in self._rows.values() if row.is_of(customer)]
        return CustomerTraces(len(rows), sum(row.image.idempotency is not None for row in rows))

    async def stored_of(self, customer: Customer, after: str, limit: int) -> tuple[UploadedImage, ...]:
        theirs = [row.image for row in self._rows.values() if row.is_of(customer) and row.image.image_id > after]
        stored = [image for image in theirs if image.state is ImageState.STORED]
        return tuple(sorted(stored, key=lambda image: image.image_id)[:limit])

    async def under_other_keys(self, prefixes: Sequence[str], account_id: AccountId | None = None) -> OutOfReach:
        images = [row.image for row in self._rows.values() if account_id in {None, row.image.account_id}]
        ends = [it.expires_at for it in images if it.customer and it.customer.is_under_other_keys(prefixes)]
        return OutOfReach(len(ends), max(ends, default=None))

    async def count(self) -> int:
        return len(self._rows)

    async def has_kept(self) -> bool:
        return any(row.image.photo is not None for row in self._rows.values())

    async def objects_of(self, image_ids: Sequence[ImageId]) -> frozenset[str]:
        return frozenset(self._rows[image_id].image.object_name for image_id in image_ids if image_id in self._rows)

    async def count_live(self, account_id: AccountId) -> int:
        images = (row.image for row in self._rows.values())
        mine = [image for image in images if image.account_id == account_id and not image.is_of_product]
        return sum(image.state is not ImageState.DELETING for image in mine)

    async def live_of(self, account_id: AccountId, until: datetime | None, limit: int) -> tuple[UploadedImage, ...]:
        rows = sorted(self._rows.values(), key=lambda row: (row.due_at, row.image.image_id))
        live = [row for row in rows if row.image.account_id == account_id and row.image.state in LIVE]
        return tuple(row.image for row in live if until is None or row.due_at <= until)[:limit]

    async def overdue(self, now: datetime) -> Overdue:
        images = [row.image for row in self._rows.values() if row.image.state is not ImageState.PENDING]
        ages = [now - image.expires_at for image in images if image.expires_at <= now]
        return Overdue(len(ages), max(ages, default=timedelta()))

    async def known_after(self, retention: RetentionPolicy, image_id: str, limit: int) -> tuple[KnownImage, ...]:
        images = [row.image for row in self._rows.values() if row.image.retention == retention]
        later = sorted((image for image in images if image.image_id > image_id), key=lambda image: image.image_id)
        return tuple(KnownImage(image.image_id, image.state is ImageState.STORED) for image in later[:limit])

    def _mark_deleting(
        self, row: ImageRow, retry_at: datetime, erasure_id: ErasureId | None = None, *, is_in_flight: bool = False
    ) -> ImageToDelete:
        self._rows[row.image.image_id] = row.marked(retry_at, erasure_id)
        return ImageToDelete(row.image.image_id, row.image.object_name, is_in_flight)
