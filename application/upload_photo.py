"""Upload a photo: reserve a row, prepare the picture, store the object, publish the row."""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace

from application.photo_ports import PhotoProcessor, PreparedPhoto
from application.ports import Clock, ObjectStore, PublishOutcome, RandomSource, Repositories, UnitOfWork
from application.preview_link import LinkedImage, PreviewLinks
from application.purge import TAKE_OVER_AFTER
from domain.account import Account
from domain.customer import Customer
from domain.errors import CustomerErased, IdempotencyKeyInUse, IdempotencyKeyReused, Overloaded
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
    links: PreviewLinks
    clock: Clock
    random: RandomSource

    async def execute(self, command: UploadCommand) -> LinkedImage:
        """Raises: UnsupportedImageFormat, InvalidImage, ImageTooLarge; CustomerErased; IdempotencyKeyReused,
        IdempotencyKeyInUse; Overloaded.
        """
        return await self.links.link(await self.store(command))

    async def store(self, command: UploadCommand) -> UploadedImage:
        """The image alone, without a link for anybody. Raises: as `execute`."""
        image = self._image(command)
        replayed = await self._reserve(image, command)
        if replayed is not None:
            return replayed
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
                await repositories.images.reserve(image)
        return replayed

    async def _replay(self, image: UploadedImage, repositories: Repositories) -> UploadedImage | None:
        record, now = image.idempotency, self.clock.now()
        if record is None:
            return None
        earlier = await repositories.images.find_by_idempotency_key(image.account_id, record.key_digest)
        if earlier is None or earlier.idempotency is None:
            return None
        is_over = now >= earlier.created_at + (
            UploadedImage.PENDING_LEASE if earlier.state is ImageState.PENDING else IdempotencyRecord.LIFETIME
        )
        if is_over or (earlier.state is ImageState.STORED and not earlier.is_readable(now)):
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
    ) -> UploadedImage:
        photo = StoredPhoto(
            size=prepared.size,
            size_bytes=len(prepared.jpeg),
            source_format=prepared.source_format,
            source_size=prepared.source_size,
            crop=prepared.crop,
            person=prepared.person,
            warnings=prepared.warnings + warnings,
        )
        await self._put(image, prepared.jpeg)
        async with self.work.begin() as repositories:
            outcome = await repositories.images.publish(image, photo)
        if outcome is not PublishOutcome.PUBLISHED:
            await asyncio.shield(self._undo(image))
            raise CustomerErased if outcome is PublishOutcome.ERASED else Overloaded
        return replace(image, state=ImageState.STORED, photo=photo)

    async def _put(self, image: UploadedImage, jpeg: bytes) -> None:
        try:
            await self.objects.put(image.object_name, jpeg)
        except BaseException:
            await asyncio.shield(self._give_up(image))
            raise

    async def _give_up(self, image: UploadedImage) -> None:
        """A put that failed may still arrive: the purger looks for the object after a while, then ends the row."""
        with suppress(Overloaded):  # as above
            async with self.work.begin() as repositories:
                await repositories.images.doom_upload(image.image_id, self.clock.now() + TAKE_OVER_AFTER)

    async def _undo(self, image: UploadedImage) -> None:
        if not await self.objects.delete([image.object_name]):
            async with self.work.begin() as repositories:
                await repositories.images.remove([image.image_id])
