"""The embedded database: writers in a line, none of them half, and a reader that waits for nobody."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.sql.engines import SqliteReader
from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from domain.account import KeyId
from domain.errors import Overloaded
from tests.patience import PATIENCE_SECONDS

INSERT = text("INSERT INTO photos VALUES (:id)")
COUNT = text("SELECT count(*) FROM photos")
COUNTING = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 1000000)"
SLOW = text(f"{COUNTING} SELECT sum(n) FROM numbers")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "photos.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE photos (id TEXT PRIMARY KEY)")
        connection.execute("CREATE TABLE faces (photo TEXT REFERENCES photos DEFERRABLE INITIALLY DEFERRED)")
    connection.close()
    return file


@pytest.fixture
async def engine(file: Path) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(f"sqlite+aiosqlite:///{file}", statement_seconds=5)
    yield engine
    await engine.dispose()


def kept(file: Path) -> list[str]:
    connection = sqlite3.connect(file)
    rows = [photo for (photo,) in connection.execute("SELECT id FROM photos ORDER BY rowid")]
    connection.close()
    return rows


async def insert(engine: AsyncEngine, photo: str) -> None:
    async with engine.begin() as transaction:
        await transaction.execute(INSERT, {"id": photo})


async def until_it_waits(task: "asyncio.Task[None]") -> None:
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert not task.done()


async def driver_of(transaction: AsyncConnection) -> Any:
    return (await transaction.get_raw_connection()).driver_connection


async def test_transactions_stand_in_line_while_the_event_loop_turns(engine: AsyncEngine, file: Path) -> None:
    async with engine.begin() as first:
        others = [asyncio.create_task(insert(engine, photo)) for photo in ("two", "three")]
        await until_it_waits(others[0])
        await first.execute(INSERT, {"id": "one"})
    await asyncio.gather(*others)
    assert kept(file) == ["one", "two", "three"]


async def test_the_event_loop_turns_while_another_process_writes(engine: AsyncEngine, file: Path) -> None:
    somebody = sqlite3.connect(file, isolation_level=None)
    somebody.execute("BEGIN IMMEDIATE")
    ours = asyncio.create_task(insert(engine, "ours"))
    await until_it_waits(ours)
    somebody.execute("INSERT INTO photos VALUES ('theirs')")
    somebody.execute("COMMIT")
    await ours
    somebody.close()
    assert kept(file) == ["theirs", "ours"]


async def test_another_process_that_writes_for_too_long_is_an_outage(engine: AsyncEngine, file: Path) -> None:
    somebody = sqlite3.connect(file, isolation_level=None)
    somebody.execute("BEGIN IMMEDIATE")
    with pytest.raises(Overloaded):
        async with SqlUnitOfWork(engine).begin():
            pass
    somebody.execute("ROLLBACK")
    somebody.close()
    await insert(engine, "ours")
    assert kept(file) == ["ours"]


async def test_who_gives_up_in_the_line_leaves_the_line_in_order(engine: AsyncEngine, file: Path) -> None:
    async with engine.begin() as first:
        impatient, patient = (asyncio.create_task(insert(engine, photo)) for photo in ("impatient", "patient"))
        await until_it_waits(impatient)
        impatient.cancel()
        await until_it_waits(patient)
        await first.execute(INSERT, {"id": "first"})
    await patient
    assert kept(file) == ["first", "patient"]


@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.05])
async def test_of_a_transaction_that_is_cancelled_nothing_is_kept(
    engine: AsyncEngine, file: Path, seconds: float
) -> None:
    async def insert_and_count() -> None:
        async with engine.begin() as transaction:
            await transaction.execute(INSERT, {"id": "cancelled"})
            await transaction.execute(SLOW)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await insert_and_count()
    await insert(engine, "next")
    assert kept(file) == ["next"]


async def test_a_commit_that_fails_leaves_nothing_open(engine: AsyncEngine, file: Path) -> None:
    async def insert_a_face_of_nobody() -> None:
        async with engine.begin() as transaction:
            await transaction.execute(INSERT, {"id": "one"})
            await transaction.execute(text("INSERT INTO faces VALUES ('nobody')"))

    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        await insert_a_face_of_nobody()
    await insert(engine, "next")
    assert kept(file) == ["next"]


async def test_a_rollback_that_fails_leaves_nothing_to_the_next_in_line(engine: AsyncEngine, file: Path) -> None:
    def refuse(action: int, *_: object) -> int:
        return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION else sqlite3.SQLITE_OK

    async def insert_and_raise() -> None:
        async with engine.begin() as transaction:
            await transaction.execute(INSERT, {"id": "lost"})
            await (await driver_of(transaction)).set_authorizer(refuse)
            raise RuntimeError("on purpose")

    with pytest.raises(DBAPIError, match="not authorized"):
        await insert_and_raise()
    await insert(engine, "next")
    assert kept(file) == ["next"]


async def test_threads_that_wait_for_storage_hold_up_no_commit(engine: AsyncEngine, file: Path) -> None:
    storage_answers = threading.Event()
    stuck = [asyncio.create_task(asyncio.to_thread(storage_answers.wait)) for _ in range(100)]
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await insert(engine, "photo")
    finally:
        storage_answers.set()
        await asyncio.gather(*stuck)
    assert kept(file) == ["photo"]


async def test_each_statement_of_the_reader_sees_what_was_committed_before_and_waits_for_no_writer(
    engine: AsyncEngine, file: Path
) -> None:
    reader = SqliteReader(file)
    assert await reader.scalar(COUNT) == 0
    async with engine.begin() as writer:
        await writer.execute(INSERT, {"id": "one"})
        assert await reader.scalar(COUNT) == 0
    assert await reader.scalar(COUNT) == 1
    reader.close()


async def test_the_reader_cannot_write_and_opens_again(file: Path) -> None:
    reader = SqliteReader(file)
    with pytest.raises(OperationalError, match="readonly"):
        await reader.execute(INSERT, {"id": "one"})
    reader.close()
    assert await reader.scalar(COUNT) == 0
    reader.close()


async def test_who_opens_a_database_that_is_away_leaves_it_as_it_was(file: Path) -> None:
    """A new file in its place would take the log of what was committed for its own, and drop it."""
    first = create_engine(f"sqlite+aiosqlite:///{file}")
    await insert(first, "kept")
    await asyncio.to_thread(file.rename, file.with_name("away"))
    later = create_engine(f"sqlite+aiosqlite:///{file}")
    with pytest.raises(OperationalError, match="unable to open"):
        await insert(later, "lost")
    await asyncio.to_thread(file.with_name("away").rename, file)
    await insert(later, "next")
    await first.dispose()
    await later.dispose()
    assert kept(file) == ["kept", "next"]


async def test_a_look_up_in_a_database_without_our_tables_is_an_outage(engine: AsyncEngine) -> None:
    with pytest.raises(Overloaded):
        async with SqlUnitOfWork(engine).read() as repositories:
            await repositories.accounts.find_key(KeyId("unknown"))
