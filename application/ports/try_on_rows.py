"""Ports to the rows of a try-on: products, generations, and requests that came with an idempotency key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from domain.account import AccountId
from domain.customer import Customer
from domain.generation import Failure, Generation, GenerationId, LeaseId
from domain.image import IdempotencyRecord, ImageId
from domain.product import Product


class ProductRepository(Protocol):
    """Products by the ids that merchants gave them, also those that are over and not swept yet."""

    async def add(self, product: Product) -> bool:
        """False when there is one with the same id."""
        ...

    async def replace(self, product: Product) -> None:
        """Put it in the place of the one with the same id, which the caller holds."""
        ...

    async def touch(self, product: Product) -> bool:
        """Keep when it was used last and when it is over, nothing else; False when it is another kind of product."""
        ...

    async def find(self, account_id: AccountId, external_id: str) -> Product | None: ...

    async def hold(self, account_id: AccountId, external_id: str) -> Product | None:
        """As `find`; what is found does not change until the transaction ends."""
        ...

    async def remove(self, account_id: AccountId, external_id: str) -> tuple[ImageId, ...]:
        """Returns: the images it named."""
        ...

    async def remove_all(self, account_id: AccountId) -> None: ...

    async def count(self, account_id: AccountId) -> int:
        """Also those that are over and not swept yet."""
        ...

    async def page(self, account_id: AccountId, after: str, limit: int, now: datetime) -> tuple[Product, ...]:
        """Those that are not over, in the order of their ids, from the first one greater than `after`."""
        ...

    async def claim_renewals(self, now: datetime, again_at: datetime, limit: int) -> tuple[Product, ...]:
        """Some whose pictures are to be looked at; no two callers get the same one before `again_at`."""
        ...

    async def sweep(self, now: datetime) -> tuple[ImageId, ...]:
        """Forget products that are over. Returns: the images they named."""
        ...


class GenerationRepository(Protocol):
    """Generations as a queue. A change by someone whose lease was taken over does nothing."""

    async def add(self, generation: Generation) -> None: ...

    async def find(self, generation_id: GenerationId, account_id: AccountId) -> Generation | None: ...

    async def page(self, account_id: AccountId, before: Generation | None, limit: int) -> tuple[Generation, ...]:
        """Newest first, from the first one older than `before`."""
        ...

    async def claim(self, lease: LeaseId, engine: str, now: datetime, lease_ends_at: datetime) -> Generation | None:
        """One that is due -> PROCESSING, with one more attempt; never the same to two callers.

        The account with the fewest running comes first, then the one not served for longest; of one account the one
        that has waited longest.

        Also takes over one whose lease has ended. None when there is nothing to do.
        """
        ...

    async def count_open(self, account_id: AccountId, since: datetime) -> int:
        """Those of an account that wait or run and were made since then."""
        ...

    async def longest_wait(self, now: datetime) -> timedelta:
        """How long the one that is due for the longest has waited for a worker; nothing when none is due."""
        ...

    async def renew(self, generation: Generation, lease_ends_at: datetime) -> bool:
        """Whether its lease was still the caller's, which then ends later."""
        ...

    async def is_held(self, generation: Generation) -> bool:
        """Whether its lease is still the caller's; if so, it stays so until the transaction ends."""
        ...

    async def try_again(self, generation: Generation, now: datetime, due_at: datetime) -> bool:
        """-> PENDING, not to be claimed before `due_at`."""
        ...

    async def hand_back(self, generation: Generation, now: datetime) -> bool:
        """-> PENDING, to be claimed at once; the attempt does not count."""
        ...

    async def complete(self, generation: Generation, result: ImageId, now: datetime) -> bool:
        """-> COMPLETED; the row forgets its inputs."""
        ...

    async def fail(self, generation: Generation, failure: Failure, now: datetime) -> bool:
        """-> FAILED; the row forgets its inputs, and the account gets the credit back."""
        ...

    async def of_customer(self, customer: Customer, results: Sequence[ImageId]) -> tuple[Generation, ...]:
        """Those that wait or run for a customer, and those that ended with one of the `results`; oldest first."""
        ...

    async def fail_customer(self, customer: Customer, failure: Failure, now: datetime) -> int:
        """All that wait or run for a customer -> FAILED, whoever holds their leases; credits are given back."""
        ...

    async def sweep(self, now: datetime) -> int:
        """Forget generations that ended long ago."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRequest:
    """A request that came with an idempotency key: digests of both, and what came of it as JSON, once it is done.

    It names the customer, so that an erasure finds it: the fingerprint is derived from the customer's id, too.
    """

    account_id: AccountId
    record: IdempotencyRecord
    customer: Customer | None
    due_at: datetime
    """When the request is taken for dead; once it is done, when the key is free again."""
    result: str | None = None


class RequestRepository(Protocol):
    """Requests by their idempotency keys."""

    async def add(self, request: KeptRequest, now: datetime) -> KeptRequest | None:
        """Keep it, unless there is one with its key that is not due yet, which is returned."""
        ...

    async def is_kept(self, account_id: AccountId, record: IdempotencyRecord, now: datetime) -> bool:
        """Is there one with this key that is not due yet?"""
        ...

    async def finish(self, request: KeptRequest, result: str, due_at: datetime) -> None:
        """Keep what came of it, if it is still there and nobody took it for dead."""
        ...

    async def remove(self, request: KeptRequest) -> None:
        """Its key is free again, if it is still running."""
        ...

    async def remove_all(self, account_id: AccountId) -> None:
        """Also those that are answered, and what was counted."""
        ...

    async def count(self, account_id: AccountId, digest: bytes, due_at: datetime) -> int:
        """How often this was counted under the digest, this time included; forgotten when it is due."""
        ...

    async def key_digests_of(self, customer: Customer) -> tuple[bytes, ...]:
        """One for each request of the customer that is kept."""
        ...

    async def erase(self, customer: Customer) -> None: ...

    async def sweep(self, now: datetime) -> int: ...
