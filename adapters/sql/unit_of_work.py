"""Transactions on SQLite or PostgreSQL."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from adapters.sql.account_repository import SqlAccountRepository
from adapters.sql.erasure_repository import SqlErasureRepository
from adapters.sql.image_repository import SqlImageRepository
from adapters.sql.migrate import is_at_head
from domain.errors import Overloaded

SQLITE_BUSY_SECONDS = 10
READ_ONLY = "tryon_read_only"
POSTGRES_CONNECT_SECONDS = 5
POSTGRES_COMMAND_SECONDS = 30
POSTGRES_OUTAGES = ("08", "25006", "28", "3D", "40", "53", "55P03", "57", "58")
"""SQLSTATEs that say "not now" (PostgreSQL, appendix A): connection lost, read-only, login refused, no such database,
deadlock, out of disk, memory or connections, lock not granted, shut down by an operator, I/O error."""


def create_engine(database_url: str) -> AsyncEngine:
    """An engine for `sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`."""
    if make_url(database_url).get_backend_name() != "sqlite":
        return create_async_engine(
            database_url,
            pool_pre_ping=True,
            # An erasure's lock works only if every statement after it sees what was committed before it was granted.
            isolation_level="READ COMMITTED",
            connect_args={"timeout": POSTGRES_CONNECT_SECONDS, "command_timeout": POSTGRES_COMMAND_SECONDS},
        )
    engine = create_async_engine(database_url, connect_args={"timeout": SQLITE_BUSY_SECONDS})
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late: see _begin_sqlite
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # an acknowledged upload survives a power cut, not just a crash
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA secure_delete = ON")  # an erased id does not linger in a free page
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    """Writers queue up at BEGIN; one that began as a reader could not become a writer without a conflict."""
    deferred = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if deferred else "BEGIN IMMEDIATE")


class SqlRepositories:
    """What one transaction sees."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.images = SqlImageRepository(connection)
        self.accounts = SqlAccountRepository(connection)
        self.erasures = SqlErasureRepository(connection)


class SqlUnitOfWork:
    """One connection out of the engine's pool for each transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    def begin(self) -> AbstractAsyncContextManager[SqlRepositories]:
        return self._transaction({})

    def read(self) -> AbstractAsyncContextManager[SqlRepositories]:
        return self._transaction({READ_ONLY: True})

    async def check(self) -> None:
        with _outages_as_overloaded():
            self._expect_a_database()
            async with self._engine.connect() as connection:
                if not await connection.run_sync(is_at_head):
                    raise Overloaded("The database schema is out of date. Run: tryon-images db upgrade")

    def _expect_a_database(self) -> None:
        """SQLite would make an empty file of any name, so that a wrong path would look like a lost database."""
        path = self._engine.url.database
        if self._engine.dialect.name == "sqlite" and path and path != ":memory:" and not Path(path).exists():
            raise Overloaded("There is no database there yet. Run: tryon-images db upgrade")

    @asynccontextmanager
    async def _transaction(self, options: dict[str, Any]) -> AsyncIterator[SqlRepositories]:
        with _outages_as_overloaded():
            self._expect_a_database()
            async with self._engine.connect() as connection:
                await connection.execution_options(**options)
                async with connection.begin():
                    yield SqlRepositories(connection)


@contextmanager
def _outages_as_overloaded() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeout, OSError) as error:  # OSError: a refused asyncpg connection arrives bare
        if isinstance(error, DBAPIError) and not _is_outage(error):
            raise
        raise Overloaded("The database is not reachable. Try again shortly.") from error


def _is_outage(error: DBAPIError) -> bool:
    """Whether trying again later may help. SQLite says `OperationalError` when it is locked, full or read-only."""
    if isinstance(error, (OperationalError, InterfaceError)) or error.connection_invalidated:
        return True
    return str(getattr(error.orig, "sqlstate", None)).startswith(POSTGRES_OUTAGES)
