"""Ports of trying on: products and generations, engines that dress a person, and strangers' URLs."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from domain.account import AccountId
from domain.customer import Customer
from domain.generation import Failure, Generation, GenerationId, LeaseId
from domain.geometry import Size
from domain.image import ImageId
from domain.product import Product


class ProductRepository(Protocol):
    """Products by the ids that merchants gave them, also those that are over and not swept yet."""

    async def add(self, product: Product) -> bool:
        """False when there is one with the same id."""

    async def replace(self, product: Product) -> None:
        """Put it in the place of the one with the same id, which the caller holds."""

    async def touch(self, product: Product) -> bool:
        """Keep when it was used last and when it is over, nothing else; False when it is another kind of product."""

    async def find(self, account_id: AccountId, external_id: str) -> Product | None: ...

    async def hold(self, account_id: AccountId, external_id: str) -> Product | None:
        """As `find`; what is found does not change until the transaction ends."""

    async def remove(self, account_id: AccountId, external_id: str) -> tuple[ImageId, ...]:
        """Returns: the images it named."""

    async def remove_all(self, account_id: AccountId) -> None: ...

    async def count(self, account_id: AccountId) -> int:
        """Also those that are over and not swept yet."""

    async def page(self, account_id: AccountId, after: str, limit: int, now: datetime) -> tuple[Product, ...]:
        """Those that are not over, in the order of their ids, from the first one greater than `after`."""

    async def claim_renewals(self, now: datetime, again_at: datetime, limit: int) -> tuple[Product, ...]:
        """Some whose pictures are to be looked at; no two callers get the same one before `again_at`."""

    async def sweep(self, now: datetime) -> tuple[ImageId, ...]:
        """Forget products that are over. Returns: the images they named."""


class GenerationRepository(Protocol):
    """Generations as a queue. A change by someone whose lease was taken over does nothing."""

    async def add(self, generation: Generation) -> None: ...

    async def find(self, generation_id: GenerationId, account_id: AccountId) -> Generation | None: ...

    async def page(self, account_id: AccountId, before: Generation | None, limit: int) -> tuple[Generation, ...]:
        """Newest first, from the first one older than `before`."""

    async def claim(self, lease: LeaseId, engine: str, now: datetime, lease_ends_at: datetime) -> Generation | None:
        """One that is due -> PROCESSING, with one more attempt; never the same to two callers.

        The account with the fewest running comes first, then the one not served for longest; of one account the one
        that has waited longest.

        Also takes over one whose lease has ended. None when there is nothing to do.
        """

    async def count_open(self, account_id: AccountId, since: datetime) -> int:
        """Those of an account that wait or run and were made since then."""

    async def longest_wait(self, now: datetime) -> timedelta:
        """How long the one that is due for the longest has waited for a worker; nothing when none is due."""

    async def renew(self, generation: Generation, lease_ends_at: datetime) -> bool:
        """Whether its lease was still the caller's, which then ends later."""

    async def is_held(self, generation: Generation) -> bool:
        """Whether its lease is still the caller's; if so, it stays so until the transaction ends."""

    async def try_again(self, generation: Generation, now: datetime, due_at: datetime) -> bool:
        """-> PENDING with the attempts that `generation` says, not to be claimed before `due_at`."""

    async def complete(self, generation: Generation, result: ImageId, now: datetime) -> bool:
        """-> COMPLETED; the row forgets its inputs."""

    async def fail(self, generation: Generation, failure: Failure, now: datetime) -> bool:
        """-> FAILED; the row forgets its inputs, and the account gets the credit back."""

    async def of_customer(self, customer: Customer, results: Sequence[ImageId]) -> tuple[Generation, ...]:
        """Those that wait or run for a customer, and those that ended with one of the `results`; oldest first."""

    async def fail_customer(self, customer: Customer, failure: Failure, now: datetime) -> int:
        """All that wait or run for a customer -> FAILED, whoever holds their leases; credits are given back."""

    async def sweep(self, now: datetime) -> int:
        """Forget generations that ended long ago."""


@dataclass(frozen=True, slots=True)
class TryOnPicture:
    """A person wearing a garment: a JPEG as the engine made it, with its marks of origin, and its size in pixels."""

    jpeg: bytes
    size: Size


class TryOnEngine(Protocol):
    """Dresses a person in a garment."""

    @property
    def name(self) -> str:
        """How the engine is called in answers: `sandbox`, `vertex` or `http`."""

    async def render(self, person_jpeg: bytes, garment_jpeg: bytes) -> TryOnPicture:
        """Args: both as the service keeps them: baseline JPEG, sRGB, upright, longest edge at most 2000 pixels.

        Raises: EngineUnavailable, Overloaded: another try can help; any other DomainError is final.
        """

    async def check(self) -> None:
        """Raises: Overloaded when the operator has to do something before the engine can work."""

    async def close(self) -> None:
        """End what the engine has started."""


class UrlNotFetched(Exception):
    """Whatever the reason was: it could tell a stranger what is in our network."""


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server says of a file, for asking later whether it is still the same (RFC 9110, 8.8)."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class FetchedPhoto:
    """A file as received."""

    photo: bytes | bytearray | memoryview
    validators: Validators = Validators()


class Fetch(Protocol):
    """The file behind a URL; None when it is the one that is `known`. Raises: UrlNotFetched."""

    async def __call__(self, url: str, known: Validators | None = None) -> FetchedPhoto | None: ...


class PhotoFetcher(Protocol):
    """Reads strangers' URLs without reaching anything that is not public."""

    def for_one_request(self, account_id: AccountId) -> AbstractContextManager[Fetch]:
        """For all URLs of one request, one after the other: they share the time that it may spend on fetching, and the
        memory of one file, which is given back at the end of the block. Fetching raises Overloaded without memory.
        """
