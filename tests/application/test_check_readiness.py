"""Readiness: one probe at a time, two seconds whatever hangs, and what works without which part."""

import asyncio

import pytest

from application import check_readiness
from application.check_readiness import NEEDS, CheckReadiness, Readiness, SharedProbe
from domain.errors import Overloaded
from tests.patience import PATIENCE_SECONDS


class Part:
    """Answers when it is let go, or at once."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.goes_on = asyncio.Event()
        if not hangs:
            self.goes_on.set()
        self.error: Exception | None = None
        self.asked = 0

    async def __call__(self) -> None:
        self.asked += 1
        await self.goes_on.wait()
        if self.error:
            raise self.error


class Seconds:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_fifty_who_ask_at_once_are_answered_by_one_probe() -> None:
    part = Part(hangs=True)
    probe = SharedProbe("storage", part)
    asking = [asyncio.create_task(probe.is_well()) for _ in range(50)]
    await asyncio.sleep(0)
    part.goes_on.set()
    assert await asyncio.gather(*asking) == [True] * 50
    assert part.asked == 1


async def test_one_that_gives_up_takes_the_answer_from_nobody() -> None:
    part = Part(hangs=True)
    probe = SharedProbe("storage", part)
    impatient, patient = (asyncio.create_task(probe.is_well()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.sleep(0)
    part.goes_on.set()
    assert await patient


async def test_a_part_that_hangs_fails_in_time_and_is_not_asked_again_until_it_answers() -> None:
    part, seconds = Part(hangs=True), Seconds()
    probe = SharedProbe("storage", part, seconds)
    asking = asyncio.create_task(probe.is_well())
    await asyncio.sleep(0)
    seconds.now += check_readiness.PROBE_SECONDS
    for _ in range(20):
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert not await probe.is_well()
    assert part.asked == 1
    part.goes_on.set()
    assert await asking
    assert await probe.is_well()
    assert part.asked == 2


async def test_a_part_that_hangs_holds_nobody_for_longer_than_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_readiness, "PROBE_SECONDS", 0.05)
    lost, well = Part(hangs=True), Part()
    check = CheckReadiness({"storage": lost, "database": well})
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await check.execute()).failing == {"storage"}
    lost.goes_on.set()


async def test_an_answer_holds_for_a_second() -> None:
    part, seconds = Part(), Seconds()
    probe = SharedProbe("database", part, seconds)
    assert await probe.is_well()
    part.error = Overloaded()
    seconds.now += 0.9
    assert await probe.is_well()
    seconds.now += 0.2
    assert not await probe.is_well()
    assert part.asked == 2


async def test_a_part_that_fails_in_an_unforeseen_way_fails() -> None:
    part = Part()
    part.error = ValueError("a bug")
    assert not await SharedProbe("database", part).is_well()


@pytest.mark.parametrize(
    ("failing", "works"),
    [
        ((), ["uploads", "reads", "erasures"]),
        (("engine", "clock"), ["uploads", "reads", "erasures"]),
        (("storage",), ["reads", "erasures"]),
        (("reserve",), ["reads", "erasures"]),
        (("workers",), ["reads", "erasures"]),
        (("commits",), ["reads"]),
        (("database", "commits"), []),
        (("database",), []),
    ],
)
def test_what_works_without_a_part(failing: tuple[str, ...], works: list[str]) -> None:
    assert Readiness(frozenset(failing)).works == works
    assert set(works) <= set(NEEDS)
