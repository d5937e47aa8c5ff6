"""Ed25519 signatures (RFC 8032) by keys that are derived from the ring that links are signed with.

No key more to make, to keep and to rotate. The public halves of the whole ring are known, so that what an old key has
signed is known again as long as it is in the ring; an auditor keeps the public key and needs nothing else.
"""

import hashlib
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PURPOSE = b"tryon-images erasure receipts"


class DerivedKeys:
    """The first key of the ring signs."""

    def __init__(self, ring: tuple[bytes, ...]) -> None:
        seeds = [hmac.new(key, PURPOSE, hashlib.sha256).digest() for key in ring]
        self._keys = [Ed25519PrivateKey.from_private_bytes(seed) for seed in seeds]

    @property
    def public_keys(self) -> tuple[bytes, ...]:
        """32 bytes each."""
        return tuple(key.public_key().public_bytes_raw() for key in self._keys)

    def sign(self, message: bytes) -> tuple[bytes, bytes]:
        return self.public_keys[0], self._keys[0].sign(message)


def is_signed(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the owner of the public key signed the message."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):  # ValueError: no key at all
        return False
    return True
