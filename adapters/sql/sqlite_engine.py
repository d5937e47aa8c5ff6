"""An engine for SQLite with the one connection that writes, and a reader that does not change threads."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from sqlalchemy import Connection, CursorResult, Dialect, Executable, ScalarResult, StaticPool, create_engine, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from domain.errors import Overloaded

T = TypeVar("T")
BUSY_SECONDS: Final = 10
READER_BUSY_SECONDS: Final = 0.5
"""It waits on the event loop's thread, and only ever while somebody recovers the write-ahead log after a crash."""
BEGIN: Final = "BEGIN IMMEDIATE"
"""Writers queue up here; one that began as a reader could not become a writer without a conflict."""
PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # an acknowledged upload survives a power cut, not just a crash
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # an erased id does not linger in a free page
)


def create_sqlite_engine(database_url: str, *, statement_seconds: int) -> AsyncEngine:
    """SQLite has one writer at a time: processes wait for its lock, the transactions of one process in a line."""
    busy_seconds = min(statement_seconds, BUSY_SECONDS)
    engine = create_async_engine(
        database_url,
        connect_args={"timeout": busy_seconds, "factory": RollsBackWhenClosed},
        pool_size=1,
        max_overflow=0,
        pool_timeout=busy_seconds,
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


class RollsBackWhenClosed(sqlite3.Connection):
    """Else its lock lives on for as long as somebody holds a cursor of it, as the traceback of a cancellation does."""

    def close(self) -> None:
        try:
            self.rollback()
        finally:
            super().close()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late: see BEGIN
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql(BEGIN)


class SqliteReader:
    """One connection that answers at once, on the event loop's own thread.

    Writes wait for each other and for the disk, so they go to aiosqlite's thread. Reads need not: with a write-ahead
    log a reader waits for nobody, each statement sees what was committed before it, and finding a row by its key takes
    microseconds, a fifth of what going to another thread and back does.
    """

    def __init__(self, file: Path, busy_seconds: float = READER_BUSY_SECONDS) -> None:
        def connect() -> sqlite3.Connection:
            expect_a_database(file)
            connection = sqlite3.connect(file, busy_seconds, check_same_thread=False)
            connection.execute("PRAGMA query_only = ON")
            return connection

        self._engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool, isolation_level="AUTOCOMMIT")
        self._connection: Connection | None = None

    async def __aenter__(self) -> "SqliteReader":
        return self

    async def __aexit__(self, *_: object) -> None:
        """The connection stays open: opening it costs more than a look-up."""

    @property
    def dialect(self) -> Dialect:
        return self._engine.dialect

    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[*tuple[Any, ...]]:
        return self._opened().execute(statement, parameters)

    async def scalar(self, statement: Executable, parameters: Any = None, /) -> Any:
        return self._opened().scalar(statement, parameters)

    async def scalars(self, statement: Executable, parameters: Any = None, /) -> ScalarResult[Any]:
        return self._opened().scalars(statement, parameters)

    async def run_sync(self, work: Callable[[Connection], T]) -> T:
        return work(self._opened())

    def _opened(self) -> Connection:
        if self._connection is None or self._connection.invalidated:
            self.close()
            self._connection = self._engine.connect()
        return self._connection

    def close(self) -> None:
        """Until it is used again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()


SqlConnection: TypeAlias = AsyncConnection | SqliteReader


def expect_a_database(file: Path) -> None:
    """SQLite would make an empty file of any name, so that a wrong path would look like a lost database.

    Raises: Overloaded.
    """
    if not file.exists():
        raise Overloaded("There is no database there yet. Run: tryon-images db upgrade")


async def truncate_log(connection: AsyncConnection) -> None:
    """Bring all that is committed into the database's file; the log is empty then, unless somebody is reading it."""
    driver: Any = (await connection.get_raw_connection()).driver_connection  # SQLAlchemy would begin a transaction
    await (await driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")).close()
