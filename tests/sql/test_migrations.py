"""Migrations of a database that is in use, by one version of the code while another serves."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.memory.surroundings import InMemoryObjectStore
from adapters.sql.migrate import Migrator, alembic_config, revisions
from adapters.sql.outages import OutagesAsOverloaded
from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from domain.errors import Overloaded
from domain.image import ImageId
from tests.builders import ACME, NOON, PSEUDONYMS, a_customer, an_account
from tests.durability.world import World
from tests.postgres import PostgresServer
from tests.raw_files import files_with

IMAGE = """
INSERT INTO images (id, account_id, customer_id, state, keep_for_days, created_at, due_at, photo)
VALUES ('img_1', 'acc_acme', 'somebody', 'stored', 7, '2026-11-22 12:00:00', '2026-11-29 12:00:00', :photo)
"""
ACCOUNT = """
INSERT INTO accounts (id, name, default_keep_for_days, is_active, erasure_epoch, created_at)
VALUES ('acc_acme', 'acc_acme', 7, true, 0, '2026-11-22 12:00:00')
"""
GENERATION = """
INSERT INTO generations (id, account_id, status, customer_id, person_image_id, garment_image_ids, keep_for_days,
    attempts, created_at, updated_at, due_at)
VALUES ('gen_1', 'acc_acme', 'PENDING', 'somebody', 'img_1', '[]', 7, 0,
    '2026-11-22 12:00:00', '2026-11-22 12:00:00', '2026-11-22 12:00:00')
