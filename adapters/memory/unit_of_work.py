"""Transactions on dictionaries: one writer at a time, nothing kept when the block raises."""

import asyncio
import copy
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from adapters.memory.image_rows import ImageRow, InMemoryImageRepository
from adapters.memory.try_on_rows import (
    GenerationRow,
    InMemoryGenerationRepository,
    InMemoryProductRepository,
    InMemoryRequestRepository,
    ProductRow,
    drop,
)
from application.ports.rows import Credits, KeptRequest, Repositories
from domain.account import Account, AccountId, ApiKey, Beginning, KeyId
from domain.customer import Customer
from domain.erasure import AuditEntry, ErasureRecord, Tombstone
from domain.errors import AccountExists, InsufficientCredits
from domain.generation import GenerationId
from domain.image import ErasureId, ImageId


@dataclass(slots=True)
class Tables:
    """Everything a database would hold. The values are immutable, so a shallow copy is a snapshot."""

    accounts: dict[AccountId, Account] = field(default_factory=dict)
    keys: dict[KeyId, ApiKey] = field(default_factory=dict)
    images: dict[ImageId, ImageRow] = field(default_factory=dict)
    tombstones: dict[ErasureId, Tombstone] = field(default_factory=dict)
    records: dict[ErasureId, ErasureRecord] = field(default_factory=dict)
    erased: dict[tuple[ErasureId, ImageId], datetime] = field(default_factory=dict)
    products: dict[tuple[AccountId, str], ProductRow] = field(default_factory=dict)
    requests: dict[tuple[AccountId, bytes], KeptRequest] = field(default_factory=dict)
    generations: dict[GenerationId, GenerationRow] = field(default_factory=dict)
    audit: list[AuditEntry] = field(default_factory=list)

    def snapshot(self) -> "Tables":
        return Tables(*(copy.copy(getattr(self, name)) for name in self.__slots__))


class InMemoryUnitOfWork:
    """The same promises as a database, but for durability."""

    def __init__(self) -> None:
        self._tables = Tables()
        self._writer = asyncio.Lock()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Repositories]:
        async with self._writer:
            tables = self._tables.snapshot()
            yield _repositories(tables)
            self._tables = tables

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Repositories]:
        yield _repositories(self._tables.snapshot())

    async def forget_history(self) -> None:
        """A dictionary has none."""

    async def check(self) -> None:
        """A dictionary is always there."""

    async def check_commits(self) -> None:
        """And takes everything."""


def _repositories(tables: Tables) -> Repositories:
    return Repositories(
        accounts=InMemoryAccountRepository(tables),
        audit=InMemoryAuditRepository(tables.audit),
        erasures=InMemoryErasureRepository(tables),
        generations=InMemoryGenerationRepository(tables.generations, tables.accounts),
        images=InMemoryImageRepository(tables.images),
        products=InMemoryProductRepository(tables.products),
        requests=InMemoryRequestRepository(tables.requests),
    )


class InMemoryAuditRepository:
    """Entries in the order in which they were added."""

    def __init__(self, rows: list[AuditEntry]) -> None:
        self._rows = rows
        self.added: list[AuditEntry] = []

    async def add(self, entry: AuditEntry) -> None:
        self._rows.append(replace(entry, entry_id=f"aud_{len(self._rows):06}"))
        self.added.append(entry)

    async def entries(
        self, since: datetime | None, account_id: AccountId | None, after: AuditEntry | None, limit: int
    ) -> tuple[AuditEntry, ...]:
        found = [
            entry
            for entry in sorted(self._rows, key=_entry_age)
            if (since is None or entry.at >= since)
            and account_id in {None, entry.account_id}
            and (after is None or _entry_age(entry) > _entry_age(after))
        ]
        return tuple(found[:limit])


def _entry_age(entry: AuditEntry) -> tuple[datetime, str]:
    return entry.at, entry.entry_id


