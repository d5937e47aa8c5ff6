"""Register, show, delete and renew products."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import ClassVar, Final

from application.answer_once import AnswerOnce
from application.keep_picture import CopyPicture
from application.keep_product import KeepProduct, Made, ProductMoved, WantedProduct
from application.ports.rows import KeptRequest, UnitOfWork
from application.ports.system import Clock
from domain.account import AccountId
from domain.customer import IdempotencyRecord
from domain.errors import ImageNotFound, Overloaded, ProductImagesRequired, ProductNotFound
from domain.image import ImageId, UploadedImage
from domain.product import Product, ProductPicture

ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class RegisteredProduct:
    """A product as it is now, and whether the request made it."""

    product: Product
    is_new: bool


@dataclass(frozen=True, slots=True)
class RegisterProduct:
    """A partial update when there is one with the same id: what is not sent stays."""

    keep_product: KeepProduct
    once: AnswerOnce
    work: UnitOfWork
    clock: Clock

    async def execute(
        self, wanted: WantedProduct, valid_for: timedelta | None, idempotency: IdempotencyRecord | None
    ) -> RegisteredProduct:
        """Raises: ProductImagesRequired: a new one without images; ImageNotFound, ProductImageFetchFailed; what is
        wrong with a photo; IdempotencyKeyReused, IdempotencyKeyInUse; Overloaded.
        """
        account = wanted.account
        async with self.once.keep(account, idempotency, None) as request:
            if request is not None and request.result is not None:
                return await self._registered(account.account_id, request.result)
            with self.keep_product.sources.for_one_request(account.account_id) as fetch:
                made = Made(fetch)
                try:
                    return await self._register(wanted, valid_for, made, request)
                finally:
                    await asyncio.shield(self.keep_product.discard(wanted, made))

    async def _registered(self, account_id: AccountId, external_id: str) -> RegisteredProduct:
        async with self.work.read() as repositories:
            product = await repositories.products.find(account_id, external_id)
        if product is None:  # deleted since: the same answer would be a lie
            raise ProductNotFound
        return RegisteredProduct(product, is_new=False)

    async def _register(
        self, wanted: WantedProduct, valid_for: timedelta | None, made: Made, request: KeptRequest | None
    ) -> RegisteredProduct:
        for _ in range(ATTEMPTS):
            try:
                prepared = await self.keep_product.prepare(wanted, made)
            except ProductNotFound:
                raise ProductImagesRequired from None
            now = self.clock.now()
            product = prepared.product.registered(valid_for, now)
            with suppress(ProductMoved):
                async with self.work.begin() as repositories:
                    await self.keep_product.settle(repositories, prepared, product)
                    await self.once.finish(repositories, request, product.external_id)
                return RegisteredProduct(product, is_new=not (prepared.known and prepared.known.is_alive(now)))
        raise Overloaded


@dataclass(frozen=True, slots=True)
class ReadProducts:
    """Looking at a product is no use of it."""

    work: UnitOfWork
    clock: Clock

    async def one(self, account_id: AccountId, external_id: str) -> Product:
        """Raises: ProductNotFound, Overloaded."""
        async with self.work.read() as repositories:
            product = await repositories.products.find(account_id, external_id)
        if product is None or not product.is_alive(self.clock.now()):
            raise ProductNotFound
        return product

    async def page(self, account_id: AccountId, after: str, limit: int) -> tuple[tuple[Product, ...], bool]:
        """Returns: at most `limit` in the order of their ids, and whether there are more. Raises: Overloaded."""
        async with self.work.read() as repositories:
            found = await repositories.products.page(account_id, after, limit + 1, self.clock.now())
        return found[:limit], len(found) > limit


@dataclass(frozen=True, slots=True)
class DeleteProduct:
    """Idempotent. Its pictures go when no try-on can wait for them any more."""

    keep_product: KeepProduct
    work: UnitOfWork

    async def execute(self, account_id: AccountId, external_id: str) -> None:
        """Raises: Overloaded."""
        async with self.work.begin() as repositories:
            images = await repositories.products.remove(account_id, external_id)
            await self.keep_product.release(repositories, images)


@dataclass(frozen=True, slots=True)
class RenewProducts:
    """Copy the pictures of products that are to live longer than their pictures are kept.

    Objects never change their retention, so that a bucket's own rules can end what nobody deletes. Any number of
    processes may renew at once: each takes on products that no other looks at within a day.
    """

    BATCH: ClassVar = 20
    AGAIN_AFTER: ClassVar = timedelta(days=1)

    keep_product: KeepProduct
    copy_picture: CopyPicture
    work: UnitOfWork
    clock: Clock

    async def execute(self) -> None:
        """Until none is due. Raises: Overloaded: what was taken on is looked at again in a day."""
        while products := await self._claim():
            for product in products:
                await self._renew(product)

    async def _claim(self) -> tuple[Product, ...]:
        now = self.clock.now()
        async with self.work.begin() as repositories:
            return await repositories.products.claim_renewals(now, now + self.AGAIN_AFTER, self.BATCH)

    async def _renew(self, product: Product) -> None:
        async with self.work.read() as repositories:
            found = [await repositories.images.find(image, product.account_id) for image in product.images]
        images = {image.image_id: image for image in found if image}
        pictures = tuple([await self._renewed(product, picture, images) for picture in product.pictures])
        if pictures == product.pictures:
            return
        before, after = set(product.images), {picture.image_id for picture in pictures}
        async with self.work.begin() as repositories:
            current = await repositories.products.hold(product.account_id, product.external_id)
            if current is None or current.pictures != product.pictures:
                await self.keep_product.release(repositories, tuple(after - before))
                return
            await repositories.products.replace(replace(current, pictures=pictures))
            await self.keep_product.release(repositories, tuple(before - after))

    async def _renewed(
        self, product: Product, picture: ProductPicture, images: dict[ImageId, UploadedImage]
    ) -> ProductPicture:
        image = images.get(picture.image_id)
        if image is None or image.customer is not None or not product.needs_copy(picture, self.clock.now()):
            return picture
        try:
            copied = await self.copy_picture.execute(image)
        except ImageNotFound:
            return picture
        return replace(picture, image_id=copied.image_id, kept_until=copied.expires_at)
