"""Images for their own accounts: found, opened, and shown by links that need no API key."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from application.ports.objects import Links, LinkVerifier, ObjectStore
from application.ports.rows import UnitOfWork
from application.ports.system import Clock
from domain.account import AccountId
from domain.errors import ImageNotFound
from domain.image import ImageId, UploadedImage, is_image_id


@dataclass(frozen=True, slots=True)
class ResolveImage:
    """For consumers inside the system: the image that an id names, if its own account may read it now."""

    work: UnitOfWork
    clock: Clock

    async def execute(self, image_id: ImageId, account_id: AccountId) -> UploadedImage:
        """Raises: ImageNotFound: unknown, expired, deleted, or another account's; Overloaded."""
        if not is_image_id(image_id):
            raise ImageNotFound
        async with self.work.read() as repositories:
            image = await repositories.images.find(image_id, account_id)
        if image is None or not image.is_readable(self.clock.now()):
            raise ImageNotFound
        return image


@dataclass(frozen=True, slots=True)
class OpenImage:
    """The bytes of an image."""

    resolve: ResolveImage
    objects: ObjectStore

    async def execute(self, image_id: ImageId, account_id: AccountId) -> bytes:
        """Raises: ImageNotFound, also when the object is gone; Overloaded."""
        image = await self.resolve.execute(image_id, account_id)
        jpeg = await self.objects.get(image.object_name)
        if jpeg is None:
            raise ImageNotFound
        return jpeg


@dataclass(frozen=True, slots=True)
class LinkedImage:
    """An image with a fresh link to it."""

    image: UploadedImage
    url: str
    url_expires_at: datetime


@dataclass(frozen=True, slots=True)
class PreviewLinks:
    """Issues links that last `lifetime`, or until the image expires."""

    signer: Links
    clock: Clock
    lifetime: timedelta

    async def link(self, image: UploadedImage) -> LinkedImage:
        """Raises: Overloaded."""
        expires_at = image.link_expires_at(self.clock.now(), self.lifetime)
        return LinkedImage(image, await self.signer.sign(image, expires_at), expires_at)


@dataclass(frozen=True, slots=True)
class OpenPreview:
    """What a preview link shows; dead as soon as its image is, or its account not active, whatever the link says."""

    verifier: LinkVerifier
    open_image: OpenImage
    work: UnitOfWork
    clock: Clock

    async def execute(self, image_id: ImageId, account_id: AccountId, expires: int, signature: str) -> bytes:
        """Raises: ImageNotFound, also for a link that is over or that we did not sign; Overloaded."""
        if not self.verifier.is_valid(image_id, account_id, expires, signature, self.clock.now()):
            raise ImageNotFound
        async with self.work.read() as repositories:
            account = await repositories.accounts.find(account_id)
        if account is None or not account.is_active:
            raise ImageNotFound
        return await self.open_image.execute(image_id, account_id)


@dataclass(frozen=True, slots=True)
class ReadImage:
    """The same facts as after the upload, with a fresh link."""

    resolve: ResolveImage
    links: PreviewLinks

    async def execute(self, image_id: ImageId, account_id: AccountId) -> LinkedImage:
        """Raises: ImageNotFound, Overloaded."""
        return await self.links.link(await self.resolve.execute(image_id, account_id))
