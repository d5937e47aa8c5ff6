"""Request rates in this process: exact as long as no other process serves."""

import time
from collections.abc import Callable
from typing import Final

from domain.account import AccountId
from domain.rate_limit import Allowance, RateLimit

_SWEEP_AT: Final = 10_000  # buckets; full ones say nothing and are forgotten then


class InMemoryRateLimiter:
    """One number per account and bucket. Goes by the monotonic clock: no operator's or NTP's jump grants or refuses."""

    def __init__(self, now_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000) -> None:
        self._now_us = now_us
        self._full_at: dict[tuple[AccountId, str], int] = {}

    async def take(self, account_id: AccountId, bucket: str, limit: RateLimit) -> Allowance:
        now = self._now_us()
        full_at = self._full_at.get((account_id, bucket), 0)
        if not limit.admits(full_at, now):
            return limit.allowance(full_at, now, is_granted=False)
        if len(self._full_at) >= _SWEEP_AT:
            self._full_at = {key: at for key, at in self._full_at.items() if at > now}
        full_at = self._full_at[account_id, bucket] = limit.after(full_at, now)
        return limit.allowance(full_at, now, is_granted=True)
