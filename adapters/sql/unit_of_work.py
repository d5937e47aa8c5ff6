"""Transactions on SQLite or PostgreSQL."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from adapters.sql.account_repository import SqlAccountRepository
from adapters.sql.connection import SqlConnection
from adapters.sql.diagnosis import SCHEMA
from adapters.sql.erasure_repository import SqlErasureRepository
from adapters.sql.generation_repository import SqlGenerationRepository
from adapters.sql.image_repository import SqlImageRepository
from adapters.sql.migrate import is_new_enough
from adapters.sql.outages import OutagesAsOverloaded
from adapters.sql.postgres_engine import DRIVER, TRANSACTIONS_ONLY, create_postgres_engine
from adapters.sql.postgres_reader import PostgresReader
from adapters.sql.product_repository import SqlProductRepository
from adapters.sql.sqlite_reader import SqliteReader, expect_a_database
from adapters.sql.sqlite_writer import BEGIN, PRAGMAS, SqliteWriter
from domain.errors import Overloaded

SQLITE_BUSY_SECONDS = 10
SQLITE_READER_BUSY_SECONDS = 0.5
"""It waits on the event loop's thread, and only ever while somebody recovers the write-ahead log after a crash."""


def create_engine(database_url: str, *, pool_size: int = 5, statement_seconds: int = 10) -> AsyncEngine:
    """An engine for `sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`.

    The limits are for PostgreSQL: at most `pool_size` connections, and no statement, nor a wait for a lock or a
    connection, for longer than `statement_seconds`.
    """
    if database_url.startswith(DRIVER):
        return create_postgres_engine(database_url, pool_size=pool_size, statement_seconds=statement_seconds)
    engine = create_async_engine(database_url, connect_args={"timeout": SQLITE_BUSY_SECONDS})
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late: see BEGIN
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql(BEGIN)


Connecting: TypeAlias = Callable[[], AbstractAsyncContextManager[SqlConnection]]


def _writing(engine: AsyncEngine) -> Connecting:
    """How to get a connection for a transaction."""
    if engine.dialect.name != "sqlite":
        return engine.begin
    writer = SqliteWriter(Path(str(engine.url.database)), SQLITE_BUSY_SECONDS)
    event.listen(engine.sync_engine, "engine_disposed", lambda _: writer.close())
    return writer.begin


def _reading(engine: AsyncEngine) -> Connecting:
    """How to get a connection for statements that each stand by themselves."""
    if engine.sync_engine.get_execution_options().get(TRANSACTIONS_ONLY):
        return engine.begin
    if engine.dialect.name != "sqlite":
        return lambda: PostgresReader(engine)
    reader = SqliteReader(Path(str(engine.url.database)), SQLITE_READER_BUSY_SECONDS)
    event.listen(engine.sync_engine, "engine_disposed", lambda _: reader.close())
    return lambda: reader


class SqlRepositories:
    """What one transaction sees; most of them need one repository."""

    __slots__ = ("_connection",)

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection

    @property
    def images(self) -> SqlImageRepository:
        return SqlImageRepository(self._connection)

    @property
    def accounts(self) -> SqlAccountRepository:
        return SqlAccountRepository(self._connection)

    @property
    def erasures(self) -> SqlErasureRepository:
        return SqlErasureRepository(self._connection)

    @property
    def products(self) -> SqlProductRepository:
        return SqlProductRepository(self._connection)

    @property
    def generations(self) -> SqlGenerationRepository:
        return SqlGenerationRepository(self._connection)


class SqlTransaction:
    """What one transaction sees for as long as the block lasts; its outages are raised as Overloaded."""

    __slots__ = ("_connecting", "_outages")

    def __init__(self, connecting: AbstractAsyncContextManager[SqlConnection]) -> None:
        self._connecting = connecting
        self._outages = OutagesAsOverloaded()

    async def __aenter__(self) -> SqlRepositories:
        with self._outages:
            return SqlRepositories(await self._connecting.__aenter__())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._outages:
            await self._connecting.__aexit__(kind, error, trace)
        self._outages.__exit__(kind, error, trace)


class SqlUnitOfWork:
    """One connection out of the engine's pool for each transaction, or on SQLite the one that writes."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._file = Path(engine.url.database) if engine.dialect.name == "sqlite" and engine.url.database else None
        self._reading = _reading(engine)
        self._writing = _writing(engine)

    def begin(self) -> SqlTransaction:
        self._expect_a_database()
        return SqlTransaction(self._writing())

    def read(self) -> SqlTransaction:
        """Without BEGIN and COMMIT: a statement by itself sees what is committed, as it would inside READ COMMITTED."""
        return SqlTransaction(self._reading())

    async def check(self) -> None:
        self._expect_a_database()
        with OutagesAsOverloaded():
            async with self._engine.connect() as connection:
                if not await connection.run_sync(is_new_enough):
                    raise Overloaded(SCHEMA.cure, cause=SCHEMA.cause)

    def _expect_a_database(self) -> None:
        if self._file:
            expect_a_database(self._file)
