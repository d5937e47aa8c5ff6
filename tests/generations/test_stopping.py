"""SIGTERM for servers and workers in the middle of a generation, also while the database is gone or silent."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from adapters.sql.schema import generations
from adapters.sql.unit_of_work import create_engine
from entrypoints.cli.serve import STOP_SECONDS
from entrypoints.server.process import SHUTDOWN_SECONDS
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.durability.running_server import a_nursery
from tests.generations.test_shared_work import a_worker, given_jobs, rows
from tests.http.conftest import a_jpeg
from tests.patience import PATIENCE_SECONDS, until
from tests.try_on.fake_model import Answer, FakeModel, a_prediction, running

LONG_SECONDS = 300


class Wire:
    """A TCP port in front of PostgreSQL that can be cut, or left open and silent."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._is_silent = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []
        self._copies: set[asyncio.Task[None]] = set()
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_unix_connection(self._socket_path)
        self._writers += [writer, to_there]
        for source, target in ((reader, to_there), (there, writer)):
            copy = asyncio.create_task(self._copy(source, target))
            self._copies.add(copy)

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while (data := await source.read(65536)) and not self._is_silent.is_set():
                target.write(data)
            if not self._is_silent.is_set():
                target.close()

    def fall_silent(self) -> None:
        self._is_silent.set()

    def cut(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def a_wire(postgres_url: str) -> AsyncIterator[tuple[Wire, str]]:
    """Yields: the wire, and the URL of the database behind it."""
    url = make_url(postgres_url)
    wire = Wire(f"{url.query['host']}/.s.PGSQL.5432")
    await wire.open()
    try:
        yield wire, f"postgresql+asyncpg://{url.username}@127.0.0.1:{wire.port}/{url.database}"
    finally:
        wire.cut()
        for copy in wire._copies:
            copy.cancel()


async def given_one_job(postgres_url: str, folder: Path) -> None:
    container = Container(settings=Settings(database_url=postgres_url, data_dir=folder))
    await given_jobs(container, 1)
    await container.engine().dispose()


async def until_asked(model: FakeModel, lives: Callable[[], bool]) -> None:
    async def is_asked() -> bool:
        assert lives()
        return bool(model.requests)

    await until(is_asked)


def a_slow_model() -> Answer:
    return Answer(body=a_prediction(a_jpeg(20, 25)).body, delay_seconds=LONG_SECONDS)


def settings_for(database_url: str, model: FakeModel, folder: Path) -> dict[str, str]:
    return {
        "TRYON_DATABASE_URL": database_url,
        "TRYON_DATA_DIR": str(folder),
        "TRYON_ENGINE": "http",
        "TRYON_ENGINE_URL": model.url,
        "TRYON_ENGINE_TIMEOUT_SECONDS": str(LONG_SECONDS),
        "TRYON_SIGNING_KEY": "s" * 32,
        "TRYON_PSEUDONYM_KEY": "p" * 32,
    }


async def test_a_worker_that_is_stopped_hands_its_work_back_before_it_ends(postgres_url: str, tmp_path: Path) -> None:
    engine = create_engine(postgres_url)
    with running(a_slow_model()) as model:
        await given_one_job(postgres_url, tmp_path)
        process = a_worker(settings_for(postgres_url, model, tmp_path))
        try:
            await until_asked(model, lambda: process.poll() is None)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, PATIENCE_SECONDS) == 0
        finally:
            process.kill()
            process.wait()
    (row,) = await rows(engine, generations.c.status, generations.c.attempts, generations.c.lease_id)
    assert (row.status, row.attempts, row.lease_id) == ("PENDING", 0, None)
    await engine.dispose()


@pytest.mark.parametrize("fault", [Wire.cut, Wire.fall_silent])
async def test_a_worker_stops_in_time_without_its_database(
    postgres_url: str, tmp_path: Path, fault: Callable[[Wire], None]
) -> None:
    with running(a_slow_model()) as model:
        async with a_wire(postgres_url) as (wire, wired_url):
            await given_one_job(postgres_url, tmp_path)
            process = a_worker(settings_for(wired_url, model, tmp_path))
            try:
                await until_asked(model, lambda: process.poll() is None)
                fault(wire)
                process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait, 3 * STOP_SECONDS + PATIENCE_SECONDS) == 0
            finally:
                process.kill()
                process.wait()


def is_there(group: int) -> bool:
    with suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False


@pytest.mark.parametrize("fault", [Wire.cut, Wire.fall_silent])
async def test_a_server_stops_in_time_without_its_database(
    postgres_url: str, tmp_path: Path, fault: Callable[[Wire], None]
) -> None:
    with running(a_slow_model()) as model:
        async with a_wire(postgres_url) as (wire, wired_url):
            await given_one_job(postgres_url, tmp_path)
            async with a_nursery(tmp_path, **settings_for(wired_url, model, tmp_path)) as nursery:
                await nursery.start()
                await until_asked(model, lambda: is_there(nursery.group))
                fault(wire)
                os.kill(nursery.group, signal.SIGTERM)
                deadline = time.monotonic() + SHUTDOWN_SECONDS + PATIENCE_SECONDS
                while is_there(nursery.group):
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.1)
                nursery.group = 0
