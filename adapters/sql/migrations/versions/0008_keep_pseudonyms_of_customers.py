"""Put pseudonyms in place of customers' ids, and keyed digests in place of those of idempotency keys."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import context, op

from domain.account import AccountId
from domain.customer import IdempotencyRecord, Pseudonyms

revision = "0008"
down_revision = "0007"

ROWS_AT_ONCE = 5_000
REFUSE = """
CREATE FUNCTION refuse_erasures_of_the_version_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the version before cannot find what was kept since' USING ERRCODE = 'lock_not_available';
END $$
"""
images = sa.table("images", *map(sa.column, ("id", "account_id", "customer_id", "key_digest", "fingerprint")))
generations = sa.table("generations", *map(sa.column, ("id", "account_id", "customer_id")))
requests = sa.table("idempotency_keys", *map(sa.column, ("account_id", "customer_id", "key_digest", "fingerprint")))


def upgrade() -> None:
    """Convert every row. What the version before writes beside us afterwards is found in its plain form.

    An erasure by that version would miss what we write, and say that it was done: on PostgreSQL, where it may serve
    beside us, it is answered as an outage instead, and comes again.
    """
    op.add_column("tombstones", sa.Column("is_keyed", sa.Boolean(), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        op.execute(REFUSE)
        op.execute(
            "CREATE TRIGGER refuse_erasures_of_the_version_before BEFORE INSERT ON tombstones FOR EACH ROW"
            " WHEN (NEW.is_keyed IS NOT TRUE) EXECUTE FUNCTION refuse_erasures_of_the_version_before()"
        )
    for rows in _batches(images, images.c.customer_id.is_not(None) | images.c.key_digest.is_not(None)):
        _change(images, "id", rows)
    for rows in _batches(generations, generations.c.customer_id.is_not(None)):
        _change(generations, "id", rows)
    # Without the counts of tickets' checks, whose digests are those of random ids.
    query = sa.select(requests).where(requests.c.fingerprint != b"").with_for_update()
    _change(requests, "key_digest", op.get_bind().execute(query).all())


def _batches(table: sa.TableClause, holds: Any) -> Iterator[Sequence[Any]]:
    """By their ids, each row held, so that nobody changes it between the look and the change."""
    query = sa.select(table).where(holds).order_by(table.c.id).limit(ROWS_AT_ONCE).with_for_update()
    rows = op.get_bind().execute(query).all()
    while rows:
        yield rows
        rows = op.get_bind().execute(query.where(table.c.id > rows[-1].id)).all()


def _change(table: sa.TableClause, key: str, rows: Sequence[Any]) -> None:
    names = [column.name for column in table.c if column.name not in {"id", "account_id"}]
    changing = (
        sa.update(table)
        .where(table.c.account_id == sa.bindparam("_account"), table.c[key] == sa.bindparam("_key"))
        .values({name: sa.bindparam(f"new_{name}") for name in names})
    )
    if rows:
        op.get_bind().execute(changing, [_converted(row, key) for row in rows])


def _converted(row: Any, key: str) -> dict[str, Any]:
    account_id = AccountId(row.account_id)
    changed: dict[str, Any] = {"_account": account_id, "_key": getattr(row, key)}
    if hasattr(row, "customer_id"):
        plain = row.customer_id
        changed["new_customer_id"] = plain and _pseudonyms().customer(account_id, plain).pseudonym
    if hasattr(row, "key_digest"):
        record = row.key_digest and IdempotencyRecord(bytes(row.key_digest), bytes(row.fingerprint))
        keyed = record and _pseudonyms().converted(account_id, record)
        changed |= {"new_key_digest": keyed and keyed.key_digest, "new_fingerprint": keyed and keyed.fingerprint}
    return changed


def _pseudonyms() -> Pseudonyms:
    pseudonyms: Pseudonyms | None = context.config.attributes.get("pseudonyms")
    if pseudonyms is None:
        raise RuntimeError("The database holds ids of customers: TRYON_PSEUDONYM_KEY is needed to convert them.")
    return pseudonyms
