"""Nobody blocks anybody: `python -m tests.benchmarks.fair [--only phones bad ...] [--quick] [--write]`.

The real server and bad clients beside it on loopback, bounded in count and time. Each figure stands beside what it has
to reach; times are p95 against those of the same client alone, before and after.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx

from application.authenticate import DEFAULT_ACCOUNT
from domain.retention import RetentionPolicy
from entrypoints.wiring.container import Container
from entrypoints.wiring.environment import load_settings
from tests import photos
from tests.benchmarks import fair_attacks as bad
from tests.benchmarks.fair_attacks import API, Client, Target, answer_of, attacked, connect, head
from tests.benchmarks.keep_alive import post_file
from tests.benchmarks.photos import phone_jpeg, scene
from tests.benchmarks.server_process import KEY, Tree, running_server
from tests.free_port import free_port

REPORT = Path("docs/limits.md")
HEADING = "## Measured"
ROOT = Path(__file__).parents[2]
SETTLE_SECONDS = 3
PHONE_BYTES_PER_SECOND = 1_000_000 // 8


@dataclass(frozen=True)
class Row:
    """One figure, what it has to be at most (or `at_least`), and whether it is."""

    scenario: str
    figure: str
    limit: float
    value: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def line(self) -> str:
        sign = "≥" if self.at_least else "≤"
        verdict = "" if self.holds else " **missed**"
        return f"| {self.scenario} | {self.figure} | {sign} {self.limit:g} | {self.value:.3g}{verdict} |"


@dataclass(frozen=True)
class Shop:
    """A server and two accounts of it: A behaves badly, B is who must not notice."""

    tree: Tree
    a: Target
    b: Target
    metrics_port: int


async def answered(target: Target, request: bytes) -> tuple[int, float]:
    """Status and seconds of one request, the connection included."""
    began = time.perf_counter()
    reader, writer = await connect(target)
    try:
        writer.write(request)
        await writer.drain()
        return await answer_of(reader), time.perf_counter() - began
    finally:
        writer.close()


@dataclass
class Figures:
    """What one well-behaved client saw."""

    uploads: list[tuple[int, float]]
    look_ups: list[tuple[int, float]]

    @staticmethod
    def p95(answers: list[tuple[int, float]]) -> float:
        return statistics.quantiles([seconds for _, seconds in answers], n=20)[18]

    def refused(self) -> int:
        return sum(status not in {200, 201} for status, _ in self.uploads + self.look_ups)

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(self.uploads + other.uploads, self.look_ups + other.look_ups)


async def well_behaved(target: Target, photo: bytes, uploads: int) -> Figures:
    """Uploads, and ten times as many look-ups, one after the other."""
    upload = post_file(f"{API}/images/upload", target.key, photo)
    look_up = head(target, "GET", f"/images/{target.image_id}")
    seen = Figures([], [])
    for _ in range(uploads):
        seen.uploads.append(await answered(target, upload))
        seen.look_ups.extend([await answered(target, look_up) for _ in range(10)])
    return seen


@contextmanager
def shop(**settings: str) -> Iterator[Shop]:
    """Rates as they come for A; B, who is measured, has no limit."""
    with tempfile.TemporaryDirectory() as folder:
        metrics_port = free_port()
        environment = {
            "TRYON_PORT": str(free_port()),
            "TRYON_DATA_DIR": folder,
            "TRYON_DEV_API_KEY": KEY,
            "TRYON_METRICS_PORT": str(metrics_port),
            "PYTHONPATH": str(ROOT),
            **settings,
        }
        port = int(environment["TRYON_PORT"])
        keys = asyncio.run(two_accounts(environment))
        command = [sys.executable, "-m", "tests.benchmarks.fair_server"]
        with running_server(command, environment, "/health/ready", Path(folder), cwd=folder) as tree:
            a, b = (asyncio.run(with_image(Target(port, key))) for key in keys)
            yield Shop(tree, a, b, metrics_port)


async def two_accounts(environment: dict[str, str]) -> tuple[str, str]:
    container = Container(settings=load_settings(environment))
    if container.migrator().is_embedded:
        await container.migrator().upgrade()
    secrets = []
    for name in (DEFAULT_ACCOUNT, "other"):
        await container.create_account().execute(name, RetentionPolicy(1))
        secrets.append(str((await container.create_key().execute(name, "benchmark")).secret))
    await container.change_account().execute("other", lambda account: replace(account, requests_per_minute=0))
    await container.engine().dispose()
    return secrets[0], secrets[1]


async def with_image(target: Target) -> Target:
    async with httpx.AsyncClient(timeout=60, headers={"x-api-key": target.key}) as client:
        url = f"http://127.0.0.1:{target.port}{API}/images/upload"
        answer = await client.post(url, files={"file": small_photo()})
    return replace(target, image_id=answer.raise_for_status().json()["imageId"])


def small_photo() -> bytes:
    return photos.jpeg(scene(1536, 2048), quality=88, subsampling=2)


class Measuring:
    """How one client fares beside others."""

    def __init__(self, quick: bool) -> None:
        self.uploads = 12 if quick else 40
        self.photo = small_photo()

    def alone(self, shop: Shop) -> Figures:
        return asyncio.run(well_behaved(shop.b, self.photo, self.uploads))

    def beside(self, shop: Shop, clients: dict[Client, int], target: Target) -> Figures:
        with attacked(clients, target):
            time.sleep(SETTLE_SECONDS)
            return asyncio.run(well_behaved(shop.b, self.photo, self.uploads))

    def compared(self, name: str, alone: Figures, beside: Figures, uploads: float, look_ups: float) -> Iterator[Row]:
        yield Row(name, "B's refusals", 0, beside.refused())
        for what, limit, before, now in (
            ("uploads", uploads, alone.uploads, beside.uploads),
            ("look-ups", look_ups, alone.look_ups, beside.look_ups),
        ):
            yield Row(
                name,
                f"B's {what}, p95 / alone ({Figures.p95(before):.3f} s)",
                limit,
                Figures.p95(now) / Figures.p95(before),
            )


def phones(quick: bool) -> Iterator[Row]:
    """Phones that all begin at once; the process tree's memory, and another account meanwhile."""
    many, faster = (60, 4) if quick else (300, 1)
    photo = phone_jpeg()
    name = f"{many} phones, one key, {len(photo) / 1e6:.1f} MB each at {faster} Mbit/s"
    measuring = Measuring(quick)
    with shop(TRYON_RATE_LIMIT_PER_MINUTE="0") as place:
        alone = measuring.alone(place)
        most = Watched(place.tree.resident_mb)
        with most:
            statuses, beside = asyncio.run(all_phones(place, photo, many, faster, measuring))
        alone += measuring.alone(place)
    yield Row(name, "201", many, statuses.count(201), at_least=True)
    yield Row(name, "memory of the process tree, MB", 1400, most.value)
    yield from measuring.compared(name, alone, beside, 2, 2)


