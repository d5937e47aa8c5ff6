"""The arithmetic of a limit."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.account import Allowance, RateLimit, microseconds

MINUTE = 60_000_000
NOW = 1_000 * MINUTE


def granted(limit: RateLimit, times: int, now: int = NOW) -> int:
    """When the bucket is full after so many requests at once."""
    full_at = 0
    for _ in range(times):
        assert limit.admits(full_at, now)
        full_at = limit.after(full_at, now)
    return full_at


def test_a_limit_allows_at_least_one_request() -> None:
    assert timedelta(minutes=1) == RateLimit.WINDOW
    with pytest.raises(ValueError, match="at least one"):
        RateLimit(0)


def test_a_whole_window_may_come_at_once_and_not_one_more() -> None:
    full_at = granted(RateLimit(3), 3)
    assert full_at == NOW + MINUTE
    assert not RateLimit(3).admits(full_at, NOW)
    assert not RateLimit(3).admits(full_at, NOW + MINUTE // 3 - 1)
    assert RateLimit(3).admits(full_at, NOW + MINUTE // 3)


def test_what_one_request_costs_is_rounded_up() -> None:
    assert RateLimit(7).cost_us == 8_571_429
    assert RateLimit(60).cost_us == 1_000_000


def test_an_allowance_says_what_is_left_and_when_more_comes() -> None:
    limit = RateLimit(3)
    full_at = granted(limit, 2)
    seconds = timedelta(seconds=1)
    assert limit.allowance(full_at, NOW, is_granted=True) == Allowance(
        limit=limit, is_granted=True, remaining=1, full_after=40 * seconds, next_after=0 * seconds
    )
    spent = limit.allowance(granted(limit, 3), NOW, is_granted=False)
    assert (spent.is_granted, spent.remaining) == (False, 0)
    assert (spent.full_after, spent.next_after) == (60 * seconds, 20 * seconds)


def test_a_part_of_a_request_is_not_left() -> None:
    assert RateLimit(3).allowance(NOW + 1, NOW, is_granted=True).remaining == 2
    assert RateLimit(3).allowance(NOW + 4 * MINUTE, NOW, is_granted=True).remaining == 0


def test_a_bucket_that_has_been_full_for_long_has_no_more_than_its_limit() -> None:
    allowance = RateLimit(3).allowance(0, NOW, is_granted=True)
    assert (allowance.remaining, allowance.full_after, allowance.next_after) == (3, timedelta(), timedelta())


def test_microseconds_are_exact() -> None:
    assert microseconds(datetime(1970, 1, 1, 0, 0, 1, 7, tzinfo=UTC)) == 1_000_007
    assert microseconds(datetime(2500, 1, 1, 0, 0, 0, 1, tzinfo=UTC)) % 10 == 1
