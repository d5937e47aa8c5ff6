"""A connection to SQLite that reads without changing threads."""

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from aiosqlite import Connection

T = TypeVar("T")


class SqliteConnection(Connection):
    """Writes, which may wait for each other and for the disk, go to the connection's own thread as aiosqlite does it.

    Reads need not: with a write-ahead log a reader waits for nobody, and finding a row by its key takes microseconds,
    a tenth of what going to another thread and back does, nine times for each transaction.
    """

    reads_at_once = False

    async def _execute(self, fn: Callable[..., T], *arguments: Any, **options: Any) -> T:
        if self.reads_at_once:
            return fn(*arguments, **options)
        result: T = await super()._execute(fn, *arguments, **options)  # type: ignore[no-untyped-call]  # as aiosqlite has it
        return result


async def connect(path: str, busy_seconds: float) -> SqliteConnection:
    """A connection used by one transaction after the other, whichever threads they are on."""
    connection = SqliteConnection(lambda: sqlite3.connect(path, busy_seconds, check_same_thread=False), 64)
    connection._thread.daemon = True  # as SQLAlchemy does with the connections that it makes
    await connection
    return connection
