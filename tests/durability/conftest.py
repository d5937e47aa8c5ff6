"""The service's ports on every kind of adapter that a fault can hit."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from adapters.memory.surroundings import InMemoryObjectStore
from adapters.object_storage.folder import FolderObjectStore
from adapters.sql import engines
from adapters.sql.migrate import Migrator
from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from tests.builders import MovableClock, a_database_with_accounts, an_account
from tests.durability.world import World
from tests.patience import PATIENCE_SECONDS

MakeWorld = Callable[[], AbstractAsyncContextManager[World]]


@pytest.fixture(scope="session")
def sqlite_with_account(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy: migrating takes a hundred times longer than copying."""
    path = tmp_path_factory.mktemp("sqlite") / "tryon.db"

    async def prepare() -> None:
        engine = create_engine(f"sqlite+aiosqlite:///{path}")
        await Migrator(engine).upgrade()
        async with SqlUnitOfWork(engine).begin() as repositories:
            await repositories.accounts.add(an_account())
        await engine.dispose()

    asyncio.run(prepare())
    return path


class BucketInMemory(InMemoryObjectStore):
    """With the lifecycle rules that a bucket has, at a time of its own."""

    def __init__(self, clock: MovableClock) -> None:
        super().__init__()
        self._clock = clock
        self._put_at: dict[str, datetime] = {}

    async def put(self, name: str, data: bytes) -> None:
        await super().put(name, data)
        self._put_at[name] = self._clock.now()

    async def sweep(self, now: datetime) -> None:
        outlived = [name for name, put_at in self._put_at.items() if put_at + lifetime_of(name) < now]
        await self.delete(outlived)


class FolderAtAnotherTime(FolderObjectStore):
    """Its files are as old as the model's clock says."""

    def __init__(self, root: Path, clock: MovableClock) -> None:
        super().__init__(root)
        self._here, self._clock = root, clock

    async def put(self, name: str, data: bytes) -> None:
        await super().put(name, data)
        with suppress(FileNotFoundError):  # deleted already
            os.utime(self._here / name, (self._clock.now().timestamp(),) * 2)


def lifetime_of(name: str) -> timedelta:
    return timedelta(days=int(name.removeprefix("ttl-").partition("d/")[0]) + 1)


@asynccontextmanager
async def world_in_memory() -> AsyncIterator[World]:
    clock = MovableClock()
    yield World(await a_database_with_accounts(), BucketInMemory(clock), clock)


def worlds_on_disk(template: Path, folder: Path) -> MakeWorld:
    """Each has a database and a folder of objects of its own."""
    numbers = iter(range(1_000_000))

    @asynccontextmanager
    async def make() -> AsyncIterator[World]:
        here = folder / str(next(numbers))
        here.mkdir()
        shutil.copyfile(template, here / "tryon.db")
        with pytest.MonkeyPatch.context() as patch:  # the machine may be slow, and that is no outage here
            patch.setattr(engines, "BUSY_SECONDS", PATIENCE_SECONDS)
            engine = create_engine(f"sqlite+aiosqlite:///{here}/tryon.db", statement_seconds=int(PATIENCE_SECONDS))
        try:
            clock = MovableClock()
            yield World(SqlUnitOfWork(engine), FolderAtAnotherTime(here / "objects", clock), clock)
        finally:
            await engine.dispose()
            shutil.rmtree(here)

    return make


@pytest.fixture(params=["memory", "sqlite"])
def make_world(request: pytest.FixtureRequest, tmp_path: Path) -> MakeWorld:
    if request.param == "memory":
        return world_in_memory
    return worlds_on_disk(request.getfixturevalue("sqlite_with_account"), tmp_path)
