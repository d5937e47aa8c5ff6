"""Tombstones and audit records as rows."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, insert, select, tuple_, update

from adapters.sql.engines import SqlConnection
from adapters.sql.tables import accounts, entity_of, erased_images, erasures, images, tombstones, values_of
from domain.account import AccountId, Beginning
from domain.customer import Customer
from domain.erasure import ErasureRecord, Tombstone
from domain.image import ErasureId, ImageId

ROWS_AT_ONCE = 5_000
"""One customer may have a million images, and a statement has a time limit."""


class SqlErasureRepository:
    """Works inside the transaction of the connection it is given."""

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection

    async def serialize(self, customer: Customer) -> None:
        # SQLite has one writer at a time (BEGIN IMMEDIATE), so every transaction is serialized there already.
        if self._connection.dialect.name == "postgresql":
            keys = sorted(_lock_key(customer.account_id, pseudonym) for pseudonym in customer.pseudonyms)
            await self._connection.execute(select(*(func.pg_advisory_xact_lock(key) for key in keys)))

    async def advance_epoch(self, account_id: AccountId) -> int:
        advanced = await self._connection.execute(
            update(accounts)
            .where(accounts.c.id == account_id)
            .values(erasure_epoch=accounts.c.erasure_epoch + 1)
            .returning(accounts.c.erasure_epoch)
        )
        return int(advanced.scalar_one())

    async def add_tombstone(self, tombstone: Tombstone) -> None:
        row = values_of(tombstone, tombstones, is_keyed=True)
        await self._connection.execute(insert(tombstones).values(row))

    async def is_erased_since(self, customer: Customer, beginning: Beginning) -> bool:
        later = tombstones.c.epoch > beginning.epoch
        if beginning.at is not None:
            later |= tombstones.c.erased_at > beginning.at - Tombstone.TOLERANCE
        return any(stone.covers(customer) for stone in await self._tombstones(customer.account_id, later))

    async def marked_until(self, customer: Customer) -> datetime | None:
        stones = await self._tombstones(customer.account_id)
        return max((stone.expires_at for stone in stones if stone.covers(customer)), default=None)

    async def sweep(self, now: datetime) -> int:
        swept = await self._connection.execute(delete(tombstones).where(tombstones.c.expires_at <= now))
        still_there = exists().where(images.c.id == erased_images.c.image_id)
        await self._connection.execute(delete(erased_images).where(erased_images.c.forget_at <= now, ~still_there))
        old = erasures.c.requested_at <= now - ErasureRecord.OF_NOTHING_KEPT_FOR
        await self._connection.execute(delete(erasures).where(old, erasures.c.image_count == 0))
        return swept.rowcount

    async def open_record(self, record: ErasureRecord, erased: Iterable[ImageId], forget_ids_at: datetime) -> None:
        row = values_of(record, erasures, id=record.erasure_id)
        await self._connection.execute(insert(erasures).values(row))
        rows = [
            {"image_id": image_id, "erasure_id": record.erasure_id, "forget_at": forget_ids_at} for image_id in erased
        ]
        for start in range(0, len(rows), ROWS_AT_ONCE):
            await self._connection.execute(insert(erased_images), rows[start : start + ROWS_AT_ONCE])

    async def find_record(self, erasure_id: ErasureId) -> ErasureRecord | None:
        query = select(erasures).where(erasures.c.id == erasure_id)
        row = (await self._connection.execute(query)).one_or_none()
        return _record(row) if row else None

    async def complete_records(self, now: datetime) -> int:
        # By the list of its images, not by the mark on their rows: an image that two erasures took is left in both.
        left = exists().where(erased_images.c.erasure_id == erasures.c.id, images.c.id == erased_images.c.image_id)
        done = (
            select(erasures.c.id)
            .where(erasures.c.completed_at.is_(None), ~left)
            .order_by(erasures.c.id)
            .with_for_update(skip_locked=True)
        )
        completed = await self._connection.execute(
            update(erasures).where(erasures.c.id.in_(done)).values(completed_at=now)
        )
        return completed.rowcount

    async def count_open(self) -> int:
        open_ones = select(func.count()).select_from(erasures).where(erasures.c.completed_at.is_(None))
        return int(await self._connection.scalar(open_ones) or 0)

    async def list_records(
        self, account_id: AccountId | None, limit: int, older_than: ErasureRecord | None = None
    ) -> tuple[ErasureRecord, ...]:
        age = tuple_(erasures.c.requested_at, erasures.c.id)
        query = select(erasures).order_by(erasures.c.requested_at.desc(), erasures.c.id.desc()).limit(limit)
        if account_id is not None:
            query = query.where(erasures.c.account_id == account_id)
        if older_than is not None:
            query = query.where(age < tuple_(older_than.requested_at, older_than.erasure_id))
        return tuple(_record(row) for row in await self._connection.execute(query))

    async def images_of(self, erasure_id: ErasureId) -> tuple[ImageId, ...]:
        query = (
            select(erased_images.c.image_id)
            .where(erased_images.c.erasure_id == erasure_id)
            .order_by(erased_images.c.image_id)
        )
        return tuple(await self._connection.scalars(query))

    async def _tombstones(self, account_id: AccountId, *conditions: ColumnElement[bool]) -> list[Tombstone]:
        query = select(tombstones).where(tombstones.c.account_id == account_id, *conditions)
        rows = await self._connection.execute(query)
        return [entity_of(Tombstone, row) for row in rows.mappings()]


def _lock_key(account_id: AccountId, pseudonym: str) -> int:
    digest = hashlib.sha256(f"{account_id}\0{pseudonym}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _record(row: Any) -> ErasureRecord:
    return entity_of(ErasureRecord, row._mapping, erasure_id=row.id)
