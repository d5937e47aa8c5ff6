"""Full disks, read-only disks and databases: refused as `Overloaded`, nothing half done, over by itself."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from adapters.object_storage.folder import FolderObjectStore
from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from domain.errors import Overloaded
from tests.builders import a_customer, a_database_with_accounts
from tests.durability.conftest import worlds_on_disk
from tests.durability.world import World


async def upload_until_full(world: World) -> None:
    for number in range(200):
        await world.upload(b"photo", customer=a_customer(f"customer {number} " + "x" * 200))


async def set_pragma(work: SqlUnitOfWork, pragma: str) -> None:
    """On the one connection that writes."""
    async with work._engine.begin() as connection:
        await connection.execute(text(f"PRAGMA {pragma}"))


async def test_a_full_disk_under_the_database_is_an_outage_that_passes(
    sqlite_with_account: Path, tmp_path: Path
) -> None:
    async with worlds_on_disk(sqlite_with_account, tmp_path)() as world:
        assert isinstance(world.work, SqlUnitOfWork)
        await set_pragma(world.work, "max_page_count = 1")  # as many as there are
        with pytest.raises(Overloaded):
            await upload_until_full(world)
        await set_pragma(world.work, "max_page_count = 1000000")
        await world.upload(b"photo")
        await world.recover()
        await world.assert_nothing_is_left_behind()


async def test_a_read_only_database_is_an_outage(sqlite_with_account: Path, tmp_path: Path) -> None:
    copy = tmp_path / "tryon.db"
    shutil.copyfile(sqlite_with_account, copy)
    engine = create_engine(f"sqlite+aiosqlite:///{copy}")
    work = SqlUnitOfWork(engine)
    await set_pragma(work, "query_only = ON")
    world = World(work, FolderObjectStore(tmp_path / "objects"))
    with pytest.raises(Overloaded):
        await world.upload(b"photo")
    await engine.dispose()


async def test_storage_that_is_gone_is_an_outage_that_passes(tmp_path: Path) -> None:
    root = tmp_path / "objects"
    world = World(await a_database_with_accounts(), FolderObjectStore(root))
    kept = await world.upload(b"kept", customer=a_customer())
    root.rename(tmp_path / "unplugged")
    root.write_bytes(b"no folder")
    with pytest.raises(Overloaded):
        await world.upload(b"photo")
    outcome = await world.erase(a_customer())
    assert outcome.bytes_left == 1
    assert (await world.purge()).removed == 0
    root.unlink()
    (tmp_path / "unplugged").rename(root)
    assert await world.bytes_of(kept.image.image_id) is None
    await world.recover()
    assert await world.assert_nothing_is_left_behind() == set()


async def test_one_object_that_cannot_be_deleted_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    world = World(await a_database_with_accounts(), FolderObjectStore(tmp_path))
    images = [(await world.upload(b"photo", keep_for_days=1)).image for _ in range(3)]
    stubborn = tmp_path / images[1].object_name
    stubborn.unlink()
    stubborn.mkdir()
    world.clock.advance(days=1)
    report = await world.purge()
    assert (report.removed, report.left_for_later, report.is_stuck) == (2, 1, False)
    stubborn.rmdir()
    await world.recover()
    assert await world.assert_nothing_is_left_behind() == set()


async def test_a_database_that_is_shut_down_is_an_outage(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    work = SqlUnitOfWork(engine)

    async def lose_the_connection() -> None:
        async with work.begin() as repositories:
            await repositories.accounts.list()
            async with engine.connect() as other:
                await other.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            await repositories.accounts.list()

    with pytest.raises(Overloaded):
        await lose_the_connection()
    async with work.begin() as repositories:
        assert await repositories.accounts.list() == ()
    await engine.dispose()
