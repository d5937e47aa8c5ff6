"""Photos, people and a web that a test decides about, without a sandbox and without a model."""

import asyncio
from contextlib import AbstractContextManager, nullcontext

from application.ports.photos import PersonDetector, PreparedPhoto, ViewablePhoto
from application.ports.try_on import Fetch, FetchedPhoto, UrlNotFetched, Validators
from application.prepare_photo import PreparePhoto
from domain.account import AccountId
from domain.cropping import Fit
from domain.geometry import Box
from domain.person import SeenPerson, SeenPhoto


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
