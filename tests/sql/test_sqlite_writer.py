"""Writing to the embedded database: in line, without holding up anybody else, and never half."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import PendingRollbackError

from adapters.sql.sqlite_writer import SqliteWriter, driver_of

INSERT = text("INSERT INTO photos VALUES (:id)")
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
def writer(file: Path) -> Iterator[SqliteWriter]:
    writer = SqliteWriter(file, busy_seconds=2)
    yield writer
    writer.close()


def kept(file: Path) -> list[str]:
    connection = sqlite3.connect(file)
    rows = [photo for (photo,) in connection.execute("SELECT id FROM photos ORDER BY rowid")]
    connection.close()
    return rows


async def insert(writer: SqliteWriter, photo: str) -> None:
    async with writer.begin() as transaction:
        await transaction.execute(INSERT, {"id": photo})


async def until_it_waits(task: "asyncio.Task[None]") -> None:
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert not task.done()


async def test_transactions_stand_in_line_while_the_event_loop_turns(writer: SqliteWriter, file: Path) -> None:
    async with writer.begin() as first:
        others = [asyncio.create_task(insert(writer, photo)) for photo in ("two", "three")]
        await until_it_waits(others[0])
        await first.execute(INSERT, {"id": "one"})
    await asyncio.gather(*others)
    assert kept(file) == ["one", "two", "three"]


async def test_the_event_loop_turns_while_another_process_writes(writer: SqliteWriter, file: Path) -> None:
    somebody = sqlite3.connect(file, isolation_level=None)
    somebody.execute("BEGIN IMMEDIATE")
    ours = asyncio.create_task(insert(writer, "ours"))
    await until_it_waits(ours)
    somebody.execute("INSERT INTO photos VALUES ('theirs')")
    somebody.execute("COMMIT")
    await ours
    somebody.close()
    assert kept(file) == ["theirs", "ours"]


async def test_another_process_that_writes_for_too_long_is_not_waited_for(file: Path) -> None:
    writer = SqliteWriter(file, busy_seconds=0.1)
    somebody = sqlite3.connect(file, isolation_level=None)
    somebody.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await insert(writer, "ours")
    somebody.execute("ROLLBACK")
    somebody.close()
    await insert(writer, "ours")
    writer.close()
    assert kept(file) == ["ours"]


async def test_who_gives_up_in_the_line_leaves_the_line_in_order(writer: SqliteWriter, file: Path) -> None:
    async with writer.begin() as first:
        impatient, patient = (asyncio.create_task(insert(writer, photo)) for photo in ("impatient", "patient"))
        await until_it_waits(impatient)
        impatient.cancel()
        await until_it_waits(patient)
        await first.execute(INSERT, {"id": "first"})
    await patient
    assert kept(file) == ["first", "patient"]


@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.05])
async def test_of_a_transaction_that_is_cancelled_nothing_is_kept(
    writer: SqliteWriter, file: Path, seconds: float
) -> None:
    async def insert_and_count() -> None:
        async with writer.begin() as transaction:
            await transaction.execute(INSERT, {"id": "cancelled"})
            await transaction.execute(SLOW)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await insert_and_count()
    await insert(writer, "next")
    assert kept(file) == ["next"]


async def test_a_commit_that_fails_leaves_nothing_open(writer: SqliteWriter, file: Path) -> None:
    async def insert_a_face_of_nobody() -> None:
        async with writer.begin() as transaction:
            await transaction.execute(INSERT, {"id": "one"})
            await transaction.execute(text("INSERT INTO faces VALUES ('nobody')"))

    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        await insert_a_face_of_nobody()
    await insert(writer, "next")
    assert kept(file) == ["next"]


async def test_a_connection_that_broke_is_replaced_and_nothing_of_it_is_kept(writer: SqliteWriter, file: Path) -> None:
    async def insert_and_break() -> None:
        async with writer.begin() as transaction:
            await transaction.execute(INSERT, {"id": "lost"})
            driver_of(transaction._connection).close()  # type: ignore[union-attr]  # a transaction of SQLite

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        await insert_and_break()
    await insert(writer, "next")
    assert kept(file) == ["next"]


async def test_a_rollback_that_fails_leaves_nothing_to_the_next_in_line(writer: SqliteWriter, file: Path) -> None:
    def refuse(action: int, *_: object) -> int:
        return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION else sqlite3.SQLITE_OK

    async def insert_and_raise() -> None:
        async with writer.begin() as transaction:
            await transaction.execute(INSERT, {"id": "lost"})
            driver_of(transaction._connection).set_authorizer(refuse)  # type: ignore[union-attr]  # as above
            raise RuntimeError("on purpose")

    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        await insert_and_raise()
    await insert(writer, "next")
    assert kept(file) == ["next"]


async def test_a_connection_that_sqlalchemy_gave_up_is_replaced(writer: SqliteWriter, file: Path) -> None:
    async def insert_and_invalidate() -> None:
        async with writer.begin() as transaction:
            await transaction.execute(INSERT, {"id": "lost"})
            transaction._connection.invalidate()  # type: ignore[union-attr]  # as above

    with pytest.raises(PendingRollbackError):
        await insert_and_invalidate()
    async with asyncio.timeout(1):
        await insert(writer, "next")
    assert kept(file) == ["next"]


async def test_closing_waits_for_the_end_of_a_transaction(writer: SqliteWriter, file: Path) -> None:
    async with writer.begin() as transaction:
        await transaction.execute(INSERT, {"id": "before"})
        writer.close()
        await transaction.execute(INSERT, {"id": "after"})
    await insert(writer, "next")
    assert kept(file) == ["before", "after", "next"]


async def test_threads_that_wait_for_storage_hold_up_no_commit(writer: SqliteWriter, file: Path) -> None:
    storage_answers = threading.Event()
    stuck = [asyncio.create_task(asyncio.to_thread(storage_answers.wait)) for _ in range(100)]
    try:
        async with asyncio.timeout(5):
            await insert(writer, "photo")
    finally:
        storage_answers.set()
        await asyncio.gather(*stuck)
    assert kept(file) == ["photo"]


async def test_the_event_loop_turns_while_the_database_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "photos.db"
    somebody = sqlite3.connect(file, isolation_level=None)
    somebody.execute("CREATE TABLE photos (id TEXT)")
    somebody.execute("BEGIN EXCLUSIVE")
    writer = SqliteWriter(file, busy_seconds=2)
    ours = asyncio.create_task(insert(writer, "ours"))
    await until_it_waits(ours)
    somebody.execute("COMMIT")
    somebody.close()
    await ours
    writer.close()
    assert kept(file) == ["ours"]


def test_what_the_end_of_an_event_loop_interrupts_is_rolled_back(writer: SqliteWriter, file: Path) -> None:
    async def insert_slowly() -> None:
        async with writer.begin() as transaction:
            await transaction.execute(INSERT, {"id": "interrupted"})
            await transaction.execute(SLOW)

    async def leave_it_alone() -> None:
        tasks.append(asyncio.create_task(insert_slowly()))
        tasks.append(asyncio.create_task(insert(writer, "in line")))
        await asyncio.sleep(0.02)

    tasks: list[asyncio.Task[None]] = []
    asyncio.run(leave_it_alone())
    writer.close()
    asyncio.run(insert(writer, "next"))
    assert kept(file) == ["next"]
