"""Products and generations in dictionaries, inside the transactions of `InMemoryUnitOfWork`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from application.ports.rows import KeptRequest
from domain.account import Account, AccountId
from domain.customer import Customer, IdempotencyRecord
from domain.generation import Failure, Generation, GenerationId, GenerationStatus, LeaseId
from domain.image import ImageId
from domain.product import Product

K = TypeVar("K")
V = TypeVar("V")
OPEN = (GenerationStatus.PENDING, GenerationStatus.PROCESSING)


@dataclass(frozen=True, slots=True)
class ProductRow:
    """A product, and when its pictures are to be looked at."""

    product: Product
    renew_at: datetime | None


class InMemoryProductRepository:
    """Products by account and id."""

    def __init__(self, rows: dict[tuple[AccountId, str], ProductRow]) -> None:
        self._rows = rows

    async def add(self, product: Product) -> bool:
        if (product.account_id, product.external_id) in self._rows:
            return False
        await self.replace(product)
        return True

    async def replace(self, product: Product) -> None:
        self._rows[product.account_id, product.external_id] = ProductRow(product, product.renew_at)

    async def touch(self, product: Product) -> bool:
        row = self._rows.get((product.account_id, product.external_id))
        if row is None or _kind(row.product) != _kind(product):
            return False
        touched = replace(row.product, last_used_at=product.last_used_at, expires_at=product.expires_at)
        self._rows[product.account_id, product.external_id] = replace(row, product=touched)
        return True

    async def find(self, account_id: AccountId, external_id: str) -> Product | None:
        row = self._rows.get((account_id, external_id))
        return row.product if row else None

    async def hold(self, account_id: AccountId, external_id: str) -> Product | None:
        return await self.find(account_id, external_id)

    async def remove(self, account_id: AccountId, external_id: str) -> tuple[ImageId, ...]:
        row = self._rows.pop((account_id, external_id), None)
        return row.product.images if row else ()

    async def remove_all(self, account_id: AccountId) -> None:
        drop(self._rows, [key for key in self._rows if key[0] == account_id])

    async def count(self, account_id: AccountId) -> int:
        return sum(key[0] == account_id for key in self._rows)

    async def page(self, account_id: AccountId, after: str, limit: int, now: datetime) -> tuple[Product, ...]:
        products = (row.product for key, row in sorted(self._rows.items()) if key[0] == account_id and key[1] > after)
        return tuple(product for product in products if product.is_alive(now))[:limit]

    async def claim_renewals(self, now: datetime, again_at: datetime, limit: int) -> tuple[Product, ...]:
        due = [(key, row) for key, row in self._rows.items() if row.renew_at is not None and row.renew_at <= now]
        for key, row in due[:limit]:
            self._rows[key] = replace(row, renew_at=again_at)
        return tuple(row.product for _, row in due[:limit])

    async def sweep(self, now: datetime) -> tuple[ImageId, ...]:
        over = [key for key, row in self._rows.items() if not row.product.is_alive(now)]
        return tuple(image for key in over for image in self._rows.pop(key).product.images)


def _kind(product: Product) -> tuple[bool, bool]:
    return product.is_one_shot, product.is_registered


def drop(rows: dict[K, V], keys: Sequence[K]) -> int:
    """Returns: how many there were."""
    for key in keys:
        del rows[key]
    return len(keys)


class InMemoryRequestRepository:
    """Requests by account and the digest of their key."""

    def __init__(self, rows: dict[tuple[AccountId, bytes], KeptRequest]) -> None:
        self._rows = rows

    async def add(self, request: KeptRequest, now: datetime) -> KeptRequest | None:
        if (earlier := self._kept(request.account_id, request.record, now)) is not None:
            return earlier
        self._rows[request.account_id, request.record.key_digest] = request
        return None

    async def is_kept(self, account_id: AccountId, record: IdempotencyRecord, now: datetime) -> bool:
        return self._kept(account_id, record, now) is not None

    def _kept(self, account_id: AccountId, record: IdempotencyRecord, now: datetime) -> KeptRequest | None:
        under = (self._rows.get((account_id, digest)) for digest in record.key_digests)
        return next((request for request in under if request and request.due_at > now), None)

    async def finish(self, request: KeptRequest, result: str, due_at: datetime) -> None:
        for key in self._running(request):
            self._rows[key] = replace(self._rows[key], result=result, due_at=due_at)

    async def remove(self, request: KeptRequest) -> None:
        drop(self._rows, self._running(request))

    def _running(self, request: KeptRequest) -> list[tuple[AccountId, bytes]]:
        key = (request.account_id, request.record.key_digest)
        return [key] if key in self._rows and self._rows[key].due_at == request.due_at else []

    async def remove_all(self, account_id: AccountId) -> None:
        drop(self._rows, [key for key in self._rows if key[0] == account_id])

    async def count(self, account_id: AccountId, digest: bytes, due_at: datetime) -> int:
        row = self._rows.get((account_id, digest))
        number = 1 + int(row.result or 0) if row else 1
        record = IdempotencyRecord(digest, b"")
        self._rows[account_id, digest] = KeptRequest(
            account_id=account_id, record=record, customer=None, due_at=due_at, result=str(number)
        )
        return number

    async def key_digests_of(self, customer: Customer) -> tuple[bytes, ...]:
        return tuple(digest for _, digest in self._of(customer))

    async def erase(self, customer: Customer) -> None:
        drop(self._rows, self._of(customer))

    def _of(self, customer: Customer) -> list[tuple[AccountId, bytes]]:
        return [key for key, row in self._rows.items() if row.customer and row.customer.is_same(customer)]

    async def sweep(self, now: datetime) -> int:
        return drop(self._rows, [key for key, row in self._rows.items() if row.due_at <= now])


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """A generation, and when a worker or a purger has to look at it."""

    generation: Generation
    due_at: datetime

    @property
    def is_open(self) -> bool:
        return self.generation.status in OPEN

    def is_of(self, customer: Customer) -> bool:
        inputs = self.generation.inputs
        return inputs is not None and inputs.customer is not None and inputs.customer.is_same(customer)


class InMemoryGenerationRepository:
    """Generations by their ids."""

    def __init__(self, rows: dict[GenerationId, GenerationRow], accounts: dict[AccountId, Account]) -> None:
        self._rows = rows
        self._accounts = accounts

    async def add(self, generation: Generation) -> None:
        self._put(generation, generation.created_at)

    async def find(self, generation_id: GenerationId, account_id: AccountId) -> Generation | None:
        row = self._rows.get(generation_id)
        return row.generation if row and row.generation.account_id == account_id else None

    async def page(self, account_id: AccountId, before: Generation | None, limit: int) -> tuple[Generation, ...]:
        generations = [row.generation for row in self._rows.values() if row.generation.account_id == account_id]
        older = [each for each in generations if before is None or _age(each) < _age(before)]
        return tuple(sorted(older, key=_age, reverse=True)[:limit])

    async def claim(self, lease: LeaseId, engine: str, now: datetime, lease_ends_at: datetime) -> Generation | None:
        due = [row for row in self._rows.values() if row.is_open and row.due_at <= now]
        if not due:
            return None
        generation = min(due, key=lambda row: (*self._served(row.generation.account_id, now), row.due_at)).generation
        claimed = replace(
            generation,
            status=GenerationStatus.PROCESSING,
            attempts=generation.attempts + 1,
            lease=lease,
            engine=engine,
            updated_at=now,
        )
        self._put(claimed, lease_ends_at)
        return claimed

    def _served(self, account_id: AccountId, now: datetime) -> tuple[int, datetime]:
        """How many run, and when the last one began or ended; long ago for an account that was not served lately."""
        served = [
            row.generation
            for row in self._rows.values()
            if row.generation.account_id == account_id
            and (
                row.due_at > now + Generation.KEPT_FOR - Generation.SERVED_LATELY
                if not row.is_open
                else row.generation.status is GenerationStatus.PROCESSING and row.due_at > now
            )
        ]
        running = sum(generation.status is GenerationStatus.PROCESSING for generation in served)
        return running, max((generation.updated_at for generation in served), default=datetime.min.replace(tzinfo=UTC))

    async def count_open(self, account_id: AccountId, since: datetime) -> int:
        mine = (row for row in self._rows.values() if row.generation.account_id == account_id)
        return sum(row.is_open and row.generation.created_at >= since for row in mine)

    async def longest_wait(self, now: datetime) -> timedelta:
        return now - min((row.due_at for row in self._rows.values() if row.is_open and row.due_at <= now), default=now)

    async def renew(self, generation: Generation, lease_ends_at: datetime) -> bool:
        is_held = await self.is_held(generation)
        if is_held:
            self._put(self._rows[generation.generation_id].generation, lease_ends_at)
        return is_held

    async def is_held(self, generation: Generation) -> bool:
        row = self._rows.get(generation.generation_id)
        return row is not None and row.is_open and row.generation.lease == generation.lease is not None

    async def try_again(self, generation: Generation, now: datetime, due_at: datetime) -> bool:
        is_held = await self.is_held(generation)
        if is_held:
            self._put(replace(generation, status=GenerationStatus.PENDING, lease=None, updated_at=now), due_at)
        return is_held

    async def complete(self, generation: Generation, result: ImageId, now: datetime) -> bool:
        is_held = await self.is_held(generation)
        if is_held:
            self._end(replace(generation, status=GenerationStatus.COMPLETED, result=result), now)
        return is_held

    async def fail(self, generation: Generation, failure: Failure, now: datetime) -> bool:
        is_held = await self.is_held(generation)
        if is_held:
            self._end(replace(generation, status=GenerationStatus.FAILED, failure=failure), now)
        return is_held

    async def of_customer(self, customer: Customer, results: Sequence[ImageId]) -> tuple[Generation, ...]:
        rows = self._rows.values()
        found = [row.generation for row in rows if row.generation.result in results or row.is_of(customer)]
        return tuple(sorted(found, key=lambda each: (each.created_at, each.generation_id)))

    async def fail_customer(self, customer: Customer, failure: Failure, now: datetime) -> int:
        theirs = [row.generation for row in self._rows.values() if row.is_of(customer)]
        for generation in theirs:
            self._end(replace(generation, status=GenerationStatus.FAILED, failure=failure), now)
        return len(theirs)

    async def sweep(self, now: datetime) -> int:
        return drop(self._rows, [key for key, row in self._rows.items() if not row.is_open and row.due_at <= now])

    def _put(self, generation: Generation, due_at: datetime) -> None:
        self._rows[generation.generation_id] = GenerationRow(generation, due_at)

    def _end(self, generation: Generation, now: datetime) -> None:
        account = self._accounts.get(generation.account_id)
        if generation.failure and generation.has_credit and account and account.credits is not None:
            self._accounts[account.account_id] = replace(account, credits=account.credits + 1)
        self._put(replace(generation, inputs=None, lease=None, updated_at=now), now + Generation.KEPT_FOR)


def _age(generation: Generation) -> tuple[datetime, GenerationId]:
    return generation.created_at, generation.generation_id
