"""Purging: what is overdue goes, batch by batch, and what is in the way is told."""

from datetime import timedelta

import pytest

from application.delete_images import PurgeReport
from application.read_image import StoredSource
from domain.errors import Overloaded
from domain.product import Product
from tests.builders import ACME, NOON, a_customer
from tests.contracts.try_on_repositories import a_request
from tests.durability.conftest import world_in_memory
from tests.durability.faults import Fault, Plan, ProcessDied


def test_reports_of_batches_add_up() -> None:
    assert PurgeReport(1, 2, 3, 4, 5) + PurgeReport(5, 4, 3, 2, 1) == PurgeReport(6, 6, 6, 6, 6)
    assert PurgeReport() + PurgeReport() == PurgeReport(0, 0, 0, 0, 0)


def test_a_purge_is_stuck_when_there_was_work_and_none_could_be_done() -> None:
    assert PurgeReport(left_for_later=1).is_stuck
    assert not PurgeReport(left_for_later=1, removed=1).is_stuck
    assert not PurgeReport().is_stuck


async def test_expired_images_go_in_as_many_batches_as_it_takes() -> None:
    async with world_in_memory() as world:
        for number in range(7):
            await world.upload(bytes([number]), keep_for_days=1)
        world.clock.advance(days=1, seconds=-1)
        assert await world.purge() == PurgeReport()
        world.clock.advance(seconds=1)
        assert await world.purge() == PurgeReport(expired=7, removed=7)
        assert await world.assert_nothing_is_left_behind() == set()


async def test_what_storage_keeps_is_left_for_a_minute() -> None:
    async with world_in_memory() as world:
        await world.upload(b"photo", keep_for_days=1)
        world.clock.advance(days=1)
        report = await world.purge(Plan(Fault.FAILS_BEFORE, call="objects.delete"))
        assert (report.expired, report.removed, report.left_for_later, report.is_stuck) == (1, 0, 1, True)
        world.clock.advance(seconds=59)
        assert (await world.purge()).removed == 0
        world.clock.advance(seconds=1)
        assert (await world.purge()).removed == 1


async def test_what_outlived_its_class_by_a_day_goes_whatever_the_database_says() -> None:
    async with world_in_memory() as world:
        await world.objects.put("ttl-1d/img_stray.jpg", b"stray")
        world.clock.advance(days=2)
        await world.purge()
        assert await world.objects.get("ttl-1d/img_stray.jpg") == b"stray"
        world.clock.advance(seconds=1)
        await world.purge()
        assert await world.objects.get("ttl-1d/img_stray.jpg") is None


async def test_an_upload_that_died_and_an_erasure_that_was_left_are_counted() -> None:
    async with world_in_memory() as world:
        with pytest.raises(ProcessDied):
            await world.upload(b"photo", Plan(Fault.CRASHES_AFTER, call=".put"))
        await world.upload(b"hers", customer=a_customer())
        await world.erase(a_customer(), Plan(Fault.FAILS_BEFORE, call="objects.delete"))
        world.clock.advance(minutes=5)
        assert await world.purge() == PurgeReport(interrupted=1, removed=2, erasures_completed=1)


async def test_marks_products_keys_and_generations_are_swept_when_their_time_is_up() -> None:
    async with world_in_memory() as world:
        person, garment = (
            (await world.upload(b"person")).image.image_id,
            (await world.upload(b"garment")).image.image_id,
        )
        started = await world.try_on(person, (StoredSource(garment),), product_id="shirt")
        await world.erase(a_customer())
        (copy,) = (await world.inputs_of(started.generation_id)).garments
        await world.work_off()
        async with world.work.begin() as repositories:
            await repositories.requests.add(a_request(), NOON)
        world.clock.advance(days=15)
        await world.purge()
        assert await world.bytes_of(copy) == b"garment"
        world.clock.advance(minutes=20)
        await world.purge()
        assert await world.bytes_of(copy) is None
        world.clock.advance(days=15)
        await world.purge()
        async with world.work.begin() as repositories:
            assert await repositories.products.find(ACME, "shirt") is None
            assert await repositories.erasures.marked_until(a_customer()) is None
            assert await repositories.generations.page(ACME, None, 9) == ()
            assert await repositories.requests.sweep(NOON + timedelta(days=400)) == 0
        assert timedelta(minutes=20) == Product.RELEASED_AFTER


async def test_without_a_database_nothing_is_purged() -> None:
    async with world_in_memory() as world:
        image = (await world.upload(b"photo", keep_for_days=1)).image
        world.clock.advance(days=1)
        with pytest.raises(Overloaded):
            await world.purge(Plan(Fault.DOWN_FROM_HERE, at=1))
        assert await world.objects.get(image.object_name) == b"photo"
