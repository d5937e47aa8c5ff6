"""Ports of trying on: engines, strangers' URLs, and the rows of products and generations."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.account import AccountId
from domain.customer import Customer
from domain.generation import Failure, Generation, GenerationId, LeaseId
from domain.geometry import Size
from domain.image import ImageId
from domain.product import Product


@dataclass(frozen=True, slots=True)
class TryOnPicture:
    """A person wearing a garment: a JPEG as the engine made it, with its marks of origin, and its size in pixels."""

    jpeg: bytes
    size: Size


class TryOnEngine(Protocol):
    """Dresses a person in a garment."""

    @property
    def name(self) -> str:
        """How the engine is called in answers: `preview`, `vertex` or `http`."""
        ...

    async def render(self, person_jpeg: bytes, garment_jpeg: bytes) -> TryOnPicture:
        """Args: both as the service keeps them: baseline JPEG, sRGB, upright, longest edge at most 2000 pixels.

        Raises: EngineUnavailable, Overloaded: another try can help; any other DomainError is final.
        """
        ...

    async def check(self) -> None:
        """Raises: Overloaded when the operator has to do something before the engine can work."""
        ...

    async def close(self) -> None:
        """End what the engine has started."""
        ...


class UrlNotFetched(Exception):
    """Whatever the reason was: it could tell a stranger what is in our network."""


class PhotoFetcher(Protocol):
    """Reads strangers' URLs without reaching anything that is not public."""

    async def fetch(self, url: str) -> bytes:
        """The file behind a URL. Raises: UrlNotFetched."""
        ...


class LinkReader(Protocol):
    """Knows which image one of our own links shows."""

    def image_shown_by(self, url: str, now: datetime) -> ImageId | None:
        """None when the link is not ours, was changed, or is over."""
        ...


class ProductRepository(Protocol):
    """Products by the ids that merchants gave them."""

    async def save(self, product: Product) -> None:
        """Insert, or replace the one with the same id."""
        ...

    async def find(self, account_id: AccountId, external_id: str) -> Product | None: ...

    async def sweep(self, now: datetime) -> int:
        """Forget products that are over; their pictures expire by themselves."""
        ...


class GenerationRepository(Protocol):
    """Generations as a queue. A change by someone whose lease was taken over does nothing."""

    async def add(self, generation: Generation) -> None: ...

    async def find(self, generation_id: GenerationId, account_id: AccountId) -> Generation | None: ...

    async def claim(self, lease: LeaseId, engine: str, now: datetime, lease_ends_at: datetime) -> Generation | None:
        """The one that has waited longest -> PROCESSING, with one more attempt; never the same to two callers.

        Also takes over one whose lease has ended. None when there is nothing to do.
        """
        ...

    async def is_held(self, generation: Generation) -> bool:
        """Whether its lease is still the caller's; if so, it stays so until the transaction ends."""
        ...

    async def try_again(self, generation: Generation, now: datetime, due_at: datetime) -> bool:
        """-> PENDING, not to be claimed before `due_at`."""
        ...

    async def complete(self, generation: Generation, result: ImageId, now: datetime) -> bool:
        """-> COMPLETED; the row forgets its inputs."""
        ...

    async def fail(self, generation: Generation, failure: Failure, now: datetime) -> bool:
        """-> FAILED; the row forgets its inputs."""
        ...

    async def fail_customer(self, customer: Customer, failure: Failure, now: datetime) -> int:
        """All that wait or run for a customer -> FAILED, whoever holds their leases."""
        ...

    async def sweep(self, now: datetime) -> int:
        """Forget generations that ended long ago."""
        ...
