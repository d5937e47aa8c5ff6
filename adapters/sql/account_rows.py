"""Accounts, API keys, the audit log, erasures, and requests with an idempotency key as rows."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

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
from sqlalchemy.exc import IntegrityError

from adapters.sql.engines import SqlConnection
from adapters.sql.schema import (
    ROWS_AT_ONCE,
    Rows,
    accounts,
    api_keys,
    audit_log,
    customer_of,
    entity_of,
    erased_images,
    erasures,
    images,
    in_batches,
    insert_or,
    is_of,
    pseudonym_of,
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

FIND_KEY: Final = (
    select(accounts, api_keys)
    .join(api_keys, api_keys.c.account_id == accounts.c.id)
    .where(api_keys.c.id == bindparam("key"))
)
FIND_BY_NAME: Final = select(accounts).where(accounts.c.name == bindparam("name"))
AUDIT_ID_BYTES: Final = 16


class SqlAccountRepository(Rows):
    """Accounts and API keys."""

    async def add(self, account: Account) -> None:
        days = account.default_retention.keep_for_days
        row = values_of(account, accounts, id=account.account_id, default_keep_for_days=days)
        try:
            await self._change(insert(accounts).values(row))
        except IntegrityError as error:  # two at once: both found the name free, the constraint let one in
            raise AccountExists(account.name) from error

    async def save(self, account: Account) -> None:
        await self._change(
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
        if await self._change(take):
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
        await self._change(update(accounts).where(accounts.c.id == account_id).values(credits=credits_left))

    async def find(self, account_id: AccountId) -> Account | None:
        return await self._one(_account, select(accounts).where(accounts.c.id == account_id))

    async def find_by_name(self, name: str) -> Account | None:
        return await self._one(_account, FIND_BY_NAME, name=name)

    async def hold_by_name(self, name: str) -> Account | None:
        return await self._one(_account, FIND_BY_NAME.with_for_update(), name=name)

    async def list(self) -> tuple[Account, ...]:
        return await self._all(_account, select(accounts).order_by(accounts.c.name))

    async def add_key(self, key: ApiKey) -> None:
        scopes = None if key.scopes == EVERY_SCOPE else " ".join(sorted(key.scopes))
        await self._change(insert(api_keys).values(values_of(key, api_keys, id=key.key_id, scopes=scopes)))

    async def find_key(self, key_id: KeyId) -> tuple[ApiKey, Account] | None:
        return await self._one(_key_and_account, FIND_KEY, key=key_id)

    async def list_keys(self, account_id: AccountId | None) -> tuple[ApiKey, ...]:
        query = select(api_keys).order_by(api_keys.c.created_at)
        if account_id is not None:
            query = query.where(api_keys.c.account_id == account_id)
        return await self._all(lambda row: _key(row._mapping), query)

    async def save_key(self, key: ApiKey) -> None:
        await self._change(
            update(api_keys)
            .where(api_keys.c.id == key.key_id)
            .values(revoked_at=key.revoked_at, expires_at=key.expires_at)
        )

    async def note_use_of_key(self, key: ApiKey, now: datetime) -> None:
        noted = api_keys.c.last_used_at
        unchanged = noted.is_(None) if key.last_used_at is None else noted == key.last_used_at
        await self._change(update(api_keys).where(api_keys.c.id == key.key_id, unchanged).values(last_used_at=now))


def _account(row: Any) -> Account:
    retention = RetentionPolicy(row.default_keep_for_days)
    return entity_of(Account, row._mapping, account_id=row.id, default_retention=retention)


def _key(row: Mapping[Any, Any]) -> ApiKey:
    scopes = EVERY_SCOPE if row["scopes"] is None else frozenset(map(KeyScope, row["scopes"].split()))
    return entity_of(ApiKey, row, key_id=row["id"], scopes=scopes)


def _key_and_account(row: Any) -> tuple[ApiKey, Account]:
    return _key({column.name: row._mapping[column] for column in api_keys.c}), _account(row)


class SqlAuditRepository(Rows):
    """The audit log."""

    def __init__(self, connection: SqlConnection) -> None:
        super().__init__(connection)
        self.added: list[AuditEntry] = []

    async def add(self, entry: AuditEntry) -> None:
        entry_id, facts = "aud_" + secrets.token_urlsafe(AUDIT_ID_BYTES), msgspec.json.encode(entry.facts).decode()
        await self._change(insert(audit_log).values(values_of(entry, audit_log, id=entry_id, facts=facts)))
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
        return await self._all(_entry, query)


def _entry(row: Any) -> AuditEntry:
    facts = msgspec.json.decode(row.facts)
    return entity_of(AuditEntry, row._mapping, entry_id=row.id, action=Action(row.action), facts=facts)


class SqlErasureRepository(Rows):
    """Tombstones and records of erasures."""

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
        await self._change(insert(tombstones).values(values_of(tombstone, tombstones, is_keyed=True)))

    async def is_erased_since(self, customer: Customer, beginning: Beginning) -> bool:
        later = tombstones.c.epoch > beginning.epoch
        if beginning.at is not None:
            later |= tombstones.c.erased_at > beginning.at - Tombstone.TOLERANCE
        return bool(await self._tombstones(customer, later))

    async def marked_until(self, customer: Customer) -> datetime | None:
        return max((stone.expires_at for stone in await self._tombstones(customer)), default=None)

    async def sweep(self, now: datetime) -> int:
        swept = await self._change(delete(tombstones).where(tombstones.c.expires_at <= now))
        still_there = exists().where(images.c.id == erased_images.c.image_id)
        await self._change(delete(erased_images).where(erased_images.c.forget_at <= now, ~still_there))
        old = erasures.c.requested_at <= now - ErasureRecord.OF_NOTHING_KEPT_FOR
        await self._change(delete(erasures).where(old, erasures.c.image_count == 0))
        return swept

    async def open_record(self, record: ErasureRecord, erased: Iterable[ImageId], forget_ids_at: datetime) -> None:
        await self._change(insert(erasures).values(values_of(record, erasures, id=record.erasure_id)))
        rows = [{"image_id": image, "erasure_id": record.erasure_id, "forget_at": forget_ids_at} for image in erased]
        for some in in_batches(rows, ROWS_AT_ONCE):
            await self._connection.execute(insert(erased_images), some)

    async def find_record(self, erasure_id: ErasureId) -> ErasureRecord | None:
        return await self._one(_record, select(erasures).where(erasures.c.id == erasure_id))

    async def complete_records(self, now: datetime) -> int:
        # By the list of its images, not by the mark on their rows: an image that two erasures took is left in both.
        left = exists().where(erased_images.c.erasure_id == erasures.c.id, images.c.id == erased_images.c.image_id)
        done = (
            select(erasures.c.id)
            .where(erasures.c.completed_at.is_(None), ~left)
            .order_by(erasures.c.id)
            .with_for_update(skip_locked=True)
        )
        return await self._change(update(erasures).where(erasures.c.id.in_(done)).values(completed_at=now))

    async def count_open(self) -> int:
        return await self._number(select(func.count()).select_from(erasures).where(erasures.c.completed_at.is_(None)))

    async def list_records(
        self, account_id: AccountId | None, limit: int, older_than: ErasureRecord | None = None
    ) -> tuple[ErasureRecord, ...]:
        age = tuple_(erasures.c.requested_at, erasures.c.id)
        query = select(erasures).order_by(erasures.c.requested_at.desc(), erasures.c.id.desc()).limit(limit)
        if account_id is not None:
            query = query.where(erasures.c.account_id == account_id)
        if older_than is not None:
            query = query.where(age < tuple_(older_than.requested_at, older_than.erasure_id))
        return await self._all(_record, query)

    async def images_of(self, erasure_id: ErasureId) -> tuple[ImageId, ...]:
        taken = select(erased_images.c.image_id).where(erased_images.c.erasure_id == erasure_id)
        return tuple(await self._connection.scalars(taken.order_by(erased_images.c.image_id)))

    async def _tombstones(self, customer: Customer, *conditions: ColumnElement[bool]) -> list[Tombstone]:
        query = select(tombstones).where(tombstones.c.account_id == customer.account_id, *conditions)
        stones = await self._all(lambda row: entity_of(Tombstone, row._mapping), query)
        return [stone for stone in stones if stone.covers(customer)]


def _lock_key(account_id: AccountId, pseudonym: str) -> int:
    digest = hashlib.sha256(f"{account_id}\0{pseudonym}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _record(row: Any) -> ErasureRecord:
    return entity_of(ErasureRecord, row._mapping, erasure_id=row.id)


class SqlRequestRepository(Rows):
    """Requests with an idempotency key."""

    async def add(self, request: KeptRequest, now: datetime) -> KeptRequest | None:
        others = [other.key_digest for other in request.record.others]
        query = select(kept).where(*_under(request.account_id, others), kept.c.due_at > now).limit(1)
        if (earlier := await self._one(_request, query)) is not None:
            return earlier
        values = {
            "fingerprint": request.record.fingerprint,
            "customer_id": pseudonym_of(request.customer),
            "result": None,
            "due_at": request.due_at,
        }
        row = insert_or(self._connection.dialect, kept).values(
            account_id=request.account_id, key_digest=request.record.key_digest, **values
        )
        taken = row.on_conflict_do_update(
            index_elements=kept.primary_key, set_=values, where=kept.c.due_at <= now
        ).returning(kept.c.due_at)
        if await self._connection.scalar(taken) is not None:
            return None
        same = select(kept).where(*_under(request.account_id, [request.record.key_digest]))
        return _request((await self._connection.execute(same)).one())

    async def is_kept(self, account_id: AccountId, record: IdempotencyRecord, now: datetime) -> bool:
        query = select(kept.c.due_at).where(*_under(account_id, record.key_digests), kept.c.due_at > now)
        return await self._connection.scalar(query) is not None

    async def finish(self, request: KeptRequest, result: str, due_at: datetime) -> None:
        await self._change(update(kept).where(*_running(request)).values(result=result, due_at=due_at))

    async def remove(self, request: KeptRequest) -> None:
        await self._change(delete(kept).where(*_running(request)))

    async def remove_all(self, account_id: AccountId) -> None:
        await self._change(delete(kept).where(kept.c.account_id == account_id))

    async def count(self, account_id: AccountId, digest: bytes, due_at: datetime) -> int:
        first = insert_or(self._connection.dialect, kept).values(
            account_id=account_id, key_digest=digest, fingerprint=b"", result="1", due_at=due_at
        )
        one_more = cast(cast(kept.c.result, Integer) + 1, Text)
        counted = first.on_conflict_do_update(index_elements=kept.primary_key, set_={"result": one_more})
        return await self._number(counted.returning(kept.c.result))

    async def key_digests_of(self, customer: Customer) -> tuple[bytes, ...]:
        return tuple(await self._connection.scalars(select(kept.c.key_digest).where(is_of(customer, kept))))

    async def erase(self, customer: Customer) -> None:
        await self._change(delete(kept).where(is_of(customer, kept)))

    async def sweep(self, now: datetime) -> int:
        return await self._change(delete(kept).where(kept.c.due_at <= now))


def _under(account_id: AccountId, digests: Sequence[bytes]) -> tuple[ColumnElement[bool], ...]:
    return kept.c.account_id == account_id, kept.c.key_digest.in_(digests)


def _running(request: KeptRequest) -> tuple[ColumnElement[bool], ...]:
    return *_under(request.account_id, [request.record.key_digest]), kept.c.due_at == request.due_at


def _request(row: Any) -> KeptRequest:
    return KeptRequest(
        account_id=AccountId(row.account_id),
        record=IdempotencyRecord(row.key_digest, row.fingerprint),
        customer=customer_of(row),
        due_at=row.due_at,
        result=row.result,
    )
