"""Ports of links that open one object without an API key."""

from datetime import datetime
from typing import Protocol

from domain.account import AccountId
from domain.image import ImageId, UploadedImage


class LinkSigner(Protocol):
    """Makes URLs that open one object without an API key until an instant."""

    async def sign(self, image: UploadedImage, expires_at: datetime) -> str:
        """Raises: Overloaded."""
        ...


class LinkVerifier(Protocol):
    """Knows our own links again, for storage that cannot serve its objects itself."""

    def is_valid(self, image_id: ImageId, account_id: AccountId, expires: int, signature: str, now: datetime) -> bool:
        """Whether we signed this link and it is not over yet; `expires` in Unix seconds."""
        ...


class LinkReader(Protocol):
    """Knows which image one of our own links shows."""

    def image_shown_by(self, url: str, now: datetime) -> ImageId | None:
        """None when the link is not ours, was changed, or is over."""
        ...
