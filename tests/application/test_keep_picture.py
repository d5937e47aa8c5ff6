"""A finished picture on its way into the store, and what may come between."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from adapters.memory.surroundings import InMemoryObjectStore
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from adapters.system import LocalDiskReserve
from application.delete_images import FinishDeletion, PurgeOverdue
from application.erase_customer import EraseCustomer
from application.keep_picture import KeepPicture
from application.ports.objects import DiskReserve
from application.ports.rows import Repositories
from domain.errors import CustomerErased, ImageNotFound, Overloaded
from domain.image import ImageState, UploadedImage
from tests.builders import (
    CountingRandom,
    MovableClock,
    a_customer,
    a_database_with_accounts,
    a_stored_photo,
    an_image,
    nothing_to_renew,
    time_of,
)
from tests.durability.faults import Fault, FaultyUnitOfWork, Plan

JPEG = b"\xff\xd8 a result"


class InterruptedStore(InMemoryObjectStore):
    """Something happens just after the bytes have arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.interruption: Callable[[], Awaitable[object]] | None = None

    async def put(self, name: str, data: bytes) -> None:
        await super().put(name, data)
        if self.interruption:
            await self.interruption()


class World:
    """The use cases around one store and one database."""

    def __init__(self, work: InMemoryUnitOfWork) -> None:
        self.work, self.objects, self.clock = work, InterruptedStore(), MovableClock()
        finish = FinishDeletion(self.objects, work, self.clock)
        self.keep_picture = KeepPicture(self.objects, work, finish, self.clock, LocalDiskReserve((), 0))
        self.erase = EraseCustomer(work, finish, self.clock, CountingRandom(), timedelta(days=30), timedelta(hours=1))
        self.purge = PurgeOverdue(work, finish, self.objects, time_of(self.clock), nothing_to_renew)

    async def store(self, image: UploadedImage, *, settles: bool = True) -> None:
        async def admit(_: Repositories) -> None:
            """Whoever asks."""

        async def settle(_: Repositories) -> None:
            if not settles:
                raise ImageNotFound

        await self.keep_picture.reserve(image, admit)
        await self.keep_picture.execute(image, a_stored_photo(), JPEG, settle)

    async def left(self) -> tuple[list[str], bool]:
        """Objects, and whether the picture can be read."""
        async with self.work.read() as repositories:
            found = await repositories.images.find(an_image().image_id, an_image().account_id)
        names = [name async for name in self.objects.names()]
        return names, found is not None and found.is_readable(self.clock.now())


@pytest.fixture
async def world() -> World:
    return World(await a_database_with_accounts())


async def test_a_picture_that_is_wanted_is_kept(world: World) -> None:
    await world.store(an_image())
    assert await world.left() == (["ttl-7d/img_1.jpg"], True)


async def test_a_picture_that_is_not_wanted_any_more_when_its_bytes_are_there_leaves_nothing(world: World) -> None:
    with pytest.raises(ImageNotFound):
        await world.store(an_image(), settles=False)
    assert await world.left() == ([], False)


async def test_an_erasure_between_the_bytes_and_the_row_leaves_nothing(world: World) -> None:
    world.objects.interruption = lambda: world.erase.execute(a_customer())
    with pytest.raises(CustomerErased):
        await world.store(an_image(customer=a_customer()))
    assert await world.left() == ([], False)


async def test_an_outage_after_the_bytes_leaves_what_a_purger_finds(world: World) -> None:
    async def fail() -> None:
        raise Overloaded

    world.objects.interruption = fail
    with pytest.raises(Overloaded):
        await world.store(an_image())
    assert await world.left() == (["ttl-7d/img_1.jpg"], False)
    world.clock.advance(minutes=5)
    await world.purge.execute()
    assert await world.left() == ([], False)


async def test_a_picture_that_arrives_after_its_reservation_lapsed_does_not_stay(world: World) -> None:
    async def a_purger_comes_by() -> None:
        world.clock.advance(minutes=6)
        await world.purge.execute()
        await InMemoryObjectStore.put(world.objects, an_image().object_name, JPEG)  # the put lands after all

    world.objects.interruption = a_purger_comes_by
    with pytest.raises(Overloaded):
        await world.store(an_image())
    world.clock.advance(minutes=1)
    await world.purge.execute()
    assert await world.left() == ([], False)


class FullDisk:
    """Whatever else there is room for, it is not a photo."""

    async def expect(self) -> None:
        raise Overloaded


