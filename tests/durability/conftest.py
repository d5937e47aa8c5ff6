"""The service's ports on every kind of adapter that a fault can hit."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from adapters.memory.object_store import InMemoryObjectStore
from adapters.object_storage.folder import FolderObjectStore
from adapters.sql.migrate import Migrator
from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from tests.builders import a_database_with_accounts, an_account
from tests.durability.world import World

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


@asynccontextmanager
async def world_in_memory() -> AsyncIterator[World]:
    yield World(await a_database_with_accounts(), InMemoryObjectStore())


def worlds_on_disk(template: Path, folder: Path) -> MakeWorld:
    """Each has a database and a folder of objects of its own."""
    numbers = iter(range(1_000_000))

    @asynccontextmanager
    async def make() -> AsyncIterator[World]:
        here = folder / str(next(numbers))
        here.mkdir()
        shutil.copyfile(template, here / "tryon.db")
        engine = create_engine(f"sqlite+aiosqlite:///{here}/tryon.db")
        try:
            yield World(SqlUnitOfWork(engine), FolderObjectStore(here / "objects"))
        finally:
            await engine.dispose()
            shutil.rmtree(here)

    return make


@pytest.fixture(params=["memory", "sqlite"])
def make_world(request: pytest.FixtureRequest, tmp_path: Path) -> MakeWorld:
    if request.param == "memory":
        return world_in_memory
    return worlds_on_disk(request.getfixturevalue("sqlite_with_account"), tmp_path)
