"""Starting a try-on for a customer who is erased meanwhile."""

import pytest

from application.photo_sources import StoredSource
from domain.errors import CustomerErased, ValidationFailed
from domain.image import ImageId
from tests.builders import ACME, a_customer
from tests.durability.conftest import world_in_memory
from tests.durability.world import World


async def stored(world: World, photo: bytes) -> ImageId:
    """A picture that names no customer, so that no erasure takes it along."""
    return (await world.upload(photo)).image.image_id


async def test_a_try_on_that_began_before_its_customer_was_erased_is_refused_and_queues_nothing() -> None:
    async with world_in_memory() as world:
        person, garment = await stored(world, b"person"), await stored(world, b"garment")
        began = await world.account()
        await world.erase(a_customer())
        with pytest.raises(CustomerErased):
            await world.try_on(person, (StoredSource(garment),), account=began, customer=a_customer())
        assert await world.work_off() is None
        async with world.work.read() as repositories:
            assert await repositories.products.find(ACME, "shirt") is None


async def test_a_try_on_that_begins_after_the_erasure_is_queued() -> None:
    async with world_in_memory() as world:
        person, garment = await stored(world, b"person"), await stored(world, b"garment")
        await world.erase(a_customer())
        started = await world.try_on(person, (StoredSource(garment),), customer=a_customer())
        outcome = await world.work_off()
        assert outcome is not None
        assert outcome.generation_id == started.generation_id


async def test_a_photo_without_a_customer_goes_with_the_customer_of_its_first_try_on() -> None:
    async with world_in_memory() as world:
        person, garment = await stored(world, b"person"), await stored(world, b"garment")
        await world.try_on(person, (StoredSource(garment),), customer=a_customer())
        assert (await world.erase(a_customer())).images == 1
        assert await world.bytes_of(person) is None
        assert await world.bytes_of(garment) == b"garment"


async def test_a_second_customer_is_refused_and_the_photo_stays_with_the_first() -> None:
    async with world_in_memory() as world:
        person, garment = await stored(world, b"person"), await stored(world, b"garment")
        await world.try_on(person, (StoredSource(garment),), customer=a_customer("first"))
        with pytest.raises(ValidationFailed):
            await world.try_on(person, (StoredSource(garment),), customer=a_customer("second"))
        assert (await world.erase(a_customer("second"))).images == 0
        assert await world.bytes_of(person) == b"person"
