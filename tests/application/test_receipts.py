"""Receipts of erasures: whole as written, worthless when anything in them is changed."""

import json
from typing import Any

import pytest

from adapters.ed25519 import DerivedKeys, is_signed
from application.customer_holdings import (
    MAX_RECEIPT_BYTES,
    Facts,
    NotAReceipt,
    read_receipt,
    receipt_facts,
    signed_receipt,
)
from application.erase_customer import ErasureOutcome
from domain.account import AccountId
from domain.image import ErasureId
from tests.builders import NOON

KEYS = DerivedKeys((b"k" * 32, b"o" * 32))
OUTCOME = ErasureOutcome(ErasureId("era_1"), NOON, (), 0)
VERIFIED = {"rowsLeft": 0, "objectsLeft": 0, "markedUntil": NOON}


def facts() -> Facts:
    return receipt_facts(AccountId("acc_1"), OUTCOME, VERIFIED, NOON, "1.0")


RECEIPT = signed_receipt(facts(), KEYS)


def is_accepted(receipt: bytes, keys: tuple[bytes, ...] = KEYS.public_keys) -> bool:
    try:
        read_receipt(receipt, keys, is_signed)
    except NotAReceipt:
        return False
    return True


def places(value: Any, *path: str) -> list[tuple[str, ...]]:
    """Where a receipt holds values, at any depth."""
    if isinstance(value, dict):
        return [found for name, inner in value.items() for found in places(inner, *path, name)]
    return [path]


PLACES = places(json.loads(RECEIPT))


def test_a_receipt_as_it_was_written_is_accepted_with_any_line_ends() -> None:
    assert read_receipt(RECEIPT, KEYS.public_keys, is_signed) == facts()
    assert is_accepted(RECEIPT.replace(b"\n", b"\r\n"))


@pytest.mark.parametrize(("size_bytes", "accepted"), [(65_536, True), (65_537, False)])
def test_no_more_than_64_kb_are_read(size_bytes: int, accepted: bool) -> None:
    receipt = RECEIPT[:-2] + b" " * (size_bytes - len(RECEIPT) + 1) + b"}"
    assert (len(receipt), is_accepted(receipt)) == (size_bytes, accepted)


@pytest.mark.parametrize("path", PLACES)
def test_a_missing_field_is_noticed(path: tuple[str, ...]) -> None:
    whole = holder = json.loads(RECEIPT)
    for name in path[:-1]:
        holder = holder[name]
    del holder[path[-1]]
    assert not is_accepted(json.dumps(whole, indent=2).encode())


@pytest.mark.parametrize(
    "addition",
    [
        (b'"imagesErased": 0', b'"imagesErased": 7,\n    "imagesErased": 0'),
        (b'"receipt": {', b'"receipt": {"imagesErased": 7},\n  "receipt": {'),
        (b'"publicKey"', b'"note": "all is well",\n  "publicKey"'),
    ],
)
def test_a_field_more_is_noticed_even_one_that_parsers_pass_over(addition: tuple[bytes, bytes]) -> None:
    assert RECEIPT.count(addition[0]) == 1
    assert not is_accepted(RECEIPT.replace(*addition))


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b"{}", b"[" * 60_000, b'{"receipt": ' * 900, b"9" * 5000])
def test_what_is_no_receipt_at_all_is_refused(text: bytes) -> None:
    assert not is_accepted(text)


def test_a_key_that_is_not_trusted_proves_nothing_and_an_old_one_of_the_ring_does() -> None:
    stranger, rotated = DerivedKeys((b"s" * 32,)), DerivedKeys((b"n" * 32, b"k" * 32))
    assert not is_accepted(signed_receipt(facts(), stranger))
    assert is_accepted(RECEIPT, rotated.public_keys)
    assert is_accepted(RECEIPT, KEYS.public_keys[:1])


WRITTEN = b"""{
  "receipt": {
    "erasureId": "era_1",
    "accountId": "acc_1",
    "status": "ERASED",
    "imagesErased": 0,
    "bytesLeft": 0,
    "requestedAt": "2026-11-22T12:00:00Z",
    "issuedAt": "2026-11-22T12:00:00Z",
    "verified": {
      "rowsLeft": 0,
      "objectsLeft": 0,
      "markedUntil": "2026-11-22T12:00:00Z"
    },
    "toolVersion": "1.0"
  },
  "publicKey": "GS-JpNmov2-yKUFjggr-RL59rgK_oCCJyj5T3e6OAAk=",
  "signature": "PQvgdx-EMMhmzQYjZ8BLO3dSeckHJsMwy91gi4Kpz8QLQDcP6UUVjvMVFzzfwcwZZjrh3hdsQz16LanKQRUlBA=="
}
"""


def test_receipts_are_written_as_ever_so_that_old_ones_stay_valid() -> None:
    assert signed_receipt(facts(), KEYS) == WRITTEN


@pytest.mark.parametrize(
    ("receipt", "keys", "reason"),
    [
        (b"{}", KEYS.public_keys, "not a receipt"),
        (RECEIPT[:-2] + b" " * MAX_RECEIPT_BYTES + b"}\n", KEYS.public_keys, "not a receipt"),
        (RECEIPT.replace(b": ", b":"), KEYS.public_keys, "holds more"),
        (RECEIPT.replace(b"era_1", b"era_2"), KEYS.public_keys, "does not fit"),
        (RECEIPT, (), "nothing says whose"),
        (RECEIPT.replace(b"era_1", b"era_2"), (), "does not fit"),
    ],
)
def test_it_is_said_why_a_file_proves_nothing(receipt: bytes, keys: tuple[bytes, ...], reason: str) -> None:
    with pytest.raises(NotAReceipt, match=reason):
        read_receipt(receipt, keys, is_signed)
