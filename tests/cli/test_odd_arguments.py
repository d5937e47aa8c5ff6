"""Every command, with arguments that nobody means: it says what is wrong, and never shows a traceback."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from entrypoints.cli.main import main

ALONE = {"serve", "worker", "doctor", "models", "evidence", "crop"}
"""They run for long, or shut this very process off the network."""
TEXTS = ("\udcff", "a" * 5000)
NUMBERS = ("9" * 21, "nan", "-1")


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


COMMANDS = {path: command for path, command in commands(main) if path[0] not in ALONE}


def with_odd(command: click.Command, odd: click.Parameter, text: str, folder: Path) -> Iterator[str]:
    """Its command line, with `text` for the parameter and what fits for all that it cannot do without."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and (parameter is odd or parameter.required):
            yield from (parameter.opts[0], text if parameter is odd else str(folder / "new"))
        if parameter.name == "yes":
            yield "--yes"
    yield "--"
    for parameter in command.params:
        if isinstance(parameter, click.Argument) and (parameter is odd or parameter.required):
            yield text if parameter is odd else "1"


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_what_nobody_means_is_refused_in_a_sentence(
    path: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command, environment = COMMANDS[path], {"TRYON_DATA_DIR": str(tmp_path / "data")}
    assert CliRunner().invoke(main, ("db", "upgrade"), env=environment).exit_code == 0
    for odd in command.params:
        if isinstance(odd, click.Option) and odd.is_flag:
            continue
        for text in NUMBERS if "INT" in odd.type.name.upper() or "FLOAT" in odd.type.name.upper() else TEXTS:
            done = CliRunner().invoke(main, (*path, *with_odd(command, odd, text, tmp_path)), env=environment)
            assert done.exception is None or isinstance(done.exception, SystemExit), (odd.name, text[:9])
            assert done.exit_code in {0, 1, 2, 3, 4}


@pytest.mark.parametrize("number", ["9" * 10, "9" * 21])
def test_a_limit_that_no_column_takes_is_refused(number: str, tmp_path: Path) -> None:
    environment = {"TRYON_DATA_DIR": str(tmp_path)}
    for words in ("db upgrade", "accounts create acme"):
        assert CliRunner().invoke(main, words.split(), env=environment).exit_code == 0
    for words in (
        f"accounts set-limits acme --requests-per-minute {number}",
        f"accounts set-limits acme --max-live-images {number}",
        f"accounts set-credits acme {number}",
        f"keys create --account acme --requests-per-minute {number}",
    ):
        assert CliRunner().invoke(main, words.split(), env=environment).exit_code == 2


@pytest.mark.parametrize(
    "url", ["ftp://photos.test", "http://", "http://[bad", "http://photos.test:99999", "http://a\udcffb"]
)
def test_an_upload_goes_to_a_url_with_a_host_and_a_port(url: str) -> None:
    done = CliRunner().invoke(main, ("upload", "photo.jpg", "--to", url))
    assert (done.exit_code, "must begin with https:// or http://, then a host" in done.stderr) == (2, True)


def test_an_upload_elsewhere_refuses_what_is_no_text() -> None:
    words = ("upload", "photo.jpg", "--to", "http://127.0.0.1:1", "--external-user-id", "\udcff")
    done = CliRunner().invoke(main, words, env={"API_KEY": "gk_1"})
    assert (done.exit_code, "bytes that are not UTF-8" in done.stderr) == (2, True)


def test_a_key_that_is_none_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    for given, environment in (("--key-file", {}), (None, {"API_KEY": "gk_é"}), (None, {"API_KEY": "gk_1\ngk_2"})):
        options = (given, str(tmp_path / "key")) if given else ()
        words = ("upload", "photo.jpg", "--to", "http://127.0.0.1:1", *options)
        done = CliRunner().invoke(main, words, env=environment)
        assert (done.exit_code, "That is no API key" in done.stderr) == (2, True)
