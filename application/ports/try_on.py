"""Ports of trying on: engines that dress a person, and strangers' URLs."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from domain.account import AccountId
from domain.geometry import Size


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
        ...
