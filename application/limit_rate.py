"""Refuse an account that asks too often."""

from dataclasses import dataclass

from application.ports.system import RateBucket, RateLimiter
from domain.account import Account, ApiKey
from domain.rate_limit import Allowance, RateLimit

POLLS_PER_REQUEST = 30
"""A try-on is polled every two seconds, 30 times a minute: whoever may start one may also ask how it fares."""


@dataclass(frozen=True, slots=True)
class LimitRate:
    """The account's own limit, or the one for all; 0 means none."""

    limiter: RateLimiter
    requests_per_minute: int

    async def of_key(self, key: ApiKey | None) -> Allowance | None:
        """Returns: None when the key has no limit of its own. Raises: Overloaded."""
        if key is None or key.requests_per_minute is None:
            return None
        return await self.limiter.take(key.account_id, f"key:{key.key_id}"[:20], RateLimit(key.requests_per_minute))

    async def execute(self, account: Account, bucket: RateBucket) -> Allowance | None:
        """Returns: None when the account has no limit. Raises: Overloaded."""
        own = account.requests_per_minute
        requests = self.requests_per_minute if own is None else own
        if requests == 0:
            return None
        times = POLLS_PER_REQUEST if bucket is RateBucket.POLLS else 1
        return await self.limiter.take(account.account_id, bucket, RateLimit(requests * times))
