"""Transactions on dictionaries: one writer at a time, nothing kept when the block raises."""

import asyncio
import copy
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from adapters.memory.try_on_repositories import (
    GenerationRow,
    InMemoryGenerationRepository,
    InMemoryProductRepository,
    InMemoryRequestRepository,
    ProductRow,
)
from application.ports.rows import (
    Credits,
    CustomerTraces,
    DueBatch,
    ImageToDelete,
    KeptRequest,
    KnownImage,
    Overdue,
    PublishOutcome,
)
from domain.account import Account, AccountId, ApiKey, KeyId
from domain.customer import Customer
from domain.erasure import ErasureRecord, Tombstone
from domain.errors import AccountExists, IdempotencyKeyInUse, InsufficientCredits
from domain.generation import GenerationId
from domain.image import ErasureId, ImageId, ImageState, StoredPhoto, UploadedImage
from domain.retention import RetentionPolicy

LIVE = (ImageState.PENDING, ImageState.STORED)


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An image and what its life cycle needs besides."""

    image: UploadedImage
    due_at: datetime
    erasure_id: ErasureId | None = None

    def is_of(self, customer: Customer) -> bool:
        return self.image.customer == customer

    def is_in_flight(self, now: datetime) -> bool:
        return self.image.photo is None and self.due_at > now

    def marked(self, retry_at: datetime, erasure_id: ErasureId | None = None) -> "ImageRow":
        image = replace(self.image, state=ImageState.DELETING, idempotency=None)
        return ImageRow(image, retry_at, erasure_id or self.erasure_id)


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

    def snapshot(self) -> "Tables":
        return Tables(*(copy.copy(getattr(self, name)) for name in self.__slots__))


class InMemoryUnitOfWork:
    """The same promises as a database, but for durability."""

    def __init__(self) -> None:
        self._tables = Tables()
        self._writer = asyncio.Lock()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator["InMemoryRepositories"]:
        async with self._writer:
            tables = self._tables.snapshot()
            yield InMemoryRepositories(tables)
            self._tables = tables

    @asynccontextmanager
    async def read(self) -> AsyncIterator["InMemoryRepositories"]:
        yield InMemoryRepositories(self._tables.snapshot())

    async def forget_history(self) -> None:
        """A dictionary has none."""

    async def check(self) -> None:
        """A dictionary is always there."""


class InMemoryRepositories:
    """What one transaction sees."""

    def __init__(self, tables: Tables) -> None:
        self.images = InMemoryImageRepository(tables)
        self.accounts = InMemoryAccountRepository(tables)
        self.erasures = InMemoryErasureRepository(tables)
        self.products = InMemoryProductRepository(tables.products)
        self.generations = InMemoryGenerationRepository(tables.generations, tables.accounts)
        self.requests = InMemoryRequestRepository(tables.requests)


class InMemoryImageRepository:
    """Images by their ids."""

    def __init__(self, tables: Tables) -> None:
        self._rows = tables.images

    async def reserve(self, image: UploadedImage) -> None:
        record = image.idempotency
        if record and await self.find_by_idempotency_key(image.account_id, record.key_digest):
            raise IdempotencyKeyInUse
        self._rows[image.image_id] = ImageRow(image, image.created_at + UploadedImage.PENDING_LEASE)

    async def publish(self, image: UploadedImage, photo: StoredPhoto) -> PublishOutcome:
        row = self._rows.get(image.image_id)
        if row is None or row.image.state is not ImageState.PENDING:
            return PublishOutcome.ERASED if row and row.erasure_id else PublishOutcome.LAPSED
        stored = replace(row.image, state=ImageState.STORED, photo=photo)
        self._rows[image.image_id] = ImageRow(stored, image.expires_at)
        return PublishOutcome.PUBLISHED

    async def abandon(self, image: UploadedImage, retry_at: datetime) -> ImageToDelete | None:
        unnamed = replace(image, customer=None)
        row = self._rows.get(image.image_id) or ImageRow(unnamed, retry_at)
        return self._mark_deleting(row, retry_at) if row.image.photo is None else None

    async def find(self, image_id: ImageId, account_id: AccountId) -> UploadedImage | None:
        row = self._rows.get(image_id)
        return row.image if row and row.image.account_id == account_id else None

    async def hold(self, image_id: ImageId, account_id: AccountId) -> UploadedImage | None:
        return await self.find(image_id, account_id)

    async def adopt(self, image_id: ImageId, customer: Customer) -> bool:
        row = self._rows.get(image_id)
        if row is None or row.image.account_id != customer.account_id or row.image.customer is not None:
            return False
        self._rows[image_id] = replace(row, image=replace(row.image, customer=customer))
        return True

    async def find_by_idempotency_key(self, account_id: AccountId, key_digest: bytes) -> UploadedImage | None:
        for row in self._rows.values():
            record = row.image.idempotency
            if record and row.image.account_id == account_id and record.key_digest == key_digest:
                return row.image
        return None

    async def release_idempotency_key(self, image_id: ImageId) -> None:
        row = self._rows[image_id]
        self._rows[image_id] = replace(row, image=replace(row.image, idempotency=None))

    async def mark_deleting(self, image_id: ImageId, account_id: AccountId, retry_at: datetime) -> ImageToDelete | None:
        row = self._rows.get(image_id)
        if row is None or row.image.account_id != account_id or row.image.photo is None:
            return None
        return self._mark_deleting(row, retry_at)

    async def mark_customer_deleting(
        self, customer: Customer, erasure_id: ErasureId, now: datetime, retry_at: datetime
    ) -> tuple[ImageToDelete, ...]:
        return tuple(
            self._mark_deleting(row, row.due_at, erasure_id, is_in_flight=True)
            if row.is_in_flight(now)
            else self._mark_deleting(row, retry_at, erasure_id)
            for row in [row for row in self._rows.values() if row.is_of(customer)]
        )

    async def mark_known_deleting(self, image_ids: Sequence[ImageId], retry_at: datetime) -> tuple[ImageToDelete, ...]:
        return tuple(self._mark_deleting(self._rows[i], retry_at) for i in image_ids if i in self._rows)

    async def mark_stored_deleting(self, image_ids: Sequence[ImageId], retry_at: datetime) -> tuple[ImageToDelete, ...]:
        rows = [self._rows[image_id] for image_id in image_ids if image_id in self._rows]
        return tuple(self._mark_deleting(row, retry_at) for row in rows if row.image.state is ImageState.STORED)

    async def release(self, image_ids: Sequence[ImageId], due_at: datetime) -> None:
        for image_id in image_ids:
            row = self._rows.get(image_id)
            if row and row.image.is_of_product and row.image.state is ImageState.STORED:
                self._rows[image_id] = replace(row, due_at=min(row.due_at, due_at))

    async def mark_due_deleting(self, now: datetime, retry_at: datetime, limit: int) -> DueBatch:
        due = sorted((row for row in self._rows.values() if row.due_at <= now), key=lambda row: row.due_at)[:limit]
        states = [row.image.state for row in due]
        marked = tuple(self._mark_deleting(row, retry_at) for row in due)
        return DueBatch(marked, states.count(ImageState.STORED), states.count(ImageState.PENDING))

    async def remove(self, image_ids: Iterable[ImageId]) -> None:
        for image_id in image_ids:
            row = self._rows.get(image_id)
            if row and row.image.state is not ImageState.STORED:
                del self._rows[image_id]

    async def traces_of(self, customer: Customer) -> CustomerTraces:
        rows = [row for row in self._rows.values() if row.is_of(customer)]
        return CustomerTraces(len(rows), sum(row.image.idempotency is not None for row in rows))

    async def count(self) -> int:
        return len(self._rows)

    async def has_kept(self) -> bool:
        return any(row.image.photo is not None for row in self._rows.values())

    async def objects_of(self, image_ids: Sequence[ImageId]) -> frozenset[str]:
        return frozenset(self._rows[image_id].image.object_name for image_id in image_ids if image_id in self._rows)

    async def count_live(self, account_id: AccountId) -> int:
        images = (row.image for row in self._rows.values())
        mine = [image for image in images if image.account_id == account_id and not image.is_of_product]
        return sum(image.state is not ImageState.DELETING for image in mine)

    async def live_of(self, account_id: AccountId, until: datetime | None, limit: int) -> tuple[UploadedImage, ...]:
        rows = sorted(self._rows.values(), key=lambda row: (row.due_at, row.image.image_id))
        live = [row for row in rows if row.image.account_id == account_id and row.image.state in LIVE]
        return tuple(row.image for row in live if until is None or row.due_at <= until)[:limit]

    async def overdue(self, now: datetime) -> Overdue:
        images = [row.image for row in self._rows.values() if row.image.state is not ImageState.PENDING]
        ages = [now - image.expires_at for image in images if image.expires_at <= now]
        return Overdue(len(ages), max(ages, default=timedelta()))

    async def known_after(self, retention: RetentionPolicy, image_id: str, limit: int) -> tuple[KnownImage, ...]:
        images = [row.image for row in self._rows.values() if row.image.retention == retention]
        later = sorted((image for image in images if image.image_id > image_id), key=lambda image: image.image_id)
        return tuple(KnownImage(image.image_id, image.state is ImageState.STORED) for image in later[:limit])

    def _mark_deleting(
        self, row: ImageRow, retry_at: datetime, erasure_id: ErasureId | None = None, *, is_in_flight: bool = False
    ) -> ImageToDelete:
        self._rows[row.image.image_id] = row.marked(retry_at, erasure_id)
        return ImageToDelete(row.image.image_id, row.image.object_name, is_in_flight)


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

    async def is_erased_since(self, customer: Customer, epoch: int) -> bool:
        return any(stone.covers(customer) and stone.epoch > epoch for stone in self._tables.tombstones.values())

    async def marked_until(self, customer: Customer) -> datetime | None:
        stones = self._tables.tombstones.values()
        return max((stone.expires_at for stone in stones if stone.covers(customer)), default=None)

    async def sweep(self, now: datetime) -> int:
        over = [stone.erasure_id for stone in self._tables.tombstones.values() if stone.expires_at <= now]
        for erasure_id in over:
            del self._tables.tombstones[erasure_id]
        erased = self._tables.erased
        for key in [key for key, forget_at in erased.items() if forget_at <= now and key[1] not in self._tables.images]:
            del erased[key]
        records = self._tables.records
        for record in [record for record in records.values() if record.is_forgotten(now)]:
            del records[record.erasure_id]
        return len(over)

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
