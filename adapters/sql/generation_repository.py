"""Generations as rows, and those rows as a queue."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import and_, bindparam, case, delete, func, insert, or_, select, tuple_, update

from adapters.sql.engines import SqlConnection
from adapters.sql.tables import accounts, entity_of, generations, values_of
from domain.account import AccountId
from domain.customer import Customer
from domain.generation import Failure, Generation, GenerationId, GenerationStatus, Inputs, LeaseId
from domain.image import ImageId
from domain.retention import RetentionPolicy

IDS = msgspec.json.Decoder(tuple[str, ...])
FIND = select(generations).where(
    generations.c.id == bindparam("generation"), generations.c.account_id == bindparam("account")
)
OPEN = (GenerationStatus.PENDING, GenerationStatus.PROCESSING)
# PostgreSQL passes over rows that another worker is claiming just now; SQLite has one writer at a time.
SERVED = (
    select(
        generations.c.account_id,
        func.sum(case((generations.c.status == GenerationStatus.PROCESSING, 1), else_=0)).label("running"),
        func.max(generations.c.updated_at).label("last_at"),
    )
    .where(
        or_(
            and_(
                generations.c.status == GenerationStatus.PROCESSING,
                generations.c.due_at > bindparam("now"),
                generations.c.due_at < bindparam("lease_over_at"),
            ),
            and_(generations.c.status.not_in(OPEN), generations.c.due_at > bindparam("ended_lately_due_at")),
        )
    )
    .group_by(generations.c.account_id)
    .subquery()
)
FIND_DUE = (
    select(generations.c.id)
    .outerjoin_from(generations, SERVED, SERVED.c.account_id == generations.c.account_id)
    .where(generations.c.due_at <= bindparam("now"), or_(*(generations.c.status == status for status in OPEN)))
    .order_by(func.coalesce(SERVED.c.running, 0), SERVED.c.last_at.nulls_first(), generations.c.due_at)
    .limit(1)
    .with_for_update(of=generations, skip_locked=True)
)
IDS_AT_ONCE = 500
"""Both databases bound a statement's parameters."""
FORGOTTEN = {"person_image_id": None, "garment_image_ids": None, "customer_id": None, "lease_id": None}


