"""Links to our own preview route, signed with HMAC-SHA256 (for storage that cannot sign links itself)."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import urlencode

from domain.account import AccountId
from domain.image import ImageId, UploadedImage


class HmacLinks:
    """`{base_url}/{imageId}?account=…&expires=…&signature=…`, where `expires` is in Unix seconds."""

    def __init__(self, base_url: str, signing_key: bytes) -> None:
        self._base_url = base_url.rstrip("/")
        self._key = signing_key

    async def sign(self, image: UploadedImage, expires_at: datetime) -> str:
        expires = int(expires_at.timestamp())
        signature = self._signature(image.image_id, image.account_id, expires)
        query = {"account": image.account_id, "expires": expires, "signature": signature}
        return f"{self._base_url}/{image.image_id}?{urlencode(query)}"

    def is_valid(self, image_id: ImageId, account_id: AccountId, expires: int, signature: str, now: datetime) -> bool:
        """Whether we signed this and it is not over yet; the signature is compared in constant time."""
        expected = self._signature(image_id, account_id, expires)
        is_ours = hmac.compare_digest(expected.encode(), signature.encode())
        return is_ours and now < datetime.fromtimestamp(expires, UTC)

    def _signature(self, image_id: ImageId, account_id: AccountId, expires: int) -> str:
        message = f"preview\0{image_id}\0{account_id}\0{expires}".encode()
        digest = hmac.digest(self._key, message, hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
