"""Pools for the tests of this folder, and a look at the processes that they are made of."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

from adapters.sandbox.worker import PhotoPreparerFactory
from adapters.sandbox.worker_pool import WorkerLimits, WorkerPool
from tests.sandbox.preparers import obedient

SMALL = WorkerLimits(photo_seconds=20, photo_memory_bytes=200_000_000)


@contextlib.asynccontextmanager
async def a_pool(
    factory: PhotoPreparerFactory = obedient,
    *,
    workers: int = 1,
    max_queued: int = 100,
    limits: WorkerLimits = SMALL,
    readable_paths: tuple[str, ...] = (),
    cores: Sequence[int] | None = None,
) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(factory, workers, max_queued, readable_paths=readable_paths, limits=limits, cores=cores)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close(grace_seconds=0)


async def answer(pool: WorkerPool, photo: str) -> str:
    """What the worker made of a photo that is a command."""
    return (await pool.prepare(photo.encode(), crop=True)).jpeg.decode()


def worker_process_ids(pool: WorkerPool) -> list[int]:
    fork_server = pool.fork_server_process_id
    return [int(word) for word in Path(f"/proc/{fork_server}/task/{fork_server}/children").read_text().split()]


def process_file(process_id: int | None, name: str) -> str:
    return Path(f"/proc/{process_id}/{name}").read_text()


def is_running(process_id: int) -> bool:
    """Whether the process exists and has not ended; init may leave a dead orphan unburied for a while."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def none_runs(process_ids: Iterable[int]) -> bool:
    return not any(is_running(process_id) for process_id in process_ids)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that other processes bring about."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.005)
