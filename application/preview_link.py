"""Links that show an image without an API key, for a short while."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from application.ports.links import LinkSigner, LinkVerifier
from application.ports.rows import UnitOfWork
from application.ports.system import Clock
from application.read_image import OpenImage, ResolveImage
from domain.account import AccountId
from domain.errors import ImageNotFound
from domain.image import ImageId, UploadedImage


@dataclass(frozen=True, slots=True)
class LinkedImage:
    """An image with a fresh link to it."""

    image: UploadedImage
    url: str
    url_expires_at: datetime


@dataclass(frozen=True, slots=True)
class PreviewLinks:
    """Issues links that last `lifetime`, or until the image expires."""

    signer: LinkSigner
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
