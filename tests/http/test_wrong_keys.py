"""Wrong keys cost little and shut nobody out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from application.ports.rows import Repositories
from application.ports.system import RateBucket
from domain.errors import InvalidApiKey, InvalidTicket, Overloaded
from entrypoints.http.admission import (
    RATE_BUCKET,
    STRANGERS_AT_ONCE,
    TAKES_TICKETS,
    WRONG_FOR_SECONDS,
    RequestStart,
    WrongKeys,
    key_check,
)
from tests.http.conftest import API, Service
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


class WatchedDatabase:
    """Reads that take a moment, and the most there were at a time."""

    def __init__(self, service: Service) -> None:
        self._work = service.work
        self._now = self.most = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Repositories]:
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            async with self._work.read() as repositories:
                for _ in range(10):
                    await asyncio.sleep(0)
                yield repositories
        finally:
            self._now -= 1


def test_many_forged_tickets_are_looked_up_two_at_a_time(service: Service) -> None:
    headers = {"x-api-key": service.key}
    ticket = service.client.post(f"{API}/upload-tickets", json={}, headers=headers).json()["ticket"]
    database = WatchedDatabase(service)
    container = service.container
    check = key_check(
        container.authenticate(),
        replace(container.upload_tickets(), work=database),
        container.limit_rate(),
        WrongKeys(),
        RequestStart((), service.clock, timedelta(hours=1)),
    )
    route = SimpleNamespace(opt={TAKES_TICKETS: True, RATE_BUCKET: RateBucket.REQUESTS}, operation_id="uploadImage")

    async def answered(ticket: str) -> bool:
        scope: Any = {"headers": [(b"authorization", f"Bearer {ticket}".encode())], "method": "POST"}
        scope |= {"route_handler": route, "state": {}, "client": ("127.0.0.1", 1)}
        asked: list[Any] = []

        async def app(*request: Any) -> None:
            asked.append(request)

        try:
            await check(app)(scope, None, None)  # type: ignore[arg-type]
        except InvalidTicket:
            return False
        return bool(asked)

    async def all_answered() -> list[bool]:
        forged = [ticket[:-6] + f"{number:06}" for number in range(50)]
        return await asyncio.gather(*map(answered, [*forged, ticket]))

    assert service.run(all_answered()) == [False] * 50 + [True]
    assert database.most == STRANGERS_AT_ONCE


async def test_who_waits_too_long_to_be_looked_up_is_told(seconds: Seconds) -> None:
    keys = WrongKeys(seconds, wait_seconds=0.01)
    async with keys.stranger(), keys.stranger():
        for look_up in (keys.stranger(), keys.looked_up("gk_a_b")):
            with pytest.raises(Overloaded):
                await look_up.__aenter__()
    async with asyncio.timeout(PATIENCE_SECONDS), keys.looked_up("gk_a_b"):
        """Nobody waits any more."""


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
