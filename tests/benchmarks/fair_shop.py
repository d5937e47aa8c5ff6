"""A shop under measurement: a server, two accounts of it, and what one well-behaved client sees."""

import asyncio
import math
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from application.authenticate import DEFAULT_ACCOUNT
from domain.account import RetentionPolicy
from entrypoints.wiring.container import Container
from entrypoints.wiring.environment import load_settings
from tests import photos
from tests.benchmarks.fair_attacks import API, Target, answer_of, connect, head
from tests.benchmarks.keep_alive import post_file
from tests.benchmarks.photos import scene
from tests.benchmarks.server_process import KEY, Tree, running_server
from tests.free_port import free_port

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Row:
    """One figure, what it has to be at most (or `at_least`; infinity where nothing was promised), and whether it is."""

    scenario: str
    figure: str
    limit: float
    value: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def line(self) -> str:
        limit = f"{'≥' if self.at_least else '≤'} {self.limit:g}" if math.isfinite(self.limit) else ""
        value = f"{self.value:,.0f}" if self.value >= 100 else f"{self.value:.3g}"
        verdict = "" if self.holds else " **missed**"
        return f"| {self.scenario} | {self.figure} | {limit} | {value}{verdict} |"


@dataclass(frozen=True)
class Shop:
    """A server and two accounts of it: A behaves badly, B is who must not notice."""

    tree: Tree
    a: Target
    b: Target
    metrics_port: int
    folder: Path


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
    """Uploads, and forty times as many look-ups, one after the other: one in twenty of these meets a busy core."""
    upload = post_file(f"{API}/images/upload", target.key, photo)
    look_up = head(target, "GET", f"/images/{target.image_id}")
    seen = Figures([], [])
    for _ in range(uploads):
        seen.uploads.append(await answered(target, upload))
        seen.look_ups.extend([await answered(target, look_up) for _ in range(40)])
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
            yield Shop(tree, a, b, metrics_port, Path(folder))


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
