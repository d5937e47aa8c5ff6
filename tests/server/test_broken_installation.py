"""A package that is missing or broken: one sentence, in the terminal and in the server's log."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar

from adapters.sandbox.children import StartFailed
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
