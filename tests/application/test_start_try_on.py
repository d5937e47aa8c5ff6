"""Starting a try-on for a customer who is erased meanwhile."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from application.keep_product import WantedProduct
from application.read_image import FileSource, StoredSource
from application.start_try_on import StartedTryOn, TryOnCommand
from domain.account import RetentionPolicy
from domain.customer import Customer
from domain.errors import (
    CustomerErased,
    ImageNotFound,
    InsufficientCredits,
    InvalidImage,
    Overloaded,
    TooManyWaiting,
    ValidationFailed,
)
from domain.image import ImageId
from tests.builders import ACME, a_customer
from tests.durability.conftest import world_in_memory
from tests.durability.faults import Fault, Plan
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


async def started_for_ann(world: World, person: ImageId, meanwhile: Awaitable[object]) -> StartedTryOn:
    """Something else happens once the photo was looked at."""
    plan = Plan(Fault.PAUSES_BEFORE, call=".prepare")
    garment = FileSource(b"new", "garment")
    starting = asyncio.create_task(world.try_on(person, (garment,), plan, customer=a_customer("ann"), product_id=None))
    await plan.waiting.wait()
    await meanwhile
    plan.go_on.set()
    return await starting


async def test_a_photo_that_goes_to_somebody_else_meanwhile_is_not_tried_on() -> None:
    async with world_in_memory() as world:
        person, garment = await stored(world, b"person"), await stored(world, b"garment")
        with pytest.raises(ValidationFailed):
            await started_for_ann(
                world, person, world.try_on(person, (StoredSource(garment),), customer=a_customer("bob"))
            )
        assert len(await world.generations()) == 1
        assert (await world.erase(a_customer("bob"))).images == 1


async def test_two_first_try_ons_of_one_customer_share_the_photo() -> None:
    async with world_in_memory() as world:
        person, garment = await stored(world, b"person"), await stored(world, b"garment")
        await started_for_ann(world, person, world.try_on(person, (StoredSource(garment),), customer=a_customer("ann")))
        assert len(await world.generations()) == 2
        assert (await world.erase(a_customer("ann"))).images == 1


async def test_a_photo_that_is_deleted_meanwhile_is_not_found() -> None:
    async with world_in_memory() as world:
        person = await stored(world, b"person")
        with pytest.raises(ImageNotFound):
            await started_for_ann(world, person, world.delete(person))
        assert await world.generations() == ()
        assert await world.assert_nothing_is_left_behind() == set()


async def start(world: World, plan: Plan | None = None, **options: Any) -> StartedTryOn:
    """One try-on of photos that were uploaded for it."""
    person, garment = await stored(world, b"person"), await stored(world, b"garment")
    return await world.try_on(person, (StoredSource(garment),), plan, **options)


async def set_credits(world: World, number: int) -> None:
    async with world.work.begin() as repositories:
        await repositories.accounts.set_credits(ACME, number)


async def test_each_try_on_takes_a_credit_and_without_one_nothing_is_queued_or_kept() -> None:
    async with world_in_memory() as world:
        await set_credits(world, 1)
        await start(world)
        assert (await world.account()).credits == 0
        with pytest.raises(InsufficientCredits):
            await start(world)
        assert len(await world.generations()) == 1


async def test_without_a_credit_not_even_the_photo_is_looked_at() -> None:
    no_photo = FileSource(b"", "person")
    async with world_in_memory() as world:
        await set_credits(world, 0)
        with pytest.raises(InsufficientCredits):
            await world.try_on(no_photo, ())
        await set_credits(world, 1)
        with pytest.raises(InvalidImage):
            await world.try_on(no_photo, ())


class FullDisk:
    """No room for a result."""

    async def expect(self) -> None:
        raise Overloaded


async def test_no_try_on_begins_that_has_no_room_for_its_result() -> None:
    async with world_in_memory() as world:
        person, garment = await stored(world, b"person"), await stored(world, b"garment")
        await world.try_on(person, (StoredSource(garment),))
        world.disk_reserve = FullDisk()
        with pytest.raises(Overloaded):
            await world.try_on(person, (StoredSource(garment),))
        assert len(await world.generations()) == 1


async def test_a_photo_that_comes_with_a_try_on_is_kept_as_the_request_says() -> None:
    async with world_in_memory() as world:
        person, garment = FileSource(b"person", "person"), (FileSource(b"garment", "garment"),)
        started = await world.try_on(person, garment, customer=a_customer(), keep_for_days=3)
        (image,) = await world.images_of(((await world.inputs_of(started.generation_id)).person,))
        assert (image.customer, image.retention) == (a_customer(), RetentionPolicy(3))
        assert (await world.inputs_of(started.generation_id)).retention == RetentionPolicy(3)


async def test_a_photo_that_is_none_is_named_by_its_place_in_the_request() -> None:
    async with world_in_memory() as world:
        with pytest.raises(InvalidImage) as refused:
            await world.try_on(FileSource(b"", "person.image"), (FileSource(b"garment", "images[0]"),))
        assert refused.value.path == "person.image"
        with pytest.raises(InvalidImage) as refused:
            await world.try_on(FileSource(b"person", "person.image"), (FileSource(b"", "images[0]"),))
        assert refused.value.path == "images[0]"
        assert await world.assert_nothing_is_left_behind() == set()


async def test_a_credit_that_somebody_else_took_meanwhile_is_missed_in_time() -> None:
    async with world_in_memory() as world:
        await set_credits(world, 1)
        began = await world.account()
        await start(world)
        with pytest.raises(InsufficientCredits):
            await start(world, account=began)
        assert len(await world.generations()) == 1


async def test_without_a_limit_no_credit_is_taken() -> None:
    async with world_in_memory() as world:
        await start(world)
        assert (await world.account()).credits is None
        assert not (await world.generations())[0].has_credit


async def test_a_try_on_that_fails_gives_its_credit_back() -> None:
    async with world_in_memory() as world:
        await set_credits(world, 1)
        await start(world, customer=a_customer())
        assert (await world.generations())[0].has_credit
        await world.erase(a_customer())
        assert (await world.account()).credits == 1


async def test_fifty_try_ons_of_an_account_may_wait_and_those_over_their_deadline_do_not_count() -> None:
    async with world_in_memory() as world:
        person, garment = await stored(world, b"person"), (StoredSource(await stored(world, b"garment")),)
        for _ in range(50):
            await world.try_on(person, garment)
        with pytest.raises(TooManyWaiting):
            await world.try_on(person, garment)
        world.clock.advance(minutes=15, seconds=1)
        await world.try_on(person, garment)


async def test_a_request_that_comes_again_gets_the_first_answer() -> None:
    async with world_in_memory() as world:
        first = await start(world, key="k", product_id=None)
        assert await start(world, key="k", product_id=None) == first
        assert len(await world.generations()) == 1


async def test_a_request_that_was_refused_may_come_again_with_its_key() -> None:
    async with world_in_memory() as world:
        await set_credits(world, 0)
        with pytest.raises(InsufficientCredits):
            await start(world, key="k")
        await set_credits(world, 1)
        await start(world, key="k")
        assert len(await world.generations()) == 1


@pytest.mark.parametrize("fault", [Fault.FAILS_BEFORE, Fault.FAILS_AFTER])
async def test_whatever_fails_once_the_try_on_is_either_queued_and_answered_or_leaves_nothing(fault: Fault) -> None:
    for at in range(1, 100):
        async with world_in_memory() as world:
            person, garment = FileSource(b"person", "person"), FileSource(b"garment", "garment")
            plan = Plan(fault, at=at)
            try:
                started = await world.try_on(person, (garment,), plan, product_id=None)
            except Overloaded:
                assert await world.generations() == ()
                world.clock.advance(minutes=20)
                await world.recover()
                assert await world.assert_nothing_is_left_behind() == set()
            else:
                (generation,) = await world.generations()
                assert generation.generation_id == started.generation_id
                assert await world.work_off() is not None
                async with world.work.read() as repositories:
                    assert await repositories.products.find(ACME, started.product_id) is not None
            if not plan.happened:
                return
    raise AssertionError("it never ended")


async def test_a_photo_that_was_there_before_stays_when_its_try_on_is_refused() -> None:
    async with world_in_memory() as world:
        person = await stored(world, b"person")
        with pytest.raises(InvalidImage):
            await world.try_on(person, (FileSource(b"", "images[0]"),))
        assert await world.bytes_of(person) == b"person"


async def step_of_a_try_on(call: str, near: str) -> int:
    """Which call is the `near` one of the transaction that queues a try-on: the last before, or the first after."""
    async with world_in_memory() as world:
        plan = Plan()
        await world.try_on(await stored(world, b"person"), (FileSource(b"garment", "garment"),), plan)
    queued = plan.calls.index("InMemoryGenerationRepository.add")
    steps = [step for step, name in enumerate(plan.calls) if name == call]
    return 1 + (
        max(step for step in steps if step < queued) if near == "before" else min(s for s in steps if s > queued)
    )


@pytest.mark.parametrize("customer", [a_customer(), None])
async def test_a_try_on_takes_turns_with_the_erasures_of_its_customer(customer: Customer | None) -> None:
    plan = Plan()
    async with world_in_memory() as world:
        await start(world, plan, customer=customer)
    queueing = plan.calls[plan.calls.index("InMemoryGenerationRepository.add") :: -1]
    steps = [call.rpartition(".")[2] for call in queueing[: queueing.index("work.begin")]][::-1]
    turns = ["serialize", "is_erased_since", "hold", "adopt"] if customer else ["hold"]
    assert steps[: len(turns) + 2] == [*turns, "take_credit", "hold"]


async def test_whoever_gives_up_hears_so_even_if_the_try_on_is_queued() -> None:
    plan = Plan(Fault.HANGS_AFTER, await step_of_a_try_on("work.commit", "after"))
    async with world_in_memory() as world:
        person = await stored(world, b"person")
        task = asyncio.create_task(world.try_on(person, (FileSource(b"garment", "garment"),), plan))
        await plan.waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(await world.generations()) == 1


async def test_two_try_ons_that_make_the_same_product_keep_one_picture_of_it() -> None:
    plan = Plan(Fault.PAUSES_BEFORE, await step_of_a_try_on("work.begin", "before"))
    async with world_in_memory() as world:
        person, garment = await stored(world, b"person"), (FileSource(b"garment", "garment"),)
        late = asyncio.create_task(world.try_on(person, garment, plan))
        await plan.waiting.wait()
        await world.try_on(person, garment)
        plan.go_on.set()
        await late
        assert len(await world.generations()) == 2
        assert len(await world.assert_nothing_is_left_behind()) == 2


async def test_a_product_called_mock_has_nothing_to_put_on() -> None:
    async with world_in_memory() as world:
        person, garment = await stored(world, b"person"), StoredSource(await stored(world, b"garment"))
        command = TryOnCommand(
            account=await world.account(),
            person=StoredSource(person),
            product=WantedProduct(account=await world.account(), external_id=None, garments=(garment,), title="mock"),
        )
        started = await world._start_try_on(None).execute(command)
        assert (await world.inputs_of(started.generation_id)).is_mock
        assert (await world.inputs_of(started.generation_id)).retention == (await world.account()).default_retention


async def test_a_customer_may_name_their_own_photo_or_nobody() -> None:
    async with world_in_memory() as world:
        person = (await world.upload(b"person", customer=a_customer())).image.image_id
        garment = (StoredSource(await stored(world, b"garment")),)
        for customer in (None, a_customer()):
            started = await world.try_on(person, garment, customer=customer)
            assert (await world.inputs_of(started.generation_id)).customer == a_customer()
        with pytest.raises(ValidationFailed):
            await world.try_on(person, garment, customer=a_customer("somebody else"))
