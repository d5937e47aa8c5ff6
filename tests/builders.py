"""Makers of domain objects and of a wired service; a test names only what it is about."""

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from adapters.memory.surroundings import InMemoryObjectStore
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from application.delete_images import TrustedTime
from domain.account import Account, AccountId, RetentionPolicy
from domain.customer import Customer, IdempotencyRecord, Pseudonyms
from domain.generation import GenerationId, LeaseId
from domain.geometry import Size
from domain.image import ErasureId, ImageId, StoredPhoto, UploadedImage
from domain.photo import SourceFormat

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
ACME = AccountId("acc_acme")
OTHER = AccountId("acc_other")
PSEUDONYMS = Pseudonyms((b"p" * 32,))


@dataclass
class MovableClock:
    """Stands still until a test moves it."""

    time: datetime = NOON

    def now(self) -> datetime:
        return self.time

    def advance(self, **by: float) -> None:
        self.time += timedelta(**by)


@dataclass
class CountingRandom:
    """Names in the order of their making, so that a failing test can be read."""

    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def image_id(self) -> ImageId:
        return ImageId(f"img_{next(self.numbers):04}")

    def erasure_id(self) -> ErasureId:
        return ErasureId(f"era_{next(self.numbers):04}")

    def account_id(self) -> AccountId:
        return AccountId(f"acc_{next(self.numbers):04}")

    def generation_id(self) -> GenerationId:
        return GenerationId(f"gen_{next(self.numbers):04}")

    def lease_id(self) -> LeaseId:
        return LeaseId(f"lea_{next(self.numbers):04}")

    def product_id(self) -> str:
        return f"prd_{next(self.numbers):04}"

    def api_key(self) -> str:
        return f"gk_{next(self.numbers):06}_secret"

    def salt(self) -> bytes:
        return next(self.numbers).to_bytes(16, "big")


def an_account(account_id: AccountId = ACME, *, name: str | None = None, keep_for_days: int = 7) -> Account:
    return Account(
        account_id=account_id,
        name=name or account_id,
        default_retention=RetentionPolicy(keep_for_days),
        created_at=NOON,
    )


def a_customer(external_id: str = "gid://shopify/Customer/1", account_id: AccountId = ACME) -> Customer:
    return PSEUDONYMS.customer(account_id, external_id)


def an_image(
    image_id: str = "img_1",
    *,
    account_id: AccountId = ACME,
    customer: Customer | None = None,
    keep_for_days: int = 7,
    created_at: datetime = NOON,
    idempotency: IdempotencyRecord | None = None,
) -> UploadedImage:
    return UploadedImage(
        image_id=ImageId(image_id),
        account_id=account_id,
        customer=customer,
        retention=RetentionPolicy(keep_for_days),
        created_at=created_at,
        idempotency=idempotency,
    )


def a_stored_photo() -> StoredPhoto:
    return StoredPhoto(
        size=Size(1600, 2000),
        size_bytes=412_345,
        source_format=SourceFormat.HEIC,
        source_size=Size(3024, 4032),
    )


async def a_database_with_accounts() -> InMemoryUnitOfWork:
    work = InMemoryUnitOfWork()
    async with work.begin() as repositories:
        await repositories.accounts.add(an_account(ACME))
        await repositories.accounts.add(an_account(OTHER))
    return work


@dataclass
class TimeOf:
    """A database whose clock is the one that a test moves, and which nobody sets."""

    clock: MovableClock

    async def now(self) -> datetime:
        return self.clock.now()

    def expect_none(self) -> None:
        """It only goes forward."""

    def trust(self) -> None:
        """It is trusted."""


def time_of(clock: MovableClock) -> TrustedTime:
    return TrustedTime(clock, TimeOf(clock), TimeOf(clock))


async def nothing_to_renew() -> None:
    """For a purge where there are no products."""


def an_object_store() -> InMemoryObjectStore:
    return InMemoryObjectStore()
