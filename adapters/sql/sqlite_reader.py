"""A connection that reads from SQLite without changing threads."""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, CursorResult, Dialect, Executable, ScalarResult, StaticPool, create_engine

from adapters.sql.connection import SqlConnection
from adapters.sql.prepared import Prepared
from adapters.sql.sqlite_writer import driver_of
from domain.errors import Overloaded


class SqliteReader:
    """One connection that answers at once, on the event loop's own thread.

    Writes wait for each other and for the disk, so they go to threads, by way of `SqliteWriter`. Reads need not: with a
    write-ahead log a reader waits for nobody, each statement sees what was committed before it, and finding a row by
    its key takes microseconds, a tenth of what going to another thread and back does.
    """

    def __init__(self, file: Path, busy_seconds: float) -> None:
        def connect() -> sqlite3.Connection:
            expect_a_database(file)
            connection = sqlite3.connect(file, busy_seconds, check_same_thread=False)
            connection.execute("PRAGMA query_only = ON")
            return connection

        self._engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool, isolation_level="AUTOCOMMIT")
        self._connection: Connection | None = None

    async def __aenter__(self) -> SqlConnection:
        return self

    async def __aexit__(self, *_: object) -> None:
        """The connection stays open: opening it costs more than a look-up."""

    @property
    def dialect(self) -> Dialect:
        return self._engine.dialect

    async def run(self, prepared: Prepared, parameters: dict[str, Any], /) -> tuple[Any, int]:
        return prepared.for_driver(self.dialect).run(driver_of(self._opened()), parameters)

    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[*tuple[Any, ...]]:
        return self._opened().execute(statement, parameters)

    async def scalar(self, statement: Executable, parameters: Any = None, /) -> Any:
        return self._opened().scalar(statement, parameters)

    async def scalars(self, statement: Executable, parameters: Any = None, /) -> ScalarResult[Any]:
        return self._opened().scalars(statement, parameters)

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


def expect_a_database(file: Path) -> None:
    """SQLite would make an empty file of any name, so that a wrong path would look like a lost database.

    Raises: Overloaded.
    """
    if not file.exists():
        raise Overloaded("There is no database there yet. Run: tryon-images db upgrade")
