"""The gain of more replicas: uploads and look-ups per second of one, two and four, in turns.

`python -m tests.benchmarks.replicas [--quick] [--pinned]`

Four replicas with one photo worker each, on one PostgreSQL and one bucket (the tests' own), run all the time; clients
keep so many requests in hand at one of them, then at two, then at all. All of it shares the machine's cores. "Busy"
says how many were at work, whoever it was for: where that is all there are, the machine is the limit and not the
service. With `--pinned` the first replica has a core of its own, the next one the next, and PostgreSQL, bucket and
clients share the last: the first row is then what one core of a replica does, and what PostgreSQL takes for it.
"""

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import httpx
import psutil

from tests import photos
from tests.benchmarks.keep_alive import Load, get, load, post_file
from tests.benchmarks.photos import phone_jpeg, scene
from tests.benchmarks.server_process import Tree
from tests.object_storage.bucket_server import BUCKET, bucket_server
from tests.postgres import running_postgres
from tests.replicas.server import API, KEY, serving

UPLOAD = f"{API}/images/upload"
UPLOADS_IN_HAND = 2
"""Of each replica: one that its worker is at, and one that comes in meanwhile."""
LOOKUPS_IN_HAND = 8
COUNTS = (1, 2, 4)
NOISE = 0.25
"""Rounds that differ by more than this share of their median say that somebody else was at work as well."""


@dataclass(frozen=True)
class Round:
    """Requests per second, CPU milliseconds of replicas and PostgreSQL for each, and how many cores were busy."""

    per_second: float
    cpu_ms: float
    database_ms: float
    busy: float


def middle(rounds: Sequence[Round]) -> Round:
    return Round(
        statistics.median(one.per_second for one in rounds),
        statistics.median(one.cpu_ms for one in rounds),
        statistics.median(one.database_ms for one in rounds),
        statistics.median(one.busy for one in rounds),
    )


def idle_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.idle + getattr(times, "iowait", 0))


async def measure(replicas: Sequence[Tree], database: Tree, request: bytes, in_hand: int, seconds: float) -> Round:
    idle, started, database_cpu = idle_seconds(), time.perf_counter(), database.cpu_seconds()
    loads: list[Load] = await asyncio.gather(*(load(replica, request, in_hand, seconds) for replica in replicas))
    took = time.perf_counter() - started
    idle_cores = (idle_seconds() - idle) / took
    per_second = sum(load.per_second for load in loads)
    cpu = sum(load.per_second / load.per_cpu_second for load in loads)
    database_ms = (database.cpu_seconds() - database_cpu) / (per_second * took) * 1000
    return Round(per_second, cpu / per_second * 1000, database_ms, (os.cpu_count() or 1) - idle_cores)


async def one_against_more(
    what: str, replicas: Sequence[Tree], database: Tree, request: bytes, in_hand: int, rounds: int, seconds: float
) -> None:
    taken: dict[int, list[Round]] = {count: [] for count in COUNTS}
    for number in range(-1, rounds):  # the first warms up
        for count, measured in taken.items():
            one = await measure(replicas[:count], database, request, in_hand, seconds)
            if number >= 0:
                measured.append(one)
    for count, measured in taken.items():
        usual = middle(measured)
        own = f"{usual.per_second:>8.2f} {usual.cpu_ms:>12.1f} {usual.database_ms:>14.2f} {usual.busy:>6.2f}"
        print(f"{what:<22} {count:>8} {own}", flush=True)
    for count in COUNTS[1:]:
        ratios = [more.per_second / one.per_second for one, more in zip(taken[1], taken[count], strict=True)]
        print(
            f"{'':<22} {f'1 → {count}':>8} {statistics.median(ratios):>8.2f}   ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    if (spread := max(spread_of(measured) for measured in taken.values())) > NOISE:
        print(f"Noisy machine: rounds differ by {spread:.0%} of their median.")


def spread_of(rounds: Sequence[Round]) -> float:
    rates = [one.per_second for one in rounds]
    return (max(rates) - min(rates)) / statistics.median(rates)


async def image_on(replica: Tree, photo: bytes) -> str:
    async with httpx.AsyncClient(base_url=replica.url, headers={"x-api-key": KEY}, timeout=60) as client:
        answer = await client.post(UPLOAD, files={"file": photo})
        return str(answer.raise_for_status().json()["imageId"])


def pin(replicas: Sequence[Tree], database: Tree) -> None:
    """Whatever a process starts later stays on its core, too."""
    cores = sorted(os.sched_getaffinity(0))
    for number, replica in enumerate(replicas):
        pin_tree(replica, cores[number % len(cores)])
    pin_tree(database, cores[-1])
    os.sched_setaffinity(0, cores[-1:])


def pin_tree(tree: Tree, core: int) -> None:
    for process in tree.processes():
        for thread in process.threads():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(thread.id, {core})


async def postmaster(url: str) -> Tree:
    """The parent of whoever answers there."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    backend = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()"))
    tree = Tree(backend.ppid(), url)
    await connection.close()
    return tree


async def compare(replicas: Sequence[Tree], database: Tree, rounds: int, seconds: float) -> None:
    print(f"{'':<22} {'replicas':>8} {'per s':>8} {'CPU ms each':>12} {'PostgreSQL ms':>14} {'busy':>6}")
    small, large = photos.jpeg(scene(1536, 2048), quality=88, subsampling=2), phone_jpeg()
    for what, photo in (("upload, JPEG 3 MP", small), ("upload, JPEG 12 MP", large)):
        await one_against_more(
            what, replicas, database, post_file(UPLOAD, KEY, photo), UPLOADS_IN_HAND, rounds, seconds
        )
    look_up = get(f"{API}/images/{await image_on(replicas[0], small)}", KEY)
    await one_against_more("GET /images/{id}", replicas, database, look_up, LOOKUPS_IN_HAND, rounds, seconds / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--pinned", action="store_true", help="a core for each replica, one for all else")
    arguments = parser.parse_args()
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n"
    )
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        database = running.enter_context(running_postgres())
        asyncio.run(database.execute("CREATE DATABASE replicas"))
        asyncio.run(database.migrate("replicas"))
        _, bucket_url = running.enter_context(bucket_server())
        settings = {
            "TRYON_DATABASE_URL": database.url("replicas"),
            "TRYON_STORAGE_URL": f"gs://{BUCKET}",
            "STORAGE_EMULATOR_HOST": bucket_url,
            "TRYON_PREVIEW_LINKS": "service",
            "TRYON_PSEUDONYM_KEY": "one-ring-for-all-replicas-32-bytes-long",
            "TRYON_SIGNING_KEY": "one-key-for-all-replicas-32-bytes-long",
            "TRYON_RATE_LIMIT_PER_MINUTE": "0",
        }
        replicas = [running.enter_context(serving(folder / name, settings)) for name in "abcd"[: max(COUNTS)]]
        trees = [Tree(replica.process.pid, replica.url) for replica in replicas]
        server = asyncio.run(postmaster(database.url("replicas")))
        if arguments.pinned:
            pin(trees, server)
        rounds, seconds = (2, 2) if arguments.quick else (9, 4)
        asyncio.run(compare(trees, server, rounds, seconds))


if __name__ == "__main__":
    main()
