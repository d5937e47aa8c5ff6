"""The failures of a database that say "not now", and pass; all others are bugs of ours."""

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from adapters.sql.diagnosis import diagnose
from domain.errors import Overloaded

OUT_OF_REACH = "The database is not reachable. Try again shortly."
"""All that a client hears; the operator gets the diagnosis."""
POSTGRES_OUTAGES = (
    "08",
    "25006",
    "28",
    "3D",
    "3F",
    "40",
    "42501",
    "42703",
    "42704",
    "42P01",
    "53",
    "55P03",
    "57",
    "58",
    "XX",
)
"""SQLSTATEs that say "not now" (PostgreSQL, appendix A): connection lost, read-only, login refused, no such database,
deadlock, no rights or tables (as during a restore), out of disk, memory or connections, lock not granted, time out or
shut down by an operator, I/O error, damaged data."""


class OutagesAsOverloaded:
    """A context manager that raises Overloaded instead of what says "not now".

    The one boundary for all that a database's drivers raise: while connecting, executing and committing. Some of it
    comes bare, past SQLAlchemy: whatever goes wrong while asyncpg connects (OSError and its own errors), its
    InternalClientError at any time, and what SQLite says to its driver.
    """

    def __enter__(self) -> None:
        """Nothing is needed before."""

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is not None and _is_outage(error):
            cause, cure = diagnose(error)
            raise Overloaded(OUT_OF_REACH, cause=cause, advice=cure) from error


def _is_outage(error: BaseException) -> bool:
    """Whether trying again later may help. SQLite says `OperationalError` when it is locked, full or read-only."""
    if isinstance(error, (OperationalError, InterfaceError, PoolTimeout, OSError, sqlite3.OperationalError)):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or _says_not_now(error.orig)
    return _says_not_now(error)


def _says_not_now(error: BaseException | None) -> bool:
    """An error of asyncpg without an SQLSTATE is about the connection, never about a statement."""
    if isinstance(error, sqlite3.DatabaseError):
        return type(error) is sqlite3.DatabaseError  # "file is not a database"; our own faults are subclasses
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate is None:  # asyncpg takes long to import, and is not where SQLite is used: judged by its name
        return type(error).__module__.startswith("asyncpg.")
    return str(sqlstate).startswith(POSTGRES_OUTAGES)
