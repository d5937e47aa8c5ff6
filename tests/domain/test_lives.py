"""Lifetimes: photos, links, marks of erasures, records, generations."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from domain.account import Beginning, RetentionPolicy
from domain.customer import Customer, IdempotencyRecord
from domain.erasure import ErasureRecord, Tombstone
from domain.generation import Generation, GenerationId, GenerationStatus, Inputs
from domain.image import ErasureId, ImageId, ImageState, UploadedImage, image_id_in, is_id
from tests.builders import ACME, NOON, OTHER, a_customer, an_image

SECOND, MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize("days", [1, 3, 7, 30])
def test_a_photo_is_gone_after_its_days_to_the_second(days: int) -> None:
    image = replace(an_image(keep_for_days=days), state=ImageState.STORED)
    assert image.expires_at == NOON + days * DAY
    assert image.is_readable(image.expires_at - SECOND)
    assert not image.is_readable(image.expires_at)
    assert image.is_over(image.expires_at)
    assert not image.is_over(image.expires_at - SECOND)


@pytest.mark.parametrize("days", [-1, 0, 2, 4, 6, 8, 29, 31])
def test_no_other_number_of_days_is_a_retention(days: int) -> None:
    with pytest.raises(ValueError, match="keep_for_days"):
        RetentionPolicy(days)


@pytest.mark.parametrize("state", [ImageState.PENDING, ImageState.DELETING])
def test_only_a_stored_photo_is_readable(state: ImageState) -> None:
    assert not replace(an_image(), state=state).is_readable(NOON)


def test_a_link_ends_with_its_photo_and_on_a_whole_second() -> None:
    image = an_image(keep_for_days=1)
    now = NOON + timedelta(microseconds=7)
    assert image.link_expires_at(now, timedelta(minutes=15)) == NOON + timedelta(minutes=15)
    assert image.link_expires_at(NOON + DAY - SECOND, timedelta(minutes=15)) == NOON + DAY


def test_an_objects_name_tells_its_retention_and_its_image() -> None:
    image = an_image("img_a", keep_for_days=3)
    assert image.object_name == "ttl-3d/img_a.jpg"
    assert image_id_in(image.object_name) == "img_a"
    assert [image_id_in(name) for name in ("ttl-2d/img_a.jpg", "ttl-3d/a.jpg", "ttl-3d/img_a.jpg.part")] == [None] * 3


def test_only_pictures_that_are_kept_for_thirty_days_are_a_products() -> None:
    assert an_image(keep_for_days=30).is_of_product
    assert not an_image(keep_for_days=7).is_of_product


def test_ids_are_short_and_plain() -> None:
    assert is_id("x" * 64)
    assert not any(map(is_id, ["", "x" * 65, "img 1", "gen/1", "img\0"]))


def test_a_new_photo_is_pending_and_has_no_picture_yet() -> None:
    image = an_image()
    assert (image.state, image.photo, image.idempotency) == (ImageState.PENDING, None, None)
    assert timedelta(minutes=5) == UploadedImage.PENDING_LEASE
    assert timedelta(hours=24) == IdempotencyRecord.LIFETIME


def a_tombstone(salt: bytes = b"salt") -> Tombstone:
    return Tombstone.of(
        a_customer(), erasure_id=ErasureId("era_1"), epoch=7, salt=salt, expires_at=NOON + 9 * SECOND, erased_at=NOON
    )


def test_a_tombstone_covers_its_customer_and_nobody_else() -> None:
    assert a_tombstone().covers(a_customer())
    assert not a_tombstone().covers(a_customer("gid://shopify/Customer/2"))
    assert not a_tombstone().covers(a_customer(account_id=OTHER))
    assert not a_tombstone().covers(Customer(OTHER, a_customer().pseudonym))


def test_a_tombstone_says_nothing_of_the_persons_id() -> None:
    assert a_tombstone(b"1").digest != a_tombstone(b"2").digest
    assert (a_tombstone().epoch, a_tombstone().account_id, len(a_tombstone().digest)) == (7, ACME, 32)
    assert a_tombstone().expires_at == NOON + 9 * SECOND


def test_a_tombstone_covers_its_customer_under_an_earlier_pseudonym_too() -> None:
    renamed = Customer(ACME, "new", others=(a_customer().pseudonym,))
    assert a_tombstone().covers(renamed)
    assert not a_tombstone().covers(Customer(ACME, "new"))


def test_a_request_that_began_before_an_erasure_or_two_seconds_after_it_was_on_its_way() -> None:
    assert a_tombstone().is_after(Beginning(6, NOON + 60 * SECOND))
    assert a_tombstone().is_after(Beginning(7, NOON + 2 * SECOND - MICROSECOND))
    assert not a_tombstone().is_after(Beginning(7, NOON + 2 * SECOND))


@pytest.mark.parametrize(("began_at", "erased_at"), [(None, NOON), (NOON, None)])
def test_without_both_times_the_epochs_decide(began_at: datetime | None, erased_at: datetime | None) -> None:
    tombstone = replace(a_tombstone(), erased_at=erased_at)
    assert tombstone.is_after(Beginning(6, began_at))
    assert not tombstone.is_after(Beginning(7, began_at))


def test_the_record_of_an_erasure_of_nothing_is_forgotten_after_a_month() -> None:
    record = ErasureRecord(erasure_id=ErasureId("era_1"), account_id=ACME, requested_at=NOON, image_count=0)
    assert not record.is_forgotten(NOON + 30 * DAY - SECOND)
    assert record.is_forgotten(NOON + 30 * DAY)
    assert not replace(record, image_count=1).is_forgotten(NOON + 400 * DAY)
    assert record.completed_at is None


def a_generation(attempts: int = 0) -> Generation:
    return Generation(
        generation_id=GenerationId("gen_1"), account_id=ACME, created_at=NOON, updated_at=NOON, attempts=attempts
    )


def test_the_pause_before_another_try_doubles() -> None:
    pauses = [a_generation(attempts).pause().total_seconds() for attempts in range(1, Generation.MAX_ATTEMPTS)]
    assert pauses == [4, 8, 16, 32]


def test_a_generation_is_spent_after_five_attempts_or_a_quarter_of_an_hour() -> None:
    deadline = NOON + timedelta(minutes=15)
    assert a_generation(5).is_spent(NOON)
    assert not a_generation(4).is_spent(deadline - SECOND)
    assert a_generation().is_spent(deadline)


def test_a_generation_has_ended_when_it_completed_or_failed() -> None:
    ended = [status for status in GenerationStatus if replace(a_generation(), status=status).has_ended]
    assert ended == [GenerationStatus.COMPLETED, GenerationStatus.FAILED]


def test_a_new_generation_waits_and_took_no_credit() -> None:
    generation = a_generation()
    assert (generation.status, generation.attempts, generation.has_credit) == (GenerationStatus.PENDING, 0, False)
    assert (generation.lease, generation.result, generation.failure, generation.inputs) == (None,) * 4


def test_the_times_of_a_generation() -> None:
    assert timedelta(seconds=30) == Generation.LEASE
    assert timedelta(seconds=10) == Generation.HEARTBEAT
    assert timedelta(minutes=10) == Generation.SERVED_LATELY
    assert timedelta(days=30) == Generation.KEPT_FOR


def test_a_try_on_without_garments_is_a_mock() -> None:
    inputs = Inputs(ImageId("img_p"), (), None, RetentionPolicy(1))
    assert inputs.is_mock
    assert not replace(inputs, garments=(ImageId("img_g"),)).is_mock
