"""Wrong keys cost little and shut nobody out."""

import asyncio

import pytest

from domain.errors import InvalidApiKey
from entrypoints.http.admission import (
    STRANGERS_AT_ONCE,
    WRONG_FOR_SECONDS,
    WrongKeys,
)
from tests.http.conftest import Service
from tests.patience import PATIENCE_SECONDS


class Seconds:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def keys(seconds: Seconds) -> WrongKeys:
    return WrongKeys(seconds)


async def guessed(keys: WrongKeys, key: str, look_ups: list[str]) -> None:
    with pytest.raises(InvalidApiKey):  # noqa: PT012 - the look-up is what raises
        async with keys.looked_up(key):
            look_ups.append(key)
            raise InvalidApiKey


async def test_a_key_that_was_wrong_a_moment_ago_is_not_looked_up_again(keys: WrongKeys, seconds: Seconds) -> None:
    look_ups: list[str] = []
    for _ in range(5):
        await guessed(keys, "gk_a_b", look_ups)
    assert look_ups == ["gk_a_b"]
    seconds.now += WRONG_FOR_SECONDS
    await guessed(keys, "gk_a_b", look_ups)
    assert look_ups == ["gk_a_b", "gk_a_b"]


async def test_many_guesses_are_looked_up_two_at_a_time_and_a_right_key_does_not_wait(
    keys: WrongKeys,
) -> None:
    async with keys.looked_up("gk_right_key"):
        pass
    at_once = most = 0
    answer = asyncio.Event()

    async def guess(number: int) -> None:
        nonlocal at_once, most
        with pytest.raises(InvalidApiKey):  # noqa: PT012 - the look-up is what raises
            async with keys.looked_up(f"gk_a_{number}"):
                at_once += 1
                most = max(most, at_once)
                await answer.wait()
                at_once -= 1
                raise InvalidApiKey

    guesses = [asyncio.create_task(guess(number)) for number in range(100)]
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_SECONDS), keys.looked_up("gk_right_key"):
        answer.set()
    await asyncio.gather(*guesses)
    assert most == STRANGERS_AT_ONCE


async def test_a_key_that_is_revoked_stops_counting_as_right(keys: WrongKeys) -> None:
    look_ups: list[str] = []
    async with keys.looked_up("gk_a_b"):
        pass
    await guessed(keys, "gk_a_b", look_ups)
    await guessed(keys, "gk_a_b", look_ups)
    assert look_ups == ["gk_a_b"]


def test_a_stranger_is_refused_and_the_others_go_on(service: Service) -> None:
    answers = [service.get("/images/img_1", key=f"gk_a_{number % 3}").status_code for number in range(30)]
    assert set(answers) == {401}
    assert service.get("/images/img_1").status_code == 404
