"""Migrations of a database that is in use, by one version of the code while another serves."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.migrate import Migrator, alembic_config, revisions
from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from domain.errors import Overloaded
from domain.image import ImageId
from tests.builders import ACME, NOON, a_customer, an_account
from tests.postgres import PostgresServer

IMAGE = """
INSERT INTO images (id, account_id, customer_id, state, keep_for_days, created_at, due_at, photo)
VALUES ('img_1', 'acc_acme', 'somebody', 'stored', 7, '2026-11-22 12:00:00', '2026-11-29 12:00:00', :photo)
"""
ACCOUNT = """
INSERT INTO accounts (id, name, default_keep_for_days, is_active, erasure_epoch, created_at)
VALUES ('acc_acme', 'acc_acme', 7, true, 0, '2026-11-22 12:00:00')
"""
PHOTO = (
    '{"size":{"width":1600,"height":2000},"size_bytes":9,"source_format":"JPEG",'
    '"source_size":{"width":3024,"height":4032},"crop":null,"person":null,"warnings":[]}'
)


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(f"sqlite+aiosqlite:///{tmp_path}/tryon.db")
    yield engine
    await engine.dispose()


@pytest.fixture
async def postgres(postgres_server: PostgresServer) -> AsyncIterator[AsyncEngine]:
    await postgres_server.execute("CREATE DATABASE tryon_empty")
    engine = create_engine(postgres_server.url("tryon_empty"))
    yield engine
    await engine.dispose()
    await postgres_server.execute("DROP DATABASE tryon_empty WITH (FORCE)")


async def migrate_to(engine: AsyncEngine, revision: str) -> None:
    def upgrade(connection: Connection) -> None:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    async with engine.begin() as connection:
        await connection.run_sync(upgrade)


async def rows_survive(engine: AsyncEngine, revision: str) -> None:
    await migrate_to(engine, revision)
    async with engine.begin() as connection:
        await connection.execute(text(ACCOUNT))
        await connection.execute(text(IMAGE), {"photo": PHOTO})
    assert await Migrator(engine).upgrade() == revisions()[0]
    work = SqlUnitOfWork(engine)
    await work.check()
    async with work.read() as repositories:
        assert await repositories.accounts.find(ACME) == an_account(ACME)
        image = await repositories.images.find(ImageId("img_1"), ACME)
    assert image is not None
    assert image.photo is not None
    assert (image.customer, image.created_at, image.photo.size_bytes) == (a_customer("somebody"), NOON, 9)


@pytest.mark.parametrize("revision", revisions())
async def test_rows_of_every_version_survive_the_upgrade_on_postgresql(postgres: AsyncEngine, revision: str) -> None:
    await rows_survive(postgres, revision)


@pytest.mark.parametrize("revision", revisions())
async def test_rows_of_every_version_survive_the_upgrade_on_sqlite(sqlite: AsyncEngine, revision: str) -> None:
    await rows_survive(sqlite, revision)


async def test_an_older_version_serves_on_while_a_newer_one_has_migrated(postgres: AsyncEngine) -> None:
    work, migrator = SqlUnitOfWork(postgres), Migrator(postgres)
    with pytest.raises(Overloaded, match="tryon-images db upgrade"):
        await work.check()
    await migrator.upgrade()
    async with postgres.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await work.check()
    assert await migrator.upgrade() == "9999"


async def test_replicas_that_start_together_migrate_once(
    postgres: AsyncEngine, postgres_server: PostgresServer
) -> None:
    replicas = [create_engine(postgres_server.url("tryon_empty")) for _ in range(4)]
    assert set(await asyncio.gather(*(Migrator(engine).upgrade() for engine in replicas))) == {revisions()[0]}
    await SqlUnitOfWork(postgres).check()


async def test_a_database_out_of_reach_is_an_outage(tmp_path: Path) -> None:
    engine = create_engine(f"postgresql+asyncpg://nobody@/nothing?host={tmp_path}")
    with pytest.raises(Overloaded):
        await Migrator(engine).upgrade()
