"""Tombstones and audit records as rows."""

import hashlib
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.sql.tables import accounts, erased_images, erasures, images, tombstones
from domain.account import AccountId
from domain.customer import Customer
from domain.erasure import ErasureRecord, Tombstone
from domain.image import ErasureId, ImageId


class SqlErasureRepository:
    """Works inside the transaction of the connection it is given."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def serialize(self, customer: Customer) -> None:
        # SQLite has one writer at a time (BEGIN IMMEDIATE), so every transaction is serialized there already.
        if self._connection.dialect.name == "postgresql":
            digest = hashlib.sha256(f"{customer.account_id}\0{customer.external_id}".encode()).digest()
            key = int.from_bytes(digest[:8], "big", signed=True)
            await self._connection.execute(select(func.pg_advisory_xact_lock(key)))

    async def advance_epoch(self, account_id: AccountId) -> int:
        advanced = await self._connection.execute(
            update(accounts)
            .where(accounts.c.id == account_id)
            .values(erasure_epoch=accounts.c.erasure_epoch + 1)
            .returning(accounts.c.erasure_epoch)
        )
        return int(advanced.scalar_one())

    async def add_tombstone(self, tombstone: Tombstone) -> None:
        await self._connection.execute(
            insert(tombstones).values(
                erasure_id=tombstone.erasure_id,
                account_id=tombstone.account_id,
                epoch=tombstone.epoch,
                salt=tombstone.salt,
                digest=tombstone.digest,
                expires_at=tombstone.expires_at,
            )
        )

    async def is_erased_since(self, customer: Customer, epoch: int) -> bool:
        return any(stone.covers(customer) for stone in await self._tombstones(customer.account_id, epoch))

    async def count_tombstones(self, customer: Customer, now: datetime) -> int:
        stones = await self._tombstones(customer.account_id, -1)
        return sum(stone.covers(customer) and stone.expires_at > now for stone in stones)

    async def sweep(self, now: datetime) -> int:
        swept = await self._connection.execute(delete(tombstones).where(tombstones.c.expires_at <= now))
        await self._connection.execute(delete(erased_images).where(erased_images.c.forget_at <= now))
        return swept.rowcount

    async def open_record(self, record: ErasureRecord, erased: Iterable[ImageId], forget_ids_at: datetime) -> None:
        await self._connection.execute(
            insert(erasures).values(
                id=record.erasure_id,
                account_id=record.account_id,
                requested_at=record.requested_at,
                completed_at=record.completed_at,
                image_count=record.image_count,
            )
        )
        rows = [
            {"image_id": image_id, "erasure_id": record.erasure_id, "forget_at": forget_ids_at} for image_id in erased
        ]
        if rows:
            await self._connection.execute(delete(erased_images).where(erased_images.c.image_id.in_([*erased])))
            await self._connection.execute(insert(erased_images), rows)

    async def complete_records(self, now: datetime) -> int:
        completed = await self._connection.execute(
            update(erasures)
            .where(erasures.c.completed_at.is_(None), ~exists().where(images.c.erasure_id == erasures.c.id))
            .values(completed_at=now)
        )
        return completed.rowcount

    async def list_records(self, account_id: AccountId | None, limit: int) -> tuple[ErasureRecord, ...]:
        query = select(erasures).order_by(erasures.c.requested_at.desc()).limit(limit)
        if account_id is not None:
            query = query.where(erasures.c.account_id == account_id)
        return tuple(
            ErasureRecord(
                erasure_id=row.id,
                account_id=row.account_id,
                requested_at=row.requested_at,
                image_count=row.image_count,
                completed_at=row.completed_at,
            )
            for row in await self._connection.execute(query)
        )

    async def erased_ids(self, after: str, limit: int) -> tuple[ImageId, ...]:
        query = (
            select(erased_images.c.image_id)
            .where(erased_images.c.image_id > after)
            .order_by(erased_images.c.image_id)
            .limit(limit)
        )
        return tuple(await self._connection.scalars(query))

    async def _tombstones(self, account_id: AccountId, after_epoch: int) -> list[Tombstone]:
        rows = await self._connection.execute(
            select(tombstones).where(tombstones.c.account_id == account_id, tombstones.c.epoch > after_epoch)
        )
        return [
            Tombstone(
                erasure_id=ErasureId(row.erasure_id),
                account_id=AccountId(row.account_id),
                epoch=row.epoch,
                salt=row.salt,
                digest=row.digest,
                expires_at=row.expires_at,
            )
            for row in rows
        ]
