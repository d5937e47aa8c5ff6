"""Try-ons of one account behind hundreds of another's, and those of workers that are stopped or killed."""

import asyncio
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tests.benchmarks.fair_attacks import API, Target
from tests.benchmarks.fair_shop import Row, Shop, shop, small_photo
from tests.benchmarks.server_process import OURS
from tests.postgres import running_postgres
from tests.try_on.fake_model import Answer, FakeModel, a_prediction, running

ENGINE_SECONDS = 2.0
LONG_SECONDS = 120.0
PATIENCE_SECONDS = 60.0


def generations(quick: bool) -> Iterator[Row]:
    """On SQLite, where the server does the work, and on PostgreSQL with two workers."""
    many = 50 if quick else 200
    with an_engine(many) as (_, settings), shop(**settings, TRYON_MAX_WAITING_TRY_ONS=str(many)) as place:
        yield started_behind("SQLite, the server", place, many)
    with a_database() as database, ExitStack() as running_workers:
        model, settings = running_workers.enter_context(an_engine(many))
        settings |= database
        place = running_workers.enter_context(
            shop(**settings, TRYON_GENERATIONS_AT_ONCE="0", TRYON_MAX_WAITING_TRY_ONS=str(many))
        )
        for _ in range(2):
            running_workers.enter_context(a_worker(settings | objects_of(place)))
        yield started_behind("PostgreSQL, two workers", place, many)
    for how, number, limit in (("stopped", signal.SIGTERM, 5), ("killed", signal.SIGKILL, 30)):
        with a_database() as database, an_engine(2, LONG_SECONDS) as (model, settings):
            yield taken_over(f"a worker that is {how}", settings | database, model, number, limit)


@contextmanager
def an_engine(many: int, seconds: float = ENGINE_SECONDS) -> Iterator[tuple[FakeModel, dict[str, str]]]:
    """A model that takes its time, and the settings by which it is asked."""
    answer = Answer(body=a_prediction(small_photo()).body, delay_seconds=seconds)
    with running(*[answer] * (3 * many)) as model:
        yield model, {"TRYON_ENGINE": "http", "TRYON_ENGINE_URL": model.url, "TRYON_RATE_LIMIT_PER_MINUTE": "0"}


@contextmanager
def a_database() -> Iterator[dict[str, str]]:
    with running_postgres() as server:
        asyncio.run(server.execute("CREATE DATABASE fair"))
        asyncio.run(server.migrate("fair"))
        yield {
            "TRYON_DATABASE_URL": server.url("fair"),
            "TRYON_SIGNING_KEY": "s" * 32,
            "TRYON_PSEUDONYM_KEY": "p" * 32,
        }


@contextmanager
def a_worker(settings: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRYON_")} | settings
        command = [str(OURS), "worker", "--at-once", "2"]
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def start(client: httpx.Client, target: Target) -> str:
    source = {"source": {"id": target.image_id}}
    body = {"products": [{"externalId": "shirt", "images": [source]}], "person": {"image": source}}
    answer = client.post(url_of(target, "/try-on"), json=body, headers={"x-api-key": target.key})
    return str(answer.raise_for_status().json()["generationId"])


def objects_of(place: Shop) -> dict[str, str]:
    return {"TRYON_STORAGE_URL": f"file://{place.folder / 'objects'}"}


def url_of(target: Target, path: str) -> str:
    return f"http://127.0.0.1:{target.port}{API}{path}"


def seconds_until(is_so: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > PATIENCE_SECONDS:
            return float("inf")
        time.sleep(0.05)
    return time.monotonic() - began


def started_behind(where: str, place: Shop, many: int) -> Row:
    """B's one try-on behind A's many, of which the workers are full."""
    with httpx.Client(timeout=60) as client:

        def status(target: Target, generation_id: str) -> str:
            answer = client.get(url_of(target, f"/generations/{generation_id}"), headers={"x-api-key": target.key})
            return str(json.loads(answer.content)["status"])

        first, *_ = [start(client, place.a) for _ in range(many)]
        seconds_until(lambda: status(place.a, first) != "PENDING")
        only = start(client, place.b)
        seconds = seconds_until(lambda: status(place.b, only) != "PENDING")
    what = f"B's try-on starts, in engine times of {ENGINE_SECONDS:g} s"
    return Row(f"{many} try-ons of A wait: {where}", what, 2, seconds / ENGINE_SECONDS)


def taken_over(what: str, settings: dict[str, str], model: FakeModel, number: int, limit: float) -> Row:
    """The engine is asked again, by another worker."""
    with shop(**settings, TRYON_GENERATIONS_AT_ONCE="0") as place, httpx.Client(timeout=60) as client:
        shared = settings | objects_of(place)
        with a_worker(shared) as first:
            start(client, place.a)
            seconds_until(lambda: len(model.requests) == 1)
            with a_worker(shared):
                time.sleep(5)  # it looks for work by now
                first.send_signal(number)
                seconds = seconds_until(lambda: len(model.requests) == 2)
    return Row(what, "seconds until another one is at its work", limit, seconds)
