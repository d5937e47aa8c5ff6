"""Readiness while a part is away, full, hanging or wrong, and that the rest goes on."""

import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar.testing import TestClient
from prometheus_client import REGISTRY

from adapters.memory.surroundings import InMemoryObjectStore
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from adapters.telemetry import SHARED_FOLDER
from application.authenticate import DEFAULT_ACCOUNT
from entrypoints.http.app import create_app
from entrypoints.server.metrics_server import serve_metrics
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.builders import MovableClock
from tests.free_port import free_port
from tests.http.conftest import API, a_jpeg, account_with_key, an_in_process_processor
from tests.patience import PATIENCE_SECONDS, wait_until

ALL = ["uploads", "reads", "erasures"]


@contextmanager
def serving(tmp_path: Path, *, has_database: bool = True, **replaced: Any) -> Iterator[tuple[TestClient[Any], str]]:
    """The service on SQLite and a folder, with some of its parts `replaced`; and a key."""
    settings = replaced.pop("settings", Settings(data_dir=tmp_path, generations_at_once=0))
    container = Container(settings=settings, processor=an_in_process_processor(), **replaced)
    key = "gk_none"
    if has_database:
        if "work" not in replaced:
            asyncio.run(container.migrator().upgrade())
        key = asyncio.run(account_with_key(container, DEFAULT_ACCOUNT))
    with TestClient(create_app(container)) as client:
        yield client, key


def upload(client: TestClient[Any], key: str, **fields: str) -> Any:
    files = {"file": ("photo.jpg", a_jpeg(), "image/jpeg")}
    return client.post(f"{API}/images/upload", files=files, data=fields, headers={"x-api-key": key})


def readiness(client: TestClient[Any], key: str, works: list[str]) -> Any:
    """The answer, once it is no older than what the test did."""
    answers: list[Any] = []

    def is_so() -> bool:
        answers.append(client.get("/health/ready", headers={"x-api-key": key}))
        return bool(answers[-1].json()["works"] == works)

    wait_until(is_so)
    return answers[-1]


def test_without_storage_look_ups_and_erasures_go_on(tmp_path: Path) -> None:
    with serving(tmp_path) as (client, key):
        image_id = upload(client, key, externalUserId="anna").json()["imageId"]
        objects, unplugged = tmp_path / "objects", tmp_path / "unplugged"
        objects.rename(unplugged)
        answer = readiness(client, key, ["reads", "erasures"])
        assert answer.status_code == 200
        assert answer.json() == {"status": "ready", "works": ["reads", "erasures"], "failing": ["storage"]}
        for unknown in ("", "gk_wrong"):
            assert "failing" not in client.get("/health/ready", headers={"x-api-key": unknown}).json()
        assert upload(client, key).json()["code"] == "OVERLOADED"
        assert client.get(f"{API}/images/{image_id}", headers={"x-api-key": key}).status_code == 200
        erased = client.post(f"{API}/customers/erase", json={"customerId": "anna"}, headers={"x-api-key": key})
        assert (erased.status_code, erased.json()["imagesErased"]) == (202, 1)
        unplugged.rename(objects)
        readiness(client, key, ALL)


def test_a_database_that_only_reads_still_serves_look_ups(tmp_path: Path) -> None:
    with serving(tmp_path) as (client, key):
        image_id = upload(client, key).json()["imageId"]
        (tmp_path / "tryon.db").rename(tmp_path / "elsewhere.db")  # what is open can be read, and no writer gets in
        assert readiness(client, key, ["reads"]).status_code == 200
        assert client.get(f"{API}/images/{image_id}", headers={"x-api-key": key}).status_code == 200
        (tmp_path / "elsewhere.db").rename(tmp_path / "tryon.db")
        readiness(client, key, ALL)


def test_without_a_database_nothing_works(tmp_path: Path) -> None:
    nowhere = f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/none"
    settings = Settings(data_dir=tmp_path, database_url=nowhere, generations_at_once=0)
    with serving(tmp_path, has_database=False, settings=settings) as (client, key):
        answer = readiness(client, key, [])
        assert answer.status_code == 503
        assert answer.json() == {"status": "not ready", "works": [], "degraded": ["clock"]}


