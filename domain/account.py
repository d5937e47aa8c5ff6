"""Accounts of merchants: the API keys that open them, how long they keep photos, and how often they may ask."""

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final, NewType, Self


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """A whole number of days counted from the upload (HTTP contract, `keepForDays`)."""

    ALLOWED_DAYS: ClassVar = (1, 3, 7)
    """What a client may ask for."""
    PROBLEM: ClassVar = "must be 1, 3 or 7"
    PRODUCT_DAYS: ClassVar = 30
    """For pictures of products: twice the 15 days that a product may go unused, so that one used every day is copied
    once in a fortnight and no object ever outlives its class."""
    ALL_DAYS: ClassVar = (*ALLOWED_DAYS, PRODUCT_DAYS)

    keep_for_days: int

    def __post_init__(self) -> None:
        if self.keep_for_days not in self.ALL_DAYS:
            raise ValueError(f"keep_for_days must be one of {self.ALL_DAYS}, got {self.keep_for_days}")

    def expires_at(self, uploaded_at: datetime) -> datetime:
        """The exact instant, in UTC, from which the photo is gone."""
        return uploaded_at + timedelta(days=self.keep_for_days)


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


_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many requests in a minute, all at once after a pause, or evenly: a token bucket on one number.

    The generic cell rate algorithm (ITU-T I.371): instead of counting tokens, remember the instant at which the bucket
    will be full again. Every request moves it on by what one request costs; one that would move it past a whole window
    from now is refused. Instants are whole microseconds, so that every database compares them exactly.
    """

    WINDOW: ClassVar = timedelta(minutes=1)

    requests: int

    def __post_init__(self) -> None:
        if self.requests < 1:
            raise ValueError(f"a limit allows at least one request, got {self.requests}")

    @property
    def cost_us(self) -> int:
        """How much later one request makes the bucket full; rounded up, so that a window never admits one too many."""
        return -(-(self.WINDOW // _MICROSECOND) // self.requests)

    def admits(self, full_at_us: int, now_us: int) -> bool:
        """Whether a bucket that will be full at `full_at_us` holds a request now."""
        return self.after(full_at_us, now_us) <= now_us + self.requests * self.cost_us

    def after(self, full_at_us: int, now_us: int) -> int:
        """When it will be full once it has admitted one more."""
        return max(full_at_us, now_us) + self.cost_us

    def allowance(self, full_at_us: int, now_us: int, *, is_granted: bool) -> "Allowance":
        """What is left; `full_at_us` as it is after the request."""
        waiting_us = max(0, full_at_us - now_us)
        remaining = max(0, self.requests - -(-waiting_us // self.cost_us))
        next_us = waiting_us - (self.requests - 1) * self.cost_us
        return Allowance(
            limit=self,
            is_granted=is_granted,
            remaining=remaining,
            full_after=timedelta(microseconds=waiting_us),
            next_after=timedelta(microseconds=max(0, next_us)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The answer to one request; `next_after`: how long until another would be granted."""

    limit: RateLimit
    is_granted: bool
    remaining: int
    full_after: timedelta
    next_after: timedelta


def microseconds(instant: datetime) -> int:
    """Microseconds of Unix time of an aware instant, exactly: a float of them has lost the last digits."""
    return (instant - _EPOCH) // _MICROSECOND
