"""Ports to the system: time, chance and request rates."""

from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.account import AccountId, Allowance, RateLimit
from domain.generation import GenerationId, LeaseId
from domain.image import ErasureId, ImageId


class Clock(Protocol):
    """The present, as aware UTC. Replicas need not agree to better than a second."""

    def now(self) -> datetime: ...


class RandomSource(Protocol):
    """Unguessable names: at least 128 random bits each, URL-safe."""

    def image_id(self) -> ImageId: ...

    def erasure_id(self) -> ErasureId: ...

    def account_id(self) -> AccountId: ...

    def generation_id(self) -> GenerationId: ...

    def lease_id(self) -> LeaseId: ...

    def product_id(self) -> str:
        """A name for a product that came without one."""

    def api_key(self) -> str:
        """A whole key as the client will send it: `gk_<key id>_<secret>`; shown once and never kept."""

    def salt(self) -> bytes:
        """16 random bytes."""


class RateBucket(StrEnum):
    """What is counted apart. A route names its own with `opt={"rate_bucket": RateBucket.POLLS}`."""

    REQUESTS = "requests"
    POLLS = "polls"


class RateLimiter(Protocol):
    """Counts requests exactly, however many processes ask at once for the same account."""

    async def take(self, account_id: AccountId, bucket: str, limit: RateLimit) -> Allowance:
        """Count one request unless it is one too many; one that is refused costs nothing.

        bucket: a `RateBucket`, or a name of at most 20 characters. Raises: Overloaded.
        """
