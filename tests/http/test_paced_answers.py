"""Refusals at a pace: asking again at once takes nobody's time: not an account beyond its rate, nor a stranger."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from litestar.types import Message, Receive, Scope, Send

from domain.account import AccountId
from entrypoints.http.edge import (
    ACCOUNT_SECONDS,
    LONGEST_PROBE_SECONDS,
    LONGEST_WAIT_SECONDS,
    STRANGERS_SECONDS,
    Pace,
    PacedAnswers,
)
from tests.builders import an_account
from tests.http.conftest import API, Service


class Seconds:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Slept(list[float]):
    """How long each answer was held back."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> Slept:
    slept = Slept()
    monkeypatch.setattr(asyncio, "sleep", slept)
    return slept


Asked = Callable[..., Awaitable[None]]


@pytest.fixture
def asked(seconds: Seconds) -> Asked:
    async def answer(scope: Scope, _: Receive, send: Send) -> None:
        await send(cast(Message, {"type": "http.response.start", "status": cast(Any, scope)["status"], "headers": []}))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    paced = PacedAnswers(answer, Pace(seconds))

    async def ask(status: int, account: object = None, code: str = "NOT_FOUND", **more: object) -> None:
        scope: dict[str, Any] = {"status": status, "state": {"error_code": code}, "path": "/", "method": "GET", **more}
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        await paced(cast(Scope, scope | ({"user": account} if account else {})), cast(Receive, None), send)
        assert len(sent) == 2

    return ask


async def test_strangers_together_have_two_hundred_answers_a_second_whatever_they_are_refused(
    asked: Asked, slept: Slept
) -> None:
    for status in (401, 404, 405, 400):
        await asked(status)
    assert slept == pytest.approx([number * STRANGERS_SECONDS for number in range(4)])


async def test_an_account_beyond_its_rate_waits_and_another_one_does_not(asked: Asked, slept: Slept) -> None:
    greedy, other = an_account(), an_account(AccountId("other"))
    for account in (greedy, greedy, greedy, other):
        await asked(429, account, "RATE_LIMITED")
    assert slept == pytest.approx([0, ACCOUNT_SECONDS, 2 * ACCOUNT_SECONDS, 0])


async def test_what_is_counted_as_a_request_is_answered_at_once(asked: Asked, slept: Slept) -> None:
    account = an_account()
    for _ in range(3):
        await asked(404, account, "IMAGE_NOT_FOUND")
        await asked(200, account)
        await asked(503, account)
    assert slept == []


async def test_what_needs_no_key_has_a_pace_for_each_kind(asked: Asked, slept: Slept) -> None:
    kinds: list[dict[str, Any]] = [
        {"status": 200, "path": "/health/live"},
        {"status": 204, "method": "OPTIONS"},
        {"status": 200, "path": "/docs"},
    ]
    for _ in range(2):
        for kind in kinds:
            await asked(**kind)
    assert slept == pytest.approx([0] * len(kinds) + [STRANGERS_SECONDS] * len(kinds))


async def test_pictures_behind_links_never_wait(asked: Asked, slept: Slept) -> None:
    for _ in range(1_000):
        await asked(200, path="/tryon/v1/previews/img_1")
    assert slept == []


async def test_a_probe_is_never_held_back_for_long(asked: Asked, slept: Slept) -> None:
    for _ in range(10_000):
        await asked(200, path="/health/ready")
    assert max(slept) == LONGEST_PROBE_SECONDS


async def test_a_flood_that_is_over_delays_nobody_any_more(asked: Asked, slept: Slept, seconds: Seconds) -> None:
    for _ in range(10_000):
        await asked(404)
    assert max(slept) == LONGEST_WAIT_SECONDS
    seconds.now += LONGEST_WAIT_SECONDS + 1
    await asked(404)
    assert slept[-1] == 0


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/images/img_1", {}),
        ("GET", "/images/img_1", {"x-api-key": "gk_a_b"}),
        ("GET", "/nothing", {}),
        ("PUT", "/images/img_1", {}),
        ("GET", "/previews/img_1?account=a&expires=1&signature=b", {}),
        ("POST", "/images/upload", {"authorization": "Bearer tkt_nothing"}),
    ],
    ids=["no key", "wrong key", "no route", "no method", "forged link", "forged ticket"],
)
def test_each_way_to_be_refused_without_an_account_is_slow(
    service: Service, method: str, path: str, headers: dict[str, str]
) -> None:
    began = time.monotonic()
    statuses = {service.client.request(method, API + path, headers=headers).status_code for _ in range(41)}
    assert time.monotonic() - began >= 40 * STRANGERS_SECONDS
    assert all(400 <= status < 500 for status in statuses)
