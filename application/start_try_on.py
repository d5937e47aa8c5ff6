"""Start a try-on: bring every photo into the store, remember the product, queue the generation."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from application.delete_image import DeleteImage
from application.keep_picture import KeepPicture
from application.ports.links import LinkReader
from application.ports.objects import ObjectStore
from application.ports.rows import Repositories, UnitOfWork
from application.ports.system import Clock, RandomSource
from application.ports.try_on import Fetch, PhotoFetcher, UrlNotFetched
from application.resolve_image import ResolveImage
from application.upload_photo import UploadCommand, UploadPhoto
from domain.account import Account, AccountId
from domain.customer import Customer
from domain.errors import (
    CustomerErased,
    CustomerImageFetchFailed,
    DomainError,
    FieldProblem,
    ImageNotFound,
    Overloaded,
    ProductImageFetchFailed,
    ProductNotFound,
    ValidationFailed,
    about,
)
from domain.generation import Generation, Inputs
from domain.image import ImageId, UploadedImage
from domain.product import Product
from domain.retention import RetentionPolicy


@dataclass(frozen=True, slots=True)
class StoredSource:
    """An image that was uploaded before."""

    image_id: ImageId


@dataclass(frozen=True, slots=True)
class UrlSource:
    """An image to be fetched, or shown by a link of ours; `path` is where the request names it."""

    url: str
    path: str


@dataclass(frozen=True, slots=True)
class FileSource:
    """An image that came with the request, as received; `path` is where the request names it."""

    photo: bytes | bytearray | memoryview
    path: str = ""


PhotoSource = StoredSource | UrlSource | FileSource


@dataclass(frozen=True, slots=True, kw_only=True)
class TryOnCommand:
    """One try-on. `account` is as it was when the request began; garments are pictures of one product, best first.

    No garments: the product is one that was sent before. No `product_id`: one is made. A mock asks no engine.
    """

    account: Account
    person: PhotoSource
    garments: tuple[PhotoSource, ...]
    product_id: str | None
    is_mock: bool = False
    customer: Customer | None = None
    retention: RetentionPolicy | None = None


@dataclass(frozen=True, slots=True)
class StartedTryOn:
    """What the client polls for, and the id under which the product is found again."""

    generation: Generation
    product_id: str


class _Made(list[UploadedImage]):
    """Images that this request stored; they go when it fails, since nobody would ever learn their ids.

    Whatever it fetches, it fetches with `fetch`.
    """

    def __init__(self, fetch: Fetch) -> None:
        super().__init__()
        self.fetch = fetch


@dataclass(frozen=True, slots=True)
class StartTryOn:
    """Everything is in the store when this returns; the work itself is a durable job."""

    upload_photo: UploadPhoto
    resolve_image: ResolveImage
    copy_picture: "CopyPicture"
    delete_image: DeleteImage
    fetcher: PhotoFetcher
    links: LinkReader
    work: UnitOfWork
    clock: Clock
    random: RandomSource

    async def execute(self, command: TryOnCommand) -> StartedTryOn:
        """Raises: ImageNotFound, ProductNotFound; CustomerImageFetchFailed, ProductImageFetchFailed; what is wrong with
        a photo, as an upload; ValidationFailed: the person's image is of another customer; CustomerErased; Overloaded.
        """
        made = _Made(self.fetcher.for_one_request())
        try:
            # What is there already comes first: nothing is fetched for a request that is refused anyway.
            stored_person = await self._stored(command.person, command)
            product = await self._product(command, made)
            person = stored_person or await self._new(command.person, command, made)
            return await self._queue(command, person, product)
        except BaseException:
            await asyncio.shield(self._discard(made))
            raise

    async def _stored(self, source: PhotoSource, command: TryOnCommand) -> UploadedImage | None:
        """The person's image, when it was uploaded before."""
        image = await self._resolve(source, command.account.account_id, CustomerImageFetchFailed)
        if image and image.customer and command.customer and image.customer != command.customer:
            # A result can be erased with one customer only, and it has to be the one it shows.
            raise ValidationFailed((FieldProblem("externalUserId", "the person's image belongs to another one"),))
        return image

    async def _new(self, source: PhotoSource, command: TryOnCommand, made: _Made) -> UploadedImage:
        photo = await self._photo(source, made.fetch, CustomerImageFetchFailed)
        upload = UploadCommand(
            account=command.account, photo=photo, customer=command.customer, retention=command.retention
        )
        return await self._upload(upload, source, made)

    async def _upload(self, upload: UploadCommand, source: PhotoSource, made: _Made) -> UploadedImage:
        with about("" if isinstance(source, StoredSource) else source.path):
            image = (await self.upload_photo.execute(upload)).image
        made.append(image)
        return image

    async def _product(self, command: TryOnCommand, made: _Made) -> Product:
        if not command.garments:
            return await self._known_product(command, made)
        is_one_shot = command.product_id is None
        pictures = Product.ONE_SHOT_PICTURES if is_one_shot else Product.PICTURES
        images = []
        for source in command.garments:
            image = await self._resolve(source, command.account.account_id, ProductImageFetchFailed)
            if image is None:
                photo = await self._photo(source, made.fetch, ProductImageFetchFailed)
                upload = UploadCommand(account=command.account, photo=photo, crop=False, retention=pictures)
                image = await self._upload(upload, source, made)
            images.append(image)
        now, account_id = self.clock.now(), command.account.account_id
        ids = tuple(image.image_id for image in images)
        if command.product_id is None:
            return Product.one_shot(account_id, self.random.product_id(), ids, now)
        product = Product.named(account_id, command.product_id, ids, now)
        return await self._lasting(product, images, made)

    async def _known_product(self, command: TryOnCommand, made: _Made) -> Product:
        account_id, now = command.account.account_id, self.clock.now()
        async with self.work.read() as repositories:
            product = await repositories.products.find(account_id, command.product_id or "")
            if product is None or not product.is_alive(now):
                raise ProductNotFound
            found = [await repositories.images.find(image_id, account_id) for image_id in product.images]
        images = [image for image in found if image and image.is_readable(now)]
        if not images:
            raise ProductNotFound
        return await self._lasting(product, images, made)

    async def _lasting(self, product: Product, images: list[UploadedImage], made: _Made) -> Product:
        """The product used once more; pictures that would not last as long as it does are replaced by copies.

        All but a customer's: those go when the customer was promised that they go.
        """
        now = self.clock.now()
        used = product.used(tuple(image.image_id for image in images), now)
        ids = []
        for image in images:
            lasts = image.expires_at >= used.expires_at or image.customer is not None or product.is_one_shot
            copied = None if lasts else await self.copy_picture.execute(image, Product.PICTURES)
            made.extend([copied] if copied else [])
            ids.append((copied or image).image_id)
        return product.used(tuple(ids), now)

    async def _resolve(
        self, source: PhotoSource, account_id: AccountId, not_fetched: Callable[[str], DomainError]
    ) -> UploadedImage | None:
        """The image that an id or a link of ours names; None when the photo has to be read first."""
        match source:
            case StoredSource(image_id):
                return await self.resolve_image.execute(image_id, account_id)
            case UrlSource(url, path):
                shown = self.links.image_shown_by(url, self.clock.now())
                if shown is None:
                    return None
                try:
                    return await self.resolve_image.execute(shown, account_id)
                except ImageNotFound:
                    raise not_fetched(path) from None
            case FileSource():
                return None

    async def _photo(
        self, source: PhotoSource, fetch: Fetch, not_fetched: Callable[[str], DomainError]
    ) -> bytes | bytearray | memoryview:
        match source:
            case FileSource(photo, _):
                return photo
            case UrlSource(url, path):
                try:
                    return await fetch(url)
                except UrlNotFetched:
                    raise not_fetched(path) from None
            case StoredSource():
                raise ImageNotFound

    async def _queue(self, command: TryOnCommand, person: UploadedImage, product: Product) -> StartedTryOn:
        customer, now = person.customer or command.customer, self.clock.now()
        generation = Generation(
            generation_id=self.random.generation_id(),
            account_id=command.account.account_id,
            created_at=now,
            updated_at=now,
            inputs=Inputs(
                person=person.image_id,
                garments=() if command.is_mock else product.images,
                customer=customer,
                retention=command.retention or command.account.default_retention,
            ),
        )
        async with self.work.begin() as repositories:
            await _expect_not_erased(repositories, customer, command.account)
            await repositories.products.save(product)
            await repositories.generations.add(generation)
        return StartedTryOn(generation, product.external_id)

    async def _discard(self, made: _Made) -> None:
        for image in made:
            with suppress(Overloaded):  # the caller hears of the first failure; expiry ends the image
                await self.delete_image.execute(image.image_id, image.account_id)


