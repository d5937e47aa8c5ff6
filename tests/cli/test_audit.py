"""The audit log: who did what to accounts, keys and persons, by command line and by key."""

import csv
import io
import json
import os
import pwd
import stat
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from adapters.sql.migrate import Migrator
from adapters.sql.unit_of_work import create_engine
from tests.cli.shop import PERSON, Shop

USER = f"user {pwd.getpwuid(os.getuid()).pw_name} ({os.getuid()})"


def actions(shop: Shop, *options: str) -> list[str]:
    return [entry["action"] for entry in shop.json("audit", *options)]


def test_what_is_done_by_command_line_is_entered_with_the_user_who_did_it(shop: Shop, tmp_path: Path) -> None:
    key = shop.json("keys", "create", "--name", "kiosk of ann", "--scope", "upload", "--expires", "90d")
    new = shop.json("keys", "rotate", key["id"])
    shop.json("keys", "revoke", key["id"], "--yes")
    shop.json("accounts", "set-limits", "default", "--max-live-images", "7")
    shop.json("accounts", "set-credits", "default", "5")
    (name, other) = shop.upload(b"one", b"two")
    shop.run("images", "show", Path(name).stem)
    assert shop.run("images", "delete", Path(other).stem, "--yes").exit_code == 0
    shop.json("customers", "show", PERSON)
    shop.json("customers", "export", PERSON, "-o", str(tmp_path / "case.zip"))
    erased = shop.json("customers", "erase", PERSON, "--yes")
    shop.json("reconcile", "--apply")
    assert shop.run("purge", "--trust-clock").exit_code == 0
    shop.json("accounts", "create", "acme")
    shop.json("accounts", "delete", "acme", "--yes")
    entries = [entry for entry in shop.json("audit") if entry["actor"] == USER]
    assert [entry["action"] for entry in entries] == [
        *("key_created", "key_rotated", "key_revoked", "account_changed", "credits_set", "image_shown"),
        *("image_deleted", "customer_shown", "customer_exported", "customer_erased", "storage_repaired"),
        *("clock_trusted", "account_created", "account_deleted"),
    ]
    by_action = {entry["action"]: entry for entry in entries}
    assert by_action["key_created"]["subject"] == key["id"]
    assert by_action["key_created"]["facts"]["scopes"] == "upload"
    assert (by_action["key_rotated"]["subject"], by_action["key_rotated"]["facts"]["replaces"]) == (
        new["id"],
        key["id"],
    )
    assert by_action["account_changed"]["facts"]["max_live_images"] == 7
    assert by_action["customer_erased"]["subject"] == erased["erasureId"]
    assert by_action["customer_erased"]["facts"] == {"images": 1}
    whole = json.dumps(entries)
    assert [word for word in (PERSON, "kiosk of ann", key["key"], new["key"]) if word in whole] == []


def test_every_entry_is_a_line_in_the_log_too(shop: Shop) -> None:
    done = shop.run("accounts", "create", "acme", "--json")
    (line,) = [json.loads(line) for line in done.stderr.splitlines() if '"audit"' in line]
    assert (line["action"], line["actor"], line["account_id"]) == (
        "account_created",
        USER,
        json.loads(done.stdout)["id"],
    )


def test_looking_and_counting_leave_no_entry(shop: Shop) -> None:
    before = actions(shop)
    shop.json("accounts", "list")
    shop.json("customers", "erase", PERSON, "--dry-run")
    shop.json("reconcile")
    shop.json("audit")
    assert actions(shop) == before


def test_the_log_is_shown_by_time_and_by_account(shop: Shop) -> None:
    shop.json("accounts", "create", "acme")
    shop.json("keys", "create", "--account", "acme")
    assert actions(shop, "--account", "acme") == ["account_created", "key_created"]
    assert actions(shop, "--since", "2999-01-01") == []
    assert "key_created" in actions(shop, "--since", "2020-01-01T00:00:00Z")
    assert shop.run("audit", "--account", "no-such").exit_code == 1
    assert shop.run("audit", "--since", "yesterday").exit_code == 2
    assert USER in shop.run("audit").stdout


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_an_export_holds_every_entry_and_is_nobody_elses(shop: Shop, tmp_path: Path, name: str) -> None:
    shop.json("accounts", "create", "=HYPERLINK(1)")
    shop.json("audit", "-o", str(tmp_path / name))
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    written = (tmp_path / name).read_text()
    rows = list(csv.DictReader(io.StringIO(written))) if name == "log.csv" else [*map(json.loads, written.splitlines())]
    assert ",=" not in written
    assert [row["action"] for row in rows] == actions(shop)
    assert {tuple(row) for row in rows} == {("at", "actor", "action", "account", "subject", "facts")}
    assert shop.run("audit", "-o", str(tmp_path / name)).exit_code == 2


def test_a_role_that_serves_may_add_to_the_log_and_read_it_and_no_more() -> None:
    grants = Migrator.grants("tryon_app")
    assert [line for line in grants if "audit_log" in line] == [
        'REVOKE ALL ON audit_log FROM "tryon_app";',
        'GRANT SELECT, INSERT ON audit_log TO "tryon_app";',
    ]


@pytest.mark.parametrize(
    "statement", ["DELETE FROM audit_log", "UPDATE audit_log SET actor = 'nobody'", "TRUNCATE audit_log"]
)
async def test_postgresql_refuses_that_role_to_change_an_entry(postgres_url: str, statement: str) -> None:
    engine = create_engine(postgres_url)
    async with engine.connect() as connection:
        with pytest.raises(ProgrammingError, match="permission denied"):
            await connection.execute(text(statement))
    await engine.dispose()
