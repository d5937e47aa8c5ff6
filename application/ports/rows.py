"""Ports to the database: repositories of rows, and the unit of work that makes their changes one transaction."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple, Protocol

from application.ports.try_on import GenerationRepository, ProductRepository
from domain.account import Account, AccountId, ApiKey, Beginning, KeyId, RetentionPolicy
from domain.customer import Customer, IdempotencyRecord
from domain.erasure import AuditEntry, ErasureRecord, Tombstone
from domain.image import ErasureId, ImageId, StoredPhoto, UploadedImage


@dataclass(frozen=True, slots=True)
class Credits:
    """`left`: try-ons that may still be started; `spent`: how many accounts have none."""

    left: int = 0
    spent: int = 0


class AccountRepository(Protocol):
    """Accounts and what is kept of their API keys."""

    async def add(self, account: Account) -> None:
        """Raises: AccountExists when the name is taken."""

    async def save(self, account: Account) -> None:
        """Keep changed settings of an account: its retention, its limits, whether it is active; not its credits."""

    async def take_credit(self, account_id: AccountId) -> bool:
        """Take one of the account's try-ons. Returns: False when it has no limit. Raises: InsufficientCredits."""

    async def credits_in_all(self) -> Credits:
        """Of all active accounts that have a limit."""

    async def set_credits(self, account_id: AccountId, credits_left: int | None) -> None:
        """None: no limit."""

    async def find(self, account_id: AccountId) -> Account | None: ...

    async def find_by_name(self, name: str) -> Account | None: ...

    async def hold_by_name(self, name: str) -> Account | None:
        """What is found does not change until the transaction ends."""

    async def list(self) -> tuple[Account, ...]: ...

    async def add_key(self, key: ApiKey) -> None: ...

    async def find_key(self, key_id: KeyId) -> tuple[ApiKey, Account] | None: ...

    async def list_keys(self, account_id: AccountId | None) -> tuple[ApiKey, ...]: ...

    async def save_key(self, key: ApiKey) -> None:
        """Keep a changed `revoked_at` or `expires_at`."""

    async def note_use_of_key(self, key: ApiKey, now: datetime) -> None:
        """Keep that it was used now, unless that was kept since `key` was read."""


class AuditRepository(Protocol):
    """The audit log. Nothing changes or removes an entry."""

    @property
    def added(self) -> Sequence[AuditEntry]:
        """In this transaction."""

    async def add(self, entry: AuditEntry) -> None: ...

    async def entries(
        self, since: datetime | None, account_id: AccountId | None, after: AuditEntry | None, limit: int
    ) -> tuple[AuditEntry, ...]:
        """Oldest first, from `since` on and after an entry that was read before."""


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

    async def is_kept(self, account_id: AccountId, record: IdempotencyRecord, now: datetime) -> bool:
        """Is there one with this key that is not due yet?"""

    async def finish(self, request: KeptRequest, result: str, due_at: datetime) -> None:
        """Keep what came of it, if it is still there and nobody took it for dead."""

    async def remove(self, request: KeptRequest) -> None:
        """Its key is free again, if it is still running."""

    async def remove_all(self, account_id: AccountId) -> None:
        """Also those that are answered, and what was counted."""

    async def count(self, account_id: AccountId, digest: bytes, due_at: datetime) -> int:
        """How often this was counted under the digest, this time included; forgotten when it is due."""

    async def key_digests_of(self, customer: Customer) -> tuple[bytes, ...]:
        """One for each request of the customer that is kept."""

    async def erase(self, customer: Customer) -> None: ...

    async def sweep(self, now: datetime) -> int: ...


class PublishOutcome(Enum):
    """How a reserved image fared when its photo was ready."""

    PUBLISHED = auto()
    ERASED = auto()
    LAPSED = auto()


