"""Uploading: quota, and requests that come again with their key."""

from dataclasses import replace
from datetime import timedelta

import pytest

from application.ports.photos import PreparedPhoto
from application.read_image import StoredSource
from application.upload_photo import UploadCommand
from domain.account import Account, RetentionPolicy
from domain.cropping import Fit
from domain.errors import CustomerErased, IdempotencyKeyInUse, IdempotencyKeyReused, InvalidImage, QuotaExceeded
from domain.photo import PhotoWarning, WarningCode
from tests.builders import ACME, a_customer
from tests.durability.conftest import world_in_memory
from tests.durability.faults import Fault, Plan, ProcessDied
from tests.durability.world import PhotoAsItIs, World

DARK = PhotoWarning(WarningCode.TOO_DARK, "message")


class WishesForAPhoto(PhotoAsItIs):
    """Every picture, dark as it is, is the text of what was asked for."""

    async def prepare(self, photo: bytes | bytearray | memoryview, *, crop: bool, fit: Fit = Fit.CROP) -> PreparedPhoto:
        prepared = await super().prepare(f"crop={crop} fit={fit}".encode(), crop=crop, fit=fit)
        return replace(prepared, facts=replace(prepared.facts, warnings=(DARK,)))


async def limited(world: World, live_images: int) -> Account:
    return replace(await world.account(), max_live_images=live_images)


async def test_an_account_keeps_as_many_images_as_its_quota_allows() -> None:
    async with world_in_memory() as world:
        account = await limited(world, 2)
        first = await world.upload(b"1", account=account)
        await world.upload(b"2", account=account)
        with pytest.raises(QuotaExceeded):
            await world.upload(b"3", account=account)
        await world.delete(first.image.image_id)
        await world.upload(b"3", account=account)


async def test_pictures_of_products_do_not_count() -> None:
    async with world_in_memory() as world:
        account = await limited(world, 1)
        for number in range(3):
            await world.upload(bytes([number]), account=account, keep_for_days=30)
        await world.upload(b"person", account=account)
        await world.upload(b"another product", account=account, keep_for_days=30)


async def test_the_same_upload_with_the_same_key_is_the_same_image_even_over_the_quota() -> None:
    async with world_in_memory() as world:
        account = await limited(world, 1)
        first = await world.upload(b"photo", account=account, key="k")
        again = await world.upload(b"photo", account=account, key="k")
        assert again.image == first.image
        assert await world.assert_nothing_is_left_behind() == {first.image.image_id}


async def test_another_upload_may_not_have_the_same_key() -> None:
    async with world_in_memory() as world:
        await world.upload(b"photo", key="k")
        with pytest.raises(IdempotencyKeyReused):
            await world.upload(b"another", key="k")


async def test_a_key_is_free_again_after_a_day_or_with_the_end_of_its_image() -> None:
    async with world_in_memory() as world:
        first = (await world.upload(b"photo", key="k")).image
        world.clock.advance(hours=24, seconds=-1)
        assert (await world.upload(b"photo", key="k")).image.image_id == first.image_id
        world.clock.advance(seconds=1)
        second = (await world.upload(b"another", key="k", keep_for_days=1)).image
        assert second.image_id != first.image_id
        await world.delete(second.image_id)
        assert (await world.upload(b"third", key="k")).image.image_id != second.image_id


async def test_an_upload_that_is_under_way_holds_its_key_and_one_that_died_lets_it_go_after_five_minutes() -> None:
    async with world_in_memory() as world:
        with pytest.raises(ProcessDied):
            await world.upload(b"photo", Plan(Fault.CRASHES_BEFORE, call=".put"), key="k")
        world.clock.advance(minutes=5, seconds=-1)
        with pytest.raises(IdempotencyKeyInUse):
            await world.upload(b"photo", key="k")
        world.clock.advance(seconds=1)
        kept = (await world.upload(b"photo", key="k")).image
        await world.recover()
        assert await world.assert_nothing_is_left_behind() == {kept.image_id}


async def test_an_upload_that_began_before_its_customer_was_erased_is_refused() -> None:
    async with world_in_memory() as world:
        began = await world.account()
        await world.erase(a_customer())
        with pytest.raises(CustomerErased):
            await world.upload(b"photo", account=began, customer=a_customer())
        await world.upload(b"of somebody else", account=began, customer=a_customer("another"))
        await world.upload(b"of nobody", account=began)


async def test_an_image_begins_on_a_whole_second_and_lives_as_long_as_was_asked_for() -> None:
    async with world_in_memory() as world:
        world.clock.advance(milliseconds=700)
        image = (await world.upload(b"photo", keep_for_days=3)).image
        assert image.created_at == world.clock.now() - timedelta(milliseconds=700)
        assert (image.retention.keep_for_days, image.account_id, image.customer) == (3, ACME, None)


async def test_without_a_wish_an_image_lives_as_long_as_its_account_says() -> None:
    async with world_in_memory() as world:
        account = replace(await world.account(), default_retention=RetentionPolicy(3))
        image = (await world._upload_photo(None).execute(UploadCommand(account=account, photo=b"photo"))).image
        assert image.retention == RetentionPolicy(3)


async def test_a_photo_that_cannot_be_prepared_gives_its_place_and_its_key_back_at_once() -> None:
    async with world_in_memory() as world:
        account = await limited(world, 1)
        with pytest.raises(InvalidImage):
            await world.upload(b"", account=account, key="k")
        await world.upload(b"photo", account=account, key="k")


async def test_a_photo_is_prepared_as_was_asked_for_and_cut_without_a_wish() -> None:
    async with world_in_memory() as world:
        world.processor = WishesForAPhoto()
        command = UploadCommand(account=await world.account(), photo=b"photo")
        usual = (await world._upload_photo(None).execute(command)).image
        padded = (await world._upload_photo(None).execute(replace(command, crop=False, fit=Fit.PAD))).image
        assert await world.bytes_of(usual.image_id) == b"crop=True fit=crop"
        assert await world.bytes_of(padded.image_id) == b"crop=False fit=pad"


async def test_warnings_about_the_request_follow_those_about_the_photo() -> None:
    about_the_request = PhotoWarning(WarningCode.LOW_RESOLUTION, "message")
    async with world_in_memory() as world:
        world.processor = WishesForAPhoto()
        command = UploadCommand(account=await world.account(), photo=b"photo", warnings=(about_the_request,))
        image = (await world._upload_photo(None).execute(command)).image
    assert image.photo is not None
    assert image.photo.warnings == (DARK, about_the_request)


async def test_the_key_of_a_try_on_is_not_an_uploads() -> None:
    async with world_in_memory() as world:
        person, garment = (await world.upload(b"person")).image, (await world.upload(b"garment")).image
        await world.try_on(person.image_id, (StoredSource(garment.image_id),), key="k")
        with pytest.raises(IdempotencyKeyReused):
            await world.upload(b"photo", key="k")
