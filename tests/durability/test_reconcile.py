"""Bucket and database compared both ways, after disasters that are not supposed to happen."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import pytest

from adapters.memory.surroundings import InMemoryObjectStore
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from application.delete_images import FinishDeletion
from application.reconcile import PAGE, Comparison, Kind, Reconcile
from domain.errors import ReconcileRefused
from domain.image import ImageId
from tests.durability.conftest import MakeWorld, world_in_memory
from tests.durability.faults import Fault, Plan, ProcessDied
from tests.durability.world import World

ORPHAN = "ttl-3d/img_0000.jpg"


async def a_disaster(world: World) -> tuple[ImageId, ImageId]:
    """One object lost its row, one image lost its object. Returns: an image that is well, and the lost one."""
    well = (await world.upload(b"well")).image
    lost = (await world.upload(b"lost", keep_for_days=1)).image
    await world.objects.delete([lost.object_name])
    await world.objects.put(ORPHAN, b"orphan")
    return well.image_id, lost.image_id


async def test_a_dry_run_finds_both_and_touches_neither(make_world: MakeWorld) -> None:
    async with make_world() as world:
        _, lost = await a_disaster(world)
        done = await world.reconcile(repair=False)
        assert (done.compared, done.orphans, done.missing, done.repaired, done.left) == (3, 1, 1, 0, 2)
        assert {(found.kind, found.object_name) for found in done.found} == {
            (Kind.ORPHAN, ORPHAN),
            (Kind.MISSING, f"ttl-1d/{lost}.jpg"),
        }
        assert await world.objects.get(ORPHAN) == b"orphan"


async def test_mending_leaves_what_is_well(make_world: MakeWorld) -> None:
    async with make_world() as world:
        well, _ = await a_disaster(world)
        done = await world.reconcile(repair=True)
        assert (done.orphans, done.missing, done.repaired, done.left) == (1, 1, 2, 0)
        assert await world.assert_nothing_is_left_behind() == {well}


async def test_an_upload_in_flight_is_no_difference(make_world: MakeWorld) -> None:
    async with make_world() as world:
        await world.upload(b"well")
        plan = Plan(Fault.CRASHES_AFTER, call=".put")
        with pytest.raises(ProcessDied):
            await world.upload(b"in flight", plan)
        with pytest.raises(ProcessDied):
            await world.upload(b"not even that", Plan(Fault.CRASHES_BEFORE, call=".put"))
        done = await world.reconcile(repair=True)
        assert (done.orphans, done.missing) == (0, 0)
        assert len([name async for name in world.objects.names()]) == 2


async def test_what_is_not_ours_is_named_and_left_alone(make_world: MakeWorld) -> None:
    async with make_world() as world:
        await world.upload(b"well")
        await world.objects.put("ttl-7d/notes.txt", b"a person's own")
        done = await world.reconcile(repair=True)
        assert (done.foreign, done.left) == (1, 0)
        assert await world.objects.get("ttl-7d/notes.txt") == b"a person's own"


async def test_storage_that_is_not_mounted_is_not_taken_for_empty(make_world: MakeWorld) -> None:
    async with make_world() as world:
        image = (await world.upload(b"well")).image
        await world.objects.delete([image.object_name])
        await world.objects.put("ttl-7d/notes.txt", b"whatever lies below the mount")
        with pytest.raises(ReconcileRefused, match="mounted"):
            await world.reconcile(repair=True)


async def test_a_dry_run_counts_what_it_would_not_repair(make_world: MakeWorld) -> None:
    async with make_world() as world:
        for days in (1, 7):
            image = (await world.upload(b"well", keep_for_days=days)).image
            await world.objects.delete([image.object_name])
        done = await world.reconcile(repair=False)
        assert (done.compared, done.missing, done.last) == (2, 2, image.object_name)


async def test_a_database_without_accounts_is_not_the_right_one() -> None:
    world = World(InMemoryUnitOfWork(), InMemoryObjectStore())
    assert await world.reconcile(repair=False) == Comparison()
    await world.objects.put(ORPHAN, b"all there is")
    with pytest.raises(ReconcileRefused, match="no accounts"):
        await world.reconcile(repair=True)
    assert await world.objects.get(ORPHAN) == b"all there is"


async def test_where_neither_side_has_an_image_nothing_is_wrong(make_world: MakeWorld) -> None:
    async with make_world() as world:
        assert await world.reconcile(repair=True) == Comparison()


def reconcile(world: World) -> Reconcile:
    return Reconcile(world.work, world.objects, FinishDeletion(world.objects, world.work, world.clock), world.clock)


async def compared(world: World, after: str = "", *, repair: bool = False) -> list[Comparison]:
    return [done async for done in reconcile(world).execute(repair=repair, after=after)]


async def test_all_that_the_database_knows_is_the_total(make_world: MakeWorld) -> None:
    async with make_world() as world:
        await a_disaster(world)
        assert await reconcile(world).total() == 2


class StoreInUse(InMemoryObjectStore):
    """Somebody else works on it while its names are listed: when the first ones are there, and after the last."""

    early: Callable[[], Awaitable[object]] | None = None
    late: Callable[[], Awaitable[object]] | None = None

    async def names(self, after: str = "") -> AsyncIterator[str]:
        listed = [name async for name in super().names(after)]
        if self.early:
            await self.early()
        for name in listed:
            yield name
        if self.late:
            await self.late()
            async for name in super().names(listed[-1]):
                yield name


async def test_what_comes_and_goes_meanwhile_is_no_difference() -> None:
    async with world_in_memory() as world:
        world.objects = store = StoreInUse()
        goes = (await world.upload(b"goes")).image.image_id
        await world.upload(b"stays")
        store.early = lambda: world.upload(b"comes")
        (done,) = await compared(world)
        assert (done.compared, done.orphans, done.missing) == (3, 0, 0)
        store.early, store.late = None, lambda: world.upload(b"comes late")
        (done,) = await compared(world)
        assert (done.compared, done.orphans, done.missing) == (4, 0, 0)
        store.early, store.late = (lambda: world.delete(goes)), None
        (done,) = await compared(world)
        assert (done.compared, done.missing) == (4, 0)


class StoreThatKeeps(InMemoryObjectStore):
    """Deletes nothing."""

    async def delete(self, names: Iterable[str]) -> frozenset[str]:
        return frozenset(names)


async def test_what_storage_does_not_delete_is_left_for_a_minute() -> None:
    async with world_in_memory() as world:
        await a_disaster(world)
        storage, world.objects = world.objects, StoreThatKeeps()
        async for name in storage.names():
            await world.objects.put(name, b"photo")
        (done,) = await compared(world, repair=True)
        assert (done.orphans, done.missing, done.repaired, done.left) == (1, 1, 0, 2)
        world.objects = storage
        assert (await world.purge()).removed == 0
        world.clock.advance(minutes=1)
        assert (await world.purge()).removed == 1


async def lost(world: World, *keep_for_days: int) -> None:
    """Images without their objects: what is not compared is not missed."""
    for days in keep_for_days:
        await world.objects.delete([(await world.upload(b"lost", keep_for_days=days)).image.object_name])


@pytest.mark.parametrize(("after", "left"), [("", 3), ("ttl-1d/img_0002.jpg", 2), ("ttl-7d/img_0000.jpg", 1)])
async def test_a_comparison_begins_after_a_name(after: str, left: int) -> None:
    async with world_in_memory() as world:
        await lost(world, 7, 1, 1)
        (done,) = await compared(world, after)
        assert (done.compared, done.missing) == (left, left)


async def test_more_rows_than_a_page_are_read_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("application.reconcile.PAGE", 3)
    async with world_in_memory() as world:
        await lost(world, *[7] * 8)
        assert [(done.compared, done.missing) for done in await compared(world)] == [(3, 3), (6, 6), (8, 8)]


async def test_an_image_that_comes_after_an_orphan_is_compared_too() -> None:
    async with world_in_memory() as world:
        await lost(world, 7)
        await world.objects.put(ORPHAN, b"orphan")
        (done,) = await compared(world)
        assert (done.compared, done.orphans, done.missing) == (2, 1, 1)


async def test_an_object_that_is_listed_is_not_read() -> None:
    async with world_in_memory() as world:
        await world.upload(b"well")
        plan = Plan()
        assert (await world.reconcile(plan, repair=False)).compared == 1
        assert [call for call in plan.calls if call.endswith(".get")] == []


async def test_a_comparison_goes_on_where_it_was_stopped(make_world: MakeWorld) -> None:
    async with make_world() as world:
        for days in (1, 3, 7):
            for _ in range(PAGE // 4):
                await world.upload(b"well", keep_for_days=days)
        for days in (1, 3, 7):
            await world.objects.put(f"ttl-{days}d/img_9999.jpg", b"orphan")
        for number in range(PAGE):
            await world.objects.put(f"ttl-7d/img_{number + 5000}.jpg", b"orphan")
        finish = FinishDeletion(world.objects, world.work, world.clock)
        use_case = Reconcile(world.work, world.objects, finish, world.clock)
        steps: list[Comparison] = [done async for done in use_case.execute(repair=False)]
        assert len(steps) > 1
        rest = [done async for done in use_case.execute(repair=False, after=steps[0].last)]
        assert steps[0].orphans + rest[-1].orphans == steps[-1].orphans == PAGE + 3
        assert steps[0].compared + rest[-1].compared == steps[-1].compared
