"""Images for their own accounts: found, opened, shown by links that need no API key, and named in requests."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from application.ports.objects import Links, LinkVerifier, ObjectStore
from application.ports.rows import UnitOfWork
from application.ports.system import Clock
from application.ports.try_on import Fetch, FetchedPhoto, PhotoFetcher, UrlNotFetched, Validators
from domain.account import AccountId
from domain.errors import DomainError, ImageNotFound, about
from domain.image import ImageId, UploadedImage, is_id


@dataclass(frozen=True, slots=True)
class ResolveImage:
    """For consumers inside the system: the image that an id names, if its own account may read it now."""

    work: UnitOfWork
    clock: Clock

    async def execute(self, image_id: ImageId, account_id: AccountId) -> UploadedImage:
        """Raises: ImageNotFound: unknown, expired, deleted, or another account's; Overloaded."""
        if not is_id(image_id):
            raise ImageNotFound
        async with self.work.read() as repositories:
            image = await repositories.images.find(image_id, account_id)
        if image is None or not image.is_readable(self.clock.now()):
            raise ImageNotFound
        return image


@dataclass(frozen=True, slots=True)
class OpenImage:
    """The bytes of an image."""

    resolve: ResolveImage
    objects: ObjectStore

    async def execute(self, image_id: ImageId, account_id: AccountId) -> bytes:
        """Raises: ImageNotFound, also when the object is gone; Overloaded."""
        image = await self.resolve.execute(image_id, account_id)
        jpeg = await self.objects.get(image.object_name)
        if jpeg is None:
            raise ImageNotFound
        return jpeg

    async def if_there(self, image_id: ImageId, account_id: AccountId) -> bytes | None:
        """None when the image has expired or was deleted. Raises: Overloaded."""
        try:
            return await self.execute(image_id, account_id)
        except ImageNotFound:
            return None


@dataclass(frozen=True, slots=True)
class LinkedImage:
    """An image with a fresh link to it."""

    image: UploadedImage
    url: str
    url_expires_at: datetime


@dataclass(frozen=True, slots=True)
class PreviewLinks:
    """Issues links that last `lifetime`, or until the image expires."""

    signer: Links
    clock: Clock
    lifetime: timedelta

    async def link(self, image: UploadedImage) -> LinkedImage:
        """Raises: Overloaded."""
        expires_at = image.link_expires_at(self.clock.now(), self.lifetime)
        return LinkedImage(image, await self.signer.sign(image, expires_at), expires_at)


@dataclass(frozen=True, slots=True)
class OpenPreview:
    """What a preview link shows; dead as soon as its image is, or its account not active, whatever the link says."""

    verifier: LinkVerifier
    open_image: OpenImage
    work: UnitOfWork
    clock: Clock

    async def execute(self, image_id: ImageId, account_id: AccountId, expires: int, signature: str) -> bytes:
        """Raises: ImageNotFound, also for a link that is over or that we did not sign; Overloaded."""
        if not self.verifier.is_valid(image_id, account_id, expires, signature, self.clock.now()):
            raise ImageNotFound
        async with self.work.read() as repositories:
            account = await repositories.accounts.find(account_id)
        if account is None or not account.is_active:
            raise ImageNotFound
        return await self.open_image.execute(image_id, account_id)


@dataclass(frozen=True, slots=True)
class ReadImage:
    """The same facts as after the upload, with a fresh link."""

    resolve: ResolveImage
    links: PreviewLinks

    async def execute(self, image_id: ImageId, account_id: AccountId) -> LinkedImage:
        """Raises: ImageNotFound, Overloaded."""
        return await self.links.link(await self.resolve.execute(image_id, account_id))


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
"""A photo that a request names: an image of ours, a URL, or a file of the request."""
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