@dataclass(frozen=True, slots=True)
class ImageToDelete:
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
class OutOfReach:
    """Images that no erasure by a customer's id finds any more, and when the last of them expires."""

    images: int = 0
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class DueBatch:
    """What one look for overdue images took on."""

    images: tuple[ImageToDelete, ...]
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

    async def publish(self, image: UploadedImage, photo: StoredPhoto) -> PublishOutcome:
        """pending -> stored."""

    async def abandon(self, image: UploadedImage, retry_at: datetime) -> ImageToDelete | None:
        """pending or deleting -> deleting: the upload itself gives up; a purger takes over at `retry_at`.

        A row that is gone is made again, for bytes that arrived after it was removed. It names no customer: what
        removed it may have been an erasure. None when the image was published after all: it stays as it is.
        """

    async def find(self, image_id: ImageId, account_id: AccountId) -> UploadedImage | None:
        """In whatever state; None when unknown or another account's."""

    async def hold(self, image_id: ImageId, account_id: AccountId) -> UploadedImage | None:
        """As `find`; what is found does not change until the transaction ends."""

    async def adopt(self, image_id: ImageId, customer: Customer) -> bool:
        """From now on the image is the customer's and goes with the customer; False when it has one already."""

    async def find_by_idempotency_key(self, account_id: AccountId, record: IdempotencyRecord) -> UploadedImage | None:
        """The image of the first request that came with this key."""

    async def release_idempotency_key(self, image_id: ImageId) -> None:
        """The image stays, its key is free for another request."""

    async def mark_deleting(self, image_id: ImageId, account_id: AccountId, retry_at: datetime) -> ImageToDelete | None:
        """stored or deleting -> deleting, for the caller to finish; a purger takes over at `retry_at`.

        None when there is nothing to delete; an upload in flight is not there yet.
        """

    async def mark_customer_deleting(
        self, customer: Customer, erasure_id: ErasureId, now: datetime, retry_at: datetime
    ) -> tuple[ImageToDelete, ...]:
        """Everything of one customer, in every state -> deleting. Uploads in flight keep their lease."""

    async def mark_known_deleting(
        self, image_ids: Sequence[ImageId], retry_at: datetime, *, only_stored: bool = False
    ) -> tuple[ImageToDelete, ...]:
        """Those of the images that exist, or only the stored ones -> deleting, whosever they are."""

    async def release(self, image_ids: Sequence[ImageId], due_at: datetime) -> None:
        """Let a purger take those of them that are pictures of products from `due_at` on, or when they expire."""

    async def mark_due_deleting(self, now: datetime, retry_at: datetime, limit: int) -> DueBatch:
        """Take on at most `limit` images that are expired, interrupted or to be tried again, oldest first.

        No two callers get the same image before `retry_at`.
        """

    async def remove(self, image_ids: Iterable[ImageId]) -> None:
        """deleting or pending -> gone. A stored image is never removed this way."""

    async def traces_of(self, customer: Customer) -> CustomerTraces:
        """In any state."""

    async def stored_of(self, customer: Customer, after: str, limit: int) -> tuple[UploadedImage, ...]:
        """Those of one customer that are stored, by their ids, from the first greater than `after`."""

    async def under_other_keys(self, prefixes: Sequence[str], account_id: AccountId | None = None) -> OutOfReach:
        """Images whose customer's pseudonym was made with none of these keys (`Pseudonyms.prefixes`)."""

    async def count(self) -> int:
        """Rows in any state."""

    async def has_kept(self) -> bool:
        """Whether there is an image of any account that was published, and whose object is therefore somewhere."""

    async def objects_of(self, image_ids: Sequence[ImageId]) -> frozenset[str]:
        """Object names of those that have a row, in any state."""

    async def count_live(self, account_id: AccountId) -> int:
        """Images that are stored or on their way, but for pictures of products.

        Until this transaction ends, no other counts in the same account.
        """

    async def live_of(self, account_id: AccountId, until: datetime | None, limit: int) -> tuple[UploadedImage, ...]:
        """Images of an account that are stored or on their way, those that go first first.

        until: only what is stored and gone by then, or was to be stored by then.
        """

    async def overdue(self, now: datetime) -> Overdue:
        """Images past their expiry that are still there."""

    async def known_after(self, retention: RetentionPolicy, image_id: str, limit: int) -> tuple[KnownImage, ...]:
        """Rows of one retention class in the order of their ids' bytes, from the first greater than `image_id`."""


class ErasureRepository(Protocol):
    """Tombstones, which pass, and audit records, which stay."""

    async def serialize(self, customer: Customer) -> None:
        """Until this transaction ends, let no other reserve or erase for the same customer."""

    async def advance_epoch(self, account_id: AccountId) -> int:
        """Count one more erasure in the account and return the new epoch."""

    async def add_tombstone(self, tombstone: Tombstone) -> None: ...

    async def is_erased_since(self, customer: Customer, beginning: Beginning) -> bool:
        """Whether an erasure of this customer was committed after a request began (`Tombstone.is_after`)."""

    async def marked_until(self, customer: Customer) -> datetime | None:
        """When the customer's last tombstone is over; None when there is none."""

    async def sweep(self, now: datetime) -> int:
        """Forget what is over: tombstones, ids of images that are in no backup any more, records of nothing."""

    async def open_record(self, record: ErasureRecord, erased: Iterable[ImageId], forget_ids_at: datetime) -> None: ...

    async def find_record(self, erasure_id: ErasureId) -> ErasureRecord | None: ...

    async def complete_records(self, now: datetime) -> int:
        """Put `completed_at` on the open records of which no image is left."""

    async def count_open(self) -> int:
        """Erasures of which images are left."""

    async def list_records(
        self, account_id: AccountId | None, limit: int, older_than: ErasureRecord | None = None
    ) -> tuple[ErasureRecord, ...]:
        """Newest first; from the first one older than `older_than`."""

    async def images_of(self, erasure_id: ErasureId) -> tuple[ImageId, ...]:
        """Ids of the images that an erasure took, in order, as long as they are remembered."""


class Repositories(NamedTuple):
    """What one transaction sees."""

    accounts: AccountRepository
    audit: AuditRepository
    erasures: ErasureRepository
    generations: GenerationRepository
    images: ImageRepository
    products: ProductRepository
    requests: RequestRepository


class UnitOfWork(Protocol):
    """Transactions: committed when the block ends, rolled back when it raises.

    Raises: Overloaded when the database cannot be reached or is locked for too long.
    """

    def begin(self) -> AbstractAsyncContextManager[Repositories]:
        """For writing."""

    def read(self) -> AbstractAsyncContextManager[Repositories]:
        """For reading only."""

    async def forget_history(self) -> None:
        """Remove from the database's own log what was deleted. Raises: Overloaded."""

    async def check(self) -> None:
        """Raises: Overloaded when the database is not there or its schema is not the one this code needs."""

    async def check_commits(self) -> None:
        """Commit a row that leaves nothing behind. Raises: Overloaded when nothing can be written."""
