"""Deleting one image, and what of deletions and erasures stands in the audit log."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from application.audit import ReadAudit, act_as
from application.erase_customer import RecordedErasure
from domain.erasure import Action, ErasureRecord
from domain.errors import Overloaded
from domain.image import ErasureId, ImageId
from tests.builders import ACME, NOON, a_customer
from tests.durability.conftest import world_in_memory
from tests.durability.faults import Fault, Plan
from tests.durability.world import World


@contextmanager
def the_operator() -> Iterator[None]:
    act_as("user ann (1000)")
    yield
    act_as("service")


async def entries(world: World) -> list[tuple[Action, str | None, dict[str, object]]]:
    read = ReadAudit(world.work).execute(None, None)
    return [(entry.action, entry.subject, dict(entry.facts)) async for entry in read]


async def test_when_storage_is_down_the_image_is_unreachable_and_its_bytes_go_after_a_minute() -> None:
    async with world_in_memory() as world:
        image = (await world.upload(b"photo")).image
        with pytest.raises(Overloaded):
            await world.delete(image.image_id, Plan(Fault.FAILS_BEFORE, call="objects.delete"))
        assert await world.bytes_of(image.image_id) is None
        world.clock.advance(seconds=59)
        assert (await world.purge()).removed == 0
        world.clock.advance(seconds=1)
        assert (await world.purge()).removed == 1


async def test_what_an_operator_deletes_is_entered_once_and_what_a_client_deletes_is_not() -> None:
    async with world_in_memory() as world:
        first, second = (await world.upload(b"1")).image.image_id, (await world.upload(b"2")).image.image_id
        await world.delete(first)
        with the_operator():
            await world.delete(second)
            await world.delete(second)
        assert await entries(world) == [(Action.IMAGE_DELETED, second, {})]


async def test_an_erasure_by_a_client_is_entered_if_it_took_something() -> None:
    async with world_in_memory() as world:
        await world.upload(b"hers", customer=a_customer())
        erasure_id = (await world.erase(a_customer())).erasure_id
        await world.erase(a_customer())
        assert await entries(world) == [(Action.CUSTOMER_ERASED, erasure_id, {"images": 1})]


async def test_an_erasure_by_an_operator_is_always_entered() -> None:
    async with world_in_memory() as world:
        with the_operator():
            erasure_id = (await world.erase(a_customer())).erasure_id
        assert await entries(world) == [(Action.CUSTOMER_ERASED, erasure_id, {"images": 0})]


async def test_a_replay_is_entered_if_something_had_come_back() -> None:
    async with world_in_memory() as world:
        image_id = (await world.upload(b"back from a backup")).image.image_id
        record = ErasureRecord(erasure_id=ErasureId("era_1"), account_id=ACME, requested_at=NOON, image_count=1)
        await world.replay(RecordedErasure(record, (ImageId("img_gone"),)))
        assert await entries(world) == []
        await world.replay(RecordedErasure(record, (image_id,)))
        assert await entries(world) == [(Action.ERASURE_REPLAYED, "era_1", {"images": 1})]
