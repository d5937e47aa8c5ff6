"""Every adapter of a port keeps the same contract."""

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.memory.surroundings import InMemoryObjectStore
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from adapters.object_storage.folder import FolderObjectStore
from adapters.object_storage.gcs import GcsObjectStore
from adapters.object_storage.gcs_bucket import GcsBucket
from adapters.sql.migrate import Migrator
from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from tests.builders import ACME, OTHER, a_database_with_accounts, an_account
from tests.contracts.object_store import ObjectStoreContract
from tests.contracts.unit_of_work import UnitOfWorkContract
from tests.object_storage.bucket_server import BUCKET, bucket_server
from tests.object_storage.emulator import fake_gcs_server


class TestInMemoryUnitOfWork(UnitOfWorkContract):
    @pytest.fixture
    async def work(self) -> InMemoryUnitOfWork:
        return await a_database_with_accounts()


async def with_accounts(engine: AsyncEngine) -> SqlUnitOfWork:
    work = SqlUnitOfWork(engine)
    async with work.begin() as repositories:
        await repositories.accounts.add(an_account(ACME))
        await repositories.accounts.add(an_account(OTHER))
    return work


class TestSqlUnitOfWorkOnSqlite(UnitOfWorkContract):
    @pytest.fixture
    async def work(self, tmp_path: Path) -> AsyncIterator[SqlUnitOfWork]:
        engine = create_engine(f"sqlite+aiosqlite:///{tmp_path}/tryon.db")
        await Migrator(engine).upgrade()
        yield await with_accounts(engine)
        await engine.dispose()


class TestSqlUnitOfWorkOnPostgres(UnitOfWorkContract):
    """One connection is enough: nobody takes a second one while holding the first."""

    @pytest.fixture
    async def work(self, postgres_url: str) -> AsyncIterator[SqlUnitOfWork]:
        engine = create_engine(postgres_url, pool_size=1, statement_seconds=5)
        yield await with_accounts(engine)
        await engine.dispose()


class TestInMemoryObjectStore(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> InMemoryObjectStore:
        return InMemoryObjectStore()


class TestFolderObjectStore(ObjectStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FolderObjectStore:
        return FolderObjectStore(tmp_path)


@pytest.fixture(scope="module")
def fake_gcs() -> Iterator[str]:
    with fake_gcs_server("photos") as url:
        yield url


class TestGcsObjectStoreOnFakeGcsServer(ObjectStoreContract):
    @pytest.fixture(params=["", "my shop/"])
    def store(self, fake_gcs: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> GcsObjectStore:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake_gcs)
        return GcsObjectStore(GcsBucket(f"gs://photos/{request.param}{secrets.token_hex(4)}"))


class TestGcsObjectStoreOnABucketThatKeepsConditions(ObjectStoreContract):
    @pytest.fixture(params=[None, (501, b"Not implemented")], ids=["batches", "single deletes"])
    def store(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsObjectStore]:
        with bucket_server() as (state, url):
            state.batch_answer = request.param
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
            yield GcsObjectStore(GcsBucket(f"gs://{BUCKET}"))
