"""Products: registered, found again, replaced, released, renewed and deleted."""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.memory.surroundings import InMemoryObjectStore, InMemoryPhotoFetcher
from application.answer_once import AnswerOnce
from application.delete_images import FinishDeletion, PurgeOverdue
from application.keep_product import KeepProduct, Made, PreparedProduct, ProductMoved, WantedProduct
from application.ports.rows import Repositories
from application.ports.try_on import FetchedPhoto, Validators
from application.products import DeleteProduct, ReadProducts, RegisteredProduct, RegisterProduct, RenewProducts
from application.read_image import FileSource, PhotoSource, StoredSource, UrlSource
from application.start_try_on import TryOnCommand
from domain.customer import IdempotencyRecord
from domain.errors import (
    IdempotencyKeyReused,
    ImageNotFound,
    Overloaded,
    ProductImageFetchFailed,
    ProductImagesRequired,
    ProductNotFound,
)
from domain.image import ImageId
from domain.product import Product
from tests.application.test_upload_photo import WishesForAPhoto
from tests.builders import ACME, NOON, OTHER, a_customer, time_of
from tests.durability.conftest import world_in_memory
from tests.durability.faults import Fault, Plan
from tests.durability.world import LINKS, World

DAY = timedelta(days=1)
URL = "https://shop.test/shirt.jpg"


class Shop:
    """A world, a web of its own and the use cases of products."""

    def __init__(self, world: World) -> None:
        self.world, self.web = world, InMemoryPhotoFetcher({})
        start = world._start_try_on(None)
        sources = replace(start.sources, fetcher=self.web)
        self.keep_product: KeepProduct = replace(start.keep_product, sources=sources)
        self.once = AnswerOnce(world.work, world.clock)
        self.read = ReadProducts(world.work, world.clock)

    async def register(
        self, *garments: PhotoSource, key: bytes | None = None, valid_for: timedelta | None = None, **wanted: Any
    ) -> RegisteredProduct:
        asked = {"external_id": "shirt", "account": await self.world.account(), "garments": garments, **wanted}
        record = IdempotencyRecord(key, repr(garments).encode()) if key else None
        use_case = RegisterProduct(self.keep_product, self.once, self.world.work, self.world.clock)
        return await use_case.execute(WantedProduct(**asked), valid_for, record)

    async def look(self, *garments: PhotoSource, made: Made | None = None, **wanted: Any) -> PreparedProduct:
        """What a request would save."""
        asked = {"external_id": "shirt", "account": await self.world.account(), "garments": garments, **wanted}
        with self.keep_product.sources.for_one_request(ACME) as fetch:
            return await self.keep_product.prepare(WantedProduct(**asked), made or Made(fetch))

    async def settle(self, looked: PreparedProduct) -> None:
        async with self.world.work.begin() as repositories:
            await self.keep_product.settle(repositories, looked, looked.product)

    async def delete(self) -> None:
        await DeleteProduct(self.keep_product, self.world.work).execute(ACME, "shirt")

    async def renew(self) -> None:
        copy, work, clock = self.keep_product.copy_picture, self.world.work, self.world.clock
        await RenewProducts(self.keep_product, copy, work, clock).execute()

    async def purge(self) -> None:
        world, finish = self.world, FinishDeletion(self.world.objects, self.world.work, self.world.clock)
        await PurgeOverdue(world.work, finish, world.objects, time_of(world.clock), self.renew).execute()

    async def shirt(self) -> Product:
        return await self.read.one(ACME, "shirt")

    async def are_there(self, *images: ImageId) -> list[bool]:
        return [await self.world.bytes_of(image) is not None for image in images]


def a_file(photo: bytes) -> FileSource:
    return FileSource(photo, "images[0]")