class InMemoryAccountRepository:
    """Accounts and keys by their ids."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, account: Account) -> None:
        if await self.find_by_name(account.name):
            raise AccountExists(account.name)
        self._tables.accounts[account.account_id] = account

    async def save(self, account: Account) -> None:
        kept = self._tables.accounts[account.account_id]
        self._tables.accounts[account.account_id] = replace(
            account, erasure_epoch=kept.erasure_epoch, credits=kept.credits
        )

    async def take_credit(self, account_id: AccountId) -> bool:
        account = self._tables.accounts[account_id]
        if account.credits is None:
            return False
        if account.credits == 0:
            raise InsufficientCredits
        self._tables.accounts[account_id] = replace(account, credits=account.credits - 1)
        return True

    async def credits_in_all(self) -> Credits:
        limited = [each.credits for each in self._tables.accounts.values() if each.is_active]
        numbers = [number for number in limited if number is not None]
        return Credits(sum(numbers), numbers.count(0))

    async def set_credits(self, account_id: AccountId, credits_left: int | None) -> None:
        self._tables.accounts[account_id] = replace(self._tables.accounts[account_id], credits=credits_left)

    async def find(self, account_id: AccountId) -> Account | None:
        return self._tables.accounts.get(account_id)

    async def find_by_name(self, name: str) -> Account | None:
        return next((account for account in self._tables.accounts.values() if account.name == name), None)

    async def hold_by_name(self, name: str) -> Account | None:
        return await self.find_by_name(name)

    async def list(self) -> tuple[Account, ...]:
        return tuple(sorted(self._tables.accounts.values(), key=lambda account: account.name))

    async def add_key(self, key: ApiKey) -> None:
        self._tables.keys[key.key_id] = key

    async def find_key(self, key_id: KeyId) -> tuple[ApiKey, Account] | None:
        key = self._tables.keys.get(key_id)
        return (key, self._tables.accounts[key.account_id]) if key else None

    async def list_keys(self, account_id: AccountId | None) -> tuple[ApiKey, ...]:
        keys = self._tables.keys.values()
        mine = [key for key in keys if account_id is None or key.account_id == account_id]
        return tuple(sorted(mine, key=lambda key: key.created_at))

    async def save_key(self, key: ApiKey) -> None:
        kept = self._tables.keys[key.key_id]
        self._tables.keys[key.key_id] = replace(kept, revoked_at=key.revoked_at, expires_at=key.expires_at)

    async def note_use_of_key(self, key: ApiKey, now: datetime) -> None:
        self._tables.keys[key.key_id] = replace(self._tables.keys[key.key_id], last_used_at=now)


class InMemoryErasureRepository:
    """Tombstones and audit records by the ids of their erasures."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def serialize(self, customer: Customer) -> None:
        """The one writer's lock does it."""

    async def advance_epoch(self, account_id: AccountId) -> int:
        account = self._tables.accounts[account_id]
        self._tables.accounts[account_id] = replace(account, erasure_epoch=account.erasure_epoch + 1)
        return account.erasure_epoch + 1

    async def add_tombstone(self, tombstone: Tombstone) -> None:
        self._tables.tombstones[tombstone.erasure_id] = tombstone

    async def is_erased_since(self, customer: Customer, beginning: Beginning) -> bool:
        stones = self._tables.tombstones.values()
        return any(stone.is_after(beginning) and stone.covers(customer) for stone in stones)

    async def marked_until(self, customer: Customer) -> datetime | None:
        stones = self._tables.tombstones.values()
        return max((stone.expires_at for stone in stones if stone.covers(customer)), default=None)

    async def sweep(self, now: datetime) -> int:
        erased, records, stones = self._tables.erased, self._tables.records, self._tables.tombstones
        drop(erased, [it for it, forget_at in erased.items() if forget_at <= now and it[1] not in self._tables.images])
        drop(records, [it for it, record in records.items() if record.is_forgotten(now)])
        return drop(stones, [it for it, stone in stones.items() if stone.expires_at <= now])

    async def open_record(self, record: ErasureRecord, erased: Iterable[ImageId], forget_ids_at: datetime) -> None:
        self._tables.records[record.erasure_id] = record
        self._tables.erased.update({(record.erasure_id, image_id): forget_ids_at for image_id in erased})

    async def find_record(self, erasure_id: ErasureId) -> ErasureRecord | None:
        return self._tables.records.get(erasure_id)

    async def complete_records(self, now: datetime) -> int:
        unfinished = {erasure_id for erasure_id, image_id in self._tables.erased if image_id in self._tables.images}
        done = [r for r in self._tables.records.values() if not r.completed_at and r.erasure_id not in unfinished]
        for record in done:
            self._tables.records[record.erasure_id] = replace(record, completed_at=now)
        return len(done)

    async def count_open(self) -> int:
        return sum(record.completed_at is None for record in self._tables.records.values())

    async def list_records(
        self, account_id: AccountId | None, limit: int, older_than: ErasureRecord | None = None
    ) -> tuple[ErasureRecord, ...]:
        records = [
            record
            for record in self._tables.records.values()
            if (account_id is None or record.account_id == account_id)
            and (older_than is None or _age(record) < _age(older_than))
        ]
        return tuple(sorted(records, key=_age, reverse=True)[:limit])

    async def images_of(self, erasure_id: ErasureId) -> tuple[ImageId, ...]:
        return tuple(sorted(image_id for by, image_id in self._tables.erased if by == erasure_id))


def _age(record: ErasureRecord) -> tuple[datetime, ErasureId]:
    return record.requested_at, record.erasure_id
