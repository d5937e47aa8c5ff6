"""Accounts, and the keys that open them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.account import ApiKey, Beginning, KeyId, PresentedKey, digest_of_key
from tests.builders import ACME, NOON, an_account

SECOND = timedelta(seconds=1)
SECRET = "gk_id_secret"


def a_key() -> ApiKey:
    return ApiKey(key_id=KeyId("id"), account_id=ACME, digest=digest_of_key(SECRET), label="shop", created_at=NOON)


def presented(text: str) -> PresentedKey:
    key = PresentedKey.parse(text)
    assert key is not None
    return key


@pytest.mark.parametrize("limit", ["requests_per_minute", "max_live_images", "credits"])
def test_no_limit_of_an_account_is_negative(limit: str) -> None:
    none: dict[str, Any] = {limit: 0}
    negative: dict[str, Any] = {limit: -1}
    assert getattr(replace(an_account(), **none), limit) == 0
    with pytest.raises(ValueError, match="not negative"):
        replace(an_account(), **negative)


def test_a_request_begins_in_the_epoch_in_which_its_account_was_looked_up() -> None:
    account = replace(an_account(), erasure_epoch=7, request_began_at=NOON)
    assert account.beginning == Beginning(7, NOON)


def test_a_new_account_is_active_and_has_no_limits() -> None:
    account = an_account()
    assert account.is_active
    assert account.erasure_epoch == 0
    assert (account.requests_per_minute, account.max_live_images, account.credits) == (None, None, None)


@pytest.mark.parametrize("text", ["", "gk", "gk_", "gk_id", "gk_id_", "gk__secret", "xx_id_secret", "idsecret"])
def test_what_has_not_the_form_of_a_key_is_none(text: str) -> None:
    assert PresentedKey.parse(text) is None


def test_a_key_names_itself_and_its_secret_may_hold_underlines() -> None:
    key = presented("gk_id_se_cret")
    assert (key.key_id, key.digest) == ("id", digest_of_key("gk_id_se_cret"))
    assert len(key.digest) == 32


def test_a_key_admits_its_own_secret_only() -> None:
    assert a_key().admits(presented(SECRET), NOON)
    assert not a_key().admits(presented("gk_id_other"), NOON)
    assert not a_key().revoked(NOON).admits(presented(SECRET), NOON)


def test_a_key_is_over_from_the_instant_at_which_it_expires() -> None:
    key = a_key().ending(NOON)
    assert not key.is_over(NOON - SECOND)
    assert key.is_over(NOON)
    assert not a_key().is_over(NOON)


def test_a_key_ends_at_the_earlier_of_two_ends() -> None:
    assert a_key().ending(NOON).ending(NOON + SECOND).expires_at == NOON
    assert a_key().ending(NOON).ending(NOON - SECOND).expires_at == NOON - SECOND


def test_a_key_is_revoked_once() -> None:
    assert a_key().revoked(NOON).revoked(NOON + SECOND).revoked_at == NOON


def test_the_use_of_a_key_is_noted_once_an_hour() -> None:
    used = replace(a_key(), last_used_at=NOON)
    assert not a_key().is_use_noted(NOON)
    assert used.is_use_noted(NOON + timedelta(hours=1) - SECOND)
    assert not used.is_use_noted(NOON + timedelta(hours=1))
