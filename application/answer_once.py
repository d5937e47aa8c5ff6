"""Answer a request that comes again with the same idempotency key as it was answered first."""

import asyncio
from contextlib import suppress
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

    async def begin(
        self, account: Account, record: IdempotencyRecord | None, customer: Customer | None
    ) -> KeptRequest | None:
        """Returns: None without a key; else the request: with its `result` if it was answered before.

        Raises: IdempotencyKeyReused, IdempotencyKeyInUse, Overloaded.
        """
        if record is None:
            return None
        now = self.clock.now()
        request = KeptRequest(
            account_id=account.account_id,
            record=record,
            customer=customer,
            due_at=now + self.LEASE,
        )
        try:
            async with self.work.begin() as repositories:
                await self._expect_no_upload(repositories, request, now)
                earlier = await repositories.requests.add(request, now)
        except (Overloaded, asyncio.CancelledError):  # the commit may have gone through
            await self.give_up(request)
            raise
        if earlier is None:
            return request
        if not record.is_same_request(earlier.record):
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

    async def give_up(self, request: KeptRequest | None) -> None:
        """The request was refused: it may come again. If the database is down, its lease ends it."""
        if request is not None:
            with suppress(Overloaded):
                await asyncio.shield(self._remove(request))

    async def _remove(self, request: KeptRequest) -> None:
        async with self.work.begin() as repositories:
            await repositories.requests.remove(request)