async def _expect_not_erased(repositories: Repositories, customer: Customer | None, account: Account) -> None:
    if customer is None:
        return
    await repositories.erasures.serialize(customer)
    if await repositories.erasures.is_erased_since(customer, account.erasure_epoch):
        raise CustomerErased


@dataclass(frozen=True, slots=True)
class CopyPicture:
    """Keep a product's picture for longer, as an object of its own: objects never change their retention."""

    keep_picture: KeepPicture
    objects: ObjectStore
    clock: Clock
    random: RandomSource

    async def execute(self, image: UploadedImage, retention: RetentionPolicy) -> UploadedImage:
        """Returns: the copy. Raises: ImageNotFound: the image went away meanwhile; Overloaded."""
        jpeg = await self.objects.get(image.object_name)
        if jpeg is None or image.photo is None:
            raise ImageNotFound
        copy = UploadedImage(
            image_id=self.random.image_id(),
            account_id=image.account_id,
            customer=None,
            retention=retention,
            created_at=self.clock.now().replace(microsecond=0),
        )

        async def expect_there(repositories: Repositories) -> None:
            held = await repositories.images.hold(image.image_id, image.account_id)
            if held is None or not held.is_readable(self.clock.now()):
                raise ImageNotFound

        await self.keep_picture.reserve(copy, expect_there)
        await self.keep_picture.execute(copy, image.photo, jpeg, expect_there)
        return copy
