"""An erasure that is applied again after the database was restored from an older backup."""

from datetime import timedelta

from application.erasure_audit import AuditEntry
from domain.erasure import ErasureRecord
from domain.image import ErasureId, ImageId
from tests.builders import ACME, NOON
from tests.durability.conftest import world_in_memory
from tests.durability.faults import Fault, Plan
from tests.durability.world import World

COMPLETED_THEN = NOON + timedelta(minutes=1)


def an_entry(image_id: ImageId) -> AuditEntry:
    record = ErasureRecord(
        erasure_id=ErasureId("era_1"), account_id=ACME, requested_at=NOON, image_count=1, completed_at=COMPLETED_THEN
    )
    return AuditEntry(record, (image_id,))


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
