"""Rates at which an account and a key may ask."""

from dataclasses import replace

import pytest

from adapters.system import ProcessRateLimiter
from application.fair_shares import LimitRate
from application.ports.system import RateBucket
from domain.account import ApiKey, KeyId
from tests.builders import ACME, NOON, an_account


def limit_rate(requests_per_minute: int = 2) -> LimitRate:
    return LimitRate(ProcessRateLimiter(lambda: 0), requests_per_minute)


def a_key(requests_per_minute: int | None) -> ApiKey:
    return ApiKey(
        key_id=KeyId("id"),
        account_id=ACME,
        digest=b"",
        label="shop",
        created_at=NOON,
        requests_per_minute=requests_per_minute,
    )


@pytest.mark.parametrize(("own", "limit"), [(None, 2), (7, 7)])
async def test_an_account_has_a_limit_of_its_own_or_the_one_for_all(own: int | None, limit: int) -> None:
    bucket = next(bucket for bucket in RateBucket if bucket is not RateBucket.POLLS)
    allowance = await limit_rate().execute(replace(an_account(), requests_per_minute=own), bucket)
    assert allowance is not None
    assert (allowance.limit.requests, allowance.remaining) == (limit, limit - 1)


async def test_zero_is_no_limit_for_one_or_for_all() -> None:
    bucket = RateBucket.POLLS
    assert await limit_rate().execute(replace(an_account(), requests_per_minute=0), bucket) is None
    assert await limit_rate(0).execute(an_account(), bucket) is None


async def test_a_try_on_may_be_polled_thirty_times_as_often() -> None:
    allowance = await limit_rate().execute(an_account(), RateBucket.POLLS)
    assert allowance is not None
    assert allowance.limit.requests == 60


async def test_the_name_of_a_keys_bucket_fills_its_column_at_most() -> None:
    limits = limit_rate()
    for left, key_id in ((0, 15 * "a" + "b"), (0, 15 * "a" + "c"), (None, 15 * "a" + "cd")):
        allowance = await limits.of_key(replace(a_key(1), key_id=KeyId(key_id)))
        assert allowance is not None
        assert allowance.is_granted is (left == 0)


async def test_a_key_may_have_a_limit_within_the_accounts() -> None:
    limits = limit_rate()
    assert await limits.of_key(None) is None
    assert await limits.of_key(a_key(None)) is None
    for left in (2, 1, 0):
        allowance = await limits.of_key(a_key(3))
        assert allowance is not None
        assert (allowance.remaining, allowance.is_granted) == (left, True)
    refused = await limits.of_key(a_key(3))
    assert refused is not None
    assert not refused.is_granted
