"""A connection that writes to SQLite and goes to another thread only for what may take long."""

import sqlite3
from collections.abc import Callable
from typing import Any, Final, TypeVar

from aiosqlite import Connection

T = TypeVar("T")

_AT_ONCE: Final = frozenset({"cursor", "fetchall", "fetchmany", "fetchone"})
"""What only touches memory: SQLAlchemy opens a cursor for every statement, fetches what it returned, and closes it."""


class SqliteWriter(Connection):
    """Statements and commits wait for locks and for the disk: they go to the connection's own thread, as aiosqlite does
    it. What surrounds them does not; a change of thread and back costs more than all of it.
    """

    async def _execute(self, fn: Callable[..., T], *arguments: Any, **options: Any) -> T:
        owner, name = getattr(fn, "__self__", None), getattr(fn, "__name__", "")
        if name in _AT_ONCE or (name == "close" and isinstance(owner, sqlite3.Cursor)):
            return fn(*arguments, **options)
        result: T = await super()._execute(fn, *arguments, **options)  # type: ignore[no-untyped-call]  # as aiosqlite has it
        return result


async def connect(path: str, busy_seconds: float) -> SqliteWriter:
    """A connection used by one transaction after the other, from two threads in turn."""
    connection = SqliteWriter(lambda: sqlite3.connect(path, busy_seconds, check_same_thread=False), 64)
    connection._thread.daemon = True  # as SQLAlchemy does with the connections that it makes
    await connection
    return connection
