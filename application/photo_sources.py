"""Sources of the photos that a request names: an image of ours, a URL, or a file of the request."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from application.ports.objects import Links
from application.ports.system import Clock
from application.ports.try_on import Fetch, FetchedPhoto, PhotoFetcher, UrlNotFetched, Validators
from application.read_image import ResolveImage
from domain.account import AccountId
from domain.errors import DomainError, ImageNotFound, about
from domain.image import ImageId, UploadedImage


@dataclass(frozen=True, slots=True)
class StoredSource:
    """An image that was uploaded before."""

    image_id: ImageId
    path: str = "id"


@dataclass(frozen=True, slots=True)
class UrlSource:
    """An image to be fetched, or shown by a link of ours; `path` is where the request names it."""

    url: str
    path: str


@dataclass(frozen=True, slots=True)
class FileSource:
    """An image that came with the request, as received; `path` is where the request names it."""

    photo: bytes | bytearray | memoryview
    path: str


PhotoSource = StoredSource | UrlSource | FileSource
NotFetched = Callable[[str], DomainError]
"""Which error says that a URL led nowhere, given where the request names it."""


@dataclass(frozen=True, slots=True)
class OpenSource:
    """Links of ours are resolved inside; every other URL is a stranger's."""

    resolve_image: ResolveImage
    fetcher: PhotoFetcher
    links: Links
    clock: Clock

    def for_one_request(self, account_id: AccountId) -> AbstractContextManager[Fetch]:
        """For all URLs of one request: they share time and memory, until the end of the block."""
        return self.fetcher.for_one_request(account_id)

    def named_image(self, source: PhotoSource) -> ImageId | None:
        """The image that an id or a link of ours names."""
        match source:
            case StoredSource(image_id):
                return image_id
            case UrlSource(url):
                return self.links.image_shown_by(url, self.clock.now())
            case FileSource():
                return None

    async def image(self, source: PhotoSource, account_id: AccountId, not_fetched: NotFetched) -> UploadedImage | None:
        """Returns: None when the photo has to be read first. Raises: ImageNotFound, what `not_fetched` makes."""
        image_id = self.named_image(source)
        if image_id is None:
            return None
        try:
            with about(source.path):
                return await self.resolve_image.execute(image_id, account_id)
        except ImageNotFound:
            if isinstance(source, UrlSource):
                raise not_fetched(source.path) from None
            raise

    async def photo(
        self, source: PhotoSource, fetch: Fetch, not_fetched: NotFetched, known: Validators | None = None
    ) -> FetchedPhoto | None:
        """Returns: None when the URL shows what its validators are `known` of. Raises: what `not_fetched` makes."""
        match source:
            case FileSource(photo):
                return FetchedPhoto(photo)
            case UrlSource(url, path):
                try:
                    return await fetch(url, known)
                except UrlNotFetched:
                    raise not_fetched(path) from None
            case StoredSource():
                raise ImageNotFound
