"""Another go for tests that fail in a hurry, and none for what is broken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.check import GOES

ROOT = Path(__file__).parents[1]
BEGINNING = """
import os, pathlib, pytest
def goes():
    with pathlib.Path("goes").open("a") as file:
        file.write("x")
    return pathlib.Path("goes").stat().st_size
"""
IN_A_HURRY = {
    "a failure": "@pytest.mark.parametrize('a', ['b@c'])\ndef test_it(a): assert goes() == GO",
    "a crash": "def test_it(): goes() == GO or os._exit(1)",
    "the end of a fixture": "@pytest.fixture\ndef it():\n    yield\n    assert goes() == GO\ndef test_it(it): pass",
}


def checked(folder: Path, test: str, go: int, *options: str) -> "subprocess.CompletedProcess[str]":
    """With a test beside it that passes, and is to run once."""
    (folder / "test_it.py").write_text(f"{BEGINNING}\nGO = {go}\n{test}\n")
    (folder / "test_more.py").write_text("def test_more(): print('more ran')")
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return subprocess.run(
        [sys.executable, "-m", "tests.check", "-s", *options, "."],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("kind", IN_A_HURRY)
def test_what_passes_in_another_go_is_named_and_passes(tmp_path: Path, kind: str) -> None:
    several = ["-n2", "--dist=loadgroup", "-ptests.scheduling"] if kind == "a crash" else ["-n0"]
    done = checked(tmp_path, IN_A_HURRY[kind], 2, *several)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"these failed in go 1 of {GOES}" in done.stdout
    assert "\ntest_it.py::test_it" in done.stdout


def test_what_fails_every_time_fails(tmp_path: Path) -> None:
    done = checked(tmp_path, IN_A_HURRY["a failure"], 0, "-n0")
    assert done.returncode == 1
    assert (tmp_path / "goes").stat().st_size == GOES
    assert done.stdout.count("more ran") == 1


def test_what_cannot_be_imported_gets_no_other_go(tmp_path: Path) -> None:
    done = checked(tmp_path, "import nothing_of_the_kind", 1, "-n0")
    assert done.returncode == 1
    assert "another one" not in done.stdout
