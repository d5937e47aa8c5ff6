"""Failures of a database: what says "not now" and passes is Overloaded, with its cause and cure; the rest are our bugs.

A cause is one word for metrics, a cure one line for the operator. The line holds no secret: nothing of what a server or
driver says is passed on, but for the driver's own words about options and certificates.
"""

import socket
import sqlite3
import ssl
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidRequestError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from domain.errors import Overloaded


class Diagnosis(NamedTuple):
    """`cause` is a word for metrics; `cure` begins with what is wrong."""

    cause: str
    cure: str


class UnusableAddress(OSError):
    """TRYON_DATABASE_URL is not what the driver understands; the text says why, without the URL."""


UNKNOWN: Final = Diagnosis("unreachable", "The database cannot be used. Its own log says more.")
TIMEOUT: Final = Diagnosis(
    "timeout",
    "The database does not answer in time: a firewall, a wrong address, a lock, or too few connections for the load.",
)
NOBODY_THERE: Final = Diagnosis(
    "unreachable", "Nobody answers at the address in TRYON_DATABASE_URL. Does the server run, and listen there?"
)
UNKNOWN_HOST: Final = Diagnosis(
    "unknown_host", "The host in TRYON_DATABASE_URL is not known to DNS. Correct it, or the resolver of this machine."
)
NO_TLS: Final = Diagnosis(
    "tls", "The database does not speak TLS. Switch it on there (ssl = on), or leave sslmode out of TRYON_DATABASE_URL."
)
STALE_STATEMENT: Final = "InvalidCachedStatementError"
SCHEMA_CHANGED: Final = Diagnosis("schema_changed", "Somebody has just changed the database's tables. Try again.")
SCHEMA: Final = Diagnosis("schema", "The database has no tables, or old ones. Run: tryon-images db upgrade")

BY_SQLSTATE: Final = {
    "28P01": Diagnosis("login", "The database refuses the password. Check user and password in TRYON_DATABASE_URL."),
    "28": Diagnosis(
        "login",
        "The database refuses the login: the user in TRYON_DATABASE_URL is unknown there, or pg_hba.conf does not "
        "admit it from here, or not without TLS (?sslmode=require).",
    ),
    "3D000": Diagnosis(
        "no_database",
        "The server has no database of that name. Create it (createdb), or correct the name in TRYON_DATABASE_URL.",
    ),
    "42P01": SCHEMA,
    "42703": SCHEMA,
    "3F": SCHEMA,
    "42704": Diagnosis(
        "configuration", "The database refuses an option that stands behind the question mark of TRYON_DATABASE_URL."
    ),
    "42501": Diagnosis(
        "rights",
        "The database role lacks rights. Grant them as the owner: tryon-images db upgrade --print-grants=ROLE | psql …",
    ),
    "53300": Diagnosis(
        "connections",
        "The database admits no more connections. Raise its max_connections, or lower TRYON_DATABASE_POOL_SIZE.",
    ),
    "53100": Diagnosis("disk_full", "The database's disk is full."),
    "53": Diagnosis("resources", "The database is short of memory or another resource."),
    "25006": Diagnosis(
        "read_only",
        "The database is read-only, as a standby is. Name the primary, or several hosts with "
        "?target_session_attrs=read-write.",
    ),
    "57": Diagnosis("restart", "The database is starting or being shut down. Try again."),
    "57014": TIMEOUT,
    "55P03": TIMEOUT,
    "40": Diagnosis("conflict", "Two transactions were in each other's way. Try again."),
    "08": Diagnosis("connection_lost", "The connection to the database broke. Try again."),
    "58": Diagnosis("disk", "The database cannot read or write its files. Its own log says more."),
    "XX": Diagnosis("damaged", "The database reports damaged data. Stop, and restore a backup (docs/operations.md)."),
}
"""By the beginning of the SQLSTATE (PostgreSQL, appendix A); the longest that fits counts. All others are our bugs."""

BY_PGBOUNCER: Final = {
    "password authentication": BY_SQLSTATE["28P01"],
    "no such user": BY_SQLSTATE["28"],
    "no such database": BY_SQLSTATE["3D000"],
    "does not exist": BY_SQLSTATE["3D000"],
    "startup parameter": Diagnosis(
        "configuration",
        "A PgBouncer is in front of the database. Name its mode in TRYON_DATABASE_URL: ?pool_mode=transaction "
        "or ?pool_mode=session.",
    ),
}
"""By a part of its message: it says all of these as one, 08P01, a violation of the protocol."""

