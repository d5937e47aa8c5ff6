"""The connection that writes to SQLite, and goes to another thread only for what may take long."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, CursorResult, Dialect, Executable, ScalarResult, StaticPool, create_engine

from adapters.sql.connection import SqlConnection
from adapters.sql.look_up import LookUp

T = TypeVar("T")

BEGIN: Final = "BEGIN IMMEDIATE"
"""Writers queue up here; one that began as a reader could not become a writer without a conflict."""
BRIEF: Final = "brief"
"""The execution option of a statement that touches a row or two by their keys: it waits for no lock and no commit."""
PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # an acknowledged upload survives a power cut, not just a crash
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # an erased id does not linger in a free page
)


class SqliteWriter:
    """One connection for all transactions of a process: SQLite has one writer at a time, so they stand in line for it.

    Commits wait for the disk, and most statements may take long: they go to a thread. Beginning while nobody else
    writes, and brief statements, take less time than a change of thread and back does, so they are done at once.
    """

    def __init__(self, file: Path, busy_seconds: float) -> None:
        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(file, busy_seconds, isolation_level=None, check_same_thread=False)
            for pragma in PRAGMAS:
                connection.execute(pragma)
            return connection

        self._engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool, isolation_level="AUTOCOMMIT")
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._busy_seconds = busy_seconds

    def begin(self) -> "SqliteTransaction":
        return SqliteTransaction(self)

    @property
    def dialect(self) -> Dialect:
        return self._engine.dialect

    @property
    def connection(self) -> Connection:
        """By which SQLAlchemy executes; it takes no part in transactions."""
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    @property
    def driver(self) -> sqlite3.Connection:
        driver: sqlite3.Connection = self.connection.connection.driver_connection  # type: ignore[assignment]
        return driver

    async def start(self) -> None:
        """Wait for one's turn, and begin. Raises: TimeoutError; sqlite3.OperationalError."""
        async with asyncio.timeout(self._busy_seconds):
            await self._turn.acquire()
        try:
            with suppress(sqlite3.OperationalError), self._no_waiting():
                self.driver.execute(BEGIN)
            if not self.driver.in_transaction:  # another process is writing
                await to_the_end(self.driver.execute, BEGIN)
        except BaseException:
            await self.end(is_kept=False)
            raise

    async def end(self, *, is_kept: bool) -> None:
        """Raises: sqlite3.OperationalError when what was to be kept is not."""
        try:
            if is_kept:
                await to_the_end(self.driver.commit)
        finally:
            try:
                if self.driver.in_transaction:
                    await to_the_end(self.driver.rollback)
            finally:
                self._turn.release()

    @contextmanager
    def _no_waiting(self) -> Iterator[None]:
        self.driver.execute("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            self.driver.execute(f"PRAGMA busy_timeout = {round(1000 * self._busy_seconds)}")

    def close(self) -> None:
        """Until it is used again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()


class SqliteTransaction:
    """The writer's connection for as long as the block lasts."""

    def __init__(self, writer: SqliteWriter) -> None:
        self._writer = writer

    async def __aenter__(self) -> SqlConnection:
        await self._writer.start()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._writer.end(is_kept=error is None)

    @property
    def dialect(self) -> Dialect:
        return self._writer.dialect

    async def find(self, look_up: LookUp, parameters: Mapping[str, str], /) -> Any:
        return look_up.prepared(self.dialect).found_by(self._writer.driver, parameters)

    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[*tuple[Any, ...]]:
        execute = self._writer.connection.execute
        if statement.get_execution_options().get(BRIEF):
            return execute(statement, parameters)
        return await to_the_end(execute, statement, parameters)

    async def scalar(self, statement: Executable, parameters: Any = None, /) -> Any:
        return (await self.execute(statement, parameters)).scalar()

    async def scalars(self, statement: Executable, parameters: Any = None, /) -> ScalarResult[Any]:
        return (await self.execute(statement, parameters)).scalars()


async def to_the_end(work: Callable[..., T], *arguments: Any) -> T:
    """In a thread, where it cannot be stopped: whoever is cancelled waits for it, since it uses the connection."""
    working = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        while not working.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait((working,))
        raise
