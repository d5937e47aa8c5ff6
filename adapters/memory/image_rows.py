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


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An image and what its life cycle needs besides."""

    image: UploadedImage
    due_at: datetime
    erasure_id: ErasureId | None = None


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
        row = self._rows.get(image.image_id) or ImageRow(replace(image, customer=None), retry_at)
        return self._mark_deleting(row, retry_at) if row.image.photo is None else None

    async def find(self, image_id: ImageId, account_id: AccountId) -> UploadedImage | None:
        row = self._rows.get(image_id)
        return row.image if row and row.image.account_id == account_id else None

    async def hold(self, image_id: ImageId, account_id: AccountId) -> UploadedImage | None:
        return await self.find(image_id, account_id)

    async def adopt(self, image_id: ImageId, customer: Customer) -> bool:
        image = await self.find(image_id, customer.account_id)
        if image is None or image.customer is not None:
            return False
        self._rows[image_id] = replace(self._rows[image_id], image=replace(image, customer=customer))
        return True

    async def find_by_idempotency_key(self, account_id: AccountId, record: IdempotencyRecord) -> UploadedImage | None:
        for image in self._images():
            kept = image.idempotency if image.account_id == account_id else None
            if kept and kept.key_digest in record.key_digests:
                return image
        return None

    async def release_idempotency_key(self, image_id: ImageId) -> None:
        row = self._rows[image_id]
        self._rows[image_id] = replace(row, image=replace(row.image, idempotency=None))

    async def mark_deleting(self, image_id: ImageId, account_id: AccountId, retry_at: datetime) -> ImageToDelete | None:
        image = await self.find(image_id, account_id)
        return self._mark_deleting(self._rows[image_id], retry_at) if image and image.photo else None

    async def mark_customer_deleting(
        self, customer: Customer, erasure_id: ErasureId, now: datetime, retry_at: datetime
    ) -> tuple[ImageToDelete, ...]:
        marked = []
        for row in [self._rows[image.image_id] for image in self._of(customer)]:
            is_in_flight = row.image.photo is None and row.due_at > now
            deleting = self._mark_deleting(row, row.due_at if is_in_flight else retry_at, erasure_id)
            marked.append(replace(deleting, is_in_flight=is_in_flight))
        return tuple(marked)

    async def mark_known_deleting(
        self, image_ids: Sequence[ImageId], retry_at: datetime, *, only_stored: bool = False
    ) -> tuple[ImageToDelete, ...]:
        rows = [self._rows[image_id] for image_id in image_ids if image_id in self._rows]
        states = {ImageState.STORED} if only_stored else set(ImageState)
        return tuple(self._mark_deleting(row, retry_at) for row in rows if row.image.state in states)

    async def release(self, image_ids: Sequence[ImageId], due_at: datetime) -> None:
        for row in [self._rows[image_id] for image_id in image_ids if image_id in self._rows]:
            if row.image.is_of_product and row.image.state is ImageState.STORED:
                self._rows[row.image.image_id] = replace(row, due_at=min(row.due_at, due_at))

    async def mark_due_deleting(self, now: datetime, retry_at: datetime, limit: int) -> DueBatch:
        due = sorted((row for row in self._rows.values() if row.due_at <= now), key=lambda row: row.due_at)[:limit]
        states = [row.image.state for row in due]
        marked = tuple(self._mark_deleting(row, retry_at) for row in due)
        return DueBatch(marked, states.count(ImageState.STORED), states.count(ImageState.PENDING))

    async def remove(self, image_ids: Iterable[ImageId]) -> None:
        for image_id in image_ids:
            if image_id in self._rows and self._rows[image_id].image.state is not ImageState.STORED:
                del self._rows[image_id]

    async def traces_of(self, customer: Customer) -> CustomerTraces:
        images = self._of(customer)
        return CustomerTraces(len(images), sum(image.idempotency is not None for image in images))

    async def stored_of(self, customer: Customer, after: str, limit: int) -> tuple[UploadedImage, ...]:
        stored = (image for image in self._of(customer) if image.state is ImageState.STORED)
        return tuple([image for image in stored if image.image_id > after][:limit])

    async def under_other_keys(self, prefixes: Sequence[str], account_id: AccountId | None = None) -> OutOfReach:
        images = [image for image in self._images() if account_id in {None, image.account_id}]
        ends = [it.expires_at for it in images if it.customer and it.customer.is_under_other_keys(prefixes)]
        return OutOfReach(len(ends), max(ends, default=None))

    async def count(self) -> int:
        return len(self._rows)

    async def has_kept(self) -> bool:
        return any(image.photo for image in self._images())

    async def objects_of(self, image_ids: Sequence[ImageId]) -> frozenset[str]:
        return frozenset(self._rows[image_id].image.object_name for image_id in image_ids if image_id in self._rows)

    async def count_live(self, account_id: AccountId) -> int:
        live = await self.live_of(account_id, None, len(self._rows))
        return sum(not image.is_of_product for image in live)

    async def live_of(self, account_id: AccountId, until: datetime | None, limit: int) -> tuple[UploadedImage, ...]:
        rows = sorted(self._rows.values(), key=lambda row: (row.due_at, row.image.image_id))
        early = (row.image for row in rows if until is None or row.due_at <= until)
        live = [it for it in early if it.account_id == account_id and it.state is not ImageState.DELETING]
        return tuple(live[:limit])

    async def overdue(self, now: datetime) -> Overdue:
        late = [it for it in self._images() if it.state is not ImageState.PENDING and it.expires_at <= now]
        return Overdue(len(late), max((now - image.expires_at for image in late), default=timedelta()))

    async def known_after(self, retention: RetentionPolicy, image_id: str, limit: int) -> tuple[KnownImage, ...]:
        later = [it for it in self._images() if it.retention == retention and it.image_id > image_id]
        return tuple(KnownImage(image.image_id, image.state is ImageState.STORED) for image in later[:limit])

    def _images(self) -> list[UploadedImage]:
        return [self._rows[image_id].image for image_id in sorted(self._rows)]

    def _of(self, customer: Customer) -> list[UploadedImage]:
        return [image for image in self._images() if image.customer and image.customer.is_same(customer)]

    def _mark_deleting(self, row: ImageRow, retry_at: datetime, erasure_id: ErasureId | None = None) -> ImageToDelete:
        image = replace(row.image, state=ImageState.DELETING, idempotency=None)
        self._rows[image.image_id] = ImageRow(image, retry_at, erasure_id or row.erasure_id)
        return ImageToDelete(image.image_id, image.object_name)