"""
REQUEST = """
INSERT INTO idempotency_keys (account_id, key_digest, fingerprint, customer_id, due_at)
VALUES ('acc_acme', :key, :fingerprint, :customer, '2026-11-22 12:00:00')
"""
TOMBSTONE = """
INSERT INTO tombstones (erasure_id, account_id, epoch, salt, digest, expires_at)
VALUES ('era_1', 'acc_acme', 1, 'salt', 'digest', '2026-11-22 12:00:00')
"""
MANY_IMAGES = """
INSERT INTO images (id, account_id, customer_id, state, keep_for_days, created_at, due_at)
SELECT 'img_' || n, 'acc_acme', 'customer-' || n % 7, 'stored', 7, '2026-11-22 12:00:00', '2026-11-29 12:00:00'
FROM generate_series(1, 10001) AS n
"""
PHOTO = (
    '{"size":{"width":1600,"height":2000},"size_bytes":9,"source_format":"JPEG",'
    '"source_size":{"width":3024,"height":4032},"crop":null,"person":null,"warnings":[]}'
)


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    await asyncio.to_thread((tmp_path / "tryon.db").touch)
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
    assert await Migrator(engine, PSEUDONYMS).upgrade() == revisions()[0]
    work = SqlUnitOfWork(engine)
    await work.check()
    async with work.read() as repositories:
        assert await repositories.accounts.find(ACME) == an_account(ACME)
        image = await repositories.images.find(ImageId("img_1"), ACME)
    assert image is not None
    assert image.photo is not None
    assert image.customer is not None
    assert image.customer.is_same(a_customer("somebody"))
    assert (image.created_at, image.photo.size_bytes) == (NOON, 9)


@pytest.mark.parametrize("revision", revisions())
async def test_rows_of_every_version_survive_the_upgrade_on_postgresql(postgres: AsyncEngine, revision: str) -> None:
    await rows_survive(postgres, revision)


@pytest.mark.parametrize("revision", revisions())
async def test_rows_of_every_version_survive_the_upgrade_on_sqlite(sqlite: AsyncEngine, revision: str) -> None:
    await rows_survive(sqlite, revision)


async def ids_become_pseudonyms(engine: AsyncEngine) -> None:
    """What a row of the version before holds, and what is found by it afterwards."""
    await migrate_to(engine, "0007")
    plain = PSEUDONYMS.request(ACME, "key", b"request").others[-1]
    digests = {"key": plain.key_digest, "fingerprint": plain.fingerprint}
    async with engine.begin() as connection:
        await connection.execute(text(ACCOUNT))
        await connection.execute(text(IMAGE), {"photo": PHOTO})
        await connection.execute(text("UPDATE images SET key_digest = :key, fingerprint = :fingerprint"), digests)
        await connection.execute(text(GENERATION))
        await connection.execute(text(REQUEST), digests | {"customer": "somebody"})
        await connection.execute(text(REQUEST), {"key": b"checks", "fingerprint": b"", "customer": None})
    await Migrator(engine, PSEUDONYMS).upgrade()
    somebody, record = a_customer("somebody"), PSEUDONYMS.request(ACME, "key", b"request")
    async with engine.begin() as connection:
        for table in ("images", "generations", "idempotency_keys"):
            kept = await connection.scalars(text(f"SELECT customer_id FROM {table} WHERE customer_id IS NOT NULL"))
            assert list(kept) == [somebody.pseudonym], table
        for table in ("images", "idempotency_keys"):
            rows = await connection.execute(text(f"SELECT key_digest, fingerprint FROM {table} ORDER BY key_digest"))
            assert (record.key_digest, record.fingerprint) in [tuple(map(bytes, row)) for row in rows], table
        checks = text("SELECT count(*) FROM idempotency_keys WHERE key_digest = :key")
        assert await connection.scalar(checks, {"key": b"checks"}) == 1


async def test_ids_become_pseudonyms_on_postgresql(postgres: AsyncEngine) -> None:
    await ids_become_pseudonyms(postgres)


async def test_ids_become_pseudonyms_on_sqlite_and_leave_its_files(sqlite: AsyncEngine, tmp_path: Path) -> None:
    await ids_become_pseudonyms(sqlite)
    assert files_with(tmp_path, "somebody") == []


async def test_ids_are_not_converted_without_a_key(sqlite: AsyncEngine) -> None:
    await migrate_to(sqlite, "0007")
    async with sqlite.begin() as connection:
        await connection.execute(text(ACCOUNT))
        await connection.execute(text(IMAGE), {"photo": PHOTO})
    with pytest.raises(RuntimeError, match="TRYON_PSEUDONYM_KEY is needed to convert them"):
        await Migrator(sqlite).upgrade()
    assert await Migrator(sqlite, PSEUDONYMS).upgrade() == revisions()[0]


async def test_more_rows_than_one_batch_are_converted(postgres: AsyncEngine) -> None:
    await migrate_to(postgres, "0007")
    async with postgres.begin() as connection:
        await connection.execute(text(ACCOUNT))
        await connection.execute(text(MANY_IMAGES))
    await Migrator(postgres, PSEUDONYMS).upgrade()
    async with postgres.begin() as connection:
        left = await connection.scalar(text("SELECT count(*) FROM images WHERE customer_id LIKE 'customer-%'"))
        people = await connection.scalar(text("SELECT count(DISTINCT customer_id) FROM images"))
    assert (left, people) == (0, 7)


async def test_an_erasure_by_the_version_before_is_an_outage_instead_of_a_false_success(postgres: AsyncEngine) -> None:
    await Migrator(postgres, PSEUDONYMS).upgrade()
    async with postgres.begin() as connection:
        await connection.execute(text(ACCOUNT))
    with pytest.raises(Overloaded), OutagesAsOverloaded():
        async with postgres.begin() as connection:
            await connection.execute(text(TOMBSTONE))


async def test_what_the_version_before_writes_meanwhile_is_erased_too(postgres: AsyncEngine) -> None:
    await Migrator(postgres, PSEUDONYMS).upgrade()
    async with postgres.begin() as connection:
        await connection.execute(text(ACCOUNT))
        await connection.execute(text(IMAGE), {"photo": PHOTO})
    world = World(SqlUnitOfWork(postgres), InMemoryObjectStore())
    assert (await world.erase(a_customer("somebody"))).images == 1


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


async def test_a_folder_that_cannot_be_made_is_an_outage_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    engine = create_engine(f"sqlite+aiosqlite:///{tmp_path}/data/tryon.db")
    with pytest.raises(Overloaded) as refused:
        await Migrator(engine).upgrade()
    assert refused.value.advice.startswith("The database file cannot be opened.")