class Watched:
    """The highest of a figure that is looked at twice a second, in a thread."""

    def __init__(self, figure: Callable[[], float]) -> None:
        self._figure, self.value = figure, 0.0

    def __enter__(self) -> "Watched":
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            self.value = max(self.value, self._figure())


async def all_phones(
    place: Shop, photo: bytes, many: int, faster: int, measuring: Measuring
) -> tuple[list[int], Figures]:
    request = post_file(f"{API}/images/upload", place.a.key, photo)
    sending = [asyncio.create_task(phone(place.a, request, faster * PHONE_BYTES_PER_SECOND)) for _ in range(many)]
    await asyncio.sleep(SETTLE_SECONDS)
    beside = await well_behaved(place.b, measuring.photo, measuring.uploads)
    return await asyncio.gather(*sending), beside


async def phone(target: Target, request: bytes, bytes_per_second: int) -> int:
    """The status; 0 when there was no answer."""
    step = bytes_per_second // 10
    with suppress(OSError, EOFError):
        reader, writer = await connect(target)
        for begin in range(0, len(request), step):
            writer.write(request[begin : begin + step])
            await writer.drain()
            await asyncio.sleep(0.1)
        status = await answer_of(reader)
        writer.close()
        return status
    return 0


BAD: dict[str, dict[Client, int]] = {
    "100 bodies that trickle": {bad.trickled_body: 100},
    "16 bodies that never end": {bad.endless_body: 16},
    "500 connections": {bad.kept_connection: 500},
    "30 try-ons whose URLs drip": {bad.dripping_source: 30},
    "products and try-ons, without a pause": {bad.product: 4, bad.try_on: 4},
    "the costliest photos, 8 at a time": {bad.costly_upload: 8},
}
STRANGERS: dict[str, dict[Client, int]] = {
    "5,000 silent and slow connections": {bad.silent: 2500, bad.slow_headers: 2500},
    "1,000 connections with wrong keys": {bad.wrong_keys: 1000},
    "50 header floods": {bad.header_flood: 50},
}


