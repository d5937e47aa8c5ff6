"""Every rate limiter keeps the same contract, and those in a database agree across processes."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.sql.migrate import Migrator
from adapters.sql.unit_of_work import SqlRateLimiter, create_engine
from adapters.system import ProcessRateLimiter
from application.ports.system import RateBucket
from domain.account import RateLimit, microseconds
from tests.builders import ACME, MovableClock
from tests.contracts.rate_limiter import RateLimiterContract
from tests.contracts.test_adapters import with_accounts


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


class TestProcessRateLimiter(RateLimiterContract):
    @pytest.fixture
    def limiter(self, clock: MovableClock) -> ProcessRateLimiter:
        return ProcessRateLimiter(lambda: microseconds(clock.now()))

    async def test_a_jump_of_the_wall_clock_changes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        limiter = ProcessRateLimiter()
        for jump in (0, -86_400, 86_400):
            monkeypatch.setattr(time, "time", lambda jump=jump: 1_800_000_000 + jump)
            granted = await limiter.take(ACME, RateBucket.REQUESTS, RateLimit(2))
        assert not granted.is_granted


class TestSqlRateLimiterOnSqlite(RateLimiterContract):
    @pytest.fixture
    async def limiter(self, tmp_path: Path, clock: MovableClock) -> AsyncIterator[SqlRateLimiter]:
        engine = create_engine(f"sqlite+aiosqlite:///{tmp_path}/tryon.db")
        await Migrator(engine).upgrade()
        await with_accounts(engine)
        yield SqlRateLimiter(engine, clock)
        await engine.dispose()


class TestSqlRateLimiterOnPostgres(RateLimiterContract):
    @pytest.fixture
    async def limiter(self, postgres_url: str, clock: MovableClock) -> AsyncIterator[SqlRateLimiter]:
        engine = create_engine(postgres_url)
        await with_accounts(engine)
        yield SqlRateLimiter(engine, clock)
        await engine.dispose()


async def test_processes_that_share_a_database_share_the_limit(postgres_url: str, clock: MovableClock) -> None:
    engines = [create_engine(postgres_url) for _ in range(3)]
    await with_accounts(engines[0])
    limiters = [SqlRateLimiter(engine, clock) for engine in engines] * 10
    asked = (limiter.take(ACME, RateBucket.REQUESTS, RateLimit(12)) for limiter in limiters)
    assert sum(allowance.is_granted for allowance in await asyncio.gather(*asked)) == 12
    for engine in engines:
        await engine.dispose()
