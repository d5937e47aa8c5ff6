"""Keep a product once: pictures that are there already are neither fetched nor stored again."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from application.delete_images import DeleteImage
from application.keep_picture import CopyPicture
from application.ports.rows import Repositories, UnitOfWork
from application.ports.system import Clock, RandomSource
from application.ports.try_on import Fetch, FetchedPhoto, Validators
from application.read_image import FileSource, OpenSource, PhotoSource, StoredSource, UrlSource
from application.upload_photo import UploadCommand, UploadPhoto
from domain.account import Account, AccountId
from domain.errors import ImageNotFound, Overloaded, ProductImageFetchFailed, ProductNotFound, about
from domain.generation import GenerationId
from domain.image import ImageId
from domain.product import Product, ProductPicture


class ProductMoved(Exception):
    """Somebody else changed the product meanwhile: look again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedProduct:
    """A product as a request names it; garments are its pictures, best first. None: it was sent before.

    Without an `external_id` one is made.
    """

    account: Account
    external_id: str | None
    garments: tuple[PhotoSource, ...]
    title: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class PreparedProduct:
    """What is to be saved in place of `known`."""

    known: Product | None
    product: Product
    missing: frozenset[ImageId] = frozenset()

    @property
    def usable(self) -> tuple[ImageId, ...]:
        """The pictures that are there: a customer's may have gone with the customer."""
        return tuple(image for image in self.product.images if image not in self.missing)


@dataclass(slots=True)
class Made:
    """Pictures that a request stored, by their sources; those that the product does not name in the end go again.

    Whatever the request fetches, it fetches with `fetch`.
    """

    fetch: Fetch
    pictures: dict[str, ProductPicture] = field(default_factory=dict)
    product_id: str = ""


