"""Background tasks go on whatever is raised, and ending never takes longer than it may."""

import asyncio
import os
import signal

import pytest

from entrypoints.server import background
from entrypoints.server.background import end_process, in_time, supervised
from tests.patience import PATIENCE_SECONDS


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
    async with asyncio.timeout(PATIENCE_SECONDS):
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
    async with asyncio.timeout(PATIENCE_SECONDS):
        for _ in range(3):
            await begun.acquire()
    task.cancel()


async def test_a_part_that_does_not_end_is_left_behind() -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await in_time("hanging", 0.05, asyncio.Event().wait())


async def test_a_part_that_fails_to_end_does_not_keep_the_others_from_it() -> None:
    async def fails() -> None:
        raise ConnectionResetError

    await in_time("failing", 1, fails())


async def test_a_task_that_is_lost_takes_the_process_along(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _process, number: told.append(number))

    async def lost() -> None:
        raise asyncio.CancelledError  # a library's stray cancellation, which no supervisor may swallow

    task = asyncio.create_task(supervised("purging", lost), name="purging")
    task.add_done_callback(end_process)
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert told == [signal.SIGTERM]