def keeper(world: World, plan: Plan | None = None, disk: DiskReserve | None = None) -> KeepPicture:
    """With something that goes wrong."""
    work: Any = FaultyUnitOfWork(world.work, plan or Plan())
    finish = FinishDeletion(world.objects, work, world.clock)
    return KeepPicture(world.objects, work, finish, world.clock, disk or LocalDiskReserve((), 0))


async def nobody_objects(_: Repositories) -> None:
    """Whoever asks is admitted."""


async def rows(world: World) -> int:
    async with world.work.read() as repositories:
        return await repositories.images.count()


async def test_nothing_is_reserved_or_put_on_a_full_disk(world: World) -> None:
    with pytest.raises(Overloaded):
        await keeper(world, disk=FullDisk()).reserve(an_image(), nobody_objects)
    assert await rows(world) == 0
    await world.keep_picture.reserve(an_image(), nobody_objects)
    with pytest.raises(Overloaded):
        await keeper(world, disk=FullDisk()).execute(an_image(), a_stored_photo(), JPEG)
    assert await world.left() == ([], False)


async def test_a_reservation_whose_commit_seemed_to_fail_is_taken_back(world: World) -> None:
    with pytest.raises(Overloaded):
        await keeper(world, Plan(Fault.FAILS_AFTER, call="commit")).reserve(an_image(), nobody_objects)
    assert await rows(world) == 0


async def test_a_picture_whose_commit_seemed_to_fail_is_kept(world: World) -> None:
    await world.keep_picture.reserve(an_image(), nobody_objects)
    await keeper(world, Plan(Fault.FAILS_AFTER, call="commit")).execute(an_image(), a_stored_photo(), JPEG)
    assert await world.left() == (["ttl-7d/img_1.jpg"], True)


async def test_whoever_gives_up_hears_so_even_if_the_picture_is_kept(world: World) -> None:
    await world.keep_picture.reserve(an_image(), nobody_objects)
    plan = Plan(Fault.HANGS_AFTER, call="commit")
    task = asyncio.create_task(keeper(world, plan).execute(an_image(), a_stored_photo(), JPEG))
    await plan.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await world.left() == (["ttl-7d/img_1.jpg"], True)


async def test_a_picture_that_was_put_in_vain_waits_for_its_purger_for_the_length_of_a_lease(world: World) -> None:
    await world.keep_picture.reserve(an_image(), nobody_objects)
    with pytest.raises(Overloaded):
        await keeper(world, disk=FullDisk()).execute(an_image(), a_stored_photo(), JPEG)
    await world.objects.put(an_image().object_name, JPEG)  # it arrives after all
    world.clock.advance(minutes=5, seconds=-1)
    await world.purge.execute()
    assert await world.left() == (["ttl-7d/img_1.jpg"], False)
    world.clock.advance(seconds=1)
    await world.purge.execute()
    assert await world.left() == ([], False)


async def test_a_customers_picture_takes_turns_with_their_erasures_and_nobodys_does_not(world: World) -> None:
    steps = {}
    for image in (an_image("img_1", customer=a_customer()), an_image("img_2")):
        plan = Plan()
        await keeper(world, plan).reserve(image, nobody_objects)
        await keeper(world, plan).execute(image, a_stored_photo(), JPEG)
        steps[image.image_id] = [call.rpartition(".")[2] for call in plan.calls]
    assert steps == {
        "img_1": ["begin", "serialize", "reserve", "commit", "begin", "serialize", "publish", "commit"],
        "img_2": ["begin", "reserve", "commit", "begin", "publish", "commit"],
    }


class Flaky:
    """Refuses the first few transactions."""

    def __init__(self, work: InMemoryUnitOfWork, failures: int) -> None:
        self.work, self.failures = work, failures

    def begin(self) -> Any:
        self.failures -= 1
        if self.failures >= 0:
            raise Overloaded
        return self.work.begin()


@pytest.mark.parametrize(("failures", "state"), [(2, ImageState.DELETING), (3, ImageState.PENDING)])
async def test_a_picture_is_given_up_in_three_attempts(world: World, failures: int, state: ImageState) -> None:
    await world.keep_picture.reserve(an_image(), nobody_objects)
    work: Any = Flaky(world.work, failures)
    keep = KeepPicture(world.objects, work, FinishDeletion(world.objects, work, world.clock), world.clock, FullDisk())
    with pytest.raises(Overloaded):
        await keep.execute(an_image(), a_stored_photo(), JPEG)
    async with world.work.read() as repositories:
        found = await repositories.images.find(an_image().image_id, an_image().account_id)
    assert found is not None
    assert found.state is state
