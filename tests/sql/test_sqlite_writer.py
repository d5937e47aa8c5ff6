"""Writing to the embedded database: in line, without holding up anybody else, and never half."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from adapters.sql.sqlite_writer import SqliteWriter

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