@dataclass(frozen=True, slots=True)
class KeepProduct:
    """Pictures are stored first and named by a product last, in a transaction of the caller's.

    A product is only replaced if it still is what was looked at; who is too late looks again.
    """

    upload_photo: UploadPhoto
    delete_image: DeleteImage
    copy_picture: CopyPicture
    sources: OpenSource
    work: UnitOfWork
    clock: Clock
    random: RandomSource

    async def prepare(self, wanted: WantedProduct, made: Made) -> PreparedProduct:
        """Raises: ProductNotFound, ImageNotFound, ProductImageFetchFailed; what is wrong with a photo; Overloaded."""
        known, images = await self._look_up(wanted)
        made.product_id = wanted.external_id or self.random.product_id()
        now = self.clock.now()
        alive = known if known and known.is_alive(now) else None
        if not wanted.garments:
            if alive is None or not images:
                raise ProductNotFound
            return PreparedProduct(known, _changed(alive, alive, wanted, now), frozenset(alive.images) - images)
        there = {picture.source: picture for picture in alive.pictures if picture.image_id in images} if alive else {}
        pictures = [await self._picture(source, wanted.account, there, made) for source in wanted.garments]
        product = alive or Product.tried_on(
            wanted.account.account_id, made.product_id, now, is_one_shot=wanted.external_id is None
        )
        return PreparedProduct(known, _changed(alive, replace(product, pictures=tuple(pictures)), wanted, now))

    async def settle(self, repositories: Repositories, prepared: PreparedProduct, product: Product) -> None:
        """Save `product`, and let pictures that it does not name any more go. Raises: ProductMoved."""
        known = prepared.known
        await _hold(repositories, product.account_id, set(product.images) - set(known.images if known else ()))
        if known is None:
            if not await repositories.products.add(product):
                raise ProductMoved
            return
        if product == replace(known, last_used_at=product.last_used_at, expires_at=product.expires_at):
            if not await repositories.products.touch(product):
                raise ProductMoved
            return
        current = await repositories.products.hold(known.account_id, known.external_id)
        if current is None or (current.pictures, current.updated_at) != (known.pictures, known.updated_at):
            raise ProductMoved
        await repositories.products.replace(product)
        await self.release(repositories, tuple(set(current.images) - set(product.images)))

    async def release(self, repositories: Repositories, images: tuple[ImageId, ...]) -> None:
        """Pictures that no product names; they stay for the try-ons that wait for them."""
        await repositories.images.release(images, self.clock.now() + Product.RELEASED_AFTER)

    async def discard(self, wanted: WantedProduct, made: Made, generation_id: GenerationId | None = None) -> None:
        """Pictures that a request stored and neither its product nor its try-on names, which may have been committed
        even if the request failed. If the database is down, they expire by themselves.
        """
        if not made.pictures:
            return
        account_id = wanted.account.account_id
        with suppress(Overloaded):
            async with self.work.begin() as repositories:
                await _hold(repositories, account_id, {picture.image_id for picture in made.pictures.values()})
                product = await repositories.products.find(account_id, made.product_id)
                generation = await repositories.generations.find(generation_id, account_id) if generation_id else None
            named = {
                *(product.images if product else ()),
                *(generation.inputs.garments if generation and generation.inputs else ()),
            }
            for picture in made.pictures.values():
                if picture.image_id not in named:
                    await self.delete_image.execute(picture.image_id, account_id)

    async def _look_up(self, wanted: WantedProduct) -> tuple[Product | None, frozenset[ImageId]]:
        """The product, and those of its images that outlast every try-on which may begin now."""
        account_id, soon = wanted.account.account_id, self.clock.now() + Product.RELEASED_AFTER
        if wanted.external_id is None:
            return None, frozenset()
        async with self.work.read() as repositories:
            known = await repositories.products.find(account_id, wanted.external_id)
            found = [await repositories.images.find(image, account_id) for image in known.images] if known else []
        now = self.clock.now()
        return known, frozenset(
            image.image_id for image in found if image and image.is_readable(soon if image.customer is None else now)
        )

    async def _picture(
        self, source: PhotoSource, account: Account, there: dict[str, ProductPicture], made: Made
    ) -> ProductPicture:
        name, now = self._name(source), self.clock.now()
        known = there.get(name) or made.pictures.get(name)
        if known is not None and known.is_fresh(now):
            return known
        if self.sources.named_image(source) is not None:
            picture = await self._copied(source, account)
        else:
            fetched = await self._fetched(source, made.fetch, known)
            if known is not None and (fetched is None or _digest(fetched.photo) == known.digest):
                return _checked(known, fetched, self.clock.now())
            if fetched is None:
                raise ProductImageFetchFailed(source.path)
            with about(source.path):
                picture = await self._uploaded(name, fetched, account)
        if not picture.is_lent:
            made.pictures[name] = picture
        return picture

    async def _fetched(self, source: PhotoSource, fetch: Fetch, known: ProductPicture | None) -> FetchedPhoto | None:
        """None: what is known still holds, or nobody answers there any more."""
        validators = Validators(known.etag, known.last_modified) if known else None
        try:
            return await self.sources.photo(source, fetch, ProductImageFetchFailed, validators)
        except ProductImageFetchFailed:
            return None

    async def _uploaded(self, name: str, fetched: FetchedPhoto, account: Account) -> ProductPicture:
        upload = UploadCommand(account=account, photo=fetched.photo, crop=False, retention=Product.PICTURES)
        image = (await self.upload_photo.execute(upload)).image
        return ProductPicture(
            image_id=image.image_id,
            source=name,
            kept_until=image.expires_at,
            checked_at=self.clock.now(),
            digest=_digest(fetched.photo),
            etag=fetched.validators.etag,
            last_modified=fetched.validators.last_modified,
        )

    async def _copied(self, source: PhotoSource, account: Account) -> ProductPicture:
        """A picture of its own, but of a customer's image: that goes when the customer was promised that it goes."""
        image = await self.sources.image(source, account.account_id, ProductImageFetchFailed)
        if image is None:
            raise ImageNotFound
        kept = image if image.customer else await self.copy_picture.execute(image)
        return ProductPicture(
            image_id=kept.image_id,
            source=image.image_id,
            kept_until=kept.expires_at,
            checked_at=self.clock.now(),
            is_lent=image.customer is not None,
        )

    def _name(self, source: PhotoSource) -> str:
        match source:
            case FileSource(photo):
                return f"sha256:{_digest(photo)}"
            case UrlSource(url):
                return self.sources.named_image(source) or url
            case StoredSource(image_id):
                return image_id


async def _hold(repositories: Repositories, account_id: AccountId, images: set[ImageId]) -> None:
    """Whoever discards new pictures waits here for a commit that is still on its way, and sees what it names."""
    for image_id in sorted(images):
        await repositories.images.hold(image_id, account_id)


def _changed(alive: Product | None, product: Product, wanted: WantedProduct, now: datetime) -> Product:
    """With the words that came with it; `updated_at` tells whether anything is new."""
    described = replace(
        product,
        title=product.title if wanted.title is None else wanted.title,
        description=product.description if wanted.description is None else wanted.description,
    )
    is_new = alive is None or _shown(described) != _shown(alive)
    return replace(described, updated_at=now) if is_new else described


def _shown(product: Product) -> tuple[object, ...]:
    return product.images, product.title, product.description


def _checked(known: ProductPicture, fetched: FetchedPhoto | None, now: datetime) -> ProductPicture:
    """The same picture, seen again."""
    if fetched is None:
        return replace(known, checked_at=now)
    validators = fetched.validators
    return replace(known, checked_at=now, etag=validators.etag, last_modified=validators.last_modified)


def _digest(photo: bytes | bytearray | memoryview) -> str:
    return hashlib.sha256(photo).hexdigest()
