"""Products and generations as rows, and generations as a queue."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, case, delete, func, insert, or_, select, tuple_, update

from adapters.sql.schema import (
    IDS_AT_ONCE,
    Rows,
    accounts,
    customer_of,
    entity_of,
    generations,
    in_batches,
    insert_or,
    is_of,
    products,
    pseudonym_of,
    values_of,
)
from domain.account import AccountId, RetentionPolicy
from domain.customer import Customer
from domain.generation import Failure, Generation, GenerationId, GenerationStatus, Inputs, LeaseId
from domain.image import ImageId
from domain.product import Product, ProductPicture

IDS: Final = msgspec.json.Decoder(tuple[ImageId, ...])
PICTURES: Final = msgspec.json.Decoder(tuple[ProductPicture, ...])


class SqlProductRepository(Rows):
    """Products."""

    async def add(self, product: Product) -> bool:
        row = insert_or(self._connection.dialect, products).values(_values(product))
        return await self._change(row.on_conflict_do_nothing()) == 1

    async def replace(self, product: Product) -> None:
        await self._change(
            update(products).where(*_named(product.account_id, product.external_id)).values(_values(product))
        )

    async def touch(self, product: Product) -> bool:
        is_same_kind = (
            products.c.is_one_shot == product.is_one_shot,
            products.c.is_registered.is_(True) if product.is_registered else products.c.is_registered.is_not(True),
        )
        touched = await self._change(
            update(products)
            .where(*_named(product.account_id, product.external_id), *is_same_kind)
            .values(last_used_at=product.last_used_at, expires_at=product.expires_at)
        )
        return touched == 1

    async def find(self, account_id: AccountId, external_id: str) -> Product | None:
        return await self._one(_product, select(products).where(*_named(account_id, external_id)))

    async def hold(self, account_id: AccountId, external_id: str) -> Product | None:
        return await self._one(_product, select(products).where(*_named(account_id, external_id)).with_for_update())

    async def remove(self, account_id: AccountId, external_id: str) -> tuple[ImageId, ...]:
        return await self._delete(*_named(account_id, external_id))

    async def remove_all(self, account_id: AccountId) -> None:
        await self._change(delete(products).where(products.c.account_id == account_id))

    async def count(self, account_id: AccountId) -> int:
        return await self._number(select(func.count()).where(products.c.account_id == account_id))

    async def page(self, account_id: AccountId, after: str, limit: int, now: datetime) -> tuple[Product, ...]:
        is_alive = or_(products.c.expires_at.is_(None), products.c.expires_at > now)
        query = select(products).where(products.c.account_id == account_id, products.c.external_id > after, is_alive)
        return await self._all(_product, query.order_by(products.c.external_id).limit(limit))

    async def claim_renewals(self, now: datetime, again_at: datetime, limit: int) -> tuple[Product, ...]:
        due = select(products).where(products.c.renew_at <= now).order_by(products.c.renew_at).limit(limit)
        found = await self._all(_product, due.with_for_update(skip_locked=True))
        for product in found:
            await self._change(
                update(products).where(*_named(product.account_id, product.external_id)).values(renew_at=again_at)
            )
        return found

    async def sweep(self, now: datetime) -> tuple[ImageId, ...]:
        return await self._delete(products.c.expires_at <= now)

    async def _delete(self, *conditions: ColumnElement[bool]) -> tuple[ImageId, ...]:
        gone = await self._connection.scalars(delete(products).where(*conditions).returning(products.c.images))
        return tuple(image_id for images in gone for image_id in IDS.decode(images))


def _named(account_id: AccountId, external_id: str) -> tuple[ColumnElement[bool], ...]:
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
        for image_id in IDS.decode(row.images)
    )


IS_RUNNING: Final = generations.c.status == GenerationStatus.PROCESSING
IS_OPEN: Final = or_(generations.c.status == GenerationStatus.PENDING, IS_RUNNING)
FIND_GENERATION: Final = select(generations).where(
    generations.c.id == bindparam("generation"), generations.c.account_id == bindparam("account")
)
SERVED: Final = (
    select(
        generations.c.account_id,
        func.sum(case((IS_RUNNING, 1), else_=0)).label("running"),
        func.max(generations.c.updated_at).label("last_at"),
    )
    .where(
        or_(
            and_(
                IS_RUNNING,
                generations.c.due_at > bindparam("now"),
                generations.c.due_at < bindparam("lease_over_at"),
            ),
            and_(~IS_OPEN, generations.c.due_at > bindparam("ended_lately_due_at")),
        )
    )
    .group_by(generations.c.account_id)
    .subquery()
)
# PostgreSQL passes over rows that another worker is claiming just now; SQLite has one writer at a time.
FIND_DUE: Final = (
    select(generations.c.id)
    .outerjoin_from(generations, SERVED, SERVED.c.account_id == generations.c.account_id)
    .where(generations.c.due_at <= bindparam("now"), IS_OPEN)
    .order_by(func.coalesce(SERVED.c.running, 0), SERVED.c.last_at.nulls_first(), generations.c.due_at)
    .limit(1)
    .with_for_update(of=generations, skip_locked=True)
)
FORGOTTEN: Final = {"person_image_id": None, "garment_image_ids": None, "customer_id": None, "lease_id": None}


class SqlGenerationRepository(Rows):
    """Generations."""

    async def add(self, generation: Generation) -> None:
        inputs = generation.inputs
        if inputs is None:
            raise ValueError("a generation begins with its inputs")
        row = values_of(
            generation,
            generations,
            id=generation.generation_id,
            customer_id=pseudonym_of(inputs.customer),
            person_image_id=inputs.person,
            garment_image_ids=msgspec.json.encode(inputs.garments).decode(),
            keep_for_days=inputs.retention.keep_for_days,
            due_at=generation.created_at,
        )
        await self._change(insert(generations).values(row))

    async def find(self, generation_id: GenerationId, account_id: AccountId) -> Generation | None:
        return await self._one(_generation, FIND_GENERATION, generation=generation_id, account=account_id)

    async def page(self, account_id: AccountId, before: Generation | None, limit: int) -> tuple[Generation, ...]:
        age = tuple_(generations.c.created_at, generations.c.id)
        query = select(generations).where(generations.c.account_id == account_id)
        if before is not None:
            query = query.where(age < tuple_(before.created_at, before.generation_id))
        newest = query.order_by(generations.c.created_at.desc(), generations.c.id.desc())
        return await self._all(_generation, newest.limit(limit))

    async def claim(self, lease: LeaseId, engine: str, now: datetime, lease_ends_at: datetime) -> Generation | None:
        ranges = {  # of the one index: a running one's row is due when its lease ends, an ended one's to be forgotten
            "now": now,
            "lease_over_at": now + Generation.SERVED_LATELY,
            "ended_lately_due_at": now + Generation.KEPT_FOR - Generation.SERVED_LATELY,
        }
        due = await self._connection.scalar(FIND_DUE, ranges)
        claiming = (
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
        )
        return await self._one(_generation, claiming.returning(generations)) if due is not None else None

    async def count_open(self, account_id: AccountId, since: datetime) -> int:
        of_account = (generations.c.account_id == account_id, generations.c.created_at >= since)
        return await self._number(select(func.count()).where(*of_account, IS_OPEN))

    async def longest_wait(self, now: datetime) -> timedelta:
        due = select(generations.c.due_at).where(generations.c.due_at <= now, IS_OPEN)
        oldest = await self._connection.scalar(due.order_by(generations.c.due_at).limit(1))
        return now - oldest if oldest else timedelta()

    async def renew(self, generation: Generation, lease_ends_at: datetime) -> bool:
        return await self._change_held(generation, due_at=lease_ends_at)

    async def is_held(self, generation: Generation) -> bool:
        query = select(generations.c.id).where(*_held(generation)).with_for_update()
        return await self._connection.scalar(query) is not None

    async def try_again(self, generation: Generation, now: datetime, due_at: datetime) -> bool:
        return await self._change_held(
            generation,
            status=GenerationStatus.PENDING,
            lease_id=None,
            attempts=generation.attempts,
            updated_at=now,
            due_at=due_at,
        )

    async def complete(self, generation: Generation, result: ImageId, now: datetime) -> bool:
        ended = _ended(GenerationStatus.COMPLETED, now)
        return await self._change_held(generation, result_image_id=result, **ended)

    async def fail(self, generation: Generation, failure: Failure, now: datetime) -> bool:
        if generation.has_credit:  # in the order of an erasure: first the account's row, then that of the generation
            query = select(accounts.c.id).where(accounts.c.id == generation.account_id).with_for_update(key_share=True)
            await self._connection.execute(query)
        has_failed = await self._change_held(generation, **_failed(failure, now))
        await self._give_back(generation.account_id, int(has_failed and generation.has_credit))
        return has_failed

    async def of_customer(self, customer: Customer, results: Sequence[ImageId]) -> tuple[Generation, ...]:
        found: dict[GenerationId, Generation] = {}
        for some in [*in_batches(results, IDS_AT_ONCE)] or [()]:
            is_result = (generations.c.account_id == customer.account_id) & generations.c.result_image_id.in_(some)
            theirs = await self._all(_generation, select(generations).where(is_of(customer, generations) | is_result))
            found |= {each.generation_id: each for each in theirs}
        return tuple(sorted(found.values(), key=lambda each: (each.created_at, each.generation_id)))

    async def fail_customer(self, customer: Customer, failure: Failure, now: datetime) -> int:
        failing = update(generations).where(is_of(customer, generations)).values(**_failed(failure, now))
        had_credit = (await self._connection.scalars(failing.returning(generations.c.has_credit))).all()
        await self._give_back(customer.account_id, sum(map(bool, had_credit)))
        return len(had_credit)

    async def sweep(self, now: datetime) -> int:
        return await self._change(delete(generations).where(generations.c.due_at <= now, ~IS_OPEN))

    async def _give_back(self, account_id: AccountId, number: int) -> None:
        if number:
            await self._change(
                update(accounts)
                .where(accounts.c.id == account_id, accounts.c.credits.is_not(None))
                .values(credits=accounts.c.credits + number)
            )

    async def _change_held(self, generation: Generation, **values: Any) -> bool:
        return await self._change(update(generations).where(*_held(generation)).values(**values)) == 1


def _held(generation: Generation) -> tuple[ColumnElement[bool], ...]:
    return generations.c.id == generation.generation_id, IS_RUNNING, generations.c.lease_id == generation.lease


def _failed(failure: Failure, now: datetime) -> dict[str, Any]:
    ended = _ended(GenerationStatus.FAILED, now)
    return {"error_code": failure.code, "error_message": failure.message, **ended}


def _ended(status: GenerationStatus, now: datetime) -> dict[str, Any]:
    return {"status": status, "updated_at": now, "due_at": now + Generation.KEPT_FOR, **FORGOTTEN}


def _generation(row: Any) -> Generation:
    inputs = None
    if row.person_image_id is not None:
        inputs = Inputs(
            person=ImageId(row.person_image_id),
            garments=IDS.decode(row.garment_image_ids),
            customer=customer_of(row),
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
