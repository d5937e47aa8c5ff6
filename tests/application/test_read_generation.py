"""The state of a generation, and the list of them."""

from datetime import timedelta

import pytest

from application.generations import RESULT_GONE, ReadGeneration
from application.read_image import PreviewLinks, StoredSource
from domain.errors import GenerationNotFound
from domain.generation import GenerationId, GenerationStatus
from tests.builders import ACME, OTHER
from tests.durability.conftest import world_in_memory
from tests.durability.world import LINKS, World


def reader(world: World) -> ReadGeneration:
    return ReadGeneration(world.work, PreviewLinks(LINKS, world.clock, timedelta(minutes=15)), world.clock)


async def a_try_on(world: World) -> GenerationId:
    person, garment = (await world.upload(b"person")).image, (await world.upload(b"garment")).image
    return (await world.try_on(person.image_id, (StoredSource(garment.image_id),))).generation_id


async def test_one_that_waits_has_no_result_and_one_that_is_done_has_a_link_to_it() -> None:
    async with world_in_memory() as world:
        generation_id = await a_try_on(world)
        waiting = await reader(world).execute(generation_id, ACME)
        assert (waiting.generation.status, waiting.result) == (GenerationStatus.PENDING, None)
        await world.work_off()
        done = await reader(world).execute(generation_id, ACME)
        assert done.generation.status is GenerationStatus.COMPLETED
        assert done.result is not None
        assert done.result.image == await world.result_of(generation_id)


async def test_without_its_picture_one_that_is_done_counts_as_failed() -> None:
    async with world_in_memory() as world:
        generation_id = await a_try_on(world)
        await world.work_off()
        await world.delete((await world.result_of(generation_id)).image_id)
        gone = await reader(world).execute(generation_id, ACME)
        assert (gone.generation.status, gone.generation.failure) == (GenerationStatus.FAILED, RESULT_GONE)
        assert (gone.generation.result, gone.result) == (None, None)
        assert RESULT_GONE.code == "RESULT_GONE"


async def test_a_result_that_has_expired_is_gone_before_any_purge() -> None:
    async with world_in_memory() as world:
        generation_id = await a_try_on(world)
        await world.work_off()
        world.clock.advance(days=7)
        assert (await reader(world).execute(generation_id, ACME)).generation.failure == RESULT_GONE


async def test_nobody_reads_what_is_unknown_or_anothers() -> None:
    async with world_in_memory() as world:
        generation_id = await a_try_on(world)
        for unknown, account in (
            (GenerationId("gen_none"), ACME),
            (GenerationId("gen\0"), ACME),
            (generation_id, OTHER),
        ):
            with pytest.raises(GenerationNotFound):
                await reader(world).execute(unknown, account)


async def test_a_page_goes_on_before_the_last_one_and_says_whether_there_are_more() -> None:
    async with world_in_memory() as world:
        ids = []
        for _ in range(3):
            ids.append(await a_try_on(world))
            world.clock.advance(seconds=1)
        await world.work_off()
        newest, has_more = await reader(world).page(ACME, None, 2)
        assert ([each.generation.generation_id for each in newest], has_more) == ([ids[2], ids[1]], True)
        rest, has_more = await reader(world).page(ACME, ids[1], 2)
        assert ([each.generation.generation_id for each in rest], has_more) == ([ids[0]], False)
        assert rest[0].result is not None
        assert newest[0].result is None
        everything, has_more = await reader(world).page(ACME, None, 3)
        assert (len(everything), has_more) == (3, False)
        with pytest.raises(GenerationNotFound):
            await reader(world).page(ACME, GenerationId("gen_none"), 2)
