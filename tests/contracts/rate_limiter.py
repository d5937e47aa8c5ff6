"""The contract of every rate limiter, written once."""

import asyncio
from datetime import timedelta

from application.ports.system import RateBucket, RateLimiter
from domain.account import Allowance, RateLimit
from tests.builders import ACME, OTHER, MovableClock

SIX_A_MINUTE = RateLimit(6)


async def take(limiter: RateLimiter, times: int, limit: RateLimit = SIX_A_MINUTE) -> list[Allowance]:
    return [await limiter.take(ACME, RateBucket.REQUESTS, limit) for _ in range(times)]


class RateLimiterContract:
    """The fixture `limiter` has counted nothing; it goes by the fixture `clock`."""

    async def test_as_many_as_the_limit_pass_at_once_and_then_none(self, limiter: RateLimiter) -> None:
        allowances = await take(limiter, 8)
        assert [allowance.is_granted for allowance in allowances] == [True] * 6 + [False] * 2
        assert [allowance.remaining for allowance in allowances] == [5, 4, 3, 2, 1, 0, 0, 0]

    async def test_who_waits_as_long_as_was_said_is_let_in_once(
        self, limiter: RateLimiter, clock: MovableClock
    ) -> None:
        refused = (await take(limiter, 7))[-1]
        assert refused.next_after == timedelta(seconds=10)
        clock.time += refused.next_after - timedelta(microseconds=1)
        assert [allowance.is_granted for allowance in await take(limiter, 1)] == [False]
        clock.time += timedelta(microseconds=1)
        assert [allowance.is_granted for allowance in await take(limiter, 2)] == [True, False]

    async def test_being_refused_costs_nothing(self, limiter: RateLimiter, clock: MovableClock) -> None:
        await take(limiter, 100)
        clock.advance(seconds=60)
        assert [allowance.is_granted for allowance in await take(limiter, 7)] == [True] * 6 + [False]

    async def test_all_is_there_again_when_it_was_said(self, limiter: RateLimiter, clock: MovableClock) -> None:
        (_, second) = await take(limiter, 2)
        assert second.full_after == timedelta(seconds=20)
        clock.time += second.full_after
        assert (await take(limiter, 1))[0].remaining == 5

    async def test_accounts_and_buckets_are_counted_apart(self, limiter: RateLimiter) -> None:
        await take(limiter, 6)
        assert (await limiter.take(OTHER, RateBucket.REQUESTS, SIX_A_MINUTE)).is_granted
        assert (await limiter.take(ACME, RateBucket.POLLS, SIX_A_MINUTE)).is_granted

    async def test_a_new_limit_holds_from_the_next_request_on(self, limiter: RateLimiter, clock: MovableClock) -> None:
        await take(limiter, 6)
        clock.advance(seconds=1)
        assert (await limiter.take(ACME, RateBucket.REQUESTS, RateLimit(600))).is_granted
        assert not (await limiter.take(ACME, RateBucket.REQUESTS, RateLimit(1))).is_granted

    async def test_many_at_once_are_counted_exactly(self, limiter: RateLimiter) -> None:
        asked = (limiter.take(ACME, RateBucket.REQUESTS, SIX_A_MINUTE) for _ in range(20))
        assert sum(allowance.is_granted for allowance in await asyncio.gather(*asked)) == 6

    async def test_an_uneven_limit_never_lets_one_too_many_in(self, limiter: RateLimiter) -> None:
        allowances = await take(limiter, 8, RateLimit(7))
        assert sum(allowance.is_granted for allowance in allowances) == 7
