"""Ports of keeping and erasing: rows, objects, links, time and chance. The pixel work has its own: `photo_ports`."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Protocol

from application.try_on_ports import GenerationRepository, ProductRepository
from domain.account import Account, AccountId, ApiKey, KeyId
from domain.customer import Customer
from domain.erasure import ErasureRecord, Tombstone
from domain.generation import GenerationId, LeaseId
from domain.image import ErasureId, ImageId, StoredPhoto, UploadedImage
from domain.retention import RetentionPolicy


class Clock(Protocol):
    """The present, as aware UTC. Replicas need not agree to better than a second."""

    def now(self) -> datetime: ...


class RandomSource(Protocol):
    """Unguessable names: at least 128 random bits each, URL-safe."""

    def image_id(self) -> ImageId: ...

    def erasure_id(self) -> ErasureId: ...

    def account_id(self) -> AccountId: ...

    def generation_id(self) -> GenerationId: ...

    def lease_id(self) -> LeaseId: ...

    def product_id(self) -> str:
        """A name for a product that came without one."""
        ...

    def api_key(self) -> str:
        """A whole key as the client will send it: `gk_<key id>_<secret>`; shown once and never kept."""
        ...

    def salt(self) -> bytes:
        """16 random bytes."""
        ...


class ObjectStore(Protocol):
    """Keeps finished JPEGs under names that hold no personal data."""

    async def put(self, name: str, data: bytes) -> None:
        """Durable when it returns, nothing half-written when it fails. Raises: Overloaded."""
        ...

    async def get(self, name: str) -> bytes | None:
        """None when there is no such object. Raises: Overloaded."""
        ...

    async def delete(self, names: Iterable[str]) -> frozenset[str]:
        """Delete what is there; what is not there counts as deleted. Never raises for an outage.

        Returns: the names that may still be there and have to be tried again.
        """
        ...

    def names(self, after: str = "") -> AsyncIterator[str]:
        """All object names in the order of their bytes, from the first one greater than `after`. Raises: Overloaded."""
        ...

    async def sweep(self) -> None:
        """Discard what puts of killed processes left unfinished. Raises: Overloaded."""
        ...

    async def check(self) -> None:
        """Raises: Overloaded when objects cannot be written now."""
        ...


class LinkSigner(Protocol):
    """Makes URLs that open one object without an API key until an instant."""

    async def sign(self, image: UploadedImage, expires_at: datetime) -> str:
        """Raises: Overloaded."""
        ...


class LinkVerifier(Protocol):
    """Knows our own links again, for storage that cannot serve its objects itself."""

    def is_valid(self, image_id: ImageId, account_id: AccountId, expires: int, signature: str, now: datetime) -> bool:
        """Whether we signed this link and it is not over yet; `expires` in Unix seconds."""
        ...


class PublishOutcome(Enum):
    """How a reserved image fared when its photo was ready."""

    PUBLISHED = auto()
    ERASED = auto()
    LAPSED = auto()


@dataclass(frozen=True, slots=True)
class DoomedImage:
    """An image in state `deleting`: its object goes first, then its row."""

    image_id: ImageId
    object_name: str
    is_in_flight: bool = False
    """Its upload may still be running; the row stays until the upload or its lease is over."""


@dataclass(frozen=True, slots=True)
class KnownImage:
    """What a comparison with the bucket has to know of a row."""

    image_id: ImageId
    is_stored: bool


@dataclass(frozen=True, slots=True)
class CustomerTraces:
    """How many rows still name a customer, and how many of them hold an idempotency record."""

    images: int
    idempotency_records: int


@dataclass(frozen=True, slots=True)
class DueBatch:
    """What one look for overdue images took on."""

    images: tuple[DoomedImage, ...]
    expired: int
    interrupted: int


@dataclass(frozen=True, slots=True)
class Overdue:
    """`oldest`: how long the longest overdue image has been so."""

    images: int = 0
    oldest: timedelta = timedelta()


class ImageRepository(Protocol):
    """Rows of images. Each transition is one conditional update inside the caller's transaction."""

    async def reserve(self, image: UploadedImage) -> None:
        """Insert in state `pending`. Raises: IdempotencyKeyInUse when another request holds the same key."""
        ...

    async def publish(self, image: UploadedImage, photo: StoredPhoto) -> PublishOutcome:
        """pending -> stored."""
        ...

    async def readmit(self, image: UploadedImage, retry_at: datetime) -> None:
        """A row in state `deleting` for bytes that arrived after their row was removed; nothing if there is a row.

        It names no customer: whatever took the row away may have been an erasure.
        """
        ...

    async def find(self, image_id: ImageId, account_id: AccountId) -> UploadedImage | None:
        """In whatever state; None when unknown or another account's."""
        ...

    async def hold(self, image_id: ImageId, account_id: AccountId) -> UploadedImage | None:
        """As `find`; what is found does not change until the transaction ends."""
        ...

    async def find_by_idempotency_key(self, account_id: AccountId, key_digest: bytes) -> UploadedImage | None: ...

    async def release_idempotency_key(self, image_id: ImageId) -> None:
        """The image stays, its key is free for another request."""
        ...

    async def doom(self, image_id: ImageId, account_id: AccountId, retry_at: datetime) -> DoomedImage | None:
        """stored or deleting -> deleting, for the caller to finish; a purger takes over at `retry_at`.

        None when there is nothing to delete; an upload in flight is not there yet.
        """
        ...

    async def doom_upload(self, image_id: ImageId, retry_at: datetime) -> None:
        """pending or deleting -> deleting: the upload itself gives up; a purger takes over at `retry_at`."""
        ...

    async def doom_customer(
        self, customer: Customer, erasure_id: ErasureId, now: datetime, retry_at: datetime
    ) -> tuple[DoomedImage, ...]:
        """Everything of one customer, in every state -> deleting. Uploads in flight keep their lease."""
        ...

    async def doom_known(self, image_ids: Sequence[ImageId], retry_at: datetime) -> tuple[DoomedImage, ...]:
        """Those of the images that exist -> deleting, whosever they are."""
        ...

    async def doom_stored(self, image_ids: Sequence[ImageId], retry_at: datetime) -> tuple[DoomedImage, ...]:
        """Those of the images that are stored -> deleting, whosever they are."""
        ...

    async def doom_due(self, now: datetime, retry_at: datetime, limit: int) -> DueBatch:
        """Take on at most `limit` images that are expired, interrupted or to be tried again, oldest first.

        No two callers get the same image before `retry_at`.
        """
        ...

    async def remove(self, image_ids: Iterable[ImageId]) -> None:
        """deleting or pending -> gone. A stored image is never removed this way."""
        ...

    async def traces_of(self, customer: Customer) -> CustomerTraces:
        """In any state."""
        ...

    async def count(self) -> int:
        """Rows in any state."""
        ...

    async def objects_of(self, image_ids: Sequence[ImageId]) -> frozenset[str]:
        """Object names of those that have a row, in any state."""
        ...

    async def count_live(self, account_id: AccountId) -> int:
        """Images that are stored or on their way. Until this transaction ends, no other counts in the same account."""
        ...

    async def overdue(self, now: datetime) -> Overdue:
        """Images past their expiry that are still there."""
        ...

    async def known_after(self, retention: RetentionPolicy, image_id: str, limit: int) -> tuple[KnownImage, ...]:
        """Rows of one retention class in the order of their ids' bytes, from the first greater than `image_id`."""
        ...


