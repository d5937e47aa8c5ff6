"""Accounts of merchants and the API keys that open them."""

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, NewType, Self

from domain.retention import RetentionPolicy

AccountId = NewType("AccountId", str)
KeyId = NewType("KeyId", str)


@dataclass(frozen=True, slots=True)
class Beginning:
    """When a request began: the erasures of its account that were committed by then, and `at`, the time at which a
    trusted proxy says it took it on.

    The epoch is that at which its key was looked at, and needs no clock. A proxy that collects a body first, or a
    replica that gets to a request late, looks later than the client began: only the time tells then.
    """

    epoch: int
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A merchant: everything it uploads is its own, and nobody else can tell that it exists.

    `erasure_epoch` counts the erasures that were committed for the account. An upload remembers the epoch it began in;
    an erasure with a higher one came after that beginning. No clocks have to agree for this.

    `requests_per_minute`: None is what the settings say, 0 no limit. `max_live_images`: None is no limit. `credits`:
    try-ons that are left; None is no limit.
    """

    account_id: AccountId
    name: str
    default_retention: RetentionPolicy
    created_at: datetime
    is_active: bool = True
    erasure_epoch: int = 0
    requests_per_minute: int | None = None
    max_live_images: int | None = None
    credits: int | None = None
    request_began_at: datetime | None = None
    """Of the request that it was looked up for; not kept."""

    @property
    def beginning(self) -> Beginning:
        return Beginning(self.erasure_epoch, self.request_began_at)

    def __post_init__(self) -> None:
        limits = (self.requests_per_minute, self.max_live_images, self.credits)
        if any(limit < 0 for limit in limits if limit is not None):
            raise ValueError("a limit is not negative")


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """An API key as a client sends it: `gk_`, a public key id, `_`, and a secret of at least 128 random bits."""

    key_id: KeyId
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None when the text does not have the form of a key."""
        prefix, _, rest = text.partition("_")
        key_id, _, secret = rest.partition("_")
        if prefix != "gk" or not key_id or not secret:
            return None
        return cls(KeyId(key_id), digest_of_key(text))


def digest_of_key(text: str) -> bytes:
    """SHA-256 is enough for a secret of full entropy: there is nothing to guess, so nothing to slow down."""
    return hashlib.sha256(text.encode()).digest()


class KeyScope(StrEnum):
    """What a key may do. `erase` is all that takes images away; `try-on` reads what it has started."""

    UPLOAD = "upload"
    READ = "read"
    TRY_ON = "try-on"
    ERASE = "erase"
    TICKETS = "tickets"


EVERY_SCOPE = frozenset(KeyScope)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is kept of an API key: a name to revoke it by and a digest to know it again; never the key itself.

    `last_used_at` is right to an hour. `requests_per_minute`: a limit of its own within the account's.
    """

    USE_IS_NOTED_EVERY: ClassVar = timedelta(hours=1)

    key_id: KeyId
    account_id: AccountId
    digest: bytes
    label: str
    created_at: datetime
    revoked_at: datetime | None = None
    scopes: frozenset[KeyScope] = EVERY_SCOPE
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    requests_per_minute: int | None = None

    def admits(self, presented: PresentedKey, now: datetime) -> bool:
        """Compared in constant time, so that the answer's delay tells nothing about the digest."""
        return hmac.compare_digest(self.digest, presented.digest) and not self.is_over(now)

    def is_over(self, now: datetime) -> bool:
        return self.revoked_at is not None or (self.expires_at is not None and now >= self.expires_at)

    def is_use_noted(self, now: datetime) -> bool:
        """Whether it was noted lately that the key is in use."""
        return self.last_used_at is not None and now - self.last_used_at < self.USE_IS_NOTED_EVERY

    def ending(self, at: datetime) -> Self:
        """Expires then, if not earlier."""
        return replace(self, expires_at=min(at, self.expires_at or at))

    def revoked(self, at: datetime) -> Self:
        return self if self.revoked_at is not None else replace(self, revoked_at=at)
