"""SQLite or PostgreSQL: transactions, what goes by one statement, and migrations (Alembic, forward only)."""

import re
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, case, delete, event, func, insert, select, text
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
from adapters.sql.outages import BY_SQLITE, OUT_OF_REACH, SCHEMA, OutagesAsOverloaded
from adapters.sql.schema import audit_log, insert_or, metadata, probes, rate_buckets
from adapters.sql.try_on_rows import SqlGenerationRepository, SqlProductRepository
from application.ports.rows import Repositories
from application.ports.system import Clock
from domain.account import AccountId, Allowance, RateLimit, microseconds
from domain.customer import Pseudonyms
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


MIGRATION_LOCK = 7_306_100_001
"""Any number that nobody else in the database uses: two replicas that start together migrate one after the other."""
MIGRATION_SECONDS = 60 * 60
"""For one statement: hours would be a case for an operator."""
LOCK_SECONDS = 5
ROLE_NAME = re.compile(r"[\w.-]{1,63}", re.ASCII)


def alembic_config() -> Config:
    """Where the migrations are; `attributes["connection"]` has to be set."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    return config


@cache
def revisions() -> tuple[str, ...]:
    """All that this code knows, newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions())


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def is_new_enough(connection: Connection) -> bool:
    """Whether this code can work on the schema.

    It can on a newer one too, whose revision it does not know: migrations only ever add, so that the version before
    goes on serving while, and after, the next one's migrations run.
    """
    current = _revision(connection)
    return current is not None and current not in revisions()[1:]


def _upgrade(connection: Connection, pseudonyms: Pseudonyms | None) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        # A new index on a large table may take its time, but not while everybody who serves waits behind a lock.
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
    config = alembic_config()
    config.attributes.update(connection=connection, pseudonyms=pseudonyms)
    command.upgrade(config, "head")


def _newer_revision(connection: Connection) -> str | None:
    """The schema's revision, if it is one that only a newer version of this code knows."""
    current = _revision(connection)
    return None if current in (None, *revisions()) else current


class Migrator:
    """Upgrades the database behind an engine. A database that holds customers' ids is converted by `pseudonyms`."""

    def __init__(self, engine: AsyncEngine, pseudonyms: Pseudonyms | None = None) -> None:
        self._engine = engine
        self._pseudonyms = pseudonyms

    @property
    def is_embedded(self) -> bool:
        """SQLite: nobody else uses the database, so a server may upgrade it by itself when it starts."""
        return self._engine.dialect.name == "sqlite"

    @staticmethod
    def grants(role: str) -> tuple[str, ...]:
        """SQL, a statement each, by which `role` may serve on PostgreSQL and do no more. Raises: ValueError."""
        if not ROLE_NAME.fullmatch(role):
            raise ValueError("a role's name has letters, digits, '_', '-' and '.', 63 at most")
        tables = ", ".join(table.name for table in metadata.sorted_tables if table is not audit_log)
        rights = "SELECT, INSERT, UPDATE, DELETE ON"
        return (
            f'GRANT USAGE ON SCHEMA public TO "{role}";',
            f'GRANT {rights} {tables} TO "{role}";',
            f'REVOKE ALL ON audit_log FROM "{role}";',  # what the default of an earlier version gave
            f'GRANT SELECT, INSERT ON audit_log TO "{role}";',
            f'GRANT SELECT ON alembic_version TO "{role}";',
            # For the tables of later versions, which the same owner makes:
            f'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {rights} TABLES TO "{role}";',
        )

    async def revision(self) -> str | None:
        """The schema's revision; None when there is none yet. Raises: Overloaded."""
        self._make_file()
        try:
            with OutagesAsOverloaded():
                async with self._engine.connect() as connection:
                    return await connection.run_sync(_revision)
        finally:
            await self._engine.dispose()

    def _make_file(self) -> None:
        """Nobody else makes it. Raises: Overloaded."""
        database = self._engine.url.database
        if self.is_embedded and database:
            try:
                Path(database).parent.mkdir(parents=True, exist_ok=True)
                Path(database).touch()
            except OSError as error:
                cause, cure = BY_SQLITE["unable to open"]
                raise Overloaded(OUT_OF_REACH, cause=cause, advice=cure) from error

    async def upgrade(self) -> str:
        """Create or upgrade the schema, in one transaction; a no-op when it is up to date or newer.

        Returns: the revision. Raises: Overloaded, also when a table that it has to change is busy.
        """
        self._make_file()
        try:
            with OutagesAsOverloaded():
                async with self._engine.begin() as connection:
                    if current := await connection.run_sync(_newer_revision):
                        return current
                    await connection.run_sync(_upgrade, self._pseudonyms)
                if self.is_embedded:  # what was converted stays readable in the log until then
                    async with self._engine.connect() as connection:
                        await truncate_log(connection)
        finally:
            await self._engine.dispose()  # done once and for all: nobody keeps a connection for it
        return revisions()[0]
