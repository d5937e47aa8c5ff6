"""Accounts and API keys as rows."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from adapters.sql.sqlite_engine import SqlConnection
from adapters.sql.tables import accounts, api_keys
from application.ports.account_rows import Credits
from domain.account import EVERY_SCOPE, Account, AccountId, ApiKey, KeyId, KeyScope
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
        row = insert(accounts).values(
            id=account.account_id,
            name=account.name,
            default_keep_for_days=account.default_retention.keep_for_days,
            is_active=account.is_active,
            erasure_epoch=account.erasure_epoch,
            created_at=account.created_at,
            requests_per_minute=account.requests_per_minute,
            max_live_images=account.max_live_images,
            credits=account.credits,
        )
        try:
            await self._connection.execute(row)
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
        await self._connection.execute(
            insert(api_keys).values(
                id=key.key_id,
                account_id=key.account_id,
                digest=key.digest,
                label=key.label,
                created_at=key.created_at,
                revoked_at=key.revoked_at,
                scopes=None if key.scopes == EVERY_SCOPE else " ".join(sorted(key.scopes)),
                expires_at=key.expires_at,
                last_used_at=key.last_used_at,
                requests_per_minute=key.requests_per_minute,
            )
        )

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
    return Account(
        account_id=row.id,
        name=row.name,
        default_retention=RetentionPolicy(row.default_keep_for_days),
        created_at=row.created_at,
        is_active=row.is_active,
        erasure_epoch=row.erasure_epoch,
        requests_per_minute=row.requests_per_minute,
        max_live_images=row.max_live_images,
        credits=row.credits,
    )


def _key(row: Mapping[Any, Any]) -> ApiKey:
    return ApiKey(
        key_id=row["id"],
        account_id=row["account_id"],
        digest=row["digest"],
        label=row["label"],
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
        scopes=EVERY_SCOPE if row["scopes"] is None else frozenset(map(KeyScope, row["scopes"].split())),
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        requests_per_minute=row["requests_per_minute"],
    )
