"""Processors for the tests of this folder, and a look at the processes that they are made of."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

from adapters.sandbox.children import Children
from adapters.sandbox.processor import SandboxedPhotoProcessor
from adapters.sandbox.remote_photo import PhotoLimits
from adapters.sandbox.trades import DecodingTrade, DetectingTrade
from domain.errors import InvalidImage
from tests.patience import PATIENCE_SECONDS

SMALL = PhotoLimits(
    cpu_seconds=10, memory_bytes=200_000_000, patience=PATIENCE_SECONDS / 10, start_seconds=PATIENCE_SECONDS
)
HOSTILE = "tests.sandbox.hostile"
QUICK = PhotoLimits(cpu_seconds=1, memory_bytes=200_000_000, patience=5, start_seconds=PATIENCE_SECONDS)
A_WHILE = "sleep 1"
"""Long enough to be met at work, also by a test that is not let run for a while."""


def a_processor(
    *,
    workers: int = 1,
    max_queued: int = 100,
    limits: PhotoLimits = SMALL,
    decoder: tuple[str, Any] = ("decoder", None),
    observer: tuple[str, Any] = ("observer", None),
    readable_paths: tuple[str, ...] = (),
    cores: Sequence[int] | None = None,
    allow_unsandboxed: bool = False,
) -> SandboxedPhotoProcessor:
    factory, argument = decoder
    eyes, what = observer
    return SandboxedPhotoProcessor(
        DecodingTrade(f"{HOSTILE}:{factory}", argument, (), limits.memory_bytes, limits.cpu_seconds),
        DetectingTrade(f"{HOSTILE}:{eyes}", what, readable_paths, limits.memory_bytes),
        workers,
        max_queued,
        max_edge=2000,
        allow_unsandboxed=allow_unsandboxed,
        limits=limits,
        cores=cores,
    )


@contextlib.asynccontextmanager
async def a_pool(**options: Any) -> AsyncIterator[SandboxedPhotoProcessor]:
    pool = a_processor(**options)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close(grace_seconds=0)


async def answer(pool: SandboxedPhotoProcessor, photo: str) -> str:
    """What the decoder made of a photo that is a command; `fine` when it was decoded all the same."""
    try:
        await pool.prepare(photo.encode(), crop=True)
    except InvalidImage as error:
        return str(error)
    return "fine"


def parent(family: Children) -> list[int]:
    """Its process id; nothing while it is being replaced."""
    return [family._process.pid] if family._process else []


def children_of(family: Children) -> list[int]:
    try:
        lists = [Path(f"/proc/{number}/task/{number}/children").read_text() for number in parent(family)]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(word) for words in lists for word in words.split()]


def parents(pool: SandboxedPhotoProcessor) -> list[int]:
    return [*parent(pool._decoders), *parent(pool._observers)]


def decoders(pool: SandboxedPhotoProcessor) -> list[int]:
    """Process ids of those that are at a photo."""
    return children_of(pool._decoders)


def detectors(pool: SandboxedPhotoProcessor) -> list[int]:
    return children_of(pool._observers)


def everybody(pool: SandboxedPhotoProcessor) -> list[int]:
    return [*parents(pool), *decoders(pool), *detectors(pool)]


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


def cores_of(process_ids: list[int]) -> list[int]:
    """Without those of processes that have just ended."""
    affinities: list[set[int]] = []
    for process_id in filter(is_running, process_ids):
        with contextlib.suppress(ProcessLookupError):
            affinities.append(os.sched_getaffinity(process_id))
    return sorted(core for affinity in affinities for core in affinity)


def is_replaced(pool: SandboxedPhotoProcessor, times: int, cores: list[int]) -> bool:
    """So many detectors were, and there is one on each core."""
    return pool.restarts == times and cores_of(detectors(pool)) == cores


async def kill_while_at_work(process_ids: list[int], number: signal.Signals = signal.SIGKILL) -> None:
    for process_id in process_ids:
        os.kill(process_id, number)