async def test_a_product_needs_pictures_once_and_keeps_what_is_not_sent_again() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        with pytest.raises(ProductImagesRequired):
            await shop.register()
        made = await shop.register(a_file(b"front"), title="Shirt", description="Blue", valid_for=90 * DAY)
        assert made.is_new
        assert (made.product.title, made.product.description) == ("Shirt", "Blue")
        assert made.product.expires_at == NOON + 90 * DAY
        world.clock.advance(hours=1)
        again = await shop.register(title="Polo")
        assert not again.is_new
        assert (again.product.title, again.product.description) == ("Polo", "Blue")
        assert again.product.pictures == made.product.pictures
        assert await shop.shirt() == again.product
        assert (again.product.created_at, again.product.updated_at) == (NOON, NOON + timedelta(hours=1))


async def test_the_same_file_is_stored_once_and_another_takes_its_place() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        (front,) = (await shop.register(a_file(b"front"))).product.images
        assert (await shop.register(a_file(b"front"))).product.images == (front,)
        assert len(await world.assert_nothing_is_left_behind()) == 1
        (back,) = (await shop.register(a_file(b"back"))).product.images
        assert await shop.are_there(front, back) == [True, True]
        world.clock.advance(minutes=20, seconds=-1)
        await world.purge()
        assert await shop.are_there(front, back) == [True, True]
        world.clock.advance(seconds=1)
        await world.purge()
        assert await shop.are_there(front, back) == [False, True]


async def test_a_picture_of_a_product_is_kept_for_thirty_days_and_knows_its_file() -> None:
    async with world_in_memory() as world:
        picture = (await Shop(world).register(a_file(b"front"))).product.pictures[0]
        assert (picture.kept_until, picture.checked_at, picture.is_lent) == (NOON + 30 * DAY, NOON, False)
        assert picture.source == f"sha256:{picture.digest}"


async def test_a_url_is_asked_again_after_a_day_and_a_new_picture_takes_the_place_of_the_old_one() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        shop.web.web[URL], shop.web.etags[URL], shop.web.dates[URL] = b"v1", "1", "Sunday"
        first = (await shop.register(UrlSource(URL, "images[0]"))).product.pictures[0]
        assert (first.source, first.etag, first.last_modified) == (URL, "1", "Sunday")
        await shop.register(UrlSource(URL, "images[0]"))
        assert shop.web.fetched == [URL]
        world.clock.advance(days=1)
        shop.web.web[URL] = b"not sent, as its tag is known"
        same = (await shop.register(UrlSource(URL, "images[0]"))).product.pictures[0]
        assert (same.image_id, same.checked_at, same.etag) == (first.image_id, NOON + DAY, "1")
        world.clock.advance(days=1)
        shop.web.web[URL], shop.web.etags[URL], shop.web.dates[URL] = b"v1", "2", "Monday"
        touched = (await shop.register(UrlSource(URL, "images[0]"))).product.pictures[0]
        assert (touched.image_id, touched.etag, touched.last_modified) == (first.image_id, "2", "Monday")
        assert touched.checked_at == NOON + 2 * DAY
        world.clock.advance(days=1)
        shop.web.web[URL], shop.web.etags[URL] = b"v2", "3"
        new = (await shop.register(UrlSource(URL, "images[0]"))).product.pictures[0]
        assert new.image_id != first.image_id
        assert len(shop.web.fetched) == 4


async def test_a_url_that_nobody_answers_any_more_still_has_its_picture() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        with pytest.raises(ProductImageFetchFailed):
            await shop.register(UrlSource(URL, "images[0]"))
        shop.web.web[URL] = b"v1"
        first = (await shop.register(UrlSource(URL, "images[0]"))).product
        world.clock.advance(days=1)
        shop.web.web.clear()
        assert (await shop.register(UrlSource(URL, "images[0]"))).product.images == first.images


async def test_an_image_by_id_is_copied_and_a_customers_is_lent() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        own = (await world.upload(b"own", keep_for_days=1)).image.image_id
        world.clock.advance(milliseconds=700)
        copied = (await shop.register(StoredSource(own))).product.pictures[0]
        assert copied.image_id != own
        assert (copied.source, copied.is_lent, copied.kept_until) == (own, False, NOON + 30 * DAY)
        hers = (await world.upload(b"hers", customer=a_customer(), keep_for_days=1)).image.image_id
        lent = (await shop.register(StoredSource(hers))).product.pictures[0]
        assert (lent.image_id, lent.source, lent.is_lent, lent.kept_until) == (hers, hers, True, NOON + DAY)
        await world.erase(a_customer())
        with pytest.raises(ImageNotFound):
            await shop.register(StoredSource(hers))


