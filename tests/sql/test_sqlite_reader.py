"""Reading from the embedded database, beside those who write to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.sqlite_reader import SqliteReader
from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from domain.account import KeyId
from domain.errors import Overloaded

COUNT = text("SELECT count(*) FROM photos")


@pytest.fixture
async def writers(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(f"sqlite+aiosqlite:///{tmp_path}/photos.db")
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE photos (id TEXT)"))
    yield engine
    await engine.dispose()


@pytest.fixture
def reader(writers: AsyncEngine) -> SqliteReader:
    return SqliteReader(Path(str(writers.url.database)), busy_seconds=1)


async def test_each_statement_sees_what_was_committed_before_it_and_waits_for_no_writer(
    writers: AsyncEngine, reader: SqliteReader
) -> None:
    async with reader as connection:
        assert await connection.scalar(COUNT) == 0
        async with writers.begin() as writer:
            await writer.execute(text("INSERT INTO photos VALUES ('one')"))
            assert await connection.scalar(COUNT) == 0
        assert await connection.scalar(COUNT) == 1


async def test_a_reader_cannot_write(reader: SqliteReader) -> None:
    async with reader as connection:
        with pytest.raises(OperationalError, match="readonly"):
            await connection.execute(text("INSERT INTO photos VALUES ('one')"))
        assert await connection.scalar(COUNT) == 0


async def test_a_reader_that_was_closed_opens_again(reader: SqliteReader) -> None:
    async with reader as connection:
        await connection.scalar(COUNT)
        reader.close()
        assert await connection.scalar(COUNT) == 0
    reader.close()


async def test_a_look_up_in_a_database_without_tables_is_an_outage(writers: AsyncEngine) -> None:
    with pytest.raises(Overloaded):
        await find_a_key(SqlUnitOfWork(writers))


async def find_a_key(work: SqlUnitOfWork) -> None:
    async with work.read() as repositories:
        await repositories.accounts.find_key(KeyId("unknown"))
