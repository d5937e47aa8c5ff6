"""Accounts, API keys and the audit log as rows."""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import bindparam, func, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from adapters.sql.engines import SqlConnection
from adapters.sql.tables import accounts, api_keys, audit_log, entity_of, values_of
from application.ports.account_rows import Credits
from domain.account import EVERY_SCOPE, Account, AccountId, ApiKey, KeyId, KeyScope
from domain.audit import Action, AuditEntry
from domain.errors import AccountExists, InsufficientCredits
from domain.retention import RetentionPolicy

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
