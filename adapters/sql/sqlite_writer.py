"""A connection that writes to SQLite and goes to another thread only for what may take long."""

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from aiosqlite import Connection

T = TypeVar("T")


class SqliteWriter(Connection):
    """Statements, their rows and commits wait for locks and for the disk: they go to the connection's own thread, as
    aiosqlite does it. A change of thread and back costs more than what else SQLAlchemy does for each: to open and close
    a cursor, and to roll back, when a connection returns to the pool, what has long been committed.
    """

    async def _execute(self, fn: Callable[..., T], *arguments: Any, **options: Any) -> T:
        if _is_done_at_once(getattr(fn, "__self__", None), getattr(fn, "__name__", "")):
            return fn(*arguments, **options)
        result: T = await super()._execute(fn, *arguments, **options)  # type: ignore[no-untyped-call]  # as aiosqlite has it
        return result


def _is_done_at_once(owner: object, name: str) -> bool:
    if isinstance(owner, sqlite3.Connection):
        return name == "cursor" or (name == "rollback" and not owner.in_transaction)
    return isinstance(owner, sqlite3.Cursor) and name == "close"


async def connect(path: str, busy_seconds: float) -> SqliteWriter:
    """A connection used by one transaction after the other, from two threads in turn."""
    connection = SqliteWriter(lambda: sqlite3.connect(path, busy_seconds, check_same_thread=False), 64)
    connection._thread.daemon = True  # as SQLAlchemy does with the connections that it makes
    await connection
    return connection
