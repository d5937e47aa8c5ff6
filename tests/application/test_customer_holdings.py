"""All that is held of one person, for that person."""

from application.customer_holdings import PAGE, Holdings, ReadHoldings
from application.read_image import OpenImage, ResolveImage, StoredSource
from tests.builders import a_customer, a_stored_photo, an_image
from tests.durability.conftest import world_in_memory
from tests.durability.world import World


async def held(world: World) -> Holdings:
    return await ReadHoldings(world.work, world.clock).execute(a_customer())


async def test_of_somebody_unknown_nothing_is_held() -> None:
    async with world_in_memory() as world:
        found = await held(world)
        assert (found.images, found.try_ons, found.marked_until, found.results) == ((), (), None, frozenset())


async def test_photos_and_results_are_shown_oldest_first() -> None:
    async with world_in_memory() as world:
        second = (await world.upload(b"second", customer=a_customer())).image.image_id
        world.clock.advance(days=-1)
        first = (await world.upload(b"first", customer=a_customer())).image.image_id
        await world.upload(b"somebody else's", customer=a_customer("somebody else"))
        garment = (await world.upload(b"garment")).image.image_id
        world.clock.advance(days=2)
        started = await world.try_on(first, (StoredSource(garment),), customer=a_customer())
        await world.work_off()
        result = (await world.result_of(started.generation_id)).image_id
        found = await held(world)
        assert [image.image_id for image in found.images] == [first, second, result]
        assert [try_on.generation_id for try_on in found.try_ons] == [started.generation_id]
        assert found.results == {result}
        assert found.traces.images == 3


async def test_idempotency_records_of_uploads_and_of_try_ons_are_counted() -> None:
    async with world_in_memory() as world:
        image = (await world.upload(b"first", customer=a_customer(), key="1")).image.image_id
        await world.upload(b"second", customer=a_customer(), key="2")
        garment = (await world.upload(b"garment")).image.image_id
        await world.try_on(image, (StoredSource(garment),), customer=a_customer(), key="3")
        assert (await held(world)).traces.idempotency_records == 3


async def test_a_photo_that_has_expired_is_left_out_and_one_that_goes_meanwhile_has_no_picture() -> None:
    async with world_in_memory() as world:
        await world.upload(b"short", customer=a_customer(), keep_for_days=1)
        image = (await world.upload(b"long", customer=a_customer())).image
        world.clock.advance(days=1)
        found = await held(world)
        assert [each.image_id for each in found.images] == [image.image_id]
        await world.delete(image.image_id)
        open_image = OpenImage(ResolveImage(world.work, world.clock), world.objects)
        assert await open_image.if_there(image.image_id, image.account_id) is None


async def test_more_than_a_page_is_read_to_its_end() -> None:
    async with world_in_memory() as world:
        async with world.work.begin() as repositories:
            for number in range(2 * PAGE + 1):
                image = an_image(f"img_{number:05}", customer=a_customer())
                await repositories.images.reserve(image)
                await repositories.images.publish(image, a_stored_photo())
        assert len((await held(world)).images) == 2 * PAGE + 1


async def test_an_erasure_leaves_its_mark() -> None:
    async with world_in_memory() as world:
        await world.erase(a_customer())
        assert (await held(world)).marked_until is not None
