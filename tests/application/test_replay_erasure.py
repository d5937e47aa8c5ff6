"""An erasure that is applied again after the database was restored from an older backup."""

from dataclasses import replace
from datetime import timedelta

from application.delete_images import FinishDeletion
from application.erase_customer import RecordedErasure, ReplayErasure
from domain.account import AccountId
from domain.erasure import ErasureRecord
from domain.image import ErasureId, ImageId
from tests.builders import ACME, NOON
from tests.durability.conftest import world_in_memory
from tests.durability.faults import Fault, Plan
from tests.durability.world import World

MONTH = timedelta(days=30)
COMPLETED_THEN = NOON + timedelta(minutes=1)


def an_entry(image_id: ImageId) -> RecordedErasure:
    record = ErasureRecord(
        erasure_id=ErasureId("era_1"), account_id=ACME, requested_at=NOON, image_count=1, completed_at=COMPLETED_THEN
    )
    return RecordedErasure(record, (image_id,))


async def the_record(world: World) -> ErasureRecord:
    async with world.work.read() as repositories:
        (record,) = await repositories.erasures.list_records(ACME, 10)
    return record


async def test_a_replayed_erasure_is_complete_only_when_what_came_back_is_gone_again() -> None:
    async with world_in_memory() as world:
        came_back = (await world.upload(b"back from a backup")).image.image_id
        world.clock.advance(hours=1)
        assert await world.replay(an_entry(came_back), Plan(Fault.FAILS_BEFORE, call="objects.delete")) == 1
        assert (await the_record(world)).completed_at is None
        world.clock.advance(minutes=2)
        assert (await world.purge()).erasures_completed == 1
        assert (await the_record(world)).completed_at == world.clock.now()
        assert await world.assert_nothing_is_left_behind() == set()


async def test_a_replayed_erasure_that_finds_nothing_keeps_the_time_of_its_completion() -> None:
    async with world_in_memory() as world:
        assert await world.replay(an_entry(ImageId("img_gone"))) == 0
        assert (await the_record(world)).completed_at == COMPLETED_THEN


async def test_what_came_back_is_counted_and_its_bytes_go_with_the_replay() -> None:
    async with world_in_memory() as world:
        came_back = (await world.upload(b"back from a backup")).image
        replay = ReplayErasure(world.work, FinishDeletion(world.objects, world.work, world.clock), world.clock, MONTH)
        assert await replay.count(an_entry(came_back.image_id)) == 1
        await world.replay(an_entry(came_back.image_id))
        assert await replay.count(an_entry(came_back.image_id)) == 0
        assert await world.objects.get(came_back.object_name) is None


async def test_a_replay_leaves_a_record_that_was_not_lost() -> None:
    async with world_in_memory() as world:
        came_back = (await world.upload(b"back from a backup")).image
        async with world.work.begin() as repositories:
            kept = replace(an_entry(came_back.image_id).record, image_count=7)
            await repositories.erasures.open_record(kept, [], NOON)
        await world.replay(an_entry(came_back.image_id))
        assert (await the_record(world)).image_count == 7


async def test_no_record_is_made_for_an_account_that_is_unknown_here() -> None:
    async with world_in_memory() as world:
        entry = an_entry(ImageId("img_gone"))
        strange = RecordedErasure(replace(entry.record, account_id=AccountId("acc_strange")), entry.image_ids)
        assert await world.replay(strange) == 0
        async with world.work.read() as repositories:
            assert await repositories.erasures.list_records(None, 10) == ()


async def test_a_purger_leaves_a_replay_that_is_at_work_for_a_minute() -> None:
    async with world_in_memory() as world:
        came_back = (await world.upload(b"back from a backup")).image.image_id
        await world.replay(an_entry(came_back), Plan(Fault.FAILS_BEFORE, call="objects.delete"))
        world.clock.advance(seconds=59)
        assert (await world.purge()).removed == 0


async def test_the_ids_of_a_replayed_erasure_are_kept_for_the_backups_life_from_the_request() -> None:
    async with world_in_memory() as world:
        await world.replay(an_entry(ImageId("img_gone")))
        for days, ids in ((29, (ImageId("img_gone"),)), (30, ())):
            world.clock.time = NOON + timedelta(days=days)
            await world.purge()
            async with world.work.read() as repositories:
                assert await repositories.erasures.images_of(ErasureId("era_1")) == ids
