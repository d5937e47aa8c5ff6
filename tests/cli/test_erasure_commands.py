"""The operator's commands around erasure and recovery, on a database and a folder as they are in service."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.shop import PERSON, Shop


def test_an_erasure_is_proved_and_the_mark_that_stays_is_admitted(shop: Shop) -> None:
    shop.upload(b"one", b"two")
    proof = shop.json("customers", "erase", PERSON, "--yes", "--verify")
    assert (proof["imagesErased"], proof["status"], proof["bytesLeft"]) == (2, "ERASED", 0)
    assert (proof["rowsLeft"], proof["idempotencyRecordsLeft"], proof["objectsLeft"]) == (0, 0, 0)
    assert proof["markedUntil"] > datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert list((shop.folder / "objects" / "ttl-7d").iterdir()) == []


def test_nothing_of_the_person_is_left_in_any_file_and_how_much_was_searched_is_told(shop: Shop) -> None:
    shop.upload(b"a photo that is kept as it is, long enough to be searched for", b"another")
    person = "somebody@example.com"
    proof = shop.json("customers", "erase", PERSON, "--yes", "--verify")
    whole = sum(path.stat().st_size for path in shop.folder.rglob("*") if path.is_file())
    assert proof["rawFilesWithTraces"] == 0
    assert proof["rawFilesSearched"] >= 4, "the database, its log, two keys"
    assert proof["rawBytesSearched"] >= whole > 50_000
    (shop.folder / "forgotten.log").write_text(f"a line about {person}")
    found = shop.run("customers", "erase", person, "--yes", "--verify")
    assert found.exit_code == 1
    assert f"Something of the customer is in {shop.folder / 'forgotten.log'}." in found.stderr
    assert person not in found.stderr


def test_the_same_photo_of_somebody_else_is_no_trace(shop: Shop) -> None:
    photo = b"a photo that two people upload " * 9
    (name,) = shop.upload(photo)
    mine = shop.folder / "objects" / name
    shop.upload(photo, customer="somebody else")
    proof = shop.json("customers", "erase", PERSON, "--yes", "--verify")
    assert (proof["rawFilesWithTraces"], mine.exists()) == (0, False)


def test_under_a_lost_key_nobody_is_proved_to_be_gone(shop: Shop) -> None:
    shop.upload(b"one")
    key = (shop.folder / "pseudonym.key").read_text()
    (shop.folder / "pseudonym.key").unlink()
    lost = shop.run("customers", "erase", PERSON, "--yes", "--verify", "--json")
    proof = json.loads(lost.stdout)
    assert (lost.exit_code, proof["imagesErased"], proof["imagesUnderOtherKeys"]) == (1, 0, 1)
    findings = {finding["check"]: finding for finding in json.loads(shop.run("doctor", "--json").stdout)}
    assert "no erasure by a customer's id finds them" in findings["pseudonym keys"]["fix"]
    new = (shop.folder / "pseudonym.key").read_text()
    (shop.folder / "pseudonym.key").write_text(f"{new},{key}")
    proof = shop.json("customers", "erase", PERSON, "--yes", "--verify")
    assert (proof["imagesErased"], proof["imagesUnderOtherKeys"]) == (1, 0)


@pytest.mark.parametrize("content", [b"", b"\xff" * 40])
def test_a_damaged_key_is_told_in_place_of_a_traceback(shop: Shop, content: bytes) -> None:
    (shop.folder / "pseudonym.key").write_bytes(content)
    done = shop.run("customers", "erase", PERSON, "--yes", "--verify")
    assert done.exit_code == 4
    assert done.stderr.startswith("Error: The configuration is wrong.")
    assert "TRYON_PSEUDONYM_KEY" in done.stderr


def test_an_id_that_comes_through_a_pipe_is_the_one_that_was_sent(shop: Shop) -> None:
    shop.upload(b"one")
    erase = ("customers", "erase", "--yes", "--verify", "--json")
    assert json.loads(shop.run(*erase, input=PERSON + "\r\n").stdout)["imagesErased"] == 1


@pytest.mark.parametrize("external_id", ["ann\r\nbob", "ann\t", "\x1b[0m", "\udcff"])
def test_an_id_that_no_client_can_have_sent_is_refused_instead_of_proved_to_be_gone(
    shop: Shop, external_id: str
) -> None:
    done = shop.run("customers", "erase", external_id, "--yes", "--verify")
    assert done.exit_code == 2
    assert "control characters or half a character" in done.output


def test_the_audit_trail_holds_no_trace_of_the_person(shop: Shop) -> None:
    names = shop.upload(b"one")
    shop.json("customers", "erase", PERSON, "--yes")
    (record,) = shop.json("customers", "erasures")
    assert record["images"] == 1
    assert names == [f"ttl-7d/{image_id}.jpg" for image_id in record["imageIds"]]
    assert record["completedAt"] is not None
    assert PERSON not in shop.run("customers", "erasures").output + json.dumps(record)


def test_an_erasure_holds_after_the_database_was_restored(shop: Shop, tmp_path: Path) -> None:
    shop.upload(b"one", b"two")
    backup = shop.folder / "backup.db"
    shutil.copyfile(shop.folder / "tryon.db", backup)
    shutil.copytree(shop.folder / "objects", shop.folder / "objects.backup")
    erasure_id = shop.json("customers", "erase", PERSON, "--yes")["erasureId"]
    export = tmp_path / "erasures.json"
    export.write_text(shop.run("customers", "erasures", "--json").stdout)

    shutil.copyfile(backup, shop.folder / "tryon.db")
    shutil.rmtree(shop.folder / "objects")
    (shop.folder / "objects.backup").rename(shop.folder / "objects")
    assert shop.json("customers", "erasures") == []

    replay = ("customers", "replay-erasures", "--from", str(export))
    assert shop.json(*replay, "--dry-run") == {"erasures": 1, "imagesThatCameBack": 2}
    assert shop.json(*replay) == {"erasures": 1, "imagesThatCameBack": 2}
    assert shop.json(*replay) == {"erasures": 1, "imagesThatCameBack": 0}
    assert [record["erasureId"] for record in shop.json("customers", "erasures")] == [erasure_id]
    assert shop.json("reconcile")["compared"] == 0
    assert shop.json("customers", "erase", PERSON, "--dry-run") == {"wouldErase": 0}


def test_a_file_that_is_no_audit_trail_is_refused(shop: Shop, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.json"
    nonsense.write_text('{"a": 1}')
    done = shop.run("customers", "replay-erasures", "--from", str(nonsense))
    assert done.exit_code == 1
    assert "customers erasures --json" in done.stderr


def test_reconcile_says_what_differs_and_mends_it_only_when_told(shop: Shop) -> None:
    (name, other) = shop.upload(b"one", b"two")
    (shop.folder / "objects" / name).rename(shop.folder / "objects" / "ttl-7d" / "img_stray.jpg")
    found = shop.run("reconcile")
    assert found.exit_code == 1
    assert f"stored image without an object: {name}" in found.stdout
    assert "object without a row: ttl-7d/img_stray.jpg" in found.stdout
    assert found.stderr == ""
    assert shop.json("reconcile", "--apply")["repaired"] == 2
    assert shop.json("reconcile") == {
        "compared": 1,
        "objectsWithoutRow": 0,
        "imagesWithoutObject": 0,
        "foreignObjects": 0,
        "repaired": 0,
        "last": other,
    }
