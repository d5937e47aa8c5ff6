"""A connection that writes to SQLite and goes to another thread only for what may take long."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from aiosqlite import Connection

T = TypeVar("T")

BEGIN: Final = "BEGIN IMMEDIATE"
BRIEF: Final = "/* brief */"
"""The prefix of a statement that writes one row by its key. To another database it is a comment."""
_HEAD: Final = len(f"INSERT {BRIEF}")


class SqliteWriter(Connection):
    """Commits wait for the disk, and most statements may take long: they go to the connection's own thread, as
    aiosqlite does it. What is done at once, on the event loop's thread, costs less than a change of thread and back:

    - to open and close a cursor, and to roll back, when a connection returns to the pool, what has been committed;
    - to begin a transaction when nobody else is writing;
    - a brief statement, which within a transaction waits neither for a lock nor for the disk.
    """

    def __init__(self, path: str, busy_seconds: float) -> None:
        super().__init__(lambda: sqlite3.connect(path, busy_seconds, check_same_thread=False), 64)
        self._thread.daemon = True  # as SQLAlchemy does with the connections that it makes
        self._busy_ms = round(1000 * busy_seconds)

    async def _execute(self, fn: Callable[..., T], *arguments: Any, **options: Any) -> T:
        owner, name = getattr(fn, "__self__", None), getattr(fn, "__name__", "")
        if isinstance(owner, sqlite3.Cursor) and arguments[:1] == (BEGIN,):
            with suppress(sqlite3.OperationalError), self._no_waiting(owner.connection):
                return fn(*arguments, **options)  # or somebody else is writing: to wait for that is for the thread
        elif _is_done_at_once(owner, name, arguments):
            return fn(*arguments, **options)
        result: T = await super()._execute(fn, *arguments, **options)  # type: ignore[no-untyped-call]  # as aiosqlite has it
        return result

    @contextmanager
    def _no_waiting(self, connection: sqlite3.Connection) -> Iterator[None]:
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            connection.execute(f"PRAGMA busy_timeout = {self._busy_ms}")


def _is_done_at_once(owner: object, name: str, arguments: tuple[Any, ...]) -> bool:
    if isinstance(owner, sqlite3.Connection):
        return name == "cursor" or (name == "rollback" and not owner.in_transaction)
    if not isinstance(owner, sqlite3.Cursor):
        return False
    is_brief = name == "execute" and BRIEF in arguments[0][:_HEAD] and owner.connection.in_transaction
    return name == "close" or is_brief