def one_bad_account(quick: bool) -> Iterator[Row]:
    """One key does each kind of harm in turn."""
    measuring = Measuring(quick)
    with shop() as place:
        for name, clients in BAD.items():
            alone = measuring.alone(place)
            beside = measuring.beside(place, clients, place.a)
            yield from measuring.compared(name, alone, beside, 3, 2)


def strangers(quick: bool) -> Iterator[Row]:
    """Nobody of them has a key; health is asked for all the time."""
    measuring = Measuring(quick)
    with shop() as place:
        for name, clients in STRANGERS.items():
            alone = measuring.alone(place)
            health = Watched(lambda: unhealthy(place))
            with health:
                beside = measuring.beside(place, clients, Target(place.b.port))
            began = time.perf_counter()
            status, _ = asyncio.run(answered(place.b, head(place.b, "GET", f"/images/{place.b.image_id}")))
            recovered = time.perf_counter() - began if status == 200 else float("inf")
            yield from measuring.compared(name, alone, beside, 2, 2)
            yield Row(name, "health: longest answer, s", 3, health.value)
            yield Row(name, "first answer afterwards, s", 1, recovered)


def unhealthy(place: Shop) -> float:
    """Seconds that live and ready took, both of the port for metrics; infinite when one of them does not say well."""
    began = time.perf_counter()
    for path in ("live", "ready"):
        try:
            well = httpx.get(f"http://127.0.0.1:{place.metrics_port}/health/{path}", timeout=10).is_success
        except httpx.TransportError:
            well = False
        if not well:
            return float("inf")
    return time.perf_counter() - began


SCENARIOS: dict[str, Callable[[bool], Iterator[Row]]] = {
    "phones": phones,
    "bad": one_bad_account,
    "strangers": strangers,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="fewer phones, and fewer requests for each figure")
    parser.add_argument("--write", action="store_true", help=f"put the table into {REPORT}")
    options = parser.parse_args()
    quick = " --quick" if options.quick else ""
    lines = [
        f"`make bench-fair{quick}` on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load before it "
        f"{os.getloadavg()[0]:.1f}; bad clients on the same machine, at a lower priority.",
        "",
        "| who does what | figure | has to be | is |",
        "| --- | --- | --- | --- |",
    ]
    print("\n".join(lines), flush=True)
    all_hold = True
    for name in options.only:
        for row in SCENARIOS[name](options.quick):
            print(row.line(), flush=True)
            lines.append(row.line())
            all_hold &= row.holds
    if options.write:
        kept = REPORT.read_text().partition(HEADING)[0].rstrip()
        REPORT.write_text("\n".join([kept, "", HEADING, "", *lines, ""]))
    sys.exit(not all_hold)


if __name__ == "__main__":
    main()
