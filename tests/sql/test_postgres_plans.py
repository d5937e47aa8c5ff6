"""Every statement that serves or purges finds its rows by an index, however many there are."""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.unit_of_work import SqlRepositories, create_engine
from domain.customer import Customer
from domain.image import ErasureId, ImageId
from tests.builders import ACME, NOON
from tests.sql.many_images import fill

ROWS = 200_000
SOME = [ImageId("img_" + hashlib.md5(str(n).encode()).hexdigest()) for n in range(1, 101)]
SOMEBODY = Customer(ACME, "gid://shopify/Customer/7")
LATER = NOON + timedelta(minutes=1)


@pytest.fixture
async def engine(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(postgres_url, statement_seconds=120)
    await fill(engine, ROWS)
    yield engine
    await engine.dispose()


@contextmanager
def recorded(engine: AsyncEngine) -> Iterator[list[tuple[str, Any]]]:
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        statements.append((statement, parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)


def scans(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """How each table is gone through: (kind of node, table or index)."""
    if "Scan" in plan["Node Type"] and ("Relation Name" in plan or "Index Name" in plan):
        yield plan["Node Type"], plan.get("Index Name") or plan["Relation Name"]
    for inner in plan.get("Plans", ()):
        yield from scans(inner)


async def everything(repositories: SqlRepositories) -> None:
    await repositories.images.find(SOME[0], ACME)
    await repositories.images.find_by_idempotency_key(ACME, bytes.fromhex(SOME[2][4:]))
    await repositories.images.doom(SOME[0], ACME, LATER)
    await repositories.images.doom_customer(SOMEBODY, ErasureId("era_1"), NOON, LATER)
    await repositories.images.traces_of(SOMEBODY)
    await repositories.images.doom_due(NOON + timedelta(minutes=10), LATER, 200)
    await repositories.images.remove(SOME)
    await repositories.images.objects_of(SOME)


async def test_lookup_erasure_and_purge_are_index_scans(engine: AsyncEngine) -> None:
    found: dict[str, set[str]] = {}
    async with engine.connect() as connection:
        with recorded(engine) as statements:
            await everything(SqlRepositories(connection))
        await connection.rollback()
        for statement, parameters in list(statements):
            explained = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
            (plan,) = explained.one()
            plan = json.loads(plan) if isinstance(plan, str) else plan
            for kind, name in scans(plan[0]["Plan"]):
                assert "Seq Scan" not in kind, f"{name} is read from end to end by: {statement}"
                found.setdefault(name, set()).add(statement.split()[0])
    assert {"SELECT", "UPDATE", "DELETE"} <= found["images_pkey"]
    assert "UPDATE" in found["ix_images_customer"]
    assert "SELECT" in found["ix_images_due_at"]
    assert "SELECT" in found["uq_images_idempotency"]
