"""Erasing a customer: what goes with the photos, what stays, and for how long."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from application.customer_holdings import VerifyErasure
from application.erase_customer import AT_ONCE, ListErasures, ReadErasure, RecordedErasure
from application.ports.objects import RawSearch
from application.ports.rows import ImageToDelete
from application.read_image import StoredSource
from domain.account import AccountId
from domain.erasure import ErasureRecord
from domain.errors import CustomerErased, ErasureNotFound, ImageNotFound
from domain.generation import Failure
from domain.image import ErasureId, ImageId
from tests.builders import ACME, NOON, OTHER, PSEUDONYMS, a_customer, a_stored_photo, an_image
from tests.durability.conftest import world_in_memory
from tests.durability.faults import Fault, FaultyObjectStore, Plan
from tests.durability.world import World


def storage_is_down() -> Plan:
    return Plan(Fault.FAILS_BEFORE, call="objects.delete")


async def a_try_on(world: World, *, key: str | None = None) -> None:
    person = (await world.upload(b"person", customer=a_customer())).image.image_id
    garment = (await world.upload(b"garment")).image.image_id
    await world.try_on(person, (StoredSource(garment),), customer=a_customer(), key=key)


async def trail(world: World, account_id: AccountId | None = None) -> list[RecordedErasure]:
    return [entry async for entry in ListErasures(world.work).execute(account_id)]


async def test_an_erasure_is_done_when_the_bytes_are_gone() -> None:
    async with world_in_memory() as world:
        image = (await world.upload(b"hers", customer=a_customer())).image
        outcome = await world.erase(a_customer())
        assert (outcome.images, outcome.bytes_left, outcome.status) == (1, 0, "ERASED")
        assert await world.objects.get(image.object_name) is None
        assert (await trail(world))[0].record.image_count == 1


async def test_an_erasure_goes_on_while_storage_is_down_and_a_purger_ends_it_after_a_minute() -> None:
    async with world_in_memory() as world:
        image = (await world.upload(b"hers", customer=a_customer())).image
        outcome = await world.erase(a_customer(), storage_is_down())
        assert (outcome.images, outcome.bytes_left, outcome.status) == (1, 1, "ERASING")
        world.clock.advance(seconds=59)
        assert (await world.purge()).removed == 0
        assert await world.objects.get(image.object_name) == b"hers"
        world.clock.advance(seconds=1)
        assert (await world.purge()).removed == 1
        assert await world.objects.get(image.object_name) is None


async def test_a_caller_waits_for_five_hundred_images_and_a_purger_does_the_rest() -> None:
    async with world_in_memory() as world:
        images = [an_image(f"img_{number}", customer=a_customer()) for number in range(AT_ONCE + 1)]
        async with world.work.begin() as repositories:
            for image in images:
                await repositories.images.reserve(image)
                await repositories.images.publish(image, a_stored_photo())
        outcome = await world.erase(a_customer())
        assert (outcome.images, outcome.bytes_left, AT_ONCE) == (501, 1, 500)


async def test_a_try_on_that_waits_fails_with_the_photos() -> None:
    async with world_in_memory() as world:
        await a_try_on(world)
        await world.erase(a_customer())
        (generation,) = await world.generations()
        assert generation.failure == Failure("IMAGE_NOT_FOUND", str(ImageNotFound()))
        assert await world.work_off() is None


async def test_an_idempotency_key_of_the_customer_is_forgotten() -> None:
    async with world_in_memory() as world:
        await a_try_on(world, key="k")
        await world.erase(a_customer())
        world.clock.advance(seconds=3)
        await a_try_on(world, key="k")
        assert len(await world.generations()) == 2


async def test_whoever_began_before_the_erasure_is_refused_for_as_long_as_an_upload_may_take() -> None:
    async with world_in_memory() as world:
        began = await world.account()
        await world.erase(a_customer())
        world.clock.advance(minutes=10, seconds=-1)
        await world.purge()
        with pytest.raises(CustomerErased):
            await world.upload(b"late", account=began, customer=a_customer())
        world.clock.advance(seconds=1)
        await world.purge()
        await world.upload(b"too late to have been on its way", account=began, customer=a_customer())


async def test_the_ids_of_erased_images_are_kept_as_long_as_a_backup() -> None:
    async with world_in_memory() as world:
        image = (await world.upload(b"hers", customer=a_customer())).image
        await world.erase(a_customer())
        world.clock.advance(days=30, seconds=-1)
        await world.purge()
        assert [entry.image_ids for entry in await trail(world)] == [(image.image_id,)]
        world.clock.advance(seconds=1)
        await world.purge()
        assert [entry.image_ids for entry in await trail(world)] == [()]


async def test_an_account_reads_its_own_erasures_only() -> None:
    async with world_in_memory() as world:
        erasure_id = (await world.erase(a_customer())).erasure_id
        read = ReadErasure(world.work)
        assert (await read.execute(erasure_id, ACME)).erasure_id == erasure_id
        for unknown, account in ((erasure_id, OTHER), (ErasureId("era_none"), ACME), (ErasureId("era\0"), ACME)):
            with pytest.raises(ErasureNotFound):
                await read.execute(unknown, account)


async def test_the_audit_trail_is_whole_and_the_newest_comes_first() -> None:
    async with world_in_memory() as world:
        async with world.work.begin() as repositories:
            for number in range(401):
                record = ErasureRecord(
                    erasure_id=ErasureId(f"era_{number:04}"),
                    account_id=OTHER if number == 7 else ACME,
                    requested_at=NOON + timedelta(seconds=number),
                    image_count=1,
                )
                await repositories.erasures.open_record(record, [ImageId(f"img_{number}")], NOON)
        everything = await trail(world)
        assert [entry.record.erasure_id for entry in everything] == [f"era_{n:04}" for n in range(400, -1, -1)]
        assert everything[0].image_ids == ("img_400",)
        assert len(await trail(world, ACME)) == 400
        assert len(await trail(world, OTHER)) == 1


@dataclass
class FilesInMemory:
    """The raw files of a machine, by their paths."""

    files: dict[str, bytes] = field(default_factory=dict)

    async def search(self, needles: Sequence[bytes]) -> RawSearch:
        hits = tuple(path for path, data in self.files.items() if any(needle in data for needle in needles))
        return RawSearch(len(self.files), sum(map(len, self.files.values())), hits)


async def test_an_erasure_is_verified_in_the_database_and_in_the_bucket() -> None:
    async with world_in_memory() as world:
        verify = VerifyErasure(world.work, world.objects, FilesInMemory(), PSEUDONYMS)
        image = (await world.upload(b"hers", customer=a_customer(), key="k")).image
        erased = [ImageToDelete(image.image_id, image.object_name)]
        before = await verify.execute(a_customer(), erased, ())
        assert (before.images, before.idempotency_records, before.objects, before.marked_until) == (1, 1, 1, None)
        outcome = await world.erase(a_customer())
        after = await verify.execute(a_customer(), outcome.marked, ())
        assert after.is_nothing
        assert after.marked_until == NOON + timedelta(minutes=10)
        assert not replace(after, images=1).is_nothing
        assert not replace(after, idempotency_records=1).is_nothing
        assert not replace(after, objects=1).is_nothing
        assert not replace(after, unreachable=1).is_nothing
        assert not replace(after, raw=RawSearch(1, 1, ("tryon.db",))).is_nothing
        assert not replace(after, raw=RawSearch(1, 1, (), ("tryon.db",))).is_nothing
        ones = replace(after, images=1, idempotency_records=1, objects=1, unreachable=1, raw=RawSearch(1, 1, ("x",)))
        assert not ones.is_nothing


async def test_try_ons_and_their_idempotency_keys_are_looked_for_too() -> None:
    async with world_in_memory() as world:
        verify = VerifyErasure(world.work, world.objects, FilesInMemory(), PSEUDONYMS)
        await a_try_on(world, key="k")
        before = await verify.execute(a_customer(), (), ())
        assert (before.idempotency_records, before.try_ons) == (1, 1)
        async with world.work.read() as repositories:
            (digest,) = await repositories.requests.key_digests_of(a_customer())
        assert digest in await verify.needles(a_customer(), "gid://shopify/Customer/1")
        await world.erase(a_customer())
        assert (await verify.execute(a_customer(), (), ())).is_nothing
        assert not replace(await verify.execute(a_customer(), (), ()), try_ons=1).is_nothing


async def test_raw_files_are_searched_for_the_id_as_it_may_be_written_for_keys_and_for_pictures() -> None:
    async with world_in_memory() as world:
        verify = VerifyErasure(world.work, world.objects, FilesInMemory(), PSEUDONYMS)
        photo = bytes(range(200))
        customer = a_customer('customer/"7"')
        image = (await world.upload(photo, customer=customer, key="k")).image
        assert image.idempotency is not None
        needles = await verify.needles(customer, 'customer/"7"')
        assert set(needles) == {
            b'customer/"7"',
            b"customer%2F%227%22",
            b'customer/\\"7\\"',
            customer.pseudonym.encode(),
            image.idempotency.key_digest,
            photo[100:164],
        }


async def test_a_picture_whose_object_is_lost_is_no_needle() -> None:
    async with world_in_memory() as world:
        verify = VerifyErasure(world.work, world.objects, FilesInMemory(), PSEUDONYMS)
        image = (await world.upload(b"x" * 99, customer=a_customer("12345678"))).image
        await world.objects.delete([image.object_name])
        pseudonym = a_customer("12345678").pseudonym.encode()
        assert await verify.needles(a_customer("12345678"), "12345678") == (b"12345678", pseudonym)


async def test_without_storage_what_it_kept_is_taken_to_be_there_and_nobody_waits_for_it() -> None:
    async with world_in_memory() as world:
        down = FaultyObjectStore(world.objects, Plan(Fault.DOWN_FROM_HERE))
        verify = VerifyErasure(world.work, down, FilesInMemory(), PSEUDONYMS)
        images = [(await world.upload(photo, customer=a_customer())).image for photo in (b"x" * 99, b"y" * 99)]
        assert await verify.needles(a_customer(), "gid://shopify/Customer/1")
        erased = [ImageToDelete(image.image_id, image.object_name) for image in images]
        remains = await verify.execute(a_customer(), erased, ())
        assert (remains.objects, remains.is_nothing) == (2, False)


async def test_what_is_too_short_would_be_found_by_chance_and_is_not_searched_for() -> None:
    async with world_in_memory() as world:
        verify = VerifyErasure(world.work, world.objects, FilesInMemory(), PSEUDONYMS)
        await world.upload(b"x" * 14, customer=a_customer("1234567"))
        assert await verify.needles(a_customer("1234567"), "1234567") == (a_customer("1234567").pseudonym.encode(),)
        await world.upload(b"y" * 15, customer=a_customer("12345678"))
        pseudonym = a_customer("12345678").pseudonym.encode()
        assert await verify.needles(a_customer("12345678"), "12345678") == (b"12345678", pseudonym, b"y" * 8)


async def test_a_file_that_still_holds_something_is_named_unless_it_is_the_photo_of_somebody_else() -> None:
    async with world_in_memory() as world:
        others = (await world.upload(b"the very same photo")).image
        files = {"tryon.db": b"... needle ...", f"objects/{others.object_name}": b"needle", "log": b"nothing"}
        verify = VerifyErasure(world.work, world.objects, FilesInMemory(files), PSEUDONYMS)
        found = await verify.execute(a_customer(), (), (b"needle",))
        assert found.raw == RawSearch(3, 27, ("tryon.db",))
