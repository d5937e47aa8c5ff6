"""A package that is missing or broken, or a full disk: one sentence, in the terminal and in the server's log."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar

from adapters.sandbox.children import StartFailed
from adapters.sql.outages import BY_SQLITE
from entrypoints.server.process import _in_one_sentence


@pytest.mark.parametrize("package", ["aiosqlite", "granian", "litestar", "mediapipe", "msgspec"])
def test_the_command_says_what_is_missing(tmp_path: Path, package: str) -> None:
    without = f"import sys; sys.modules['{package}'] = None; from entrypoints.cli import run; run()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", without, "serve"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TRYON_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("The installation is broken: ")
    assert package in done.stderr
    assert len(done.stderr.splitlines()) == 1


def on_a_full_disk(folder: Path, stdout: int, *command: str) -> "subprocess.CompletedProcess[str]":
    """The command, with a limit for the size of its files: what a full disk does, too, without one."""
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
    return subprocess.run(
        [sys.executable, "-P", "-c", f"{limited} from entrypoints.cli import run; run()", *command],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TRYON_DATA_DIR": str(folder)},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", [("config", "show"), ("--help",), ("completion", "bash")], ids=" ".join)
def test_an_answer_that_cannot_be_written_is_a_failure_in_one_line(
    tmp_path: Path, command: tuple[str, ...], unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with Path("/dev/full").open("w") as full:
        done = on_a_full_disk(tmp_path, full.fileno(), *command)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: [Errno 28] No space left on device")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_answer_that_nobody_reads_any_more_ends_without_a_word(
    tmp_path: Path, unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    reading, writing = os.pipe()
    os.close(reading)
    done = on_a_full_disk(tmp_path, writing, "--help")
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_database_file_that_cannot_be_written_is_told_as_the_disks_fault(tmp_path: Path) -> None:
    done = on_a_full_disk(tmp_path, subprocess.DEVNULL, "db", "upgrade")
    assert done.returncode == 3
    assert done.stderr.splitlines() == [f"Error: {BY_SQLITE['disk I/O'].cure}"]


async def test_the_server_says_why_it_cannot_start() -> None:
    async def start() -> None:
        async with asyncio.TaskGroup() as group:  # as the framework has its lifespans
            group.create_task(fail())

    async def fail() -> None:
        raise StartFailed("a decoder cannot import imagecodecs")

    said: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        said.append(message)

    application = _in_one_sentence(Litestar(on_startup=[start]))
    with pytest.raises(BaseException, match="unhandled errors"):
        await application({"type": "lifespan"}, receive, send)
    assert [message["message"] for message in said] == ["The service cannot start: a decoder cannot import imagecodecs"]
