"""The command line, as an operator and as a script use it, on a real database and folder."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from entrypoints.cli.main import main
from entrypoints.wiring.settings import Settings


class Shell:
    """Runs commands in an environment of their own."""

    def __init__(self, data_dir: Path) -> None:
        self.environment = {"TRYON_DATA_DIR": str(data_dir)}
        self.data_dir = data_dir

    def __call__(self, *command: str, stdin: str | None = None, **environment: str) -> Result:
        return CliRunner().invoke(main, command, input=stdin, env=self.environment | environment)

    def json(self, *command: str) -> Any:
        done = self(*command, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    assert shell("db", "upgrade").exit_code == 0
    return shell


def test_every_command_explains_itself(shell: Shell) -> None:
    for command in ([], ["serve"], ["accounts"], ["accounts", "create"], ["keys", "create"], ["customers", "erase"]):
        done = shell(*command, "--help")
        assert done.exit_code == 0
        assert done.output.startswith("Usage: ")


def test_upgrading_twice_is_the_same_as_upgrading_once(shell: Shell) -> None:
    assert shell("db", "upgrade").output == shell("db", "upgrade").output


def test_accounts_and_keys_are_made_listed_and_revoked(shell: Shell) -> None:
    shell("accounts", "create", "acme", "--keep-for-days", "3")
    made = shell.json("keys", "create", "--account", "acme", "--label", "kiosk 7")
    assert made["key"].startswith(f"gk_{made['id']}_")
    assert [account["keepForDays"] for account in shell.json("accounts", "list")] == [3]
    assert shell("keys", "revoke", made["id"], "--yes").exit_code == 0
    listed = shell.json("keys", "list", "--account", "acme")
    assert [(key["id"], key["label"]) for key in listed] == [(made["id"], "kiosk 7")]
    assert listed[0]["revokedAt"] is not None


def test_a_key_is_kept_as_a_digest_only(shell: Shell) -> None:
    shell("accounts", "create", "acme")
    key = shell.json("keys", "create", "--account", "acme")["key"]
    secret = key.split("_", 2)[2].encode()
    with sqlite3.connect(shell.data_dir / "tryon.db") as database:
        dump = "\n".join(database.iterdump()).encode()
    assert secret not in dump
    assert all(secret not in path.read_bytes() for path in shell.data_dir.iterdir() if path.is_file())


def test_revoking_asks_first(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("accounts", "create", "acme")
    key_id = shell.json("keys", "create", "--account", "acme")["id"]
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)
    asked = shell("keys", "revoke", key_id, stdin="n\n")
    assert (asked.exit_code, "Clients that use it" in asked.stderr) == (1, True)
    assert shell.json("keys", "list")[0]["revokedAt"] is None
    assert shell("keys", "revoke", key_id, stdin="y\n").exit_code == 0
    assert shell.json("keys", "list")[0]["revokedAt"] is not None


@pytest.mark.parametrize(
    "command",
    [
        ("keys", "revoke", "KEY"),
        ("accounts", "deactivate", "acme"),
        ("accounts", "delete", "acme"),
        ("customers", "erase", "ann", "--account", "acme"),
    ],
)
def test_where_nobody_can_answer_the_word_is_named_that_goes_on(shell: Shell, command: tuple[str, ...]) -> None:
    shell("accounts", "create", "acme")
    key_id = shell.json("keys", "create", "--account", "acme")["id"]
    done = shell(*(key_id if word == "KEY" else word for word in command), stdin="")
    assert done.exit_code == 2
    assert "say --yes" in done.stderr
    assert shell.json("keys", "list")[0]["revokedAt"] is None
    assert shell.json("accounts", "list")[0]["active"] is True


@pytest.mark.parametrize(
    "command",
    [
        ("keys", "revoke", "nothing"),
        ("accounts", "deactivate", "nobody"),
        ("accounts", "delete", "nobody"),
        ("images", "delete", "img_1"),
        ("customers", "erase", "ann", "--account", "nobody"),
    ],
)
def test_nobody_is_asked_about_what_is_not_there(shell: Shell, command: tuple[str, ...]) -> None:
    done = shell(*command, stdin="")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: There is no ")


def test_a_label_is_shown_as_it_is_and_whole(shell: Shell) -> None:
    shell("accounts", "create", "acme")
    labels = ("[kiosk 7]", "[/x]", "a" * 200, "two\nlines \x1b[31m")
    for label in labels:
        assert shell("keys", "create", "--account", "acme", "--label", label).exit_code == 0
    shown = shell("keys", "list", "--account", "acme").stdout
    for text in ("[kiosk 7]", "[/x]", "a" * 200, "two\\nlines \\x1b[31m"):
        assert text in shown
    assert len(shown.splitlines()) == 1 + len(labels)
    for key in shell.json("keys", "list"):
        assert key["id"] in shown
        assert key["createdAt"] in shown


def test_a_key_has_scopes_an_end_and_a_successor(shell: Shell) -> None:
    shell("accounts", "create", "acme")
    options = ("--name", "kiosk-7", "--scope", "upload", "--scope", "read", "--expires", "90d")
    made = shell.json("keys", "create", "--account", "acme", *options, "--requests-per-minute", "30")
    assert (made["label"], made["scopes"], made["requestsPerMinute"]) == ("kiosk-7", "read upload", 30)
    new = shell.json("keys", "rotate", made["id"], "--overlap", "12h")
    assert (new["label"], new["scopes"], new["requestsPerMinute"]) == ("kiosk-7", "read upload", 30)
    listed = {key["id"]: key for key in shell.json("keys", "list", "--account", "acme")}
    assert listed[made["id"]]["expiresAt"] < listed[new["id"]]["expiresAt"]
    assert listed[new["id"]]["lastUsedAt"] is None
    assert shell.json("keys", "create", "--account", "acme")["scopes"] == "all"


@pytest.mark.parametrize("wrong", [("--scope", "everything"), ("--expires", "soon"), ("--requests-per-minute", "0")])
def test_a_key_that_cannot_be_is_refused(shell: Shell, wrong: tuple[str, str]) -> None:
    assert shell("keys", "create", *wrong).exit_code == 2


def test_only_a_living_key_is_rotated(shell: Shell) -> None:
    shell("accounts", "create", "acme")
    key_id = shell.json("keys", "create", "--account", "acme")["id"]
    shell("keys", "revoke", key_id, "--yes")
    for unknown in (key_id, "nothing"):
        assert shell("keys", "rotate", unknown).exit_code == 1


def test_an_account_is_deleted_with_its_keys(shell: Shell) -> None:
    shell("accounts", "create", "acme")
    shell("keys", "create", "--account", "acme")
    assert shell.json("accounts", "delete", "acme", "--dry-run") == {
        "keysRevoked": 1,
        "imagesDeleted": 0,
        "productsDeleted": 0,
    }
    done = shell.json("accounts", "delete", "acme", "--yes")
    assert done == {"keysRevoked": 1, "imagesDeleted": 0, "productsDeleted": 0, "bytesLeft": 0}
    assert shell.json("keys", "list")[0]["revokedAt"] is not None
    assert shell.json("accounts", "list")[0]["active"] is False
    assert shell.json("accounts", "delete", "acme", "--yes")["keysRevoked"] == 0


def test_a_dry_run_of_revoking_shows_the_key_and_revokes_nothing(shell: Shell) -> None:
    shell("accounts", "create", "acme")
    key_id = shell.json("keys", "create", "--account", "acme")["id"]
    assert shell.json("keys", "revoke", key_id, "--dry-run")["id"] == key_id
    assert shell.json("keys", "list")[0]["revokedAt"] is None
    assert shell("keys", "revoke", "nothing", "--dry-run").exit_code == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["keys", "create", "--account", "nobody"], 'There is no account named "nobody"'),
        (["keys", "list", "--account", "nobody"], 'There is no account named "nobody"'),
        (["keys", "revoke", "nothing", "--yes"], 'There is no key with the id "nothing"'),
        (["images", "show", "img_1", "--account", "nobody"], 'There is no account named "nobody"'),
        (["customers", "erase", "ann", "--account", "nobody", "--yes"], 'There is no account named "nobody"'),
    ],
)
def test_a_failure_is_one_line_and_exit_code_1(shell: Shell, command: list[str], message: str) -> None:
    done = shell(*command)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_account_name_is_taken_once(shell: Shell) -> None:
    shell("accounts", "create", "acme")
    assert "already" in shell("accounts", "create", "acme").stderr


def test_purging_an_empty_service_reports_zeros(shell: Shell) -> None:
    assert set(shell.json("purge").values()) == {0}


def test_an_erasure_reads_the_id_from_standard_input_and_counts_first(shell: Shell) -> None:
    shell("accounts", "create", "acme")
    dry = shell("customers", "erase", "--account", "acme", "--dry-run", "--json", stdin="ann\n")
    assert json.loads(dry.stdout) == {"wouldErase": 0}
    done = shell("customers", "erase", "--account", "acme", "--yes", "--json", stdin="ann\n")
    assert json.loads(done.stdout)["imagesErased"] == 0


def test_a_database_that_cannot_be_reached_is_exit_code_3(shell: Shell, tmp_path: Path) -> None:
    done = shell("accounts", "list", TRYON_DATABASE_URL=f"sqlite+aiosqlite:///{tmp_path}/missing/folder/tryon.db")
    assert done.exit_code == 3
    assert "Run: tryon-images db upgrade" in done.stderr


def test_a_wrong_setting_names_the_variable_and_what_it_accepts(shell: Shell) -> None:
    done = shell(
        "accounts", "list", TRYON_PORT="http", TRYON_PURL="x", TRYON_STORAGE_URL="ftp://a", TRYON_SIGNING_KEY="short"
    )
    assert done.exit_code == 4
    for part in ("a whole number from 1", "TRYON_PURL", "it is no setting", "file:///", "TRYON_SIGNING_KEY"):
        assert part in done.stderr
    assert "short" not in done.stderr


def test_the_doctor_names_a_fix_for_what_it_finds(tmp_path: Path) -> None:
    done = Shell(tmp_path / "new")("doctor", "--json", TRYON_MODEL_DIR=str(tmp_path / "no models"))
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert done.exit_code == 1
    assert findings["settings"]["ok"]
    assert findings["models"]["fix"].startswith("Run: tryon-images models install")
    assert not findings["database"]["ok"]


def test_an_accounts_limits_are_set_kept_and_taken_back(shell: Shell) -> None:
    shell("accounts", "create", "acme")
    limited = shell.json("accounts", "set-limits", "acme", "--requests-per-minute", "600", "--max-live-images", "9")
    assert (limited["requestsPerMinute"], limited["maxLiveImages"]) == (600, 9)
    shell.json("accounts", "set-limits", "acme", "--requests-per-minute", "default")
    (listed,) = shell.json("accounts", "list")
    assert (listed["requestsPerMinute"], listed["maxLiveImages"]) == (None, 9)
    wrong = shell("accounts", "set-limits", "acme", "--requests-per-minute", "many")
    assert wrong.exit_code == 2
    assert "neither a whole number below a billion nor `default`" in wrong.stderr


def test_an_accounts_credits_are_set_and_their_limit_is_lifted(shell: Shell) -> None:
    shell("accounts", "create", "acme")
    assert shell.json("accounts", "set-credits", "acme", "500")["credits"] == 500
    shell.json("accounts", "set-limits", "acme", "--max-live-images", "9")
    assert shell.json("accounts", "list")[0]["credits"] == 500
    assert shell.json("accounts", "set-credits", "acme", "unlimited")["credits"] is None
    for wrong in ("-1", "many", "9999999999"):
        refused = shell("accounts", "set-credits", "acme", wrong)
        assert refused.exit_code == 2
    assert shell("accounts", "set-credits", "nobody", "1").exit_code == 1


def test_an_accounts_retention_can_be_changed(shell: Shell) -> None:
    shell("accounts", "create", "acme", "--keep-for-days", "7")
    assert shell.json("accounts", "set-retention", "acme", "1")["keepForDays"] == 1


def test_deactivating_counts_and_asks_first_and_can_be_undone(shell: Shell) -> None:
    shell("accounts", "create", "acme")
    shell("keys", "create", "--account", "acme")
    assert shell.json("accounts", "deactivate", "acme", "--dry-run") == {"keysRefused": 1}
    assert shell("accounts", "deactivate", "acme", stdin="n\n").exit_code == 2
    assert shell.json("accounts", "list")[0]["active"] is True
    assert shell.json("accounts", "deactivate", "acme", "--yes")["active"] is False
    assert shell.json("accounts", "activate", "acme")["active"] is True


def test_the_settings_are_shown_without_their_secrets(shell: Shell) -> None:
    secret = "s" * 40
    shell.environment |= {"TRYON_SIGNING_KEY": secret, "TRYON_PORT": "9000"}
    shown = shell.json("config", "show")
    rows = {row["variable"]: (row["value"], row["source"]) for row in shown}
    assert rows["TRYON_PORT"] == ("9000", "environment")
    assert rows["TRYON_SIGNING_KEY"] == ("******** (40 characters)", "environment")
    assert rows["TRYON_DATABASE_URL"] == (f"sqlite+aiosqlite:///{shell.data_dir}/tryon.db", "default")
    assert secret not in shell("config", "show").output


def test_where_a_setting_comes_from_is_shown_and_no_password_in_a_url(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql+asyncpg://tryon:pass@word@db/tryon?password=word")
    shell.environment |= {"TRYON_DATABASE_URL_FILE": str(tmp_path / "url"), "TRYON_PSEUDONYM_KEY": "p" * 32}
    shell.environment |= {"TRYON_ENGINE_URL": "https://me:word@model.example.com/predict"}
    shown = shell("config", "show").output
    assert f"file {tmp_path / 'url'}" in shown
    assert "postgresql+asyncpg://********@db/tryon" in shown
    assert "https://********@model.example.com/predict" in shown
    assert "word" not in shown.replace("password=", "")


def test_all_that_is_wrong_with_the_settings_is_said_at_once(shell: Shell) -> None:
    for command in (["config", "show"], ["serve"]):
        done = shell(*command, TRYON_PORT="many", TRYON_LOG_LEVEL="loud", TRYON_HOSST="x")
        assert done.exit_code == 4
        for name in ("TRYON_PORT", "TRYON_LOG_LEVEL", "TRYON_HOSST"):
            assert name in done.stderr


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete_commands(shell: Shell, name: str) -> None:
    done = shell("completion", name)
    assert done.exit_code == 0
    assert "_TRYON_IMAGES_COMPLETE" in done.stdout


def test_rules_and_dashboard_are_printed_as_they_are_shipped(shell: Shell) -> None:
    assert "alert: TryonExpiredImagesKept" in shell("observability", "alerts").stdout
    assert json.loads(shell("observability", "dashboard").stdout)["title"] == "tryon-images"


def test_log_lines_stay_out_of_a_commands_answer(shell: Shell) -> None:
    done = shell("purge", "--json", TRYON_LOG_LEVEL="debug")
    assert json.loads(done.stdout)["removed"] == 0


@pytest.mark.parametrize("name", ["a%20b", "a?b#c", "100%", "%00", "é ü", "\udcff"])
def test_a_data_folder_may_have_any_name(name: str, tmp_path: Path) -> None:
    shell = Shell(tmp_path / name)
    assert shell("db", "upgrade").exit_code == 0
    assert shell("accounts", "create", "acme").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "tryon.db").exists()
    assert Settings(data_dir=tmp_path / name).database_file == tmp_path / name / "tryon.db"


@pytest.mark.parametrize("file", ["", "?timeout=3", ":memory:"])
def test_a_database_of_sqlite_is_a_file(file: str, shell: Shell) -> None:
    done = shell("accounts", "list", TRYON_DATABASE_URL=f"sqlite+aiosqlite:///{file}")
    assert (done.exit_code, "sqlite+aiosqlite:///path" in done.stderr) == (4, True)
