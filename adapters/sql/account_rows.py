"""Accounts, API keys, the audit log, erasures, and requests with an idempotency key as rows."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Integer,
    Text,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from adapters.sql.engines import SqlConnection
from adapters.sql.schema import (
    accounts,
    api_keys,
    audit_log,
    entity_of,
    erased_images,
    erasures,
    images,
    tombstones,
    values_of,
)
from adapters.sql.schema import idempotency_keys as kept
from application.ports.rows import Credits, KeptRequest
from domain.account import EVERY_SCOPE, Account, AccountId, ApiKey, Beginning, KeyId, KeyScope, RetentionPolicy
from domain.customer import Customer, IdempotencyRecord
from domain.erasure import Action, AuditEntry, ErasureRecord, Tombstone
from domain.errors import AccountExists, InsufficientCredits
from domain.image import ErasureId, ImageId

FIND_KEY = (
    select(
        accounts,
        *(column.label(f"key_{column.name}") for column in api_keys.c),
    )
    .join(api_keys, api_keys.c.account_id == accounts.c.id)
    .where(api_keys.c.id == bindparam("key"))
)
FIND_BY_NAME = select(accounts).where(accounts.c.name == bindparam("name"))


class SqlAccountRepository:
    """Works inside the transaction of the connection it is given."""

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection

    async def add(self, account: Account) -> None:
        row = values_of(
            account, accounts, id=account.account_id, default_keep_for_days=account.default_retention.keep_for_days
        )
        try:
            await self._connection.execute(insert(accounts).values(row))
        except IntegrityError as error:  # two at once: both found the name free, the constraint let one in
            raise AccountExists(account.name) from error

    async def save(self, account: Account) -> None:
        await self._connection.execute(
            update(accounts)
            .where(accounts.c.id == account.account_id)
            .values(
                default_keep_for_days=account.default_retention.keep_for_days,
                is_active=account.is_active,
                requests_per_minute=account.requests_per_minute,
                max_live_images=account.max_live_images,
            )
        )

    async def take_credit(self, account_id: AccountId) -> bool:
        of_account = accounts.c.id == account_id
        take = update(accounts).where(of_account, accounts.c.credits > 0).values(credits=accounts.c.credits - 1)
        if (await self._connection.execute(take)).rowcount:
            return True
        if await self._connection.scalar(select(accounts.c.credits).where(of_account)) is not None:
            raise InsufficientCredits
        return False

    async def credits_in_all(self) -> Credits:
        empty = func.count().filter(accounts.c.credits == 0)
        query = select(func.sum(accounts.c.credits), empty).where(
            accounts.c.credits.is_not(None), accounts.c.is_active.is_(True)
        )
        left, spent = (await self._connection.execute(query)).one()
        return Credits(int(left or 0), int(spent))

    async def set_credits(self, account_id: AccountId, credits_left: int | None) -> None:
        await self._connection.execute(update(accounts).where(accounts.c.id == account_id).values(credits=credits_left))

    async def find(self, account_id: AccountId) -> Account | None:
        row = (await self._connection.execute(select(accounts).where(accounts.c.id == account_id))).one_or_none()
        return _account(row) if row else None

    async def find_by_name(self, name: str) -> Account | None:
        row = (await self._connection.execute(FIND_BY_NAME, {"name": name})).one_or_none()
        return _account(row) if row else None

    async def hold_by_name(self, name: str) -> Account | None:
        row = (await self._connection.execute(FIND_BY_NAME.with_for_update(), {"name": name})).one_or_none()
        return _account(row) if row else None

    async def list(self) -> tuple[Account, ...]:
        rows = await self._connection.execute(select(accounts).order_by(accounts.c.name))
        return tuple(_account(row) for row in rows)

    async def add_key(self, key: ApiKey) -> None:
        scopes = None if key.scopes == EVERY_SCOPE else " ".join(sorted(key.scopes))
        await self._connection.execute(insert(api_keys).values(values_of(key, api_keys, id=key.key_id, scopes=scopes)))

    async def find_key(self, key_id: KeyId) -> tuple[ApiKey, Account] | None:
        row = (await self._connection.execute(FIND_KEY, {"key": key_id})).one_or_none()
        if row is None:
            return None
        key = {column.name: row._mapping[f"key_{column.name}"] for column in api_keys.c}
        return _key(key), _account(row)

    async def list_keys(self, account_id: AccountId | None) -> tuple[ApiKey, ...]:
        query = select(api_keys).order_by(api_keys.c.created_at)
        if account_id is not None:
            query = query.where(api_keys.c.account_id == account_id)
        return tuple(_key(row) for row in (await self._connection.execute(query)).mappings())

    async def save_key(self, key: ApiKey) -> None:
        await self._connection.execute(
            update(api_keys)
            .where(api_keys.c.id == key.key_id)
            .values(revoked_at=key.revoked_at, expires_at=key.expires_at)
        )

    async def note_use_of_key(self, key: ApiKey, now: datetime) -> None:
        noted = api_keys.c.last_used_at
        unchanged = noted.is_(None) if key.last_used_at is None else noted == key.last_used_at
        await self._connection.execute(
            update(api_keys).where(api_keys.c.id == key.key_id, unchanged).values(last_used_at=now)
        )


def _account(row: Any) -> Account:
    retention = RetentionPolicy(row.default_keep_for_days)
    return entity_of(Account, row._mapping, account_id=row.id, default_retention=retention)


def _key(row: Mapping[Any, Any]) -> ApiKey:
    scopes = EVERY_SCOPE if row["scopes"] is None else frozenset(map(KeyScope, row["scopes"].split()))
    return entity_of(ApiKey, row, key_id=row["id"], scopes=scopes)


ID_BYTES = 16


class SqlAuditRepository:
    """Works inside the transaction of the connection it is given."""

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection
        self.added: list[AuditEntry] = []

    async def add(self, entry: AuditEntry) -> None:
        entry_id, facts = "aud_" + secrets.token_urlsafe(ID_BYTES), msgspec.json.encode(entry.facts).decode()
        row = values_of(entry, audit_log, id=entry_id, facts=facts)
        await self._connection.execute(insert(audit_log).values(row))
        self.added.append(entry)

    async def entries(
        self, since: datetime | None, account_id: AccountId | None, after: AuditEntry | None, limit: int
    ) -> tuple[AuditEntry, ...]:
        query = select(audit_log).order_by(audit_log.c.at, audit_log.c.id).limit(limit)
        if since is not None:
            query = query.where(audit_log.c.at >= since)
        if account_id is not None:
            query = query.where(audit_log.c.account_id == account_id)
        if after is not None:
            query = query.where(tuple_(audit_log.c.at, audit_log.c.id) > tuple_(after.at, after.entry_id))
        return tuple(_entry(row) for row in await self._connection.execute(query))


def _entry(row: Any) -> AuditEntry:
    facts = msgspec.json.decode(row.facts)
    return entity_of(AuditEntry, row._mapping, entry_id=row.id, action=Action(row.action), facts=facts)


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


class SqlRequestRepository:
    """Works inside the transaction of the connection it is given."""

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection

    async def add(self, request: KeptRequest, now: datetime) -> KeptRequest | None:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        values = {
            "fingerprint": request.record.fingerprint,
            "customer_id": request.customer.pseudonym if request.customer else None,
            "result": None,
            "due_at": request.due_at,
        }
        if (earlier := await self._under_another_key(request, now)) is not None:
            return earlier
        row = dialect.insert(kept).values(account_id=request.account_id, key_digest=request.record.key_digest, **values)
        taken = await self._connection.execute(
            row.on_conflict_do_update(
                index_elements=[kept.c.account_id, kept.c.key_digest], set_=values, where=kept.c.due_at <= now
            ).returning(kept.c.due_at)
        )
        if taken.one_or_none() is not None:
            return None
        return _request((await self._connection.execute(select(kept).where(*_of(request)))).one())

    async def _under_another_key(self, request: KeptRequest, now: datetime) -> KeptRequest | None:
        others = kept.c.key_digest.in_([other.key_digest for other in request.record.others])
        query = select(kept).where(kept.c.account_id == request.account_id, others, kept.c.due_at > now)
        row = (await self._connection.execute(query)).first()
        return _request(row) if row else None

    async def is_kept(self, account_id: AccountId, record: IdempotencyRecord, now: datetime) -> bool:
        query = select(kept.c.due_at).where(kept.c.account_id == account_id, kept.c.due_at > now)
        rows = await self._connection.execute(query.where(kept.c.key_digest.in_(record.key_digests)))
        return rows.first() is not None

    async def finish(self, request: KeptRequest, result: str, due_at: datetime) -> None:
        await self._connection.execute(
            update(kept).where(*_of(request), kept.c.due_at == request.due_at).values(result=result, due_at=due_at)
        )

    async def remove(self, request: KeptRequest) -> None:
        await self._connection.execute(delete(kept).where(*_of(request), kept.c.due_at == request.due_at))

    async def remove_all(self, account_id: AccountId) -> None:
        await self._connection.execute(delete(kept).where(kept.c.account_id == account_id))

    async def count(self, account_id: AccountId, digest: bytes, due_at: datetime) -> int:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        first = dialect.insert(kept).values(
            account_id=account_id, key_digest=digest, fingerprint=b"", result="1", due_at=due_at
        )
        one_more = cast(cast(kept.c.result, Integer) + 1, Text)
        counted = first.on_conflict_do_update(
            index_elements=[kept.c.account_id, kept.c.key_digest], set_={"result": one_more}
        ).returning(kept.c.result)
        return int((await self._connection.execute(counted)).scalar_one())

    async def key_digests_of(self, customer: Customer) -> tuple[bytes, ...]:
        return tuple(await self._connection.scalars(select(kept.c.key_digest).where(*_by(customer))))

    async def erase(self, customer: Customer) -> None:
        await self._connection.execute(delete(kept).where(*_by(customer)))

    async def sweep(self, now: datetime) -> int:
        return (await self._connection.execute(delete(kept).where(kept.c.due_at <= now))).rowcount


def _by(customer: Customer) -> tuple[Any, ...]:
    return kept.c.account_id == customer.account_id, kept.c.customer_id.in_(customer.pseudonyms)


def _of(request: KeptRequest) -> tuple[Any, ...]:
    return kept.c.account_id == request.account_id, kept.c.key_digest == request.record.key_digest


def _request(row: Any) -> KeptRequest:
    account_id = AccountId(row.account_id)
    return KeptRequest(
        account_id=account_id,
        record=IdempotencyRecord(row.key_digest, row.fingerprint),
        customer=Customer(account_id, row.customer_id) if row.customer_id is not None else None,
        due_at=row.due_at,
        result=row.result,
    )
