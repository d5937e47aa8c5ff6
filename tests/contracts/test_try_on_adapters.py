"""Products and generations on every kind of database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.memory.unit_of_work import InMemoryUnitOfWork
from adapters.sql.migrate import Migrator
from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from tests.builders import a_database_with_accounts
from tests.contracts.test_adapters import with_accounts
from tests.contracts.try_on_repositories import TryOnRepositoriesContract


class TestInMemory(TryOnRepositoriesContract):
    @pytest.fixture
    async def work(self) -> InMemoryUnitOfWork:
        return await a_database_with_accounts()


class TestSqlite(TryOnRepositoriesContract):
    @pytest.fixture
    async def work(self, tmp_path: Path) -> AsyncIterator[SqlUnitOfWork]:
        engine = create_engine(f"sqlite+aiosqlite:///{tmp_path}/tryon.db")
        await Migrator(engine).upgrade()
        yield await with_accounts(engine)
        await engine.dispose()


class TestPostgres(TryOnRepositoriesContract):
    @pytest.fixture
    async def work(self, postgres_url: str) -> AsyncIterator[SqlUnitOfWork]:
        engine = create_engine(postgres_url)
        yield await with_accounts(engine)
        await engine.dispose()
