"""Links to our own preview route, signed with HMAC-SHA256 (for storage that cannot sign links itself)."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qs

from domain.account import AccountId
from domain.image import ImageId, UploadedImage

PARAMETERS = ("account", "expires", "signature")
KEY_ID_CHARS = 8
MAX_EXPIRES = 2**37
"""Some 4,000 years: a larger number is no date."""


class HmacLinks:
    """`{base_url}/{imageId}?account=…&expires=…&signature=…`, where `expires` is in Unix seconds.

    A signature names its key: `{key id}.{HMAC}`. The first key of the ring signs, all of them are accepted. Signatures
    without a key id were made before there were rings.
    """

    def __init__(self, base_url: str, ring: Sequence[bytes]) -> None:
        self._base_url = base_url.rstrip("/")
        self._ring = {_key_id(key): hmac.new(key, digestmod=hashlib.sha256) for key in ring}
        self._signing_id = _key_id(ring[0])

    async def sign(self, image: UploadedImage, expires_at: datetime) -> str:
        expires = int(expires_at.timestamp())
        digest = self._digest(self._signing_id, image.image_id, image.account_id, expires)
        # Ids are URL-safe, and so is this Base64: nothing needs to be quoted.
        query = f"account={image.account_id}&expires={expires}&signature={self._signing_id}.{digest}"
        return f"{self._base_url}/{image.image_id}?{query}"

    def is_valid(self, image_id: ImageId, account_id: AccountId, expires: int, signature: str, now: datetime) -> bool:
        """Whether we signed this and it is not over yet; the signature is compared in constant time."""
        key_id, _, given = signature.rpartition(".")
        candidates = [key_id] if key_id in self._ring else [] if key_id else list(self._ring)
        expected = [self._digest(each, image_id, account_id, expires) for each in candidates]
        is_ours = any(hmac.compare_digest(one.encode(), given.encode()) for one in expected)
        return is_ours and now < datetime.fromtimestamp(expires, UTC)

    def image_shown_by(self, url: str, now: datetime) -> ImageId | None:
        """The image of one of our own links; None for any other URL, and for a link that is over or was changed."""
        path, _, query = url.partition("?")
        base_url, _, image_id = path.rpartition("/")
        given = parse_qs(query)
        if base_url != self._base_url or any(len(given.get(name, ())) != 1 for name in PARAMETERS):
            return None
        account, expires, signature = (given[name][0] for name in PARAMETERS)
        if not (expires.isascii() and expires.isdigit() and int(expires) <= MAX_EXPIRES):
            return None
        is_live = self.is_valid(ImageId(image_id), AccountId(account), int(expires), signature, now)
        return ImageId(image_id) if is_live else None

    def _digest(self, key_id: str, image_id: ImageId, account_id: AccountId, expires: int) -> str:
        keyed = self._ring[key_id].copy()
        keyed.update(f"preview\0{image_id}\0{account_id}\0{expires}".encode())
        return base64.urlsafe_b64encode(keyed.digest()).rstrip(b"=").decode()


def _key_id(key: bytes) -> str:
    """Tells keys apart and nothing about them."""
    return hashlib.sha256(b"signing key id\0" + key).hexdigest()[:KEY_ID_CHARS]
