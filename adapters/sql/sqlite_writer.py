"""The connection that writes to SQLite, and goes to another thread only for what may take long."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, CursorResult, Dialect, Executable, ScalarResult, StaticPool, create_engine

from adapters.sql.connection import SqlConnection
from adapters.sql.prepared import Prepared

T = TypeVar("T")

BEGIN: Final = "BEGIN IMMEDIATE"
"""Writers queue up here; one that began as a reader could not become a writer without a conflict."""
PRIMARY_CODE: Final = 0xFF
"""The bits of an extended result code that tell the kind of error (sqlite.org/rescode.html)."""
PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # an acknowledged upload survives a power cut, not just a crash
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # an erased id does not linger in a free page
)


class SqliteWriter:
    """One connection for all transactions of a process: SQLite has one writer at a time, so they stand in line for it.

    Commits wait for the disk, and most statements may take long: they go to the writer's own thread, where nothing else
    holds them up and each is over before the next begins. Beginning while nobody else writes, and prepared statements,
    take less time than a change of thread and back does, so they are done at once.
    """

    def __init__(self, file: Path, busy_seconds: float) -> None:
        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(file, busy_seconds, isolation_level=None, check_same_thread=False)
            for pragma in PRAGMAS:
                connection.execute(pragma)
            return connection

        self._engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool, isolation_level="AUTOCOMMIT")
        self._busy_seconds = busy_seconds
        self._connection: Connection | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._turn = asyncio.Lock()
        self._is_closing = False

    def begin(self) -> "SqliteTransaction":
        return SqliteTransaction(self)

    @property
    def dialect(self) -> Dialect:
        return self._engine.dialect

    async def start(self) -> Connection:
        """Wait for one's turn, and begin. Raises: TimeoutError; sqlite3.OperationalError.

        Returns: that by which SQLAlchemy executes; BEGIN and what follows on it are ours.
        """
        async with asyncio.timeout(self._busy_seconds):
            await self._turn.acquire()
        try:
            connection = await self._opened()
            await self._begin(driver_of(connection))
        except BaseException:
            self._leave(is_fit=False)
            raise
        return connection

    async def end(self, connection: Connection, *, is_kept: bool) -> None:
        """Raises: sqlite3.OperationalError when what was to be kept is not."""
        is_fit = False
        try:
            driver = driver_of(connection)
            await self.to_the_end(driver.commit if is_kept else driver.rollback)
            is_fit = not connection.invalidated
        finally:
            self._leave(is_fit=is_fit)

    async def to_the_end(self, work: Callable[..., T], *arguments: Any) -> T:
        """In the writer's thread, where it cannot be stopped: whoever is cancelled waits until it is over."""
        working = asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            while not working.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait((working,))
            raise

    def close(self) -> None:
        """Until it is used again. A transaction that is open goes on to its end."""
        if self._turn.locked():
            self._is_closing = True
        else:
            self._discard()
            self._turn = asyncio.Lock()  # the next one to use it may do so in another event loop

    async def _opened(self) -> Connection:
        if self._connection is None:
            self._thread = ThreadPoolExecutor(1, "sqlite-writer")
            self._connection = await self.to_the_end(self._engine.connect)
        return self._connection

    async def _begin(self, driver: sqlite3.Connection) -> None:
        driver.execute("PRAGMA busy_timeout = 0")  # once it has begun it waits for nobody
        try:
            driver.execute(BEGIN)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & PRIMARY_CODE != sqlite3.SQLITE_BUSY:
                raise
            driver.execute(f"PRAGMA busy_timeout = {round(1000 * self._busy_seconds)}")
            await self.to_the_end(driver.execute, BEGIN)  # another process is writing

    def _leave(self, *, is_fit: bool) -> None:
        """Let the next one take its turn, on a connection of its own if this one may not be fit for it any more."""
        try:
            if self._is_closing or not is_fit:
                self._discard()
        finally:
            self._turn.release()

    def _discard(self) -> None:
        """Close the connection; what it has not committed is gone."""
        connection, self._connection = self._connection, None
        thread, self._thread = self._thread, None
        self._is_closing = False
        try:
            if connection is not None:
                connection.invalidate()  # without trying to roll back first, which may be just what failed
                connection.close()
        finally:
            self._engine.dispose()
            if thread is not None:
                thread.shutdown(wait=False)


class SqliteTransaction:
    """The writer's connection for as long as the block lasts."""

    _connection: Connection

    def __init__(self, writer: SqliteWriter) -> None:
        self._writer = writer

    async def __aenter__(self) -> SqlConnection:
        self._connection = await self._writer.start()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._writer.end(self._connection, is_kept=error is None)

    @property
    def dialect(self) -> Dialect:
        return self._writer.dialect

    async def run(self, prepared: Prepared, parameters: dict[str, Any], /) -> tuple[Any, int]:
        return prepared.for_driver(self.dialect).run(driver_of(self._connection), parameters)

    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[*tuple[Any, ...]]:
        return await self._writer.to_the_end(self._connection.execute, statement, parameters)

    async def scalar(self, statement: Executable, parameters: Any = None, /) -> Any:
        return (await self.execute(statement, parameters)).scalar()

    async def scalars(self, statement: Executable, parameters: Any = None, /) -> ScalarResult[Any]:
        return (await self.execute(statement, parameters)).scalars()


def driver_of(connection: Connection) -> sqlite3.Connection:
    """What SQLAlchemy's connection stands for."""
    driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]  # Any or None
    return driver
