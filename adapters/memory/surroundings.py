"""Surroundings that a test decides about: objects, people in photos, the web, and an engine without a model."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

from adapters.imaging.jpeg import scan_jpeg
from application.ports.photos import PersonDetector, PreparedPhoto, ViewablePhoto
from application.ports.try_on import Fetch, FetchedPhoto, TryOnEngine, TryOnPicture, UrlNotFetched, Validators
from application.prepare_photo import PreparePhoto
from domain.account import AccountId
from domain.cropping import Fit
from domain.geometry import Box
from domain.person import SeenPerson, SeenPhoto


class InMemoryObjectStore:
    """Forgets everything when the process ends."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    async def put(self, name: str, data: bytes) -> None:
        self._objects[name] = bytes(data)

    async def get(self, name: str) -> bytes | None:
        return self._objects.get(name)

    async def delete(self, names: Iterable[str]) -> frozenset[str]:
        for name in names:
            self._objects.pop(name, None)
        return frozenset()

    async def names(self, after: str = "") -> AsyncIterator[str]:
        for name in sorted(self._objects):
            if name > after:
                yield name

    async def sweep(self, now: datetime) -> None:
        """No process leaves anything unfinished in its own memory."""

    async def check(self) -> None:
        """A dictionary is always there."""


class InMemoryPersonDetector(PersonDetector):
    """Sees the same people in every photo, as far as they are inside it."""

    def __init__(self, *people: SeenPerson) -> None:
        self._people = people

    def detect(self, photo: ViewablePhoto) -> SeenPhoto:
        size = photo.upright_size
        return SeenPhoto(size, Box.covering(size), tuple(seen for seen in self._people if seen.box.is_inside(size)))


class InProcessPhotoProcessor:
    """No sandbox, no time limit: a photo that crashes the decoder takes this process along."""

    def __init__(self, prepare_photo: PreparePhoto) -> None:
        self._prepare_photo = prepare_photo

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to close."""

    async def check(self) -> None:
        """Always there."""

    async def prepare(self, photo: bytes | bytearray | memoryview, *, crop: bool, fit: Fit = Fit.CROP) -> PreparedPhoto:
        return await asyncio.to_thread(self._prepare_photo.execute, memoryview(photo), crop=crop, fit=fit)


class InMemoryPhotoFetcher:
    """Knows a few URLs and what is behind them; remembers which were asked for."""

    def __init__(self, web: dict[str, bytes]) -> None:
        self.web = web
        self.fetched: list[str] = []
        self.etags: dict[str, str] = {}
        self.dates: dict[str, str] = {}

    def for_one_request(self, _: AccountId) -> AbstractContextManager[Fetch]:
        return nullcontext(self._fetch)

    async def _fetch(self, url: str, known: Validators | None = None) -> FetchedPhoto | None:
        self.fetched.append(url)
        if url not in self.web:
            raise UrlNotFetched
        etag = self.etags.get(url)
        if etag is not None and known is not None and known.etag == etag:
            return None
        return FetchedPhoto(self.web[url], Validators(etag=etag, last_modified=self.dates.get(url)))


Interruption = Callable[[], Awaitable[None]]


class InMemoryTryOnEngine(TryOnEngine):
    """`interruptions` happen one by one while pictures are being made: something goes wrong, or time passes."""

    name = "in-memory"

    def __init__(self, *interruptions: Interruption) -> None:
        self.interruptions = list(interruptions)
        self.garments: list[bytes] = []

    async def render(self, person_jpeg: bytes, garment_jpeg: bytes) -> TryOnPicture:
        self.garments.append(garment_jpeg)
        if self.interruptions:
            await self.interruptions.pop(0)()
        return TryOnPicture(person_jpeg, scan_jpeg(person_jpeg).stored_size)

    async def check(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to end."""
