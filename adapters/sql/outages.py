"""Which failures of a database say "not now", and pass, and which are bugs of ours."""

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

    Some of it comes bare: a refused connection of asyncpg (OSError), and what SQLite says to its driver.
    """

    def __enter__(self) -> None:
        """Nothing is needed before."""

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is None or (isinstance(error, DBAPIError) and not _is_outage(error)):
            return
        if isinstance(error, (DBAPIError, PoolTimeout, OSError, sqlite3.OperationalError)):
            cause, cure = diagnose(error)
            raise Overloaded(OUT_OF_REACH, cause=cause, advice=cure) from error


def _is_outage(error: DBAPIError) -> bool:
    """Whether trying again later may help. SQLite says `OperationalError` when it is locked, full or read-only."""
    if isinstance(error, (OperationalError, InterfaceError)) or error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.DatabaseError):
        return type(error.orig) is sqlite3.DatabaseError  # "file is not a database"; our own faults are subclasses
    return str(getattr(error.orig, "sqlstate", None)).startswith(POSTGRES_OUTAGES)