class BusyStore(InMemoryObjectStore):
    """Something else happens just after an object was read."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def get(self, name: str) -> bytes | None:
        data = await super().get(name)
        if meanwhile := self.meanwhile:
            self.meanwhile = None
            await meanwhile()
        return data


@pytest.mark.parametrize("plan", [Plan(), Plan(Fault.FAILS_BEFORE, call="objects.delete")])
async def test_an_image_that_is_deleted_while_it_is_copied_has_no_copy(plan: Plan) -> None:
    async with world_in_memory() as world:
        world.objects = store = BusyStore()
        own = (await world.upload(b"own")).image.image_id

        async def it_goes() -> None:
            with suppress(Overloaded):
                await world.delete(own, plan)

        store.meanwhile = it_goes
        with pytest.raises(ImageNotFound):
            await Shop(world).register(StoredSource(own))
        await world.recover()
        assert await world.assert_nothing_is_left_behind() == set()


async def test_a_picture_that_went_with_its_customer_is_missing_in_the_product() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        hers = (await world.upload(b"hers", customer=a_customer())).image.image_id
        own, lent = (await shop.register(a_file(b"own"), StoredSource(hers))).product.images
        assert (await shop.look()).usable == (own, lent)
        await world.erase(a_customer())
        assert (await shop.look()).usable == (own,)
        await world.delete(own)
        with pytest.raises(ProductNotFound):
            await shop.look()


async def test_what_a_refused_request_stored_goes_again() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        with pytest.raises(ProductImageFetchFailed):
            await shop.register(a_file(b"front"), UrlSource(URL, "images[1]"))
        assert await world.assert_nothing_is_left_behind() == set()
        hers = (await world.upload(b"hers", customer=a_customer())).image.image_id
        with pytest.raises(ProductImageFetchFailed):
            await shop.register(StoredSource(hers), UrlSource(URL, "images[1]"))
        assert await world.assert_nothing_is_left_behind() == {hers}


async def test_pictures_of_products_are_never_cut() -> None:
    async with world_in_memory() as world:
        world.processor = WishesForAPhoto()
        (image,) = (await Shop(world).register(a_file(b"front"))).product.images
        assert await world.bytes_of(image) == b"crop=False fit=crop"


async def test_all_links_to_an_image_of_ours_are_the_same_picture() -> None:
    async with world_in_memory() as world:
        shop, own = Shop(world), (await world.upload(b"own")).image
        old, new = [await LINKS.sign(own, NOON + timedelta(minutes=minutes)) for minutes in (1, 15)]
        images = (await shop.register(UrlSource(old, "images[0]"))).product.images
        assert (await shop.register(UrlSource(new, "images[0]"))).product.images == images
        assert shop.web.fetched == []


async def test_a_product_that_changed_meanwhile_is_not_overwritten() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        await shop.register(a_file(b"front"), title="Shirt")
        looked = await shop.look(title="Mine")
        world.clock.advance(seconds=1)
        await shop.register(title="Theirs")
        with pytest.raises(ProductMoved):
            await shop.settle(looked)
        await shop.delete()
        with pytest.raises(ProductMoved):
            await shop.settle(looked)


async def test_two_who_make_the_same_product_do_not_both_make_it() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        looked = await shop.look(a_file(b"front"))
        await shop.register(a_file(b"front"))
        with pytest.raises(ProductMoved):
            await shop.settle(looked)


async def test_new_pictures_leave_the_rest_of_a_product_as_it_is() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        await shop.register(a_file(b"front"), title="Shirt", description="Blue")
        world.clock.advance(hours=1)
        product = (await shop.register(a_file(b"back"))).product
        assert (product.title, product.description, product.created_at) == ("Shirt", "Blue", NOON)


async def test_only_what_is_new_changes_the_day_of_a_product() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        await shop.register(a_file(b"front"), title="Shirt", description="Blue")
        world.clock.advance(hours=1)
        now = world.clock.now()
        assert (await shop.look(title="Shirt", description="Blue")).product.updated_at == NOON
        assert (await shop.look(a_file(b"front"))).product.updated_at == NOON
        assert (await shop.look(title="Polo")).product.updated_at == now
        assert (await shop.look(description="Red")).product.updated_at == now
        assert (await shop.look(a_file(b"back"))).product.updated_at == now


async def test_whoever_only_uses_a_product_minds_no_words_that_changed_meanwhile() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        await world.try_on((await world.upload(b"person")).image.image_id, (a_file(b"front"),))
        looked = await shop.look()
        world.clock.advance(seconds=1)
        await shop.settle(await shop.look(title="Polo"))
        now = world.clock.now()
        await shop.settle(replace(looked, product=looked.product.used(now)))
        shirt = await shop.shirt()
        assert (shirt.title, shirt.last_used_at, shirt.expires_at) == ("Polo", now, now + 15 * DAY)
        await shop.delete()
        with pytest.raises(ProductMoved):
            await shop.settle(looked)


async def test_whoever_looks_again_stores_nothing_again() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        shop.web.web[URL] = b"v1"
        with shop.keep_product.sources.for_one_request(ACME) as fetch:
            made = Made(fetch)
        first = await shop.look(a_file(b"front"), UrlSource(URL, "images[1]"), made=made)
        assert (await shop.look(a_file(b"front"), UrlSource(URL, "images[1]"), made=made)).usable == first.usable
        assert shop.web.fetched == [URL]


async def test_a_picture_that_does_not_outlast_a_try_on_is_stored_anew() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        images = (await shop.register(a_file(b"front"))).product.images
        world.clock.advance(days=30, minutes=-20, seconds=-1)
        assert (await shop.look(a_file(b"front"))).usable == images
        world.clock.advance(seconds=1)
        assert (await shop.look(a_file(b"front"))).usable != images


async def test_a_customers_picture_is_used_to_its_end() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        hers = (await world.upload(b"hers", customer=a_customer(), keep_for_days=7)).image.image_id
        await shop.register(StoredSource(hers))
        world.clock.advance(days=7, seconds=-1)
        assert (await shop.look()).usable == (hers,)
        world.clock.advance(seconds=1)
        with pytest.raises(ProductNotFound):
            await shop.look()


async def test_a_new_picture_stays_for_a_try_on_that_waits_for_it_whatever_its_product_names_now() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        person = (await world.upload(b"person")).image.image_id
        started = await world.try_on(person, (a_file(b"front"),))
        picture = (await shop.shirt()).pictures[0]
        await shop.register(a_file(b"back"))
        wanted = WantedProduct(account=await world.account(), external_id="shirt", garments=(a_file(b"front"),))
        with shop.keep_product.sources.for_one_request(ACME) as fetch:
            made = Made(fetch, {"front": picture}, "shirt")
        await shop.keep_product.discard(wanted, made, started.generation_id)
        assert await shop.are_there(picture.image_id) == [True]
        await world.work_off()
        await shop.keep_product.discard(wanted, made, started.generation_id)
        assert await shop.are_there(picture.image_id) == [False]


class Overtaken(InMemoryPhotoFetcher):
    """Somebody else registers the same while a URL is fetched."""

    async def _fetch(self, url: str, known: Validators | None = None) -> FetchedPhoto | None:
        if overtake := self.overtake:
            self.overtake = None
            await overtake()
        return await super()._fetch(url, known)

    overtake: Callable[[], Awaitable[object]] | None = None


async def test_two_who_register_the_same_keep_one_picture_of_it() -> None:
    async with world_in_memory() as world:
        first, late = Shop(world), Shop(world)
        first.web.web[URL] = b"v1"
        overtaken = Overtaken(first.web.web)
        overtaken.overtake = lambda: first.register(UrlSource(URL, "images[0]"))
        late.keep_product = replace(late.keep_product, sources=replace(late.keep_product.sources, fetcher=overtaken))
        registered = await late.register(UrlSource(URL, "images[0]"))
        assert not registered.is_new
        assert await world.assert_nothing_is_left_behind() == set(registered.product.images)


@dataclass(frozen=True, slots=True)
class Contested(KeepProduct):
    """Somebody else is quicker so many times."""

    moves: list[None]

    async def settle(self, repositories: Repositories, prepared: PreparedProduct, product: Product) -> None:
        if self.moves:
            self.moves.pop()
            raise ProductMoved
        await KeepProduct.settle(self, repositories, prepared, product)

    @classmethod
    def times(cls, moves: int, keep: KeepProduct) -> "Contested":
        return cls(**{field.name: getattr(keep, field.name) for field in fields(keep)}, moves=[None] * moves)


@pytest.mark.parametrize("moves", [4, 5])
async def test_a_request_looks_five_times_at_a_product_that_others_change(moves: int) -> None:
    async with world_in_memory() as world:
        shop, start = Shop(world), world._start_try_on(None)
        person = StoredSource((await world.upload(b"person")).image.image_id)
        wanted = WantedProduct(account=await world.account(), external_id="shirt", garments=(a_file(b"front"),))
        shop.keep_product = Contested.times(moves, shop.keep_product)
        start = replace(start, keep_product=Contested.times(moves, start.keep_product))
        with nullcontext() if moves < 5 else pytest.raises(Overloaded):
            await shop.register(a_file(b"front"))
        with nullcontext() if moves < 5 else pytest.raises(Overloaded):
            await start.execute(TryOnCommand(account=wanted.account, person=person, product=wanted))
        assert len(await world.assert_nothing_is_left_behind()) == (2 if moves < 5 else 1)


async def test_a_product_that_is_over_is_made_anew_and_its_old_pictures_go() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        (old,) = (await shop.register(a_file(b"front"), title="Old", valid_for=DAY)).product.images
        world.clock.advance(days=1)
        with pytest.raises(ProductNotFound):
            await shop.shirt()
        with pytest.raises(ProductImagesRequired):
            await shop.register()
        anew = await shop.register(a_file(b"front"))
        assert anew.is_new
        assert (anew.product.title, anew.product.created_at) == (None, NOON + DAY)
        world.clock.advance(minutes=20)
        await world.purge()
        assert await shop.are_there(old, *anew.product.images) == [False, True]


async def test_a_product_without_an_id_gets_one() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        product = (await shop.look(a_file(b"front"), external_id=None)).product
        assert product.is_one_shot
        assert product.external_id.startswith("prd_")


async def test_a_request_that_comes_again_gets_the_product_as_it_is_now() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        first = await shop.register(a_file(b"front"), key=b"k")
        await shop.register(title="Polo")
        again = await shop.register(a_file(b"front"), key=b"k")
        assert (again.is_new, again.product.title) == (False, "Polo")
        assert again.product.images == first.product.images
        await world.erase(a_customer())  # it is no customer's
        with pytest.raises(IdempotencyKeyReused):
            await shop.register(a_file(b"back"), key=b"k")
        await shop.delete()
        for _ in range(2):  # nor does a client that tries again and again make it anew
            with pytest.raises(ProductNotFound):
                await shop.register(a_file(b"front"), key=b"k")


async def test_a_registration_that_was_refused_may_come_again_with_its_key() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        with pytest.raises(ProductImageFetchFailed):
            await shop.register(UrlSource(URL, "images[0]"), key=b"k")
        shop.web.web[URL] = b"v1"
        assert (await shop.register(UrlSource(URL, "images[0]"), key=b"k")).is_new


async def test_a_deleted_product_is_unknown_at_once_and_its_pictures_go_after_twenty_minutes() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        (image,) = (await shop.register(a_file(b"front"))).product.images
        await shop.delete()
        await shop.delete()
        with pytest.raises(ProductNotFound):
            await shop.shirt()
        world.clock.advance(minutes=20)
        await world.purge()
        assert await shop.are_there(image) == [False]


async def test_products_are_listed_by_their_ids_page_by_page() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        for name in ("c", "a", "b"):
            await shop.register(a_file(b"front"), external_id=name)
        first, has_more = await shop.read.page(ACME, "", 2)
        assert ([product.external_id for product in first], has_more) == (["a", "b"], True)
        rest, has_more = await shop.read.page(ACME, "a", 2)
        assert ([product.external_id for product in rest], has_more) == (["b", "c"], False)
        assert await shop.read.page(OTHER, "", 2) == ((), False)
        with pytest.raises(ProductNotFound):
            await shop.read.one(OTHER, "a")


async def test_a_picture_is_copied_before_its_end_if_its_product_lives_on() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        (old,) = (await shop.register(a_file(b"front"))).product.images
        world.clock.advance(days=15, seconds=-1)
        await shop.renew()
        assert (await shop.shirt()).images == (old,)
        world.clock.advance(seconds=1)
        await shop.renew()
        (renewed,) = (await shop.shirt()).pictures
        assert renewed.image_id != old
        assert renewed.kept_until == NOON + 45 * DAY
        world.clock.advance(minutes=20)
        await world.purge()
        assert await shop.are_there(old, renewed.image_id) == [False, True]


async def test_a_lent_picture_is_never_copied_and_a_lost_one_is_left_alone() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        hers = (await world.upload(b"hers", customer=a_customer())).image.image_id
        product = (await shop.register(a_file(b"own"), StoredSource(hers))).product
        await world.delete(product.images[0])
        world.clock.advance(days=16)
        await shop.renew()
        assert (await shop.shirt()).pictures == product.pictures


async def test_only_a_picture_whose_time_has_come_is_copied() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        await shop.register(a_file(b"front"))
        world.clock.advance(days=5)
        front, back = (await shop.register(a_file(b"front"), a_file(b"back"))).product.images
        world.clock.advance(days=10)
        await shop.renew()
        renewed = (await shop.shirt()).images
        assert renewed[0] != front
        assert renewed[1] == back


async def test_a_picture_that_became_a_customers_is_not_copied() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        (image,) = (await shop.register(a_file(b"front"))).product.images
        await world.try_on(image, (a_file(b"coat"),), customer=a_customer(), product_id="coat")
        world.clock.advance(days=15)
        await shop.renew()
        assert (await shop.shirt()).images == (image,)


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_a_change_while_a_product_is_renewed_holds_and_the_copy_goes(is_deleted: bool) -> None:
    async with world_in_memory() as world:
        world.objects = store = BusyStore()
        shop = Shop(world)
        await shop.register(a_file(b"front"))
        world.clock.advance(days=15)
        store.meanwhile = shop.delete if is_deleted else lambda: shop.register(a_file(b"back"))
        await shop.renew()
        images = () if is_deleted else (await shop.shirt()).images
        world.clock.advance(minutes=20)
        await world.purge()
        assert await world.assert_nothing_is_left_behind() == set(images)


async def test_a_purge_renews_products_more_than_a_batch_too() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        for number in range(RenewProducts.BATCH + 1):
            await shop.register(a_file(b"front"), external_id=f"{number}")
        world.clock.advance(days=15)
        await shop.purge()
        products, _ = await shop.read.page(ACME, "", 100)
        assert {product.pictures[0].kept_until for product in products} == {NOON + 45 * DAY}


async def test_a_picture_that_cannot_be_copied_today_is_looked_at_again_tomorrow() -> None:
    async with world_in_memory() as world:
        shop = Shop(world)
        (old,) = (await shop.register(a_file(b"front"))).product.images
        name = (await world.images_of((old,)))[0].object_name
        photo = await world.objects.get(name)
        assert photo is not None
        await world.objects.delete([name])
        world.clock.advance(days=15)
        await shop.renew()
        assert (await shop.shirt()).images == (old,)
        await world.objects.put(name, photo)
        world.clock.advance(days=1, seconds=-1)
        await shop.renew()
        assert (await shop.shirt()).images == (old,)
        world.clock.advance(seconds=1)
        await shop.renew()
        assert (await shop.shirt()).images != (old,)
