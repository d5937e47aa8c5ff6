"""Products: how long they live, and when their pictures have to be copied."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from domain.customer import is_external_id
from domain.image import ImageId
from domain.product import Product, ProductPicture, product_id_problem
from tests.builders import ACME, NOON

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def a_picture(
    kept_until: datetime = NOON + 30 * DAY, *, source: str = "sha256:1", is_lent: bool = False
) -> ProductPicture:
    return ProductPicture(
        image_id=ImageId(f"img_{source}"), source=source, kept_until=kept_until, checked_at=NOON, is_lent=is_lent
    )


def a_product(*pictures: ProductPicture, is_one_shot: bool = False) -> Product:
    return replace(Product.tried_on(ACME, "shirt", NOON, is_one_shot=is_one_shot), pictures=pictures)


@pytest.mark.parametrize("source", ["https://shop.test/1.jpg", "http://shop.test/1.jpg"])
def test_a_picture_of_a_url_is_fresh_for_a_day(source: str) -> None:
    picture = a_picture(source=source)
    assert picture.url == source
    assert picture.is_fresh(NOON + DAY - SECOND)
    assert not picture.is_fresh(NOON + DAY)


def test_a_picture_of_no_url_is_always_fresh() -> None:
    assert a_picture().url is None
    assert a_picture().is_fresh(NOON + 400 * DAY)


def test_a_new_product_lives_for_fifteen_days_from_its_last_use() -> None:
    product = a_product()
    assert (product.created_at, product.updated_at, product.last_used_at) == (NOON, NOON, NOON)
    assert product.is_alive(NOON + 15 * DAY - SECOND)
    assert not product.is_alive(NOON + 15 * DAY)
    used = product.used(NOON + DAY)
    assert (used.last_used_at, used.expires_at) == (NOON + DAY, NOON + 16 * DAY)
    assert not product.is_registered
    assert not product.is_one_shot


def test_a_product_without_a_name_lives_for_seven_days_and_no_use_prolongs_it() -> None:
    product = a_product(is_one_shot=True)
    assert product.is_one_shot
    assert product.expires_at == NOON + 7 * DAY
    assert product.used(NOON + DAY).expires_at == NOON + 7 * DAY


def test_a_registered_product_stays_as_long_as_its_merchant_said() -> None:
    later = NOON + DAY
    registered = a_product(is_one_shot=True).registered(90 * DAY, later)
    assert (registered.expires_at, registered.updated_at) == (later + 90 * DAY, later)
    assert registered.is_registered
    assert not registered.is_one_shot
    assert registered.used(later + DAY).expires_at == later + 90 * DAY
    assert registered.registered(None, later).expires_at == later + 90 * DAY


def test_a_product_that_is_registered_without_a_time_stays_until_it_is_deleted() -> None:
    registered = a_product().registered(None, NOON)
    assert registered.expires_at is None
    assert registered.is_alive(NOON + 4000 * DAY)
    assert registered.used(NOON + DAY).expires_at is None


def test_only_the_title_mock_makes_a_mock() -> None:
    assert replace(a_product(), title="mock").is_mock
    assert not replace(a_product(), title="shirt").is_mock


def test_pictures_are_looked_at_fifteen_days_before_the_first_of_its_own_ends() -> None:
    own = [a_picture(NOON + 40 * DAY, source="1"), a_picture(NOON + 30 * DAY, source="2")]
    product = a_product(*own, a_picture(NOON + DAY, source="3", is_lent=True))
    assert product.renew_at == NOON + 15 * DAY
    assert product.images == ("img_1", "img_2", "img_3")
    assert a_product(a_picture(is_lent=True)).renew_at is None


def test_a_picture_is_copied_only_in_its_last_fifteen_days() -> None:
    forever = a_product().registered(None, NOON)
    assert not forever.needs_copy(a_picture(), NOON + 15 * DAY - SECOND)
    assert forever.needs_copy(a_picture(), NOON + 15 * DAY)


def test_a_picture_that_lasts_as_long_as_its_product_is_not_copied() -> None:
    now = NOON + 20 * DAY
    registered = replace(a_product().registered(DAY, NOON), expires_at=NOON + 30 * DAY)
    assert not registered.needs_copy(a_picture(NOON + 30 * DAY), now)
    assert registered.needs_copy(a_picture(NOON + 30 * DAY - SECOND), now)
    assert not registered.needs_copy(a_picture(NOON + 30 * DAY), NOON + 29 * DAY)


def test_a_picture_of_a_product_that_may_be_used_again_is_copied_two_days_before_its_end() -> None:
    product = replace(a_product(), expires_at=NOON + 20 * DAY)
    assert not product.needs_copy(a_picture(), NOON + 28 * DAY)
    assert product.needs_copy(a_picture(), NOON + 28 * DAY + SECOND)
    assert not replace(product, is_one_shot=True).needs_copy(a_picture(), NOON + 29 * DAY)


def test_a_replaced_picture_stays_for_the_try_ons_that_wait() -> None:
    assert timedelta(minutes=20) == Product.RELEASED_AFTER
    assert Product.PICTURES.keep_for_days == 30


def test_an_id_has_1_to_256_characters() -> None:
    assert is_external_id("x")
    assert is_external_id("x" * 256)
    assert not any(map(is_external_id, ["", "x" * 257, "a\0"]))
    assert product_id_problem("gid://shopify/Product/1") is None
    assert product_id_problem("x" * 257) == product_id_problem("") == "must be a string of 1 to 256 characters"
    assert all(map(product_id_problem, ["", ".", "..", "/", "undefined", "{{ product.id }}", "gid://shopify/Product/"]))
