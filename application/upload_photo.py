"""Upload a photo: reserve a row, prepare the picture, store the object, publish the row."""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace

from application.ports.objects import ObjectStore
from application.ports.photos import PhotoProcessor, PreparedPhoto
from application.ports.rows import ImageToDelete, PublishOutcome, Repositories, UnitOfWork
from application.ports.system import Clock, RandomSource
from application.preview_link import LinkedImage, PreviewLinks
from application.purge import TAKE_OVER_AFTER, FinishDeletion
from domain.account import Account
from domain.customer import Customer
from domain.errors import CustomerErased, IdempotencyKeyInUse, IdempotencyKeyReused, Overloaded, QuotaExceeded
from domain.image import IdempotencyRecord, ImageState, StoredPhoto, UploadedImage
from domain.photo import PhotoWarning
from domain.retention import RetentionPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadCommand:
    """One upload. `account` is as it was when the request began; `photo` the file as received."""

    account: Account
    photo: bytes | bytearray | memoryview
    crop: bool = True
    customer: Customer | None = None
    retention: RetentionPolicy | None = None
    idempotency_key: str | None = None
    warnings: tuple[PhotoWarning, ...] = ()

    def idempotency_record(self) -> IdempotencyRecord | None:
        """Digests only: a client may well have put a person's name into its key."""
        if self.idempotency_key is None:
            return None
        request = hashlib.sha256(self.photo)
        customer_id = self.customer.external_id if self.customer else None
        days = self.retention.keep_for_days if self.retention else None
        request.update(repr((self.crop, customer_id, days)).encode())
        return IdempotencyRecord(hashlib.sha256(self.idempotency_key.encode()).digest(), request.digest())


@dataclass(frozen=True, slots=True)
class UploadPhoto:
    """Whatever fails, no object is left without a row and no row without a way to its end."""

    processor: PhotoProcessor
    objects: ObjectStore
    work: UnitOfWork
    finish: FinishDeletion
    links: PreviewLinks
    clock: Clock
    random: RandomSource

    async def execute(self, command: UploadCommand) -> LinkedImage:
        """Raises: UnsupportedImageFormat, InvalidImage, ImageTooLarge; CustomerErased; IdempotencyKeyReused,
        IdempotencyKeyInUse; QuotaExceeded; Overloaded.
        """
        image = self._image(command)
        replayed = await self._reserve(image, command)
        if replayed is not None:
            return await self.links.link(replayed)
        prepared = await self._prepare(image, command)
        return await self._keep(image, prepared, command.warnings)

    def _image(self, command: UploadCommand) -> UploadedImage:
        return UploadedImage(
            image_id=self.random.image_id(),
            account_id=command.account.account_id,
            customer=command.customer,
            retention=command.retention or command.account.default_retention,
            created_at=self.clock.now().replace(microsecond=0),
            idempotency=command.idempotency_record(),
        )

    async def _reserve(self, image: UploadedImage, command: UploadCommand) -> UploadedImage | None:
        """Commit a pending row before any byte exists; or return the image that the same request made earlier."""
        async with self.work.begin() as repositories:
            if image.customer is not None:
                await repositories.erasures.serialize(image.customer)
                if await repositories.erasures.is_erased_since(image.customer, command.account.erasure_epoch):
                    raise CustomerErased
            replayed = await self._replay(image, repositories)
            if replayed is None:
                await self._expect_room(command.account, repositories)
                await repositories.images.reserve(image)
        return replayed

    async def _expect_room(self, account: Account, repositories: Repositories) -> None:
        limit = account.max_live_images
        if limit is not None and await repositories.images.count_live(account.account_id) >= limit:
            raise QuotaExceeded(limit)

    async def _replay(self, image: UploadedImage, repositories: Repositories) -> UploadedImage | None:
        record, now = image.idempotency, self.clock.now()
        if record is None:
            return None
        earlier = await repositories.images.find_by_idempotency_key(image.account_id, record.key_digest)
        if earlier is None or earlier.idempotency is None:
            return None
        if earlier.state is ImageState.PENDING and now >= earlier.created_at + UploadedImage.PENDING_LEASE:
            await repositories.images.mark_upload_deleting(
                earlier.image_id, now
            )  # it died; were it alive, we would store twice
            return None
        if now >= earlier.created_at + IdempotencyRecord.LIFETIME or earlier.is_over(now):
            await repositories.images.release_idempotency_key(earlier.image_id)
            return None
        if earlier.idempotency.fingerprint != record.fingerprint:
            raise IdempotencyKeyReused
        if earlier.state is not ImageState.STORED:
            raise IdempotencyKeyInUse
        return earlier

    async def _prepare(self, image: UploadedImage, command: UploadCommand) -> PreparedPhoto:
        try:
            return await self.processor.prepare(command.photo, crop=command.crop)
        except BaseException:
            await asyncio.shield(self._forget(image))
            raise

    async def _forget(self, image: UploadedImage) -> None:
        """The row alone: no object was ever written for it."""
        with suppress(Overloaded):  # the caller hears of the first failure; the lease ends the row
            async with self.work.begin() as repositories:
                await repositories.images.remove([image.image_id])

    async def _keep(
        self, image: UploadedImage, prepared: PreparedPhoto, warnings: tuple[PhotoWarning, ...]
    ) -> LinkedImage:
        photo = StoredPhoto(
            size=prepared.size,
            size_bytes=len(prepared.jpeg),
            source_format=prepared.source_format,
            source_size=prepared.source_size,
            crop=prepared.crop,
            person=prepared.person,
            warnings=prepared.warnings + warnings,
        )
        try:
            await self.objects.put(image.object_name, prepared.jpeg)
            # Before the image is published: a photo that nobody was told of must not be kept.
            linked = await self.links.link(replace(image, state=ImageState.STORED, photo=photo))
            outcome = await self._publish(image, photo)
        except BaseException:
            await asyncio.shield(self._give_up(image))
            raise
        if outcome is not PublishOutcome.PUBLISHED:
            await asyncio.shield(self._undo(image))
            raise CustomerErased if outcome is PublishOutcome.ERASED else Overloaded
        return linked

    async def _publish(self, image: UploadedImage, photo: StoredPhoto) -> PublishOutcome:
        async with self.work.begin() as repositories:
            outcome = await repositories.images.publish(image, photo)
            if outcome is PublishOutcome.LAPSED:  # this upload outlived its lease: a purger may have ended the row
                await repositories.images.reinstate(image, self.clock.now() + TAKE_OVER_AFTER)
        return outcome

    async def _give_up(self, image: UploadedImage) -> None:
        """What failed may still happen: the put may arrive, and the purger looks for the object once it cannot any
        more; the commit may have gone through, and then the image is stored and stays.
        """
        with suppress(Overloaded):  # as above
            async with self.work.begin() as repositories:
                retry_at = self.clock.now() + UploadedImage.PENDING_LEASE
                await repositories.images.mark_upload_deleting(image.image_id, retry_at)

    async def _undo(self, image: UploadedImage) -> None:
        with suppress(Overloaded):  # the row is `deleting`: a purger does what is left to do
            await self.finish.execute((ImageToDelete(image.image_id, image.object_name),))
