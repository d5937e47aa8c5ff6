"""Receipts of erasures: whole as written, worthless when anything in them is changed."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from application.customer_holdings import key_text
from entrypoints.cli.main import main
from tests.application.test_receipts import PLACES, RECEIPT, is_accepted
from tests.cli.shop import PERSON, Shop

VALUES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just({}) | st.just([])
)


def changed(path: tuple[str, ...], value: Any) -> bytes:
    whole = holder = json.loads(RECEIPT)
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    return json.dumps(whole, indent=2).encode()


def original(path: tuple[str, ...]) -> Any:
    found = json.loads(RECEIPT)
    for name in path:
        found = found[name]
    return found


@given(path=st.sampled_from(PLACES), value=VALUES)
def test_another_value_in_any_place_is_noticed(path: tuple[str, ...], value: Any) -> None:
    is_same = type(value) is type(original(path)) and value == original(path)
    assert is_accepted(changed(path, value)) == is_same


@given(st.integers(0, len(RECEIPT) - 2), st.integers(1, 255))
def test_another_byte_anywhere_is_noticed(place: int, difference: int) -> None:
    damaged = bytearray(RECEIPT)
    damaged[place] ^= difference
    assert not is_accepted(bytes(damaged)) or damaged.split() == RECEIPT.split()


def test_an_erasure_leaves_a_receipt_that_names_nobody(shop: Shop, tmp_path: Path) -> None:
    shop.upload(b"one", b"two")
    receipt = tmp_path / "case-4711.json"
    told = shop.json("customers", "erase", PERSON, "--yes", "--receipt", str(receipt))
    assert (told["status"], told["imagesErased"], told["rowsLeft"], told["objectsLeft"]) == ("ERASED", 2, 0, 0)
    assert stat.S_IMODE(receipt.stat().st_mode) == 0o600
    assert PERSON not in receipt.read_text()
    checked = shop.json("verify-receipt", str(receipt))
    assert checked["valid"]
    assert (checked["erasureId"], checked["imagesErased"]) == (told["erasureId"], 2)
    assert checked["verified"]["rowsLeft"] == checked["verified"]["objectsLeft"] == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".case")] == []


def test_an_auditor_with_nothing_but_the_public_key_can_check_it(shop: Shop, tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.json"
    shop.json("customers", "erase", PERSON, "--yes", "--receipt", str(receipt))
    (key,) = shop.run("verify-receipt", "--print-key").stdout.split()
    assert shop.json("verify-receipt", "--print-key") == {"publicKeys": [key]}
    elsewhere = Shop(tmp_path / "elsewhere")
    assert elsewhere.run("verify-receipt", str(receipt), "--public-key", key).exit_code == 0
    assert not elsewhere.folder.exists()
    refused = elsewhere.run("verify-receipt", str(receipt), "--public-key", key_text(bytes(32)), "--json")
    assert (refused.exit_code, json.loads(refused.stdout)["valid"]) == (1, False)
    receipt.write_text(receipt.read_text().replace('"imagesErased": 0', '"imagesErased": 9'))
    tampered = elsewhere.run("verify-receipt", str(receipt), "--public-key", key)
    assert tampered.exit_code == 1
    assert "was changed" in tampered.stdout


@pytest.mark.parametrize("key", ["", "AAAA", "no key", key_text(bytes(31)), key_text(bytes(64))])
def test_what_is_no_key_is_not_taken_for_the_wish_to_trust_ones_own(shop: Shop, tmp_path: Path, key: str) -> None:
    """As of a script whose variable is empty."""
    receipt = tmp_path / "receipt.json"
    shop.json("customers", "erase", PERSON, "--yes", "--receipt", str(receipt))
    assert shop.run("verify-receipt", str(receipt), "--public-key", key).exit_code == 2


@pytest.mark.parametrize("command", [("customers", "erase", PERSON, "--yes", "--receipt"), ("evidence", "-o")])
def test_a_file_without_a_name_is_refused(shop: Shop, command: tuple[str, ...]) -> None:
    assert shop.run(*command, "").exit_code == 2


@pytest.mark.parametrize("name", ["there.json", "no-such-folder/receipt.json"])
def test_nobody_is_erased_when_the_receipt_cannot_be_written(shop: Shop, tmp_path: Path, name: str) -> None:
    shop.upload(b"one")
    (tmp_path / "there.json").write_text("an older receipt")
    done = shop.run("customers", "erase", PERSON, "--yes", "--receipt", str(tmp_path / name))
    assert done.exit_code == 2
    assert shop.json("customers", "erase", PERSON, "--dry-run") == {"wouldErase": 1}
    assert (tmp_path / "there.json").read_text() == "an older receipt"


def test_looking_at_a_receipt_makes_no_key_on_a_machine_that_has_none(shop: Shop, tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.json"
    shop.json("customers", "erase", PERSON, "--yes", "--receipt", str(receipt))
    elsewhere = Shop(tmp_path / "elsewhere")
    refused = elsewhere.run("verify-receipt", str(receipt))
    assert (refused.exit_code, "nothing says whose the key is" in refused.stdout) == (1, True)
    assert not elsewhere.folder.exists()


def test_machines_that_share_a_database_have_to_share_the_key_and_hear_so_before_the_erasure(tmp_path: Path) -> None:
    settings = {
        "TRYON_DATA_DIR": str(tmp_path),
        "TRYON_DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:1/nothing",
        "TRYON_STORAGE_URL": "gs://photos",
        "TRYON_PSEUDONYM_KEY": "p" * 32,
    }
    erase = ["customers", "erase", PERSON, "--yes", "--receipt", str(tmp_path / "receipt.json")]
    done = CliRunner().invoke(main, erase, env=settings)
    assert done.exit_code == 4
    assert "TRYON_SIGNING_KEY" in done.stderr
    assert list(tmp_path.iterdir()) == []
