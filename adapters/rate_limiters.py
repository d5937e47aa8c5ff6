"""Request rates: exact in this process, or in the database across all that share it."""

import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import case, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.outages import OutagesAsOverloaded
from adapters.sql.tables import rate_buckets
from application.ports.system import Clock
from domain.account import AccountId
from domain.rate_limit import Allowance, RateLimit, microseconds

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


class SqlRateLimiter:
    """One row per account and bucket, moved on by one atomic statement.

    On PostgreSQL the table is unlogged: no request waits for a disk, and a crash of the database fills the buckets.
    The clock is the process's own: one that is ahead of another's by a second grants a second's worth once, not more.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert

    async def take(self, account_id: AccountId, bucket: str, limit: RateLimit) -> Allowance:
        now = microseconds(self._clock.now())
        stored = rate_buckets.c.full_at_us
        begun = self._insert(rate_buckets).values(
            account_id=account_id, bucket=str(bucket), full_at_us=limit.after(0, now)
        )
        moved_on = case((stored > now, stored), else_=now) + limit.cost_us
        take_one = begun.on_conflict_do_update(
            index_elements=[rate_buckets.c.account_id, rate_buckets.c.bucket],
            set_={"full_at_us": moved_on},
            where=moved_on <= now + limit.requests * limit.cost_us,
        ).returning(stored)
        with OutagesAsOverloaded():
            async with self._engine.begin() as connection:
                full_at = await connection.scalar(take_one)
                if full_at is not None:
                    return limit.allowance(full_at, now, is_granted=True)
                # Nothing was written: the row is there and too far ahead.
                full_at = await connection.scalar(
                    select(stored).where(rate_buckets.c.account_id == account_id, rate_buckets.c.bucket == str(bucket))
                )
                return limit.allowance(int(full_at or now), now, is_granted=False)