class SqlGenerationRepository:
    """Works inside the transaction of the connection it is given."""

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection

    async def add(self, generation: Generation) -> None:
        inputs = generation.inputs
        if inputs is None:
            raise ValueError("a generation begins with its inputs")
        row = values_of(
            generation,
            generations,
            id=generation.generation_id,
            customer_id=inputs.customer.pseudonym if inputs.customer else None,
            person_image_id=inputs.person,
            garment_image_ids=msgspec.json.encode(inputs.garments).decode(),
            keep_for_days=inputs.retention.keep_for_days,
            due_at=generation.created_at,
        )
        await self._connection.execute(insert(generations).values(row))

    async def find(self, generation_id: GenerationId, account_id: AccountId) -> Generation | None:
        row = (await self._connection.execute(FIND, {"generation": generation_id, "account": account_id})).one_or_none()
        return _generation(row) if row else None

    async def page(self, account_id: AccountId, before: Generation | None, limit: int) -> tuple[Generation, ...]:
        age = tuple_(generations.c.created_at, generations.c.id)
        query = select(generations).where(generations.c.account_id == account_id)
        if before is not None:
            query = query.where(age < tuple_(before.created_at, before.generation_id))
        newest = query.order_by(generations.c.created_at.desc(), generations.c.id.desc()).limit(limit)
        return tuple(_generation(row) for row in await self._connection.execute(newest))

    async def claim(self, lease: LeaseId, engine: str, now: datetime, lease_ends_at: datetime) -> Generation | None:
        ranges = {  # of the one index: a running one's row is due when its lease ends, an ended one's to be forgotten
            "now": now,
            "lease_over_at": now + Generation.SERVED_LATELY,
            "ended_lately_due_at": now + Generation.KEPT_FOR - Generation.SERVED_LATELY,
        }
        due = await self._connection.scalar(FIND_DUE, ranges)
        if due is None:
            return None
        claimed = await self._connection.execute(
            update(generations)
            .where(generations.c.id == due)
            .values(
                status=GenerationStatus.PROCESSING,
                attempts=generations.c.attempts + 1,
                lease_id=lease,
                engine=engine,
                due_at=lease_ends_at,
                updated_at=now,
            )
            .returning(generations)
        )
        return _generation(claimed.one())

    async def count_open(self, account_id: AccountId, since: datetime) -> int:
        is_open = or_(*(generations.c.status == status for status in OPEN))
        query = select(func.count()).where(
            generations.c.account_id == account_id, generations.c.created_at >= since, is_open
        )
        return int(await self._connection.scalar(query) or 0)

    async def longest_wait(self, now: datetime) -> timedelta:
        is_open = or_(*(generations.c.status == status for status in OPEN))
        query = select(generations.c.due_at).where(generations.c.due_at <= now, is_open)
        oldest = await self._connection.scalar(query.order_by(generations.c.due_at).limit(1))
        return now - oldest if oldest else timedelta()

    async def renew(self, generation: Generation, lease_ends_at: datetime) -> bool:
        return await self._change(generation, due_at=lease_ends_at)

    async def is_held(self, generation: Generation) -> bool:
        query = select(generations.c.id).where(*_held(generation)).with_for_update()
        return await self._connection.scalar(query) is not None

    async def try_again(self, generation: Generation, now: datetime, due_at: datetime) -> bool:
        return await self._change(
            generation, status=GenerationStatus.PENDING, lease_id=None, updated_at=now, due_at=due_at
        )

    async def hand_back(self, generation: Generation, now: datetime) -> bool:
        attempts = generations.c.attempts - 1
        return await self._change(
            generation, status=GenerationStatus.PENDING, lease_id=None, attempts=attempts, updated_at=now, due_at=now
        )

    async def complete(self, generation: Generation, result: ImageId, now: datetime) -> bool:
        return await self._change(
            generation,
            status=GenerationStatus.COMPLETED,
            result_image_id=result,
            updated_at=now,
            due_at=now + Generation.KEPT_FOR,
            **FORGOTTEN,
        )

    async def fail(self, generation: Generation, failure: Failure, now: datetime) -> bool:
        if generation.has_credit:  # in the order of an erasure: first the account's row, then that of the generation
            query = select(accounts.c.id).where(accounts.c.id == generation.account_id).with_for_update(key_share=True)
            await self._connection.execute(query)
        has_failed = await self._change(generation, **_failed(failure, now))
        await self._give_back(generation.account_id, int(has_failed and generation.has_credit))
        return has_failed

    async def of_customer(self, customer: Customer, results: Sequence[ImageId]) -> tuple[Generation, ...]:
        found: dict[str, Generation] = {}
        for start in range(0, max(1, len(results)), IDS_AT_ONCE):
            theirs = or_(
                generations.c.customer_id.in_(customer.pseudonyms),
                generations.c.result_image_id.in_(results[start : start + IDS_AT_ONCE]),
            )
            query = select(generations).where(generations.c.account_id == customer.account_id, theirs)
            found |= {row.id: _generation(row) for row in await self._connection.execute(query)}
        return tuple(sorted(found.values(), key=lambda each: (each.created_at, each.generation_id)))

    async def fail_customer(self, customer: Customer, failure: Failure, now: datetime) -> int:
        failed = await self._connection.execute(
            update(generations)
            .where(generations.c.account_id == customer.account_id, generations.c.customer_id.in_(customer.pseudonyms))
            .values(**_failed(failure, now))
            .returning(generations.c.has_credit)
        )
        had_credit = [bool(row.has_credit) for row in failed]
        await self._give_back(customer.account_id, sum(had_credit))
        return len(had_credit)

    async def sweep(self, now: datetime) -> int:
        over = delete(generations).where(generations.c.due_at <= now, generations.c.status.not_in(OPEN))
        return (await self._connection.execute(over)).rowcount

    async def _give_back(self, account_id: AccountId, number: int) -> None:
        if number:
            await self._connection.execute(
                update(accounts)
                .where(accounts.c.id == account_id, accounts.c.credits.is_not(None))
                .values(credits=accounts.c.credits + number)
            )

    async def _change(self, generation: Generation, **values: Any) -> bool:
        changed = await self._connection.execute(update(generations).where(*_held(generation)).values(**values))
        return changed.rowcount == 1


def _held(generation: Generation) -> tuple[Any, ...]:
    return (
        generations.c.id == generation.generation_id,
        generations.c.status == GenerationStatus.PROCESSING,
        generations.c.lease_id == generation.lease,
    )


def _failed(failure: Failure, now: datetime) -> dict[str, Any]:
    return {
        "status": GenerationStatus.FAILED,
        "error_code": failure.code,
        "error_message": failure.message,
        "updated_at": now,
        "due_at": now + Generation.KEPT_FOR,
        **FORGOTTEN,
    }


def _generation(row: Any) -> Generation:
    account_id = AccountId(row.account_id)
    inputs = None
    if row.person_image_id is not None:
        inputs = Inputs(
            person=ImageId(row.person_image_id),
            garments=tuple(ImageId(image_id) for image_id in IDS.decode(row.garment_image_ids)),
            customer=Customer(account_id, row.customer_id) if row.customer_id is not None else None,
            retention=RetentionPolicy(row.keep_for_days),
        )
    return entity_of(
        Generation,
        row._mapping,
        generation_id=row.id,
        status=GenerationStatus(row.status),
        inputs=inputs,
        lease=row.lease_id,
        result=row.result_image_id,
        failure=Failure(row.error_code, row.error_message) if row.error_code is not None else None,
        has_credit=bool(row.has_credit),
    )
