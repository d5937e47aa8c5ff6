"""Find an image for its own account, and open it."""

from dataclasses import dataclass

from application.ports.objects import ObjectStore
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
