"""The database schema, entities as its rows, and the migrations that bring a database to it (Alembic, forward only)."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.engines import truncate_log
from adapters.sql.outages import OutagesAsOverloaded
from domain.customer import Pseudonyms

T = TypeVar("T")


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC on both sides; SQLite drops the offset, so it is taken off before and put back after."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


def _partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index of the rows that fulfil a condition alone."""
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


def values_of(entity: Any, table: Table, **others: Any) -> dict[str, Any]:
    """A row: what entity and table call the same, and `others`."""
    return {each.name: getattr(entity, each.name) for each in table.c if hasattr(entity, each.name)} | others


def entity_of(kind: type[T], row: Mapping[Any, Any], **others: Any) -> T:
    """An entity out of a row: what both call the same, and `others`."""
    names = cast("Any", kind).__dataclass_fields__
    return kind(**{name: value for name, value in row.items() if name in names} | others)


# Ordered by their bytes, as object names are, whatever the database's own language: `reconcile` merges the two.
ImageIdColumn = String(40).with_variant(String(40, collation="C"), "postgresql")

metadata = MetaData()

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("default_keep_for_days", SmallInteger, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("erasure_epoch", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("requests_per_minute", Integer),  # without a value: what the settings say; 0: no limit
    Column("max_live_images", Integer),  # without a value: no limit
    Column("credits", Integer),  # try-ons that are left; without a value: no limit
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(40), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("digest", LargeBinary, nullable=False),
    Column("label", String(100), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Column("scopes", String(100)),  # separated by spaces; without a value: all
    Column("expires_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Column("requests_per_minute", Integer),  # without a value: only the account's
)

images = Table(
    "images",
    metadata,
    Column("id", ImageIdColumn, primary_key=True),
    Column("account_id", String(40), ForeignKey("accounts.id"), nullable=False),
    Column("customer_id", String(256)),  # a pseudonym (domain.customer), here and below
    Column("state", String(10), nullable=False),
    Column("keep_for_days", SmallInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # When a purger has to look at the row: the end of a pending upload's lease, a stored image's expiry, the next try
    # of a deletion. One column and one index find all the work there is.
    Column("due_at", UtcDateTime, nullable=False),
    Column("erasure_id", String(40)),
    Column("key_digest", LargeBinary),
    Column("fingerprint", LargeBinary),
    Column("photo", Text),
    Index("ix_images_due_at", "due_at"),
    # Counts an account's live images without a look at rows.
    Index("ix_images_account_live", "account_id", "state", "keep_for_days"),
    _partial_index("ix_images_customer", "account_id", "customer_id", where="customer_id IS NOT NULL"),
    _partial_index("uq_images_idempotency", "account_id", "key_digest", where="key_digest IS NOT NULL", unique=True),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("erasure_id", String(40), primary_key=True),
    Column("account_id", String(40), ForeignKey("accounts.id"), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("is_keyed", Boolean),  # without a value: by the version before, which knows no pseudonyms
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("erased_at", UtcDateTime),  # without a value in rows of an earlier version
    Index("ix_tombstones_account", "account_id", "epoch"),
    Index("ix_tombstones_erased_at", "account_id", "erased_at"),
)

erasures = Table(
    "erasures",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(40), ForeignKey("accounts.id"), nullable=False),
    Column("requested_at", UtcDateTime, nullable=False, index=True),
    Column("completed_at", UtcDateTime),
    Column("image_count", Integer, nullable=False),
    _partial_index("ix_erasures_open", "id", where="completed_at IS NULL"),
)

erased_images = Table(
    "erased_images",
    metadata,
    Column("erasure_id", String(40), ForeignKey("erasures.id"), primary_key=True),
    Column("image_id", ImageIdColumn, primary_key=True),
    Column("forget_at", UtcDateTime, nullable=False, index=True),
)

products = Table(
    "products",
    metadata,
    Column("account_id", String(40), ForeignKey("accounts.id"), primary_key=True),
    Column("external_id", String(256), primary_key=True),
    Column("images", Text, nullable=False),
    Column("pictures", Text),  # what is known of those images; without a value in rows of an earlier version
    Column("title", Text),
    Column("description", Text),
    Column("is_one_shot", Boolean, nullable=False),
    Column("is_registered", Boolean),
    Column("created_at", UtcDateTime),
    Column("updated_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Column("expires_at", UtcDateTime, index=True),  # without a value: stays until it is deleted
    Column("renew_at", UtcDateTime, index=True),
)

generations = Table(
    "generations",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(40), ForeignKey("accounts.id"), nullable=False),
    Column("status", String(10), nullable=False),
    # Set while the generation waits or runs, and forgotten when it ends: a row that stays is anonymous.
    Column("customer_id", String(256)),
    Column("person_image_id", String(40)),
    Column("garment_image_ids", Text),
    Column("lease_id", String(40)),
    Column("keep_for_days", SmallInteger, nullable=False),
    Column("attempts", SmallInteger, nullable=False),
    Column("engine", String(20)),
    Column("has_credit", Boolean),  # whether it took one of the account's
    Column("result_image_id", String(40)),
    Column("error_code", String(40)),
    Column("error_message", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # When a worker may take it on: the next try, the end of a lease; when a purger may forget it, once it has ended.
    Column("due_at", UtcDateTime, nullable=False),
    Index("ix_generations_due_at", "due_at"),
    Index("ix_generations_account", "account_id", "created_at", "id"),
    _partial_index("ix_generations_customer", "account_id", "customer_id", where="customer_id IS NOT NULL"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("account_id", String(40), ForeignKey("accounts.id"), primary_key=True),
    Column("key_digest", LargeBinary, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("customer_id", String(256)),  # so that an erasure finds it: the fingerprint is derived from the id, too
    Column("result", Text),  # without a value: the first request is still running
    Column("due_at", UtcDateTime, nullable=False, index=True),
    _partial_index("ix_idempotency_keys_customer", "account_id", "customer_id", where="customer_id IS NOT NULL"),
)

probes = Table("probes", metadata, Column("id", String(40), primary_key=True))

# Only ever inserted into and read. No foreign key: entries outlive what they tell of.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(100), nullable=False),
    Column("action", String(40), nullable=False),
    Column("account_id", String(40)),
    Column("subject", String(64)),
    Column("facts", Text, nullable=False),
    Index("ix_audit_log_at", "at", "id"),
    Index("ix_audit_log_account", "account_id", "at", "id"),
)

# Unlogged on PostgreSQL (see the migration): what is lost in a crash is how often somebody asked in the last minute.
rate_buckets = Table(
    "rate_buckets",
    metadata,
    Column("account_id", String(40), ForeignKey("accounts.id"), primary_key=True),
    Column("bucket", String(20), primary_key=True),
    Column("full_at_us", BigInteger, nullable=False),
)

MIGRATION_LOCK = 7_306_100_001
"""Any number that nobody else in the database uses: two replicas that start together migrate one after the other."""
MIGRATION_SECONDS = 60 * 60
"""For one statement: hours would be a case for an operator."""
LOCK_SECONDS = 5
ROLE_NAME = re.compile(r"[\w.-]{1,63}", re.ASCII)


def alembic_config() -> Config:
    """Where the migrations are; `attributes["connection"]` has to be set."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    return config


@cache
def revisions() -> tuple[str, ...]:
    """All that this code knows, newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions())


def is_new_enough(connection: Connection) -> bool:
    """Whether this code can work on the schema.

    It can on a newer one too, whose revision it does not know: migrations only ever add, so that the version before
    goes on serving while, and after, the next one's migrations run.
    """
    current = MigrationContext.configure(connection).get_current_revision()
    return current is not None and current not in revisions()[1:]


def _upgrade(connection: Connection, pseudonyms: Pseudonyms | None) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        # A new index on a large table may take its time, but not while everybody who serves waits behind a lock.
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
    config = alembic_config()
    config.attributes.update(connection=connection, pseudonyms=pseudonyms)
    command.upgrade(config, "head")


def _newer_revision(connection: Connection) -> str | None:
    """The schema's revision, if it is one that only a newer version of this code knows."""
    current = MigrationContext.configure(connection).get_current_revision()
    return None if current in (None, *revisions()) else current


class Migrator:
    """Upgrades the database behind an engine. A database that holds customers' ids is converted by `pseudonyms`."""

    def __init__(self, engine: AsyncEngine, pseudonyms: Pseudonyms | None = None) -> None:
        self._engine = engine
        self._pseudonyms = pseudonyms

    @property
    def is_embedded(self) -> bool:
        """SQLite: nobody else uses the database, so a server may upgrade it by itself when it starts."""
        return self._engine.dialect.name == "sqlite"

    @staticmethod
    def grants(role: str) -> tuple[str, ...]:
        """SQL, a statement each, by which `role` may serve on PostgreSQL and do no more. Raises: ValueError."""
        if not ROLE_NAME.fullmatch(role):
            raise ValueError("a role's name has letters, digits, '_', '-' and '.', 63 at most")
        tables = ", ".join(table.name for table in metadata.sorted_tables if table is not audit_log)
        rights = "SELECT, INSERT, UPDATE, DELETE ON"
        return (
            f'GRANT USAGE ON SCHEMA public TO "{role}";',
            f'GRANT {rights} {tables} TO "{role}";',
            f'REVOKE ALL ON audit_log FROM "{role}";',  # what the default of an earlier version gave
            f'GRANT SELECT, INSERT ON audit_log TO "{role}";',
            f'GRANT SELECT ON alembic_version TO "{role}";',
            # For the tables of later versions, which the same owner makes:
            f'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {rights} TABLES TO "{role}";',
        )

    async def revision(self) -> str | None:
        """The schema's revision; None when there is none yet. Raises: Overloaded."""
        self._make_file()
        try:
            with OutagesAsOverloaded():
                async with self._engine.connect() as connection:
                    return await connection.run_sync(
                        lambda opened: MigrationContext.configure(opened).get_current_revision()
                    )
        finally:
            await self._engine.dispose()

    def _make_file(self) -> None:
        """Nobody else makes it."""
        database = self._engine.url.database
        if self.is_embedded and database:
            Path(database).parent.mkdir(parents=True, exist_ok=True)
            Path(database).touch()

    async def upgrade(self) -> str:
        """Create or upgrade the schema, in one transaction; a no-op when it is up to date or newer.

        Returns: the revision. Raises: Overloaded, also when a table that it has to change is busy.
        """
        self._make_file()
        try:
            with OutagesAsOverloaded():
                async with self._engine.begin() as connection:
                    if current := await connection.run_sync(_newer_revision):
                        return current
                    await connection.run_sync(_upgrade, self._pseudonyms)
                if self.is_embedded:  # what was converted stays readable in the log until then
                    async with self._engine.connect() as connection:
                        await truncate_log(connection)
        finally:
            await self._engine.dispose()  # done once and for all: nobody keeps a connection for it
        return revisions()[0]
