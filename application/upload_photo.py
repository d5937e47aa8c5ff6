"""Upload a photo: admit it, prepare its picture, keep that."""

import asyncio
from dataclasses import dataclass, replace

from application.fair_shares import FairTurns
from application.keep_picture import KeepPicture
from application.ports.photos import PhotoProcessor, PreparedPhoto
from application.ports.rows import Repositories
from application.ports.system import Clock, RandomSource
from application.prepare_photo import NOTHING_CAME
from application.read_image import LinkedImage, PreviewLinks
from domain.account import Account, AccountId, RetentionPolicy
from domain.cropping import Fit
from domain.customer import Customer, IdempotencyRecord
from domain.errors import (
    CustomerErased,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InvalidImage,
    QuotaExceeded,
    ReusedWhileRunning,
)
from domain.image import ImageState, StoredPhoto, UploadedImage
from domain.photo import PhotoWarning


@dataclass(frozen=True, slots=True)
class CheckPhoto:
    """What an upload of the photo would answer; accounts take turns."""

    processor: PhotoProcessor
    turns: FairTurns

    async def execute(
        self, photo: bytes | bytearray | memoryview, account_id: AccountId, *, crop: bool, fit: Fit = Fit.CROP
    ) -> PreparedPhoto:
        """Raises: UnsupportedImageFormat, InvalidImage, ImageTooLarge; Overloaded."""
        if not len(photo):
            raise InvalidImage(NOTHING_CAME)
        async with self.turns.turn(account_id):
            return await self.processor.prepare(photo, crop=crop, fit=fit)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadCommand:
    """One upload. `account` is as it was when the request began; `photo` the file as received."""

    account: Account
    photo: bytes | bytearray | memoryview
    crop: bool = True
    fit: Fit = Fit.CROP
    customer: Customer | None = None
    retention: RetentionPolicy | None = None
    idempotency: IdempotencyRecord | None = None
    warnings: tuple[PhotoWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class UploadPhoto:
    """A photo that is kept was prepared, has a link, and nobody asked for its erasure meanwhile."""

    check_photo: CheckPhoto
    keep_picture: KeepPicture
    links: PreviewLinks
    clock: Clock
    random: RandomSource

    async def execute(self, command: UploadCommand) -> LinkedImage:
        """Raises: UnsupportedImageFormat, InvalidImage, ImageTooLarge; CustomerErased; IdempotencyKeyReused,
        IdempotencyKeyInUse; QuotaExceeded; Overloaded.
        """
        image = self._image(command)
        replayed = await self.keep_picture.reserve(
            image, lambda repositories: self._expect_admitted(image, command.account, repositories)
        )
        if replayed is not None:
            return await self.links.link(replayed)
        photo, jpeg, linked = await self._prepare(image, command)
        await self.keep_picture.execute(image, photo, jpeg)
        return linked

    def _image(self, command: UploadCommand) -> UploadedImage:
        return UploadedImage(
            image_id=self.random.image_id(),
            account_id=command.account.account_id,
            customer=command.customer,
            retention=command.retention or command.account.default_retention,
            created_at=self.clock.now().replace(microsecond=0),
            idempotency=command.idempotency,
        )

    async def _expect_admitted(
        self, image: UploadedImage, account: Account, repositories: Repositories
    ) -> UploadedImage | None:
        """Returns: the image that the same request made earlier."""
        if image.customer and await repositories.erasures.is_erased_since(image.customer, account.beginning):
            raise CustomerErased
        replayed = await self._replay(image, repositories)
        if replayed is None and not image.is_of_product:
            await self._expect_room(account, repositories)
        return replayed

    async def _expect_room(self, account: Account, repositories: Repositories) -> None:
        limit = account.max_live_images
        if limit is not None and await repositories.images.count_live(account.account_id) >= limit:
            raise QuotaExceeded(limit)

    async def _replay(self, image: UploadedImage, repositories: Repositories) -> UploadedImage | None:
        record, now = image.idempotency, self.clock.now()
        if record is None:
            return None
        if await repositories.requests.is_kept(image.account_id, record, now):
            raise IdempotencyKeyReused  # for a try-on, a product or a ticket
        earlier = await repositories.images.find_by_idempotency_key(image.account_id, record)
        if earlier is None or earlier.idempotency is None:
            return None
        if earlier.state is ImageState.PENDING and now >= earlier.created_at + UploadedImage.PENDING_LEASE:
            await repositories.images.abandon(earlier, now)  # it died; were it alive, we would store twice
            return None
        if now >= earlier.created_at + IdempotencyRecord.LIFETIME:  # no image lives for less
            await repositories.images.release_idempotency_key(earlier.image_id)
            return None
        is_running = earlier.state is not ImageState.STORED
        if not record.is_same_request(earlier.idempotency):
            raise ReusedWhileRunning if is_running else IdempotencyKeyReused
        if is_running:
            raise IdempotencyKeyInUse
        return earlier

    async def _prepare(self, image: UploadedImage, command: UploadCommand) -> tuple[StoredPhoto, bytes, LinkedImage]:
        """The link comes before the image is published: a photo that nobody was told of must not be kept."""
        try:
            prepared = await self.check_photo.execute(
                command.photo, image.account_id, crop=command.crop, fit=command.fit
            )
            photo = replace(prepared.facts, warnings=prepared.facts.warnings + command.warnings)
            return photo, prepared.jpeg, await self.links.link(replace(image, state=ImageState.STORED, photo=photo))
        except BaseException:
            await asyncio.shield(self.keep_picture.forget(image))
            raise
