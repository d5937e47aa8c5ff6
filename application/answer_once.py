"""Answer a request that comes again with the same idempotency key as it was answered first."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from application.ports.rows import KeptRequest, Repositories, UnitOfWork
from application.ports.system import Clock
from domain.account import Account
from domain.customer import Customer, IdempotencyRecord
from domain.errors import IdempotencyKeyInUse, IdempotencyKeyReused, Overloaded


@dataclass(frozen=True, slots=True)
class AnswerOnce:
    """For what leaves no image behind that could carry the record itself, as an upload does."""

    LEASE: ClassVar = timedelta(minutes=5)
    """A request that has not ended by then has died."""

    work: UnitOfWork
    clock: Clock

    @asynccontextmanager
    async def keep(
        self, account: Account, record: IdempotencyRecord | None, customer: Customer | None
    ) -> AsyncIterator[KeptRequest | None]:
        """Around the work on a request. It may come again if the block fails; in an outage, when its lease is over.

        Yields: None without a key; else the request: with its `result` if it was answered before. Raises:
        IdempotencyKeyReused, IdempotencyKeyInUse, Overloaded.
        """
        if record is None:
            yield None
            return
        due_at = self.clock.now() + self.LEASE
        new = KeptRequest(account_id=account.account_id, record=record, customer=customer, due_at=due_at)
        request = await self._begin(new)
        if request.result is not None:  # answered: whatever becomes of telling it again, it was carried out
            yield request
            return
        try:
            yield request
        except BaseException:
            await self._give_up(request)
            raise

    async def _begin(self, request: KeptRequest) -> KeptRequest:
        now = self.clock.now()
        try:
            async with self.work.begin() as repositories:
                await self._expect_no_upload(repositories, request, now)
                earlier = await repositories.requests.add(request, now)
        except (Overloaded, asyncio.CancelledError):  # the commit may have gone through
            await self._give_up(request)
            raise
        if earlier is None:
            return request
        if not request.record.is_same_request(earlier.record):
            raise IdempotencyKeyReused
        if earlier.result is None:
            raise IdempotencyKeyInUse
        return earlier

    async def _expect_no_upload(self, repositories: Repositories, request: KeptRequest, now: datetime) -> None:
        """The keys of an account are one set: an upload with this one was another request."""
        image = await repositories.images.find_by_idempotency_key(request.account_id, request.record)
        if image and now < image.created_at + IdempotencyRecord.LIFETIME:  # no image lives for less
            raise IdempotencyKeyReused

    async def finish(self, repositories: Repositories, request: KeptRequest | None, result: str) -> None:
        """Inside the transaction that makes the result."""
        if request is not None:
            await repositories.requests.finish(request, result, self.clock.now() + IdempotencyRecord.LIFETIME)

    async def _give_up(self, request: KeptRequest) -> None:
        with suppress(Overloaded):
            await asyncio.shield(self._remove(request))

    async def _remove(self, request: KeptRequest) -> None:
        async with self.work.begin() as repositories:
            await repositories.requests.remove(request)
