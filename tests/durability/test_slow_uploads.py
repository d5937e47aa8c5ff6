"""An upload that stands still at any call of a port while something else happens to its customer or to its row."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from application.read_image import LinkedImage
from domain.errors import CustomerErased, Overloaded
from domain.image import UploadedImage
from tests.builders import a_customer
from tests.durability.conftest import MakeWorld
from tests.durability.faults import Fault, Plan, ProcessDied
from tests.durability.world import World

CUSTOMER = a_customer()


async def erased(world: World) -> None:
    await world.erase(CUSTOMER)


async def erased_and_the_tombstone_nearly_over(world: World) -> None:
    await world.erase(CUSTOMER)
    world.clock.advance(minutes=9)
    await world.purge()


async def given_up_by_a_purger(world: World) -> None:
    world.clock.time += UploadedImage.PENDING_LEASE
    await world.purge()


async def reconciled(world: World) -> None:
    other = await world.upload(b"other")  # an empty bucket beside a row would be taken for one that is not mounted
    assert (await world.reconcile(repair=True)).left == 0
    await world.delete(other.image.image_id)


Event = Callable[[World], Awaitable[None]]


async def stand_still(world: World, plan: Plan, event: Event) -> LinkedImage | BaseException:
    task = asyncio.ensure_future(world.upload(b"photo", plan, customer=CUSTOMER, key="k1"))
    waiting = asyncio.ensure_future(plan.waiting.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    await event(world)
    plan.go_on.set()
    return (await asyncio.gather(task, return_exceptions=True))[0]


@pytest.mark.parametrize("fault", [Fault.PAUSES_BEFORE, Fault.PAUSES_AFTER], ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("event", [erased, erased_and_the_tombstone_nearly_over], ids=lambda event: event.__name__)
async def test_no_upload_that_began_before_an_erasure_survives_it(
    make_world: MakeWorld, fault: Fault, event: Event
) -> None:
    at, refused = 0, 0
    while True:
        at += 1
        plan = Plan(fault, at)
        async with make_world() as world:
            result = await stand_still(world, plan, event)
            if not plan.happened:
                break
            if isinstance(result, LinkedImage):  # it was published before, only its answer came after
                assert plan.calls[-1] == "work.commit"
            else:
                assert isinstance(result, (CustomerErased, Overloaded)), repr(result)
                refused += isinstance(result, CustomerErased)
            assert [name async for name in world.objects.names()] == [], f"bytes are left, at {plan.calls[at - 1]}"
            await world.recover()
            assert await world.assert_nothing_is_left_behind() == set()
    assert refused > 0


@pytest.mark.parametrize("event", [given_up_by_a_purger, reconciled], ids=lambda event: event.__name__)
async def test_an_upload_that_stood_still_is_whole_or_not_there(make_world: MakeWorld, event: Event) -> None:
    at = 0
    while True:
        at += 1
        plan = Plan(Fault.PAUSES_BEFORE, at)
        async with make_world() as world:
            result = await stand_still(world, plan, event)
            if not plan.happened:
                break
            await world.recover()
            kept = await world.assert_nothing_is_left_behind()
            assert kept == ({result.image.image_id} if isinstance(result, LinkedImage) else set())
    assert at > 5


async def test_bytes_that_arrive_after_their_row_was_removed_get_a_row_until_they_are_gone(
    make_world: MakeWorld,
) -> None:
    async with make_world() as world:
        plan = Plan(Fault.PAUSES_BEFORE, call=".put")

        async def given_up_and_then_the_process_dies(world: World) -> None:
            await given_up_by_a_purger(world)
            plan.fault, plan.call, plan.happened = Fault.CRASHES_BEFORE, "objects.delete", False

        assert isinstance(await stand_still(world, plan, given_up_and_then_the_process_dies), ProcessDied)
        assert len([name async for name in world.objects.names()]) == 1
        async with world.work.read() as repositories:
            assert (await repositories.images.traces_of(CUSTOMER)).images == 0
        await world.recover()
        assert await world.assert_nothing_is_left_behind() == set()


async def test_an_upload_that_dies_after_its_customer_was_erased_leaves_no_bytes(make_world: MakeWorld) -> None:
    async with make_world() as world:
        plan = Plan(Fault.PAUSES_BEFORE, call=".put")

        async def erased_and_then_the_process_dies(world: World) -> None:
            await erased(world)
            plan.fault, plan.call, plan.happened = Fault.CRASHES_BEFORE, "work.begin", False

        assert isinstance(await stand_still(world, plan, erased_and_then_the_process_dies), ProcessDied)
        assert len([name async for name in world.objects.names()]) == 1
        await world.recover()
        assert await world.assert_nothing_is_left_behind() == set()