def test_below_the_reserve_of_disk_nothing_new_is_kept_and_everything_can_be_erased(tmp_path: Path) -> None:
    more_than_there_is = Settings(data_dir=tmp_path, disk_reserve_mb=10**9, generations_at_once=0)
    with serving(tmp_path) as (client, key):
        upload(client, key, externalUserId="anna")
        assert REGISTRY.get_sample_value("tryon_storage_reserve_ok") == 1
    container = Container(settings=more_than_there_is, processor=an_in_process_processor())
    with TestClient(create_app(container)) as client:
        readiness(client, key, ["reads", "erasures"])
        refused = upload(client, key)
        assert (refused.status_code, refused.json()["code"]) == (503, "OVERLOADED")
        assert int(refused.headers["retry-after"]) > 0
        assert REGISTRY.get_sample_value("tryon_storage_reserve_ok") == 0
        erased = client.post(f"{API}/customers/erase", json={"customerId": "anna"}, headers={"x-api-key": key})
        assert (erased.status_code, erased.json()["imagesErased"]) == (200, 1)


def test_a_clock_that_differs_from_the_databases_is_said_and_stops_nothing_but_the_purge(tmp_path: Path) -> None:
    clock = MovableClock()
    ahead = MovableClock()
    ahead.time = clock.time + timedelta(days=2)

    class DatabaseClock:
        async def now(self) -> Any:
            return ahead.time

    with serving(tmp_path, clock=clock, database_clock=DatabaseClock()) as (client, key):
        assert readiness(client, key, ALL).json() == {"status": "ready", "works": ALL, "degraded": ["clock"]}
        assert upload(client, key).status_code == 201


class HangingDatabase(InMemoryUnitOfWork):
    """A connection that is open and silent."""

    asked = 0

    async def check(self) -> None:
        self.asked += 1
        await asyncio.Event().wait()

    check_commits = check


class HangingStore(InMemoryObjectStore):
    """A network disk that is gone: the thread that writes to it cannot be stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.is_back = threading.Event()

    async def check(self) -> None:
        self.asked += 1
        await asyncio.to_thread(self.is_back.wait)


@pytest.mark.parametrize("many", [1, 50])
def test_a_database_that_hangs_is_told_in_time_by_one_probe(tmp_path: Path, many: int) -> None:
    work = HangingDatabase()
    with serving(tmp_path, work=work) as (client, _):
        for _ in range(many):
            began = time.monotonic()
            assert client.get("/health/ready").json()["works"] == []
            assert time.monotonic() - began < PATIENCE_SECONDS
    assert work.asked == 2  # whether it is there, and whether it can be written to


def test_storage_that_hangs_is_told_in_time_and_holds_one_thread(tmp_path: Path) -> None:
    store = HangingStore()
    try:
        with serving(tmp_path, objects=store) as (client, key):
            for _ in range(50):
                answer = client.get("/health/ready")
                assert (answer.status_code, answer.json()["works"]) == (200, ["reads", "erasures"])
            assert store.asked == 1
            assert client.get(f"{API}/images/img_1", headers={"x-api-key": key}).json()["code"] == "IMAGE_NOT_FOUND"
            store.is_back.set()
            readiness(client, key, ALL)
    finally:
        store.is_back.set()


def test_the_port_for_metrics_asks_past_the_main_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers may fill that one: here there is none at all."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:  # a socket's path is short
        monkeypatch.setenv(SHARED_FOLDER, folder)
        serve_metrics("127.0.0.1", port, Path(folder))
        with serving(tmp_path):
            live, ready = (httpx.get(f"http://127.0.0.1:{port}/health/{name}") for name in ("live", "ready"))
            assert (live.status_code, live.json()) == (200, {"status": "live"})
            assert (ready.status_code, ready.json()) == (200, {"status": "ready", "works": ALL})
        gone = httpx.get(f"http://127.0.0.1:{port}/health/live")
        assert (gone.status_code, gone.json()) == (503, {"status": "no answer"})
