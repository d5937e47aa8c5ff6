"""Start a try-on: bring every photo into the store, remember the product, take a credit, queue the generation."""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from application.answer_once import AnswerOnce
from application.delete_images import DeleteImage
from application.keep_product import KeepProduct, Made, PreparedProduct, ProductMoved, WantedProduct
from application.ports.rows import KeptRequest, Repositories, UnitOfWork
from application.ports.system import Clock, RandomSource
from application.ports.try_on import Fetch
from application.read_image import OpenSource, PhotoSource
from application.upload_photo import UploadCommand, UploadPhoto
from domain.account import Account, RetentionPolicy
from domain.customer import Customer, IdempotencyRecord
from domain.errors import (
    CustomerErased,
    CustomerImageFetchFailed,
    FieldProblem,
    ImageNotFound,
    InsufficientCredits,
    Overloaded,
    TooManyWaiting,
    ValidationFailed,
    about,
)
from domain.generation import Generation, GenerationId, Inputs
from domain.image import UploadedImage

ATTEMPTS: Final = 5
"""Each time, somebody else has changed the very product meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TryOnCommand:
    """One try-on. `account` is as it was when the request began."""

    account: Account
    person: PhotoSource
    product: WantedProduct
    customer: Customer | None = None
    retention: RetentionPolicy | None = None
    idempotency: IdempotencyRecord | None = None


@dataclass(frozen=True, slots=True)
class StartedTryOn:
    """What the client polls for, and the id under which the product is found again."""

    generation_id: GenerationId
    product_id: str


@dataclass(frozen=True, slots=True)
class StartTryOn:
    """Everything is in the store when this returns; the work itself is a durable job."""

    upload_photo: UploadPhoto
    delete_image: DeleteImage
    keep_product: KeepProduct
    sources: OpenSource
    once: AnswerOnce
    work: UnitOfWork
    clock: Clock
    random: RandomSource
    max_waiting: int
    """Try-ons of one account that wait or run; one more is refused."""

    async def execute(self, command: TryOnCommand) -> StartedTryOn:
        """Raises: ImageNotFound, ProductNotFound; CustomerImageFetchFailed, ProductImageFetchFailed; what is wrong with
        a photo, as an upload; ValidationFailed: the person's image is of another customer; CustomerErased;
        InsufficientCredits; TooManyWaiting; IdempotencyKeyReused, IdempotencyKeyInUse; Overloaded.
        """
        account = command.account
        async with self.once.keep(account, command.idempotency, command.customer) as request:
            if request is not None and request.result is not None:
                return StartedTryOn(*json.loads(request.result))
            if account.credits == 0:  # told at once; the transaction says so with certainty
                raise InsufficientCredits
            await self._expect_room(account)
            with self.sources.for_one_request(account.account_id) as fetch:
                return await self._start(command, request, Made(fetch))

    async def _expect_room(self, account: Account) -> None:
        await self.upload_photo.keep_picture.disk_reserve.expect()
        since = self.clock.now() - Generation.DEADLINE
        async with self.work.read() as repositories:
            if await repositories.generations.count_open(account.account_id, since) >= self.max_waiting:
                raise TooManyWaiting(self.max_waiting)

    async def _start(self, command: TryOnCommand, request: KeptRequest | None, made: Made) -> StartedTryOn:
        # What is there already comes first: nothing is fetched for a request that is refused anyway.
        stored = await self._stored(command)
        generation_id = self.random.generation_id()
        person = stored or await self._new(command, made.fetch)
        try:
            started = await self._with_product(command, person, made, request, generation_id)
        except BaseException as error:
            is_queued = await asyncio.shield(
                self._discard(None if stored else person, command.product, made, generation_id)
            )
            if not (is_queued and isinstance(error, Overloaded)):
                raise
            return StartedTryOn(generation_id, made.product_id)
        await self.keep_product.discard(command.product, made, generation_id)
        return started

    async def _with_product(
        self,
        command: TryOnCommand,
        person: UploadedImage,
        made: Made,
        request: KeptRequest | None,
        generation_id: GenerationId,
    ) -> StartedTryOn:
        for _ in range(ATTEMPTS):
            prepared = await self.keep_product.prepare(command.product, made)
            with suppress(ProductMoved):
                return await self._queue(command, person, prepared, request, generation_id)
        raise Overloaded

    async def _stored(self, command: TryOnCommand) -> UploadedImage | None:
        """The person's image, when it was uploaded before."""
        image = await self.sources.image(command.person, command.account.account_id, CustomerImageFetchFailed)
        if image and image.customer and command.customer and not image.customer.is_same(command.customer):
            raise _of_another()
        return image

    async def _new(self, command: TryOnCommand, fetch: Fetch) -> UploadedImage:
        fetched = await self.sources.photo(command.person, fetch, CustomerImageFetchFailed)
        if fetched is None:
            raise ImageNotFound
        upload = UploadCommand(
            account=command.account, photo=fetched.photo, customer=command.customer, retention=command.retention
        )
        with about(command.person.path):
            return (await self.upload_photo.execute(upload)).image

    async def _queue(
        self,
        command: TryOnCommand,
        person: UploadedImage,
        prepared: PreparedProduct,
        request: KeptRequest | None,
        generation_id: GenerationId,
    ) -> StartedTryOn:
        """All in one transaction. Raises: ProductMoved, CustomerErased, InsufficientCredits, Overloaded."""
        customer, now = person.customer or command.customer, self.clock.now()
        product = prepared.product.used(now)
        started = StartedTryOn(generation_id, product.external_id)
        inputs = Inputs(
            person=person.image_id,
            garments=() if product.is_mock else prepared.usable,
            customer=customer,
            retention=command.retention or command.account.default_retention,
        )
        async with self.work.begin() as repositories:
            await _expect_not_erased(repositories, customer, command.account)
            await repositories.images.hold(person.image_id, person.account_id)  # `_discard` waits for this commit
            await _give_to(repositories, person, customer)
            has_credit = await repositories.accounts.take_credit(command.account.account_id)
            await self.keep_product.settle(repositories, prepared, product)
            await repositories.generations.add(
                Generation(
                    generation_id=started.generation_id,
                    account_id=command.account.account_id,
                    created_at=now,
                    updated_at=now,
                    inputs=inputs,
                    has_credit=has_credit,
                )
            )
            await self.once.finish(repositories, request, json.dumps([started.generation_id, started.product_id]))
        return started

    async def _discard(
        self, person: UploadedImage | None, wanted: WantedProduct, made: Made, generation_id: GenerationId
    ) -> bool:
        """What this request stored goes when it fails, since nobody would ever learn its ids.

        Returns: whether the try-on waits nevertheless, because a commit that seemed to fail went through.
        """
        await self.keep_product.discard(wanted, made, generation_id)
        with suppress(Overloaded):  # the caller hears of the first failure; expiry ends what is left
            async with self.work.begin() as repositories:
                if person is not None:
                    await repositories.images.hold(person.image_id, person.account_id)
                generation = await repositories.generations.find(generation_id, wanted.account.account_id)
            if generation is not None:
                return True
            if person is not None:
                await self.delete_image.execute(person.image_id, person.account_id)
        return False


async def _give_to(repositories: Repositories, person: UploadedImage, customer: Customer | None) -> None:
    """A person's image that names no customer is that of the first try-on which names one, and goes with them."""
    if customer is None or person.customer is not None or await repositories.images.adopt(person.image_id, customer):
        return
    image = await repositories.images.find(person.image_id, person.account_id)
    if image is None or image.customer is None:
        raise ImageNotFound
    if not image.customer.is_same(customer):
        raise _of_another()


def _of_another() -> ValidationFailed:
    """A result can be erased with one customer only, and it has to be the one it shows."""
    return ValidationFailed((FieldProblem("externalUserId", "the person's image belongs to another one"),))


async def _expect_not_erased(repositories: Repositories, customer: Customer | None, account: Account) -> None:
    if customer is None:
        return
    await repositories.erasures.serialize(customer)
    if await repositories.erasures.is_erased_since(customer, account.beginning):
        raise CustomerErased
