"""The database schema, as the newest migration leaves it; entities as its rows, and what all repositories have."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, cast

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    Executable,
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
from sqlalchemy.dialects import postgresql, sqlite

from adapters.sql.engines import SqlConnection
from domain.account import AccountId
from domain.customer import Customer

T = TypeVar("T")
ROWS_AT_ONCE: Final = 5_000
"""One customer may have a million images, and a statement has a time limit."""
IDS_AT_ONCE: Final = 500
"""Both databases bound a statement's parameters (32,766 and 32,767)."""


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


def pseudonym_of(customer: Customer | None) -> str | None:
    """As rows carry it."""
    return customer.pseudonym if customer else None


def customer_of(row: Any) -> Customer | None:
    """Whom the row names."""
    return Customer(AccountId(row.account_id), row.customer_id) if row.customer_id is not None else None


def is_of(customer: Customer, table: Table) -> ColumnElement[bool]:
    """Rows that name the customer, by whatever key."""
    return (table.c.account_id == customer.account_id) & table.c.customer_id.in_(customer.pseudonyms)


def in_batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Each as long as a statement may be."""
    return (items[start : start + size] for start in range(0, len(items), size))


def insert_or(dialect: Dialect, table: Table) -> Any:
    """An INSERT that may say what comes of a conflict (`on_conflict_do_…`): SQLAlchemy has one for each dialect."""
    return (postgresql if dialect.name == "postgresql" else sqlite).insert(table)


class Rows:
    """Works inside the transaction of the connection it is given."""

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection

    async def _change(self, statement: Executable) -> int:
        """Returns: how many rows it changed."""
        return (await self._connection.execute(statement)).rowcount

    async def _one(self, make: Callable[[Any], T], query: Executable, **parameters: object) -> T | None:
        row = (await self._connection.execute(query, parameters)).one_or_none()
        return None if row is None else make(row)

    async def _all(self, make: Callable[[Any], T], query: Executable) -> tuple[T, ...]:
        return tuple(map(make, await self._connection.execute(query)))

    async def _number(self, query: Executable) -> int:
        return int(await self._connection.scalar(query) or 0)


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
    _partial_index("ix_generations_result", "account_id", "result_image_id", where="result_image_id IS NOT NULL"),
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
