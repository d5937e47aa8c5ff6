"""The README's blocks, run in order in a fresh folder against the service that its first block starts."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.free_port import free_port
from tests.server.test_serve import wait_until_ready

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PORT = "8000"


@dataclass(frozen=True)
class Checkout:
    """A folder as after `git clone` and `make setup`, with the service running in it."""

    folder: Path
    port: str

    def run(self, script: str) -> "subprocess.CompletedProcess[str]":
        script = script.replace(f":{PORT}", f":{self.port}")
        return subprocess.run(
            ["sh", "-eu", "-c", script], cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    folder, port = tmp_path_factory.mktemp("checkout"), str(free_port())
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "tryon-images").symlink_to(Path(sys.executable).with_name("tryon-images"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRYON_")}
    environment |= {"TRYON_PORT": port, "TRYON_DATA_DIR": str(folder / "data")}
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(
            [folder / ".venv" / "bin" / "tryon-images", "serve"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        yield Checkout(folder, port)
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_the_first_block_starts_the_service() -> None:
    assert BLOCKS[0] == "make serve\n"


def test_every_block_runs_in_order(checkout: Checkout) -> None:
    done = checkout.run("".join(BLOCKS[1:]))
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in re.findall(r"\{.*?\}(?=\{|\s*$)", done.stdout, re.DOTALL) if "code" in line]
    assert [answer["code"] for answer in answers if "status" in answer and answer["status"] != "COMPLETED"] == []
    assert json.loads((checkout.folder / "image.json").read_text())["source"]["format"] == "JPEG"
    assert json.loads((checkout.folder / "generation.json").read_text())["status"] == "COMPLETED"
    with Image.open(checkout.folder / "result.jpg") as result:
        assert result.format == "JPEG"
    assert len(list((checkout.folder / "crops").glob("*.jpg"))) == 2 * len(list((ROOT / "examples").glob("*.jpg")))


def test_with_a_wrong_key_every_block_ends_too(checkout: Checkout) -> None:
    calls = [block for block in BLOCKS[1:] if "curl" in block]
    done = checkout.run(
        "KEY=gk_wrong_key\n" + "".join(calls).replace("KEY=$(cat data/first-key)", "").replace("-eu", "")
    )
    assert "INVALID_API_KEY" in done.stdout
    assert "imageId" not in done.stdout


def test_the_answer_that_is_shown_is_one_that_the_service_gives(checkout: Checkout) -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    given = json.loads(checkout.run(BLOCKS[1]).stdout)
    assert list(json.loads(shown)) == list(given)
