"""Products and generations in dictionaries, inside the transactions of `InMemoryUnitOfWork`."""

from dataclasses import dataclass, replace
from datetime import datetime

from domain.account import AccountId
from domain.customer import Customer
from domain.generation import Failure, Generation, GenerationId, GenerationStatus, LeaseId
from domain.image import ImageId
from domain.product import Product

OPEN = (GenerationStatus.PENDING, GenerationStatus.PROCESSING)


class InMemoryProductRepository:
    """Products by account and id."""

    def __init__(self, rows: dict[tuple[AccountId, str], Product]) -> None:
        self._rows = rows

    async def save(self, product: Product) -> None:
        self._rows[product.account_id, product.external_id] = product

    async def find(self, account_id: AccountId, external_id: str) -> Product | None:
        return self._rows.get((account_id, external_id))

    async def sweep(self, now: datetime) -> int:
        over = [key for key, product in self._rows.items() if not product.is_alive(now)]
        for key in over:
            del self._rows[key]
        return len(over)


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """A generation, and when a worker or a purger has to look at it."""

    generation: Generation
    due_at: datetime

    @property
    def is_open(self) -> bool:
        return self.generation.status in OPEN


class InMemoryGenerationRepository:
    """Generations by their ids."""

    def __init__(self, rows: dict[GenerationId, GenerationRow]) -> None:
        self._rows = rows

    async def add(self, generation: Generation) -> None:
        self._rows[generation.generation_id] = GenerationRow(generation, generation.created_at)

    async def find(self, generation_id: GenerationId, account_id: AccountId) -> Generation | None:
        row = self._rows.get(generation_id)
        return row.generation if row and row.generation.account_id == account_id else None

    async def claim(self, lease: LeaseId, engine: str, now: datetime, lease_ends_at: datetime) -> Generation | None:
        due = [row for row in self._rows.values() if row.is_open and row.due_at <= now]
        if not due:
            return None
        generation = min(due, key=lambda row: row.due_at).generation
        claimed = replace(
            generation,
            status=GenerationStatus.PROCESSING,
            attempts=generation.attempts + 1,
            lease=lease,
            engine=engine,
            updated_at=now,
        )
        self._rows[claimed.generation_id] = GenerationRow(claimed, lease_ends_at)
        return claimed

    async def is_held(self, generation: Generation) -> bool:
        row = self._rows.get(generation.generation_id)
        return row is not None and row.is_open and row.generation.lease == generation.lease is not None

    async def try_again(self, generation: Generation, now: datetime, due_at: datetime) -> bool:
        if not await self.is_held(generation):
            return False
        waiting = replace(generation, status=GenerationStatus.PENDING, lease=None, updated_at=now)
        self._rows[generation.generation_id] = GenerationRow(waiting, due_at)
        return True

    async def complete(self, generation: Generation, result: ImageId, now: datetime) -> bool:
        if not await self.is_held(generation):
            return False
        self._end(replace(generation, status=GenerationStatus.COMPLETED, result=result), now)
        return True

    async def fail(self, generation: Generation, failure: Failure, now: datetime) -> bool:
        if not await self.is_held(generation):
            return False
        self._end(replace(generation, status=GenerationStatus.FAILED, failure=failure), now)
        return True

    async def fail_customer(self, customer: Customer, failure: Failure, now: datetime) -> int:
        theirs = [
            row.generation
            for row in self._rows.values()
            if row.generation.inputs is not None and row.generation.inputs.customer == customer
        ]
        for generation in theirs:
            self._end(replace(generation, status=GenerationStatus.FAILED, failure=failure), now)
        return len(theirs)

    async def sweep(self, now: datetime) -> int:
        over = [key for key, row in self._rows.items() if not row.is_open and row.due_at <= now]
        for key in over:
            del self._rows[key]
        return len(over)

    def _end(self, generation: Generation, now: datetime) -> None:
        ended = replace(generation, inputs=None, lease=None, updated_at=now)
        self._rows[generation.generation_id] = GenerationRow(ended, now + Generation.KEPT_FOR)
