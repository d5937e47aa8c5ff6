"""Ports to object storage: the objects, links that open one of them, and the rules of the store itself."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.account import AccountId
from domain.image import ImageId, UploadedImage


class ObjectStore(Protocol):
    """Keeps finished JPEGs under names that hold no personal data."""

    async def put(self, name: str, data: bytes) -> None:
        """Durable when it returns, nothing half-written when it fails. Raises: Overloaded."""

    async def get(self, name: str) -> bytes | None:
        """None when there is no such object. Raises: Overloaded."""

    async def delete(self, names: Iterable[str]) -> frozenset[str]:
        """Delete what is there; what is not there counts as deleted. Never raises for an outage.

        Returns: the names that may still be there and have to be tried again.
        """

    def names(self, after: str = "") -> AsyncIterator[str]:
        """All object names in the order of their bytes, from the first one greater than `after`. Raises: Overloaded."""

    async def sweep(self, now: datetime) -> None:
        """Discard what puts of killed processes left unfinished, and objects older than their class plus a day.

        The second is a net of its own: it asks no database, as the lifecycle rules of a bucket do not. Raises:
        Overloaded.
        """

    async def check(self) -> None:
        """Raises: Overloaded when objects cannot be written now."""


class DiskReserve(Protocol):
    """Room on disks of ours that is kept for deletions."""

    async def expect(self) -> None:
        """Raises: Overloaded when there is less of it than there should be: nothing new may be kept."""


@dataclass(frozen=True, slots=True)
class RawSearch:
    """What a search of raw files went through, and the paths of those that hold something of what was searched for.

    `unread`: what could not be read, and may hold anything.
    """

    files: int
    size_bytes: int
    hits: tuple[str, ...]
    unread: tuple[str, ...] = ()


class RawFiles(Protocol):
    """All files of this machine in which the service keeps anything: database, log, objects, what is on its way."""

    async def search(self, needles: Sequence[bytes]) -> RawSearch:
        """Byte by byte, whatever the files mean."""


@dataclass(frozen=True, slots=True)
class StorageFinding:
    """One thing that was looked at. `fix` says what to run when it is not as it should be."""

    check: str
    is_ok: bool
    fix: str = ""


class StorageRules(Protocol):
    """The settings of the store itself, beside its objects."""

    async def check(self) -> tuple[StorageFinding, ...]:
        """Look at everything that could keep what we promised to erase, or keep us from working.

        Never raises for an outage: that is a finding too.
        """

    async def setup(self, *, dry_run: bool) -> tuple[str, ...]:
        """Set the rules by which photos go even if nobody deletes them; leave everybody else's rules alone.

        Returns: what was changed (or would be), a line each; empty when all was in place. Raises: Overloaded.
        """


class Links(Protocol):
    """URLs that open one object without an API key until an instant."""

    async def sign(self, image: UploadedImage, expires_at: datetime) -> str:
        """Raises: Overloaded."""

    def image_shown_by(self, url: str, now: datetime) -> ImageId | None:
        """None when the link is not ours, was changed, or is over."""


class LinkVerifier(Protocol):
    """Knows our own links again, for storage that cannot serve its objects itself."""

    def is_valid(self, image_id: ImageId, account_id: AccountId, expires: int, signature: str, now: datetime) -> bool:
        """Whether we signed this link and it is not over yet; `expires` in Unix seconds."""
