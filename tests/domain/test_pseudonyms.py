"""Pseudonyms of customers and of idempotency keys, across a change of keys."""

import pytest

from domain.customer import Customer, Pseudonyms
from domain.erasure import Tombstone
from domain.image import ErasureId
from tests.builders import ACME, NOON, OTHER

OLD, NEW = b"o" * 32, b"n" * 32
BEFORE, DURING, AFTER = Pseudonyms((OLD,)), Pseudonyms((NEW, OLD)), Pseudonyms((NEW,))
ID = "gid://shopify/Customer/1"


def test_what_stands_for_a_person_says_nothing_of_the_id() -> None:
    customer = BEFORE.customer(ACME, ID)
    assert len(customer.pseudonym) == Customer.PSEUDONYM_CHARS
    assert ID not in customer.pseudonym
    assert ID not in repr(customer)
    assert OLD.decode() not in repr(BEFORE)


def test_it_differs_by_account_id_and_key() -> None:
    pseudonyms = {
        BEFORE.customer(ACME, ID).pseudonym,
        BEFORE.customer(OTHER, ID).pseudonym,
        BEFORE.customer(ACME, ID + "0").pseudonym,
        AFTER.customer(ACME, ID).pseudonym,
    }
    assert len(pseudonyms) == 4


def test_the_first_key_of_a_ring_writes_and_any_of_them_finds() -> None:
    during = DURING.customer(ACME, ID)
    assert during.pseudonym == AFTER.customer(ACME, ID).pseudonym
    assert BEFORE.customer(ACME, ID).pseudonym in during.pseudonyms
    assert during.is_same(BEFORE.customer(ACME, ID))
    assert not during.is_same(BEFORE.customer(ACME, "somebody else"))
    assert not during.is_same(BEFORE.customer(OTHER, ID))
    assert during.pseudonym.startswith(DURING.prefixes[0])


def test_a_repeated_request_is_recognised_across_a_change_of_keys() -> None:
    kept = BEFORE.request(ACME, "key", b"request")
    again = DURING.request(ACME, "key", b"request")
    assert kept.key_digest in again.key_digests
    assert again.is_same_request(kept)
    assert not DURING.request(ACME, "key", b"another").is_same_request(kept)


def test_neither_key_nor_request_can_be_guessed_from_what_is_kept() -> None:
    mine, yours = BEFORE.request(ACME, "key", b"request"), AFTER.request(ACME, "key", b"request")
    assert {mine.key_digest, mine.fingerprint}.isdisjoint({yours.key_digest, yours.fingerprint})


def test_what_the_version_before_wrote_is_found_and_becomes_what_is_written_now() -> None:
    record = DURING.request(ACME, "key", b"request")
    plain = record.others[-1]
    assert plain.fingerprint == b"request"
    assert DURING.converted(ACME, plain) == record
    assert DURING.customer(ACME, ID).others[-1] == ID


@pytest.mark.parametrize("erased_by", [BEFORE, DURING])
def test_an_erasure_stops_uploads_on_replicas_that_have_the_other_order_of_keys(erased_by: Pseudonyms) -> None:
    stone = Tombstone.of(
        erased_by.customer(ACME, ID),
        erasure_id=ErasureId("era_1"),
        epoch=1,
        erased_at=NOON,
        salt=b"salt",
        expires_at=NOON,
    )
    for ring in (Pseudonyms((OLD, NEW)), DURING):
        assert stone.covers(ring.customer(ACME, ID))
        assert not stone.covers(ring.customer(ACME, "somebody else"))


@pytest.mark.parametrize("external_id", ["", "x" * 257, "a\0b"])
def test_an_id_that_nobody_can_have_sent_has_no_pseudonym(external_id: str) -> None:
    with pytest.raises(ValueError, match="1 to 256"):
        BEFORE.customer(ACME, external_id)