class AccountRepository(Protocol):
    """Accounts and what is kept of their API keys."""

    async def add(self, account: Account) -> None:
        """Raises: AccountExists when the name is taken."""
        ...

    async def save(self, account: Account) -> None:
        """Keep changed settings of an account: its retention, its limits, whether it is active; nothing else."""
        ...

    async def find(self, account_id: AccountId) -> Account | None: ...

    async def find_by_name(self, name: str) -> Account | None: ...

    async def list(self) -> tuple[Account, ...]: ...

    async def add_key(self, key: ApiKey) -> None: ...

    async def find_key(self, key_id: KeyId) -> tuple[ApiKey, Account] | None: ...

    async def list_keys(self, account_id: AccountId | None) -> tuple[ApiKey, ...]: ...

    async def save_key(self, key: ApiKey) -> None:
        """Keep a changed `revoked_at`."""
        ...


class ErasureRepository(Protocol):
    """Tombstones, which pass, and audit records, which stay."""

    async def serialize(self, customer: Customer) -> None:
        """Until this transaction ends, let no other reserve or erase for the same customer."""
        ...

    async def advance_epoch(self, account_id: AccountId) -> int:
        """Count one more erasure in the account and return the new epoch."""
        ...

    async def add_tombstone(self, tombstone: Tombstone) -> None: ...

    async def is_erased_since(self, customer: Customer, epoch: int) -> bool:
        """Whether an erasure of this customer was committed after `epoch`."""
        ...

    async def marked_until(self, customer: Customer) -> datetime | None:
        """When the customer's last tombstone is over; None when there is none."""
        ...

    async def sweep(self, now: datetime) -> int:
        """Forget tombstones that are over, and ids of images that are gone and in no backup any more."""
        ...

    async def open_record(self, record: ErasureRecord, erased: Iterable[ImageId], forget_ids_at: datetime) -> None: ...

    async def knows_record(self, erasure_id: ErasureId) -> bool: ...

    async def complete_records(self, now: datetime) -> int:
        """Put `completed_at` on the open records of which no image is left."""
        ...

    async def count_open(self) -> int:
        """Erasures of which images are left."""
        ...

    async def list_records(
        self, account_id: AccountId | None, limit: int, older_than: ErasureRecord | None = None
    ) -> tuple[ErasureRecord, ...]:
        """Newest first; from the first one older than `older_than`."""
        ...

    async def images_of(self, erasure_id: ErasureId) -> tuple[ImageId, ...]:
        """Ids of the images that an erasure took, in order, as long as they are remembered."""
        ...


class Repositories(Protocol):
    """What one transaction sees."""

    @property
    def images(self) -> ImageRepository: ...

    @property
    def accounts(self) -> AccountRepository: ...

    @property
    def erasures(self) -> ErasureRepository: ...

    @property
    def products(self) -> ProductRepository: ...

    @property
    def generations(self) -> GenerationRepository: ...


class UnitOfWork(Protocol):
    """Transactions: committed when the block ends, rolled back when it raises.

    Raises: Overloaded when the database cannot be reached or is locked for too long.
    """

    def begin(self) -> AbstractAsyncContextManager[Repositories]:
        """For writing."""
        ...

    def read(self) -> AbstractAsyncContextManager[Repositories]:
        """For reading only."""
        ...

    async def check(self) -> None:
        """Raises: Overloaded when the database is not there or its schema is not the one this code needs."""
        ...
