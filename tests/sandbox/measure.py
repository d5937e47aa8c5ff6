"""Figures of the worker pool on this machine: `python -m tests.sandbox.measure` (needs the models, about a minute).

CPU is that of the main threads, which do all the handing over; memory is the proportional share (PSS) of each process,
so that what workers share with the fork server is counted once.
"""

import asyncio
import io
import os
import signal
import time

from PIL import Image
from skimage import data

from adapters.sandbox.worker_pool import WorkerPool
from entrypoints.wiring.photo_processing import build_processor
from entrypoints.wiring.settings import Settings
from tests.sandbox.pools import a_pool, process_file, until, worker_process_ids
from tests.sandbox.preparers import Shrinking

_ROUNDS = 200  # fewer than the photos after which a worker is replaced
_MEGAPIXELS_64 = (8000, 8000)


def tree_of(pool: WorkerPool) -> list[int]:
    return [os.getpid(), pool.fork_server_process_id or 0, *worker_process_ids(pool)]


def cpu_seconds(process_ids: list[int]) -> float:
    """Of the main threads, to the nanosecond: the ticks of /proc/<pid>/stat miss most of such short work."""
    return sum(int(process_file(process_id, "schedstat").split()[0]) for process_id in process_ids) / 1e9


def megabytes(process_ids: list[int]) -> list[int]:
    rollups = [process_file(process_id, "smaps_rollup") for process_id in process_ids]
    return [int(rollup.partition("Pss:")[2].split()[0]) // 1000 for rollup in rollups]


async def measure_hand_over() -> None:
    async with a_pool(Shrinking) as pool:
        photo = os.urandom(4_000_000)
        before, begun = cpu_seconds(tree_of(pool)), time.perf_counter()
        for _ in range(_ROUNDS):
            await pool.prepare(photo, crop=True)
        wall = (time.perf_counter() - begun) / _ROUNDS * 1000
        cpu = (cpu_seconds(tree_of(pool)) - before) / _ROUNDS * 1000
        print(f"hand-over of 4 MB in and 0.5 MB out: {cpu:.1f} ms CPU, {wall:.1f} ms wall")


def largest_photo(kind: str, options: dict[str, int]) -> bytes:
    """64 megapixels with a person, small enough to be uploaded."""
    file = io.BytesIO()
    person = Image.fromarray(data.astronaut())
    person.resize(_MEGAPIXELS_64, Image.Resampling.NEAREST).save(file, kind, **options)
    return file.getvalue()


async def peak_megabytes(pool: WorkerPool, photo: bytes) -> int:
    """The largest sum of the tree but this process while every worker prepares the photo; as tried every 10 ms."""
    photos = [asyncio.create_task(pool.prepare(photo, crop=True)) for _ in range(pool.workers)]
    peak = 0
    while not all(task.done() for task in photos):
        peak = max(peak, sum(megabytes(tree_of(pool)[1:])))
        await asyncio.sleep(0.01)
    await asyncio.gather(*photos)
    return peak


async def measure_pool() -> None:
    pool = build_processor(Settings(workers=2))
    begun = time.perf_counter()
    await pool.start()
    print(f"two workers ready in {time.perf_counter() - begun:.1f} s")
    try:
        print(f"at rest: {megabytes(tree_of(pool))} MB (this process, fork server, workers)")
        begun = time.perf_counter()
        os.kill(worker_process_ids(pool)[0], signal.SIGKILL)
        await until(lambda: pool.restarts == 1)
        print(f"a killed worker is replaced in {time.perf_counter() - begun:.2f} s")
        for kind, options in (("JPEG", {"quality": 90}), ("PNG", {"compress_level": 1}), ("WEBP", {"quality": 80})):
            photo = largest_photo(kind, options)
            peak = await peak_megabytes(pool, photo)
            print(f"64 MP {kind} of {len(photo) / 1e6:.1f} MB in both workers at once: peak {peak} MB")
    finally:
        await pool.close()


async def main() -> None:
    await measure_hand_over()
    await measure_pool()


if __name__ == "__main__":
    asyncio.run(main())
