"""Products and generations as rows, and generations as a queue."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import and_, bindparam, case, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from adapters.sql.engines import SqlConnection
from adapters.sql.schema import accounts, entity_of, generations, products, values_of
from domain.account import AccountId, RetentionPolicy
from domain.customer import Customer
from domain.generation import Failure, Generation, GenerationId, GenerationStatus, Inputs, LeaseId
from domain.image import ImageId
from domain.product import Product, ProductPicture

IDS = msgspec.json.Decoder(tuple[str, ...])
PICTURES = msgspec.json.Decoder(tuple[ProductPicture, ...])


class SqlProductRepository:
    """Works inside the transaction of the connection it is given."""

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection

    async def add(self, product: Product) -> bool:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        row = dialect.insert(products).values(_values(product))
        return (await self._connection.execute(row.on_conflict_do_nothing())).rowcount == 1

    async def replace(self, product: Product) -> None:
        await self._connection.execute(
            update(products).where(*_named(product.account_id, product.external_id)).values(**_values(product))
        )

    async def touch(self, product: Product) -> bool:
        touched = await self._connection.execute(
            update(products)
            .where(
                *_named(product.account_id, product.external_id),
                products.c.is_one_shot == product.is_one_shot,
                products.c.is_registered.is_(True) if product.is_registered else products.c.is_registered.is_not(True),
            )
            .values(last_used_at=product.last_used_at, expires_at=product.expires_at)
        )
        return touched.rowcount == 1

    async def find(self, account_id: AccountId, external_id: str) -> Product | None:
        row = (await self._connection.execute(select(products).where(*_named(account_id, external_id)))).one_or_none()
        return _product(row) if row else None

    async def hold(self, account_id: AccountId, external_id: str) -> Product | None:
        query = select(products).where(*_named(account_id, external_id)).with_for_update()
        row = (await self._connection.execute(query)).one_or_none()
        return _product(row) if row else None

    async def remove(self, account_id: AccountId, external_id: str) -> tuple[ImageId, ...]:
        return await self._delete(*_named(account_id, external_id))

    async def remove_all(self, account_id: AccountId) -> None:
        await self._connection.execute(delete(products).where(products.c.account_id == account_id))

    async def count(self, account_id: AccountId) -> int:
        query = select(func.count()).select_from(products).where(products.c.account_id == account_id)
        return int((await self._connection.execute(query)).scalar_one())

    async def page(self, account_id: AccountId, after: str, limit: int, now: datetime) -> tuple[Product, ...]:
        query = (
            select(products)
            .where(
                products.c.account_id == account_id,
                products.c.external_id > after,
                or_(products.c.expires_at.is_(None), products.c.expires_at > now),
            )
            .order_by(products.c.external_id)
            .limit(limit)
        )
        return tuple(_product(row) for row in await self._connection.execute(query))

    async def claim_renewals(self, now: datetime, again_at: datetime, limit: int) -> tuple[Product, ...]:
        query = (
            select(products)
            .where(products.c.renew_at <= now)
            .order_by(products.c.renew_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        found = [_product(row) for row in await self._connection.execute(query)]
        for product in found:
            await self._connection.execute(
                update(products).where(*_named(product.account_id, product.external_id)).values(renew_at=again_at)
            )
        return tuple(found)

    async def sweep(self, now: datetime) -> tuple[ImageId, ...]:
        return await self._delete(products.c.expires_at <= now)

    async def _delete(self, *conditions: Any) -> tuple[ImageId, ...]:
        gone = await self._connection.execute(delete(products).where(*conditions).returning(products.c.images))
        return tuple(ImageId(image_id) for row in gone for image_id in IDS.decode(row.images))


def _named(account_id: AccountId, external_id: str) -> tuple[Any, ...]:
    return products.c.account_id == account_id, products.c.external_id == external_id


def _values(product: Product) -> dict[str, Any]:
    images, pictures = (msgspec.json.encode(each).decode() for each in (product.images, product.pictures))
    return values_of(product, products, images=images, pictures=pictures)


def _product(row: Any) -> Product:
    began_at = row.created_at or row.expires_at - Product.IDLE_LIFETIME
    return entity_of(
        Product,
        row._mapping,
        pictures=_pictures(row),
        created_at=began_at,
        updated_at=row.updated_at or began_at,
        last_used_at=row.last_used_at or began_at,
        is_registered=bool(row.is_registered),
    )


def _pictures(row: Any) -> tuple[ProductPicture, ...]:
    """A row of an earlier version names images and nothing else of them."""
    known = {picture.image_id: picture for picture in (PICTURES.decode(row.pictures) if row.pictures else ())}
    return tuple(
        known.get(image_id)
        or ProductPicture(image_id=image_id, source=image_id, kept_until=row.expires_at, checked_at=row.expires_at)
        for image_id in map(ImageId, IDS.decode(row.images))
    )


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
