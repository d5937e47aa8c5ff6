"""Transactions on SQLite or PostgreSQL, and what goes by one statement: the time, rates of requests."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import case, delete, event, func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.account_rows import (
    SqlAccountRepository,
    SqlAuditRepository,
    SqlErasureRepository,
    SqlRequestRepository,
)
from adapters.sql.engines import (
    DRIVER,
    TRANSACTIONS_ONLY,
    SqlConnection,
    SqliteReader,
    create_postgres_engine,
    create_sqlite_engine,
    expect_a_database,
    truncate_log,
)
from adapters.sql.image_rows import SqlImageRepository
from adapters.sql.migrate import is_new_enough
from adapters.sql.outages import SCHEMA, OutagesAsOverloaded
from adapters.sql.schema import insert_or, probes, rate_buckets
from adapters.sql.try_on_rows import SqlGenerationRepository, SqlProductRepository
from application.ports.rows import Repositories
from application.ports.system import Clock
from domain.account import AccountId, Allowance, RateLimit, microseconds
from domain.errors import Overloaded


def create_engine(database_url: str, *, pool_size: int = 5, statement_seconds: int = 10) -> AsyncEngine:
    """An engine for `sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`.

    At most `pool_size` connections, and no statement, nor a wait for a lock or a connection, for longer than
    `statement_seconds`. SQLite has one connection that writes, and waits for at most 10 s.
    """
    if database_url.startswith(DRIVER):
        return create_postgres_engine(database_url, pool_size, statement_seconds)
    return create_sqlite_engine(database_url, statement_seconds)


Connecting = AbstractAsyncContextManager[SqlConnection]


def repositories_on(connection: SqlConnection) -> Repositories:
    """What one transaction sees."""
    return Repositories(
        accounts=SqlAccountRepository(connection),
        audit=SqlAuditRepository(connection),
        erasures=SqlErasureRepository(connection),
        generations=SqlGenerationRepository(connection),
        images=SqlImageRepository(connection),
        products=SqlProductRepository(connection),
        requests=SqlRequestRepository(connection),
    )


@asynccontextmanager
async def _transaction(connecting: Connecting) -> AsyncIterator[Repositories]:
    with OutagesAsOverloaded():
        async with connecting as connection:
            yield repositories_on(connection)


class SqlUnitOfWork:
    """One connection out of the engine's pool for each transaction; reads of SQLite have one of their own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._file = Path(engine.url.database) if engine.dialect.name == "sqlite" and engine.url.database else None
        self._reading = _reading(engine, self._file)

    def begin(self) -> AbstractAsyncContextManager[Repositories]:
        if self._file:
            expect_a_database(self._file)
        return _transaction(self._engine.begin())

    def read(self) -> AbstractAsyncContextManager[Repositories]:
        """Without BEGIN and COMMIT: a statement by itself sees what is committed, as it would inside READ COMMITTED."""
        return _transaction(self._reading())

    async def forget_history(self) -> None:
        """SQLite's `secure_delete` does not touch the write-ahead log; PostgreSQL recycles its own."""
        if self._file:
            with OutagesAsOverloaded():
                async with self._engine.connect() as connection:
                    await truncate_log(connection)

    async def check(self) -> None:
        with OutagesAsOverloaded():
            async with self._reading() as connection:
                if not await connection.run_sync(is_new_enough):
                    raise Overloaded(SCHEMA.cure, cause=SCHEMA.cause)

    async def check_commits(self) -> None:
        """SQLite's lock is held for these two statements and the flush, as an upload's is."""
        if self._file:
            expect_a_database(self._file)
        row = secrets.token_hex(16)
        with OutagesAsOverloaded():
            async with self._engine.begin() as connection:
                await connection.execute(insert(probes).values(id=row))
                await connection.execute(delete(probes).where(probes.c.id == row))


def _reading(engine: AsyncEngine, file: Path | None) -> Callable[[], Connecting]:
    """How to get a connection for statements that each stand by themselves."""
    if file:
        reader = SqliteReader(file)
        event.listen(engine.sync_engine, "engine_disposed", lambda _: reader.close())
        return lambda: nullcontext(reader)
    if engine.sync_engine.get_execution_options().get(TRANSACTIONS_ONLY):
        return engine.begin
    return engine.execution_options(isolation_level="AUTOCOMMIT").connect


class DatabaseClock:
    """On SQLite it is this machine's own."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def now(self) -> datetime:
        """Raises: Overloaded."""
        if self._engine.dialect.name == "sqlite":
            return self._clock.now()
        with OutagesAsOverloaded():
            async with self._engine.connect() as connection:
                time: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
        return time.astimezone(UTC)


class SqlRateLimiter:
    """One row per account and bucket, moved on by one atomic statement.

    On PostgreSQL the table is unlogged: no request waits for a disk, and a crash of the database fills the buckets.
    The clock is the process's own: one that is ahead of another's by a second grants a second's worth once, not more.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def take(self, account_id: AccountId, bucket: str, limit: RateLimit) -> Allowance:
        now = microseconds(self._clock.now())
        stored = rate_buckets.c.full_at_us
        begun = insert_or(self._engine.dialect, rate_buckets).values(
            account_id=account_id, bucket=str(bucket), full_at_us=limit.after(0, now)
        )
        moved_on = case((stored > now, stored), else_=now) + limit.cost_us
        take_one = begun.on_conflict_do_update(
            index_elements=[rate_buckets.c.account_id, rate_buckets.c.bucket],
            set_={"full_at_us": moved_on},
            where=moved_on <= now + limit.requests * limit.cost_us,
        ).returning(stored)
        with OutagesAsOverloaded():
            async with self._engine.begin() as connection:
                full_at = await connection.scalar(take_one)
                if full_at is not None:
                    return limit.allowance(full_at, now, is_granted=True)
                # Nothing was written: the row is there and too far ahead.
                full_at = await connection.scalar(
                    select(stored).where(rate_buckets.c.account_id == account_id, rate_buckets.c.bucket == str(bucket))
                )
                return limit.allowance(int(full_at or now), now, is_granted=False)
