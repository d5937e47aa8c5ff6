"""Links that show an image without an API key, for a short while."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from application.ports import Clock, LinkSigner
from domain.image import UploadedImage


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