BY_SQLITE: Final = {
    "unable to open": Diagnosis("unreachable", "The database file cannot be opened. Is its folder there and writable?"),
    "not a database": Diagnosis(
        "damaged", "The database file is no SQLite database. Move it away, and restore a backup (docs/operations.md)."
    ),
    "malformed": Diagnosis("damaged", "The database file is damaged. Restore a backup (docs/operations.md)."),
    "no such": SCHEMA,
    "readonly": Diagnosis("read_only", "The database file is read-only for this user."),
    "full": Diagnosis("disk_full", "The disk with the database file is full."),
    "disk I/O": Diagnosis(
        "disk", "The database file, or its log beside it, cannot be read or written: the disk is full, broken or away."
    ),
    "locked": Diagnosis("timeout", "Another process holds the database file's lock for too long."),
}
"""By a part of its message; SQLite has no other code that the drivers pass on."""


def diagnose(error: BaseException) -> Diagnosis:
    """The first of the nested errors that says something; `UNKNOWN` when none does."""
    return next(filter(None, map(_diagnose_one, _nested(error))), UNKNOWN)


def _nested(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = getattr(error, "orig", None) or error.__cause__


def _diagnose_one(error: BaseException) -> Diagnosis | None:
    sqlstate = str(getattr(error, "sqlstate", None) or "")
    if type(error).__name__ == STALE_STATEMENT:
        return SCHEMA_CHANGED
    if sqlstate == "08P01" and (found := _by_words(BY_PGBOUNCER, error)):
        return found
    if fitting := [start for start in BY_SQLSTATE if sqlstate.startswith(start)]:
        return BY_SQLSTATE[max(fitting, key=len)]
    if type(error).__module__ == "sqlite3":
        return _by_words(BY_SQLITE, error)
    return _diagnose_network(error)


def _by_words(known: Mapping[str, Diagnosis], error: BaseException) -> Diagnosis | None:
    return next((found for part, found in known.items() if part in str(error)), None)


def _diagnose_network(error: BaseException) -> Diagnosis | None:
    found = None
    match error:
        case UnusableAddress():
            found = Diagnosis("configuration", f"TRYON_DATABASE_URL cannot be used: {error}")
        case ssl.SSLCertVerificationError():
            why = f"The database's certificate is not trusted ({error.verify_message})."
            found = Diagnosis("tls", f"{why} Name the CA that signed it: ?sslmode=verify-full&sslrootcert=/path/ca.pem")
        case ssl.SSLError():
            found = Diagnosis("tls", f"TLS with the database failed ({error.reason}).")
        case socket.gaierror():
            found = UNKNOWN_HOST
        case TimeoutError() | PoolTimeout():
            found = TIMEOUT
        case InvalidRequestError():
            found = BY_SQLSTATE["08"]
        case ConnectionError() if "rejected SSL upgrade" in str(error):
            found = NO_TLS
        case OSError():
            found = NOBODY_THERE
    return found


OUT_OF_REACH = "The database is not reachable. Try again shortly."
"""All that a client hears; the operator gets the diagnosis."""

LOST_AT_ONCE: Final = "This connection is closed"
"""Message of SQLAlchemy's pool when two connections in turn were lost as soon as they were opened."""


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
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    said = _said_by_driver(error)
    if isinstance(said, sqlite3.DatabaseError):
        return type(said) is sqlite3.DatabaseError  # "file is not a database"; our own faults are subclasses
    if type(said) is InvalidRequestError:
        return str(said) == LOST_AT_ONCE
    sqlstate = getattr(said, "sqlstate", None)
    if sqlstate is None:  # what asyncpg says then is about the connection, never about a statement
        return _is_of_asyncpg(said)
    return type(said).__name__ == STALE_STATEMENT or str(sqlstate).startswith(tuple(BY_SQLSTATE))


def _said_by_driver(error: BaseException) -> BaseException:
    """Of asyncpg's errors SQLAlchemy makes some of its own, which tell less."""
    said = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return said.__cause__ if said.__cause__ and _is_of_asyncpg(said.__cause__) else said


def _is_of_asyncpg(error: BaseException) -> bool:
    """By its module: asyncpg's errors have no base class of their own."""
    return type(error).__module__.startswith("asyncpg.")
