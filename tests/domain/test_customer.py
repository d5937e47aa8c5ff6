"""Ids of customers: those that are kept, and those that a client may send."""

import pytest

from domain.customer import Customer, external_id_problem, is_external_id, is_text
from tests.builders import ACME, OTHER, PSEUDONYMS, a_customer


@pytest.mark.parametrize("text", ["", "x" * 257, "a\0b"])
def test_no_customer_has_an_id_that_could_not_be_kept(text: str) -> None:
    assert not is_external_id(text)
    assert external_id_problem(text) == "must have 1 to 256 characters, none of them NUL"


@pytest.mark.parametrize("text", ["a", "x" * 256, "a/b", "nullable", "annull/x", "a.b", "{{x"])
def test_any_other_id_is_fine(text: str) -> None:
    assert is_external_id(text)
    assert external_id_problem(text) is None


@pytest.mark.parametrize("text", ["a\n", "\x1b", "\ud800"])
def test_a_client_sends_no_control_characters(text: str) -> None:
    assert not is_text(text)
    assert "control characters" in (external_id_problem(text) or "")


@pytest.mark.parametrize("text", [".", "..", "/", "///"])
def test_a_client_sends_no_id_that_no_path_can_carry(text: str) -> None:
    assert "no URL path" in (external_id_problem(text) or "")


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "undefined",
        "gid://shop/Customer/None",
        "{{ customer.id }}",
        "[object Object]",
        "#{user.id}",
        "%{id}",
        "<null>",
    ],
)
def test_a_placeholder_is_nobodys_id(text: str) -> None:
    assert "placeholder" in (external_id_problem(text) or "")


@pytest.mark.parametrize("text", ["gid://shopify/Customer/", "gid://shopify/Customer"])
def test_neither_is_one_that_was_filled_in_with_nothing(text: str) -> None:
    assert "placeholder" in (external_id_problem(text) or "")


@pytest.mark.parametrize("text", [" ", "\u00a0 ", "\u200b", "\ufeff"])
def test_a_blank_is_nobodys_id(text: str) -> None:
    assert "blank" in (external_id_problem(text) or "")


def test_a_repr_keeps_the_id_to_itself() -> None:
    assert repr(a_customer("ann")) == "Customer(account_id='acc_acme')"


def test_a_person_is_the_same_under_any_of_their_pseudonyms_in_one_account() -> None:
    now, before = Customer(ACME, "new", others=("old",)), Customer(ACME, "old")
    assert now.pseudonyms == ("new", "old")
    assert now.is_same(before)
    assert before.is_same(now)
    assert not before.is_same(Customer(ACME, "new"))
    assert not now.is_same(Customer(OTHER, "old"))
    assert now == Customer(ACME, "new")


def test_a_pseudonym_names_its_key_and_an_id_that_was_kept_plain_names_none() -> None:
    customer = a_customer()
    assert len(customer.pseudonym) == 52
    assert not customer.is_under_other_keys(PSEUDONYMS.prefixes)
    assert customer.is_under_other_keys(("another1.",))
    assert not Customer(ACME, "x" * 52).is_under_other_keys(())
    assert not Customer(ACME, "someone8.else").is_under_other_keys(())
