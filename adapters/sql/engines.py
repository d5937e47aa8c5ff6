"""Engines: SQLite with the one connection that writes and a reader that does not change threads, and PostgreSQL.

The driver reads PostgreSQL's URL, so that all that libpq's URLs can say works: several hosts, `sslmode`, `sslrootcert`,
`target_session_attrs` (PostgreSQL, "Connection URIs"). Ours alone is `pool_mode`, `session` or `transaction`: a
PgBouncer in that mode is in front.
"""

import os
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
from sqlalchemy import Connection, CursorResult, Dialect, Executable, ScalarResult, StaticPool, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from adapters.sql.outages import UnusableAddress
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


def create_sqlite_engine(database_url: str, statement_seconds: int) -> AsyncEngine:
    """SQLite has one writer at a time: processes wait for its lock, the transactions of one process in a line."""
    busy_seconds = min(statement_seconds, BUSY_SECONDS)
    engine = create_async_engine(
        database_url,
        connect_args={"timeout": busy_seconds, "factory": RollsBackWhenClosed},
        pool_size=1,
        max_overflow=0,
        pool_timeout=busy_seconds,
    )
    event.listen(engine.sync_engine, "do_connect", _open_what_is_there)
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


def _open_what_is_there(_dialect: Dialect, _record: object, arguments: list[Any], options: dict[str, Any]) -> None:
    """SQLite would make an empty file in place of one that is away, and with it drop the log of what was committed."""
    if not options.get("uri"):
        arguments[0] = _existing(Path(arguments[0]))
        options["uri"] = True


def _existing(file: Path) -> str:
    return f"{file.absolute().as_uri()}?mode=rw"


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late: see BEGIN
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql(BEGIN)


class SqliteReader:
    """One connection that stays open and answers at once, on the event loop's own thread.

    Writes wait for each other and for the disk, so they go to aiosqlite's thread. Reads need not: with a write-ahead
    log a reader waits for nobody, each statement sees what was committed before it, and finding a row by its key takes
    microseconds, a fifth of what going to another thread and back does.
    """

    def __init__(self, file: Path) -> None:
        def connect() -> sqlite3.Connection:
            expect_a_database(file)
            connection = sqlite3.connect(_existing(file), READER_BUSY_SECONDS, check_same_thread=False, uri=True)
            connection.execute("PRAGMA query_only = ON")
            return connection

        self._engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool, isolation_level="AUTOCOMMIT")
        self._connection: Connection | None = None

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


CONNECT_SECONDS: Final = 5
POOL_RECYCLE_SECONDS: Final = 30 * 60
"""Load balancers and cloud proxies drop what has been idle or open for longer."""
DRIVER: Final = "postgresql+asyncpg"
POOL_MODE: Final = "pool_mode"
POOL_MODES: Final = ("", "session", "transaction")
FILES: Final = ("sslrootcert", "sslcert", "sslkey")
TRANSACTIONS_ONLY: Final = "tryon_transactions_only"
"""An execution option of the engine: two statements share a connection of the server only in a transaction."""


def create_postgres_engine(database_url: str, pool_size: int, statement_seconds: int) -> AsyncEngine:
    """A pool of connections of which none waits for anything for longer than it may."""
    dsn, pool_mode = _for_driver(database_url)
    is_pooled = pool_mode == "transaction"
    connect = partial(
        _connect,
        dsn,
        pool_mode,
        _limits(statement_seconds),
        timeout=CONNECT_SECONDS,
        # The driver's own limit too: a server that has vanished never says that time is up.
        command_timeout=statement_seconds + CONNECT_SECONDS,
        **({"statement_cache_size": 0} if is_pooled else {}),
    )
    engine = create_async_engine(
        f"{DRIVER}://",  # the URL itself, with its password, stays in `connect`
        async_creator=connect,
        connect_args=_WITHOUT_NAMES if is_pooled else {},
        execution_options={TRANSACTIONS_ONLY: is_pooled},
        # An erasure's lock works only if every statement after it sees what was committed before it was granted.
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        max_overflow=0,  # so that replicas x processes x pool_size is all that a server ever has to admit
        pool_timeout=statement_seconds,
        pool_recycle=POOL_RECYCLE_SECONDS,
    )
    event.listen(engine.sync_engine, "checkout", _refuse_if_closed)
    return engine


_WITHOUT_NAMES: Final[dict[str, Any]] = {
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": lambda: "",
}
"""A named statement lives in one connection of the server, and the next transaction may have another."""


def _limits(statement_seconds: int) -> dict[str, str]:
    """PgBouncer refuses them at the start. In transaction mode they belong to the role (`ALTER ROLE … SET`)."""
    return {
        "statement_timeout": f"{statement_seconds}s",
        "idle_in_transaction_session_timeout": f"{2 * statement_seconds}s",
    }


def _for_driver(database_url: str) -> tuple[str, str]:
    """Returns: the URL as the driver reads it, and the mode of the pool in front; empty: there is none."""
    parts = urlsplit(database_url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    pool_mode = options.pop(POOL_MODE, "")
    if "ssl" in options:  # what SQLAlchemy calls it
        options["sslmode"] = options.pop("ssl")
    return urlunsplit(parts._replace(scheme="postgresql", query=urlencode(options, safe="/,:"))), pool_mode


async def _connect(dsn: str, pool_mode: str, limits: dict[str, str], **options: Any) -> Any:
    if pool_mode not in POOL_MODES:
        raise UnusableAddress("pool_mode is session or transaction, as PgBouncer's own.")
    asked = dict(parse_qsl(urlsplit(dsn).query))
    if unreadable := [name for name in FILES if name in asked and not os.access(asked[name], os.R_OK)]:
        raise UnusableAddress(f"{unreadable[0]} names no file that can be read.")
    try:
        settings = {"application_name": "tryon-images", **({} if pool_mode else limits)}
        connection = await asyncpg.connect(dsn, server_settings=settings, **options)
    except asyncpg.ClientConfigurationError as error:
        raise UnusableAddress(str(error)) from None
    except OSError:  # before the next: an untrusted certificate is a ValueError as well
        raise
    except ValueError:  # its text may quote a part of the password
        raise UnusableAddress("a port is not a number. Odd characters of a password are written as %40.") from None
    if pool_mode == "session":
        await connection.execute("; ".join(f"SET {name} = '{limit}'" for name, limit in limits.items()))
    return connection


def _refuse_if_closed(connection: Any, _record: object, _proxy: object) -> None:
    """The pool then opens another. The driver has heard of a restart by itself; asking would cost three round trips."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError
