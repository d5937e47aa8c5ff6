"""An engine for PostgreSQL whose URL is read by the driver, so that all that libpq's URLs can say works.

Several hosts, `sslmode`, `sslrootcert`, `target_session_attrs` (PostgreSQL, "Connection URIs"). Ours alone is
`pool_mode`, `session` or `transaction`: a PgBouncer in that mode is in front.
"""

import os
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from adapters.sql.diagnosis import UnusableAddress

CONNECT_SECONDS: Final = 5
POOL_RECYCLE_SECONDS: Final = 30 * 60
"""Load balancers and cloud proxies drop what has been idle or open for longer."""
DRIVER: Final = "postgresql+asyncpg"
POOL_MODE: Final = "pool_mode"
POOL_MODES: Final = ("", "session", "transaction")
FILES: Final = ("sslrootcert", "sslcert", "sslkey")
TRANSACTIONS_ONLY: Final = "tryon_transactions_only"
"""An execution option of the engine: two statements share a connection of the server only in a transaction."""


def create_postgres_engine(database_url: str, *, pool_size: int, statement_seconds: int) -> AsyncEngine:
    """At most `pool_size` connections, and no wait for a connection for longer than `statement_seconds`."""
    dsn, pool_mode = _for_driver(database_url)
    is_pooled = pool_mode == "transaction"
    connect = partial(
        _connect,
        dsn,
        pool_mode,
        _limits(statement_seconds),
        timeout=CONNECT_SECONDS,
        # The driver's own limit too: a server that has vanished never says that time is up.
        command_timeout=statement_seconds + CONNECT_SECONDS,
        **({"statement_cache_size": 0} if is_pooled else {}),
    )
    engine = create_async_engine(
        f"{DRIVER}://",  # the URL itself, with its password, stays in `connect`
        async_creator=connect,
        connect_args=_WITHOUT_NAMES if is_pooled else {},
        execution_options={TRANSACTIONS_ONLY: is_pooled},
        # An erasure's lock works only if every statement after it sees what was committed before it was granted.
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        max_overflow=0,  # so that replicas x processes x pool_size is all that a server ever has to admit
        pool_timeout=statement_seconds,
        pool_recycle=POOL_RECYCLE_SECONDS,
    )
    event.listen(engine.sync_engine, "checkout", _refuse_if_closed)
    return engine


_WITHOUT_NAMES: Final[dict[str, Any]] = {
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": lambda: "",
}
"""A named statement lives in one connection of the server, and the next transaction may have another."""


def _limits(statement_seconds: int) -> dict[str, str]:
    """PgBouncer refuses them at the start. In transaction mode they belong to the role (`ALTER ROLE … SET`)."""
    return {
        "statement_timeout": f"{statement_seconds}s",
        "idle_in_transaction_session_timeout": f"{2 * statement_seconds}s",
    }


def _for_driver(database_url: str) -> tuple[str, str]:
    """Returns: the URL as the driver reads it, and the mode of the pool in front; empty: there is none."""
    parts = urlsplit(database_url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    pool_mode = options.pop(POOL_MODE, "")
    if "ssl" in options:  # what SQLAlchemy calls it
        options["sslmode"] = options.pop("ssl")
    return urlunsplit(parts._replace(scheme="postgresql", query=urlencode(options, safe="/,:"))), pool_mode


async def _connect(dsn: str, pool_mode: str, limits: dict[str, str], **options: Any) -> Any:
    if pool_mode not in POOL_MODES:
        raise UnusableAddress("pool_mode is session or transaction, as PgBouncer's own.")
    asked = dict(parse_qsl(urlsplit(dsn).query))
    if unreadable := [name for name in FILES if name in asked and not os.access(asked[name], os.R_OK)]:
        raise UnusableAddress(f"{unreadable[0]} names no file that can be read.")
    try:
        settings = {"application_name": "tryon-images", **({} if pool_mode else limits)}
        connection = await asyncpg.connect(dsn, server_settings=settings, **options)
    except asyncpg.ClientConfigurationError as error:
        raise UnusableAddress(str(error)) from None
    except OSError:  # before the next: an untrusted certificate is a ValueError as well
        raise
    except ValueError:  # its text may quote a part of the password
        raise UnusableAddress("a port is not a number. Odd characters of a password are written as %40.") from None
    if pool_mode == "session":
        await connection.execute("; ".join(f"SET {name} = '{limit}'" for name, limit in limits.items()))
    return connection


def _refuse_if_closed(connection: Any, _record: object, _proxy: object) -> None:
    """The pool then opens another. The driver has heard of a restart by itself; asking would cost three round trips."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError
