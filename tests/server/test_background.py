"""Background tasks go on whatever is raised, and ending never takes longer than it may."""

import asyncio
import time

import pytest

from entrypoints.server import background
from entrypoints.server.background import in_time, supervised


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_RESTART_SECONDS", 0.001)
    monkeypatch.setattr(background, "LONGEST_RESTART_SECONDS", 0.004)


@pytest.mark.parametrize("error", [RuntimeError("42P01"), OSError(28, "full"), ExceptionGroup("two", [ValueError()])])
async def test_whatever_a_task_raises_it_begins_anew(error: Exception) -> None:
    begun = asyncio.Semaphore(0)

    async def fails() -> None:
        begun.release()
        raise error

    task = asyncio.create_task(supervised("failing", fails))
    async with asyncio.timeout(5):
        for _ in range(4):
            await begun.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_that_only_ends_begins_anew_too() -> None:
    begun = asyncio.Semaphore(0)

    async def ends() -> None:
        begun.release()

    task = asyncio.create_task(supervised("ending", ends))
    async with asyncio.timeout(5):
        for _ in range(3):
            await begun.acquire()
    task.cancel()


async def test_a_part_that_does_not_end_is_left_behind() -> None:
    began = time.monotonic()
    await in_time("hanging", 0.05, asyncio.Event().wait())
    assert time.monotonic() - began < 2


async def test_a_part_that_fails_to_end_does_not_keep_the_others_from_it() -> None:
    async def fails() -> None:
        raise ConnectionResetError

    await in_time("failing", 1, fails())
