"""A fault at every single call of a port, in every operation: afterwards both promises hold.

An acknowledged image is there until it expires; an image that was deleted, erased or has expired is nowhere.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from application.generations import GenerationOutcome
from application.read_image import FileSource, StoredSource
from application.start_try_on import StartedTryOn
from domain.errors import CustomerErased, DomainError, Overloaded
from domain.generation import GenerationStatus
from domain.image import ImageId
from tests.builders import a_customer
from tests.durability.conftest import MakeWorld
from tests.durability.faults import HANGS, PAUSES, Fault, Plan, ProcessDied
from tests.durability.world import World

CASES = [
    *(pytest.param("memory", fault, id=f"memory-{fault.name.lower()}") for fault in Fault if fault not in PAUSES),
    # What a real database adds: rollback, cancelled statements, commits that nobody heard of.
    *(
        pytest.param("sqlite", fault, id=f"sqlite-{fault.name.lower()}")
        for fault in (Fault.FAILS_BEFORE, Fault.HANGS_AFTER, Fault.CRASHES_AFTER)
    ),
]
MINE, OTHERS = a_customer("mine"), a_customer("others")


@dataclass
class Story:
    """What was there before an operation, and what is known after it."""

    world: World
    acknowledged: dict[ImageId, bytes] = field(default_factory=dict)
    gone: set[ImageId] = field(default_factory=set)
    uncertain: set[ImageId] = field(default_factory=set)
    """Nobody was told what became of it: it may be there or not, but not half."""

    async def given(self, photo: bytes, **options: Any) -> ImageId:
        image_id = (await self.world.upload(photo, **options)).image.image_id
        self.acknowledged[image_id] = photo
        return image_id

    def is_gone(self, *image_ids: ImageId) -> None:
        self.gone.update(image_ids)
        for image_id in image_ids:
            self.acknowledged.pop(image_id, None)

    def is_uncertain(self, *image_ids: ImageId) -> None:
        self.uncertain.update(image_ids)
        for image_id in image_ids:
            self.acknowledged.pop(image_id, None)

    async def assert_promises(self) -> None:
        for image_id, photo in self.acknowledged.items():
            assert await self.world.bytes_of(image_id) == photo, f"{image_id} was lost"
        for image_id in self.gone:
            assert await self.world.bytes_of(image_id) is None, f"{image_id} is still shown"


Operation = Callable[[Story, Plan], Awaitable[None]]


async def strike(operation: Awaitable[Any], plan: Plan) -> Any:
    """Run into the fault. Returns: the result, or the error; None when nobody heard of either."""
    task = asyncio.ensure_future(operation)
    if plan.fault in HANGS:
        waiting = asyncio.ensure_future(plan.waiting.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not task.done():
            task.cancel()
    try:
        return await task
    except (DomainError, ProcessDied, asyncio.CancelledError) as error:
        return error


async def upload(story: Story, plan: Plan) -> None:
    await story.given(b"other", customer=OTHERS)
    result = await strike(story.world.upload(b"mine", plan, customer=MINE, key="k1"), plan)
    if not isinstance(result, BaseException):
        story.acknowledged[result.image.image_id] = b"mine"
    await story.assert_promises()
    await story.world.recover()
    again = await story.given(b"mine", customer=MINE, key="k1")
    kept = await story.world.assert_nothing_is_left_behind()
    mine = [image_id for image_id in kept if await story.world.bytes_of(image_id) == b"mine"]
    assert mine == [again], "the same key stored two images"


async def delete(story: Story, plan: Plan) -> None:
    image_id = await story.given(b"mine")
    await story.given(b"other")
    result = await strike(story.world.delete(image_id, plan), plan)
    if isinstance(result, BaseException):
        story.is_uncertain(image_id)
    else:
        story.is_gone(image_id)
    await story.assert_promises()
    await story.world.recover()
    await story.world.delete(image_id)
    story.is_gone(image_id)


async def erase(story: Story, plan: Plan) -> None:
    world = story.world
    mine = [await story.given(b"mine 1", customer=MINE), await story.given(b"mine 2", customer=MINE, keep_for_days=1)]
    await story.given(b"other", customer=OTHERS)
    in_flight = Plan(Fault.PAUSES_AFTER, call=".put")
    uploading = asyncio.ensure_future(world.upload(b"in flight", in_flight, customer=MINE))
    await in_flight.waiting.wait()
    result = await strike(world.erase(MINE, plan), plan)
    if isinstance(result, BaseException):
        story.is_uncertain(*mine)
    else:
        story.is_gone(*mine)
    await story.assert_promises()
    in_flight.go_on.set()
    try:
        survivor = (await uploading).image.image_id
    except CustomerErased:
        pass
    else:
        assert isinstance(result, BaseException), "an upload in flight survived an erasure"
        mine.append(survivor)
    await world.recover()
    again = await world.erase(MINE)
    assert again.bytes_left == 0
    story.is_gone(*mine)
    kept = await world.assert_nothing_is_left_behind()
    assert kept == set(story.acknowledged)
    async with world.work.read() as repositories:
        assert (await repositories.images.traces_of(MINE)).images == 0
        records = await repositories.erasures.list_records(None, 10)
        assert [record for record in records if record.completed_at is None] == []


async def purge(story: Story, plan: Plan) -> None:
    world = story.world
    expired = [await story.given(b"old %d" % number, keep_for_days=1) for number in range(4)]
    world.clock.advance(days=1, minutes=-3)
    dead = Plan(Fault.CRASHES_AFTER, call=".put")
    await strike(world.upload(b"dead", dead, customer=MINE), dead)
    unfinished = Plan(Fault.CRASHES_AFTER, call="work.commit")
    marked = await story.given(b"marked")
    await strike(world.delete(marked, unfinished), unfinished)
    world.clock.advance(minutes=10)
    story.is_gone(marked, *expired)
    await story.given(b"young")
    await story.assert_promises()
    await strike(world.purge(plan), plan)
    await story.assert_promises()


async def start_a_try_on(story: Story, plan: Plan) -> None:
    world = story.world
    photos = {"person": b"person", "garment": b"garment"}

    async def start(plan: Plan | None = None) -> StartedTryOn:
        person, garment = (FileSource(photo, path) for path, photo in photos.items())
        return await world.try_on(person, (garment,), plan, customer=MINE, product_id=None, key="k1")

    result = await strike(start(plan), plan)
    queued = await world.generations()
    for generation in queued:
        assert generation.inputs is not None
        named = (generation.inputs.person, *generation.inputs.garments)
        story.acknowledged.update(zip(named, photos.values(), strict=True))
    await story.assert_promises()
    if isinstance(result, StartedTryOn):
        assert [generation.generation_id for generation in queued] == [result.generation_id]
    await world.recover()
    again = await start()
    assert not queued or again.generation_id == queued[0].generation_id
    assert [generation.generation_id for generation in await world.generations()] == [again.generation_id]
    inputs = await world.inputs_of(again.generation_id)
    story.acknowledged.update(zip((inputs.person, *inputs.garments), photos.values(), strict=True))


async def work_off_a_try_on(story: Story, plan: Plan) -> None:
    world = story.world
    person = await story.given(b"person", customer=MINE)
    started = await world.try_on(person, (FileSource(b"garment", "products[0].images[0]"),), customer=MINE)
    outcome = await strike(world.work_off(plan), plan)
    await story.assert_promises()
    await world.recover()
    if isinstance(outcome, GenerationOutcome) and outcome.status is GenerationStatus.COMPLETED:
        result = await world.result_of(started.generation_id)
        story.acknowledged[result.image_id] = b"person"


OPERATIONS: list[Operation] = [upload, delete, erase, purge, start_a_try_on, work_off_a_try_on]


async def play(make_world: MakeWorld, operation: Operation, plan: Plan) -> None:
    async with make_world() as world:
        story = Story(world)
        await operation(story, plan)
        await world.recover()
        await story.assert_promises()
        kept = await world.assert_nothing_is_left_behind()
        assert kept >= set(story.acknowledged)
        assert not kept & story.gone
        world.clock.advance(days=32)
        assert not (await world.purge()).left_for_later
        assert await world.assert_nothing_is_left_behind() == set()


@pytest.mark.parametrize(("make_world", "fault"), CASES, indirect=["make_world"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
async def test_a_fault_at_any_call_breaks_no_promise(
    make_world: MakeWorld, operation: Operation, fault: Fault, record_property: Callable[[str, object], None]
) -> None:
    at = 0
    while True:
        at += 1
        plan = Plan(fault, at)
        try:
            await play(make_world, operation, plan)
        except AssertionError as error:
            error.add_note(f"{fault.name} at call {at} of {operation.__name__}: {plan.calls[-1]}")
            raise
        if not plan.happened:
            break
    assert at > 5
    record_property("faults", at - 1)


THEIRS = ImageId("img_0001")
KEPT_BY: dict[str, Callable[[World, Plan], Awaitable[Any]]] = {
    "an upload": lambda world, plan: world.upload(b"mine", plan, customer=MINE),
    "a copy": lambda world, plan: world.try_on(THEIRS, (StoredSource(THEIRS),), plan),
    "a result": lambda world, plan: world.work_off(plan),
}


@pytest.mark.parametrize("fault", [Fault.FAILS_BEFORE, Fault.FAILS_AFTER], ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("kept_by", KEPT_BY)
async def test_a_put_that_outlives_its_row_and_loses_one_call_more_leaves_no_object(
    make_world: MakeWorld, kept_by: str, fault: Fault
) -> None:
    for then_at in range(1, 9):
        async with make_world() as world:
            assert (await world.upload(b"theirs", keep_for_days=1)).image.image_id == THEIRS
            await world.try_on(THEIRS, (FileSource(b"garment", "products[0].images[0]"),))
            plan = Plan(Fault.PAUSES_BEFORE, call=".put", then=fault, then_at=then_at)
            keeping = asyncio.ensure_future(KEPT_BY[kept_by](world, plan))
            await plan.waiting.wait()
            await world.recover()
            plan.go_on.set()
            await asyncio.gather(keeping, return_exceptions=True)
            await world.recover()
            await world.assert_nothing_is_left_behind()


async def test_an_outage_during_an_erasure_is_admitted_and_leaves_nothing_readable(make_world: MakeWorld) -> None:
    async with make_world() as world:
        image = (await world.upload(b"mine", customer=MINE)).image
        outcome = await world.erase(MINE, Plan(Fault.DOWN_FROM_HERE, call="objects.delete"))
        assert outcome.bytes_left == 1
        assert await world.bytes_of(image.image_id) is None
        assert (await world.erase(MINE)).bytes_left == 0


async def test_an_upload_during_an_outage_is_refused_and_its_key_free_again(make_world: MakeWorld) -> None:
    async with make_world() as world:
        with pytest.raises(Overloaded):
            await world.upload(b"mine", Plan(Fault.FAILS_BEFORE, call=".put"), customer=MINE, key="k1")
        again = await world.upload(b"mine", customer=MINE, key="k1")
        assert await world.bytes_of(again.image.image_id) == b"mine"
