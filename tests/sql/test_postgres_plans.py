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

from adapters.sql.unit_of_work import SqlRateLimiter, create_engine, repositories_on
from application.ports.rows import Repositories
from application.ports.system import RateBucket
from domain.account import AccountId, Beginning, KeyId, RateLimit
from domain.customer import IdempotencyRecord
from domain.errors import ImageNotFound
from domain.generation import Failure, GenerationId, LeaseId
from domain.image import ErasureId, ImageId
from tests.builders import ACME, NOON, OTHER, MovableClock, a_customer, a_stored_photo, an_image
from tests.contracts.try_on_repositories import a_generation
from tests.sql.many_rows import fill

ROWS = 1_000_000
SOME = [ImageId("img_" + hashlib.md5(str(n).encode()).hexdigest()) for n in range(1, 101)]
SOMEBODY = a_customer("gid://shopify/Customer/7")
LATER = NOON + timedelta(minutes=1)
GONE = Failure(ImageNotFound.code, "gone")


@pytest.fixture
async def engine(postgres_owner_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(postgres_owner_url, statement_seconds=120)
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
    for arbiter in plan.get("Conflict Arbiter Indexes", ()):
        yield "Conflict", arbiter
    for inner in plan.get("Plans", ()):
        yield from scans(inner)


async def look_up(repositories: Repositories) -> None:
    await repositories.accounts.find_key(KeyId("7"))
    await repositories.accounts.find_by_name("acc_7")
    await repositories.images.find(SOME[0], ACME)
    await repositories.images.find_by_idempotency_key(ACME, IdempotencyRecord(bytes.fromhex(SOME[2][4:]), b""))
    await repositories.products.find(ACME, "shirt-7")
    await repositories.products.page(ACME, "shirt-7", 50, NOON)
    await repositories.products.hold(ACME, "shirt-7")
    await repositories.generations.find(GenerationId("gen_7"), ACME)
    await repositories.generations.page(ACME, None, 10)
    await repositories.generations.page(ACME, a_generation("gen_7"), 10)


async def upload(repositories: Repositories) -> None:
    await repositories.images.count_live(OTHER)  # only for an account with a quota, which then has not many
    await repositories.images.hold(SOME[0], ACME)
    await repositories.images.publish(an_image(SOME[1]), a_stored_photo())
    await repositories.images.release_idempotency_key(SOME[2])
    await repositories.erasures.is_erased_since(a_customer("ann", AccountId("acc_7")), Beginning(0, NOON))


async def erase(repositories: Repositories) -> None:
    await repositories.images.mark_deleting(SOME[0], ACME, LATER)
    await repositories.images.abandon(an_image(SOME[1]), LATER)
    await repositories.erasures.serialize(SOMEBODY)
    await repositories.erasures.advance_epoch(AccountId("acc_7"))
    await repositories.generations.fail_customer(SOMEBODY, GONE, NOON)
    await repositories.images.mark_customer_deleting(SOMEBODY, ErasureId("era_new"), NOON, LATER)
    await repositories.images.traces_of(SOMEBODY)
    await repositories.erasures.find_record(ErasureId("era_7"))
    await repositories.erasures.images_of(ErasureId("era_7"))
    await repositories.erasures.list_records(None, 50)


async def tell_what_is_held(repositories: Repositories) -> None:
    await repositories.images.stored_of(SOMEBODY, "", 100)
    await repositories.generations.of_customer(SOMEBODY, ())
    await repositories.generations.of_customer(SOMEBODY, SOME)
    await repositories.erasures.marked_until(SOMEBODY)


async def purge(repositories: Repositories) -> None:
    await repositories.images.mark_due_deleting(NOON + timedelta(minutes=10), LATER, 200)
    await repositories.images.remove(SOME)
    await repositories.erasures.complete_records(NOON)
    await repositories.erasures.sweep(NOON)
    await repositories.products.sweep(NOON)
    await repositories.products.claim_renewals(NOON, LATER, 20)
    await repositories.products.remove(ACME, "shirt-7")
    await repositories.images.release(SOME, LATER)
    await repositories.requests.sweep(NOON)
    await repositories.requests.key_digests_of(SOMEBODY)
    await repositories.requests.erase(SOMEBODY)
    await repositories.generations.sweep(NOON)
    await repositories.images.overdue(NOON)
    await repositories.erasures.count_open()
    await repositories.generations.longest_wait(NOON)
    await repositories.images.objects_of(SOME)
    await repositories.images.mark_known_deleting(SOME, LATER)
    await repositories.images.mark_known_deleting(SOME, LATER, only_stored=True)


async def work_on_a_generation(repositories: Repositories) -> None:
    claimed = await repositories.generations.claim(LeaseId("lea_new"), "sandbox", LATER, LATER + timedelta(minutes=3))
    assert claimed is not None
    assert await repositories.generations.is_held(claimed)
    assert await repositories.generations.try_again(claimed, LATER, LATER)
    again = await repositories.generations.claim(LeaseId("lea_two"), "sandbox", LATER, LATER + timedelta(minutes=3))
    assert again is not None
    assert await repositories.generations.complete(again, SOME[0], LATER)


async def ask_too_often(engine: AsyncEngine) -> None:
    limiter = SqlRateLimiter(engine, MovableClock())
    account = AccountId("acc_7")
    answers = [await limiter.take(account, RateBucket.REQUESTS, RateLimit(1)) for _ in range(2)]
    assert [answer.is_granted for answer in answers] == [True, False]


async def test_no_statement_that_serves_or_purges_reads_a_table_from_end_to_end(engine: AsyncEngine) -> None:
    found: dict[str, set[str]] = {}
    with recorded(engine) as statements:
        await ask_too_often(engine)
    async with engine.connect() as connection:
        with recorded(engine) as more:
            for work in (look_up, upload, erase, tell_what_is_held, purge, work_on_a_generation):
                await work(repositories_on(connection))
        await connection.rollback()
        for statement, parameters in (*statements, *more):
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
    assert "SELECT" in found["ix_images_account_live"]
    assert {"SELECT", "DELETE"} <= found["ix_generations_due_at"]
    assert "UPDATE" in found["ix_generations_customer"]
    assert "SELECT" in found["ix_generations_result"]
    assert {"SELECT", "INSERT"} <= found["rate_buckets_pkey"]
