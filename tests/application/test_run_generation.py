"""One generation at a time: what the engine gets, what comes of its failures, and who holds the lease."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from adapters.system import LocalDiskReserve
from application.delete_images import FinishDeletion
from application.generations import GenerationOutcome, RunNextGeneration
from application.keep_picture import KeepPicture
from application.keep_product import WantedProduct
from application.ports.try_on import TryOnEngine, TryOnPicture
from application.read_image import OpenImage, ResolveImage, StoredSource
from application.start_try_on import TryOnCommand
from domain.errors import ContentFiltered, DomainError, EngineRefused, EngineUnavailable, ImageNotFound
from domain.generation import Failure, Generation, GenerationStatus
from domain.geometry import Size
from domain.image import ImageId
from tests.builders import ACME, a_customer, a_stored_photo
from tests.durability.conftest import world_in_memory
from tests.durability.faults import Fault, Plan
from tests.durability.world import World

SIZE = Size(300, 400)


class ScriptedEngine(TryOnEngine):
    """Does with a garment's picture what the test says; else it answers with person and garment."""

    name = "scripted"

    def __init__(self, **script: DomainError | Callable[[], Awaitable[object]] | Exception) -> None:
        self.script, self.asked = script, list[str]()

    async def render(self, person_jpeg: bytes, garment_jpeg: bytes) -> TryOnPicture:
        self.asked.append(garment_jpeg.decode())
        answer = self.script.get(garment_jpeg.decode())
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            await answer()
        return TryOnPicture(person_jpeg + b" in " + garment_jpeg, SIZE)

    async def check(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to end."""


def runner(world: World, engine: TryOnEngine, engine_time: timedelta = timedelta(minutes=1)) -> RunNextGeneration:
    finish = FinishDeletion(world.objects, world.work, world.clock)
    return RunNextGeneration(
        engine=engine,
        open_image=OpenImage(ResolveImage(world.work, world.clock), world.objects),
        keep_picture=KeepPicture(world.objects, world.work, finish, world.clock, LocalDiskReserve((), 0)),
        work=world.work,
        clock=world.clock,
        random=world.random,
        engine_time=engine_time,
    )


async def run(world: World, engine: TryOnEngine) -> GenerationOutcome:
    outcome = await runner(world, engine).execute()
    assert outcome is not None
    return outcome


async def queued(world: World, *garments: str, keep_for_days: int = 7) -> tuple[ImageId, tuple[ImageId, ...]]:
    """Returns: the images of the person and of the garments."""
    person = (await world.upload(b"Ann", customer=a_customer())).image.image_id
    images = tuple([(await world.upload(garment.encode())).image.image_id for garment in garments])
    await world.try_on(person, tuple(map(StoredSource, images)), customer=a_customer(), keep_for_days=keep_for_days)
    return person, images


async def the_generation(world: World) -> Generation:
    (generation,) = await world.generations()
    return generation


async def test_with_nothing_to_do_nothing_is_done() -> None:
    async with world_in_memory() as world:
        assert await runner(world, ScriptedEngine()).execute() is None


async def test_the_result_is_a_picture_of_the_customer_for_as_long_as_was_asked_for() -> None:
    async with world_in_memory() as world:
        await queued(world, "shirt", keep_for_days=3)
        world.clock.advance(seconds=2.5)
        outcome = await run(world, ScriptedEngine())
        assert (outcome.status, outcome.attempts, outcome.code) == (GenerationStatus.COMPLETED, 1, None)
        assert outcome.waited == timedelta(seconds=2.5)
        generation = await the_generation(world)
        image = await world.result_of(generation.generation_id)
        assert await world.bytes_of(image.image_id) == b"Ann in shirt"
        assert (image.customer, image.retention.keep_for_days, image.account_id) == (a_customer(), 3, ACME)
        assert image.created_at == world.clock.now() - timedelta(seconds=0.5)
        assert image.photo is not None
        assert (image.photo.size, image.photo.source_size, image.photo.size_bytes) == (SIZE, SIZE, 12)
        assert (generation.engine, generation.updated_at) == ("scripted", world.clock.now())


async def test_a_refused_picture_of_the_garment_is_followed_by_the_next_one() -> None:
    async with world_in_memory() as world:
        await queued(world, "front", "back")
        engine = ScriptedEngine(front=EngineRefused())
        assert (await run(world, engine)).status is GenerationStatus.COMPLETED
        assert engine.asked == ["front", "back"]


async def test_a_result_that_is_filtered_is_final() -> None:
    async with world_in_memory() as world:
        await queued(world, "front", "back")
        engine = ScriptedEngine(front=ContentFiltered())
        assert (await run(world, engine)).code == ContentFiltered.code
        assert engine.asked == ["front"]


async def test_when_all_are_refused_the_last_refusal_is_told_and_final() -> None:
    async with world_in_memory() as world:
        await queued(world, "front")
        outcome = await run(world, ScriptedEngine(front=EngineRefused()))
        assert (outcome.status, outcome.code) == (GenerationStatus.FAILED, EngineRefused.code)
        failure = (await the_generation(world)).failure
        assert failure == Failure(EngineRefused.code, str(EngineRefused()))
        assert await runner(world, ScriptedEngine()).execute() is None


async def test_a_picture_that_is_gone_is_passed_over() -> None:
    async with world_in_memory() as world:
        _, (front, back) = await queued(world, "front", "back")
        copies = (await world.inputs_of((await the_generation(world)).generation_id)).garments
        await world.delete(copies[0])
        engine = ScriptedEngine()
        assert (await run(world, engine)).status is GenerationStatus.COMPLETED
        assert engine.asked == ["back"]
        assert front != back


async def test_without_any_picture_of_the_garment_there_is_no_try_on() -> None:
    async with world_in_memory() as world:
        await queued(world, "front")
        for copy in (await world.inputs_of((await the_generation(world)).generation_id)).garments:
            await world.delete(copy)
        outcome = await run(world, ScriptedEngine())
        assert (outcome.status, outcome.code) == (GenerationStatus.FAILED, "IMAGE_NOT_FOUND")


async def test_an_engine_that_is_down_is_asked_again_after_a_pause_and_five_times_at_most() -> None:
    async with world_in_memory() as world:
        await queued(world, "shirt")
        engine = ScriptedEngine(shirt=EngineUnavailable())
        for attempt, pause in enumerate((4, 8, 16, 32), start=1):
            outcome = await run(world, engine)
            assert (outcome.status, outcome.attempts) == (GenerationStatus.PENDING, attempt)
            assert outcome.code == EngineUnavailable.code
            world.clock.advance(seconds=pause - 1)
            assert await runner(world, engine).execute() is None
            world.clock.advance(seconds=1)
        outcome = await run(world, engine)
        assert (outcome.status, outcome.code) == (GenerationStatus.FAILED, EngineUnavailable.code)


async def test_an_engine_that_takes_too_long_counts_as_down() -> None:
    async with world_in_memory() as world:
        await queued(world, "shirt")
        stuck = ScriptedEngine(shirt=asyncio.Event().wait)
        outcome = await runner(world, stuck, timedelta(milliseconds=1)).execute()
        assert outcome is not None
        assert (outcome.status, outcome.code) == (GenerationStatus.PENDING, EngineUnavailable.code)


async def test_storage_that_is_down_is_tried_again_and_at_last_told_as_an_engine_that_is_down() -> None:
    async with world_in_memory() as world:
        await queued(world, "shirt")
        for _ in range(4):
            outcome = await world.work_off(Plan(Fault.FAILS_BEFORE, call=".get"))
            assert outcome is not None
            assert (outcome.status, outcome.code) == (GenerationStatus.PENDING, "OVERLOADED")
            world.clock.advance(minutes=1)
        outcome = await world.work_off(Plan(Fault.FAILS_BEFORE, call=".get"))
        assert outcome is not None
        assert (outcome.status, outcome.code) == (GenerationStatus.FAILED, EngineUnavailable.code)


async def test_after_its_deadline_a_try_on_fails_without_asking_the_engine() -> None:
    async with world_in_memory() as world:
        await queued(world, "shirt")
        world.clock.advance(minutes=15)
        engine = ScriptedEngine()
        outcome = await run(world, engine)
        assert (outcome.status, outcome.code, engine.asked) == (GenerationStatus.FAILED, EngineUnavailable.code, [])


async def test_just_before_its_deadline_it_is_still_made() -> None:
    async with world_in_memory() as world:
        await queued(world, "shirt")
        world.clock.advance(minutes=15, seconds=-1)
        assert (await run(world, ScriptedEngine())).status is GenerationStatus.COMPLETED


async def test_the_work_of_a_dead_worker_is_taken_over_after_half_a_minute_and_not_more_than_five_times() -> None:
    async with world_in_memory() as world:
        await queued(world, "shirt")
        for _ in range(5):
            assert await runner(world, ScriptedEngine())._claim()
            world.clock.advance(seconds=29)
            assert await runner(world, ScriptedEngine())._claim() is None
            world.clock.advance(seconds=1)
        engine = ScriptedEngine()
        outcome = await run(world, engine)
        assert (outcome.status, outcome.code, outcome.attempts) == (GenerationStatus.FAILED, "GENERATION_FAILED", 6)
        assert engine.asked == []


async def test_a_worker_that_is_told_to_stop_hands_its_work_back_at_once() -> None:
    async with world_in_memory() as world:
        await queued(world, "shirt")
        task = asyncio.create_task(runner(world, ScriptedEngine(shirt=asyncio.Event().wait)).execute())
        while (await the_generation(world)).status is not GenerationStatus.PROCESSING:  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        outcome = await run(world, ScriptedEngine())
        assert (outcome.status, outcome.attempts) == (GenerationStatus.COMPLETED, 1)  # what was cut off does not count


async def test_a_bug_ends_the_generation_and_is_not_hidden() -> None:
    async with world_in_memory() as world:
        await queued(world, "shirt")
        with pytest.raises(ZeroDivisionError):
            await run(world, ScriptedEngine(shirt=ZeroDivisionError()))
        generation = await the_generation(world)
        assert generation.failure is not None
        assert (generation.status, generation.failure.code) == (GenerationStatus.FAILED, "GENERATION_FAILED")


async def test_a_heartbeat_keeps_the_lease_while_the_engine_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Generation, "HEARTBEAT", timedelta())
    async with world_in_memory() as world:
        await queued(world, "shirt")

        async def takes_its_time() -> None:
            world.clock.advance(seconds=29)
            for _ in range(50):
                await asyncio.sleep(0)
            world.clock.advance(seconds=29)
            assert await runner(world, ScriptedEngine())._claim() is None

        assert (await run(world, ScriptedEngine(shirt=takes_its_time))).status is GenerationStatus.COMPLETED


async def test_the_result_of_somebody_whose_lease_was_taken_over_is_not_kept() -> None:
    async with world_in_memory() as world:
        await queued(world, "shirt")

        async def is_taken_over() -> None:
            world.clock.advance(seconds=30)
            assert await runner(world, ScriptedEngine())._claim() is not None

        before = await world.assert_nothing_is_left_behind()
        await run(world, ScriptedEngine(shirt=is_taken_over))
        assert (await the_generation(world)).status is GenerationStatus.PROCESSING
        assert await world.assert_nothing_is_left_behind() == before


async def test_a_mock_is_the_persons_own_picture_and_no_engine_is_asked() -> None:
    async with world_in_memory() as world:
        person, garment = (await world.upload(b"Ann")).image, (await world.upload(b"shirt")).image
        command = TryOnCommand(
            account=await world.account(),
            person=StoredSource(person.image_id),
            product=WantedProduct(
                account=await world.account(),
                external_id=None,
                garments=(StoredSource(garment.image_id),),
                title="mock",
            ),
        )
        started = await world._start_try_on(None).execute(command)
        engine = ScriptedEngine()
        assert (await run(world, engine)).status is GenerationStatus.COMPLETED
        image = await world.result_of(started.generation_id)
        assert (await world.bytes_of(image.image_id), engine.asked) == (b"Ann", [])
        assert image.photo is not None
        assert image.photo.size == a_stored_photo().size
        assert (image.photo.crop, image.photo.person) == (None, None)


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_the_result_of_a_person_who_goes_meanwhile_is_not_kept(is_deleted: bool) -> None:
    async with world_in_memory() as world:
        person = (await world.upload(b"Ann", keep_for_days=1)).image.image_id
        garment = (await world.upload(b"shirt")).image.image_id
        world.clock.advance(days=1, seconds=-1)
        await world.try_on(person, (StoredSource(garment),))

        async def goes() -> None:
            if is_deleted:
                await world.delete(person)
            world.clock.advance(seconds=1)

        outcome = await run(world, ScriptedEngine(shirt=goes))
        assert (outcome.status, outcome.code) == (GenerationStatus.FAILED, "IMAGE_NOT_FOUND")
        assert (await the_generation(world)).result is None


async def test_nothing_goes_on_when_a_generation_is_done() -> None:
    async with world_in_memory() as world:
        await queued(world, "shirt")
        await run(world, ScriptedEngine())
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_photo_whose_object_is_lost_is_not_found() -> None:
    async with world_in_memory() as world:
        image = (await world.upload(b"Ann")).image
        await world.objects.delete([image.object_name])
        assert await world.bytes_of(image.image_id) is None
        with pytest.raises(ImageNotFound):
            await OpenImage(ResolveImage(world.work, world.clock), world.objects).execute(image.image_id, ACME)


async def test_the_result_of_a_person_who_goes_while_it_is_put_is_not_kept() -> None:
    async with world_in_memory() as world:
        person, _ = await queued(world, "shirt")
        plan = Plan(Fault.PAUSES_AFTER, call=".put")
        task = asyncio.create_task(world.work_off(plan))
        await plan.waiting.wait()
        await world.delete(person)
        plan.go_on.set()
        outcome = await task
        assert outcome is not None
        assert (outcome.status, outcome.code) == (GenerationStatus.FAILED, "IMAGE_NOT_FOUND")
