"""Every block of the README and of `docs/`: a shell runs its own in order in a fresh folder, the others are checked."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
import yaml
from PIL import Image

from entrypoints.cli.main import main
from entrypoints.wiring.environment import load_settings
from tests.free_port import free_port
from tests.live_shop import IS_CI
from tests.patience import PATIENCE_SECONDS
from tests.postgres import PostgresServer, running_postgres
from tests.server.test_serve import ended, wait_until_ready
from tests.sql.debian_postgres import PROGRAMS

pytestmark = pytest.mark.xdist_group("documents")

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PHOTOS = "https://photos.example.com"
PHOTO_NAMES = {file.name for file in (ROOT / "examples").iterdir() if file.suffix in {".jpg", ".heic"}}
PORT = "8000"


@dataclass(frozen=True)
class Block:
    """What stands between two fences. `info`: its language, and what it needs that a test has not."""

    page: str
    info: str
    text: str


def blocks() -> Iterator[Block]:
    for page in PAGES:
        for info, text in re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
            yield Block(str(page.relative_to(ROOT)), info, text)


BLOCKS = list(blocks())
README = [block.text for block in BLOCKS if block.page == "README.md" and block.info == "sh"]
NOT_RUN = {
    ("docs/deploy/bucket.md", "sh gcloud"): "makes a bucket in a Google project",
    (
        "docs/deploy/cloud-run.md",
        "sh gcloud",
    ): "deploys to a Google project; test_manifests.py reads the files",
    ("docs/deploy/image.md", "sh docker"): "needs a Docker daemon; tests/deploy/test_packaging.py reads compose.yaml",
    ("docs/deploy/systemd.md", "sh systemd"): "needs root and systemd; tests/deploy/test_proxies.py verifies the unit",
}
CHECKED_HERE = {"sh", "sql", "dotenv", "json", "yaml", "text"}


@dataclass(frozen=True)
class Checkout:
    """A folder as after `git clone` and `make setup`, with the service running in it."""

    folder: Path
    port: str
    environment: dict[str, str]

    def run(self, script: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        script = script.replace(f":{PORT}", f":{self.port}").replace(PHOTOS, f"http://127.0.0.1:{self.port}")
        return subprocess.run(
            ["sh", "-eu", "-c", script],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=5 * PATIENCE_SECONDS,
            check=False,
        )

    def page(self, name: str) -> str:
        """All that a page has for a shell, in order."""
        return "\n".join(block.text for block in BLOCKS if (block.page, block.info) == (name, "sh"))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    folder, port = tmp_path_factory.mktemp("checkout"), str(free_port())
    (folder / "examples").symlink_to(ROOT / "examples")
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "tryon-images").symlink_to(Path(sys.executable).with_name("tryon-images"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRYON_")}
    environment |= {"TRYON_PORT": port, "TRYON_DATA_DIR": str(folder / "data"), "TRYON_RATE_LIMIT_PER_MINUTE": "0"}
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(
            [programs / "tryon-images", "serve"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", process)
            yield Checkout(folder, port, environment)
        finally:
            ended(process)


def test_the_first_block_starts_the_service() -> None:
    assert README[0] == "make serve\n"


def test_every_block_of_the_readme_runs_in_order(checkout: Checkout) -> None:
    done = checkout.run("".join(README[1:]))
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in re.findall(r"\{.*?\}(?=\{|\s*$)", done.stdout, re.DOTALL) if "code" in line]
    assert [answer["code"] for answer in answers if "status" in answer and answer["status"] != "COMPLETED"] == []
    assert json.loads((checkout.folder / "image.json").read_text())["source"]["format"] == "JPEG"
    assert json.loads((checkout.folder / "generation.json").read_text())["status"] == "COMPLETED"
    with Image.open(checkout.folder / "result.jpg") as result:
        assert result.format == "JPEG"
    assert len(list((checkout.folder / "crops").glob("*.jpg"))) == 2 * len(list((ROOT / "examples").glob("*.jpg")))


def test_with_a_wrong_key_every_block_of_the_readme_ends_too(checkout: Checkout) -> None:
    calls = [block for block in README[1:] if "curl" in block]
    done = checkout.run(
        "KEY=gk_wrong_key\n" + "".join(calls).replace("KEY=$(cat data/first-key)", "").replace("-eu", "")
    )
    assert "INVALID_API_KEY" in done.stdout
    assert "imageId" not in done.stdout


def test_the_answer_that_is_shown_is_one_that_the_service_gives(checkout: Checkout) -> None:
    (shown,) = (block.text for block in BLOCKS if (block.page, block.info) == ("README.md", "json"))
    given = json.loads(checkout.run(README[1]).stdout)
    assert list(json.loads(shown)) == list(given)


def test_the_command_line_page_runs(checkout: Checkout) -> None:
    (checkout.folder / "photos").symlink_to(ROOT / "examples")
    key = (checkout.folder / "data" / "first-key").read_text().strip()
    done = checkout.run(checkout.page("docs/cli.md").replace("gk_…", key).replace("~/photos", "photos"))
    assert done.returncode == 0, done.stderr
    with (checkout.folder / "uploaded.csv").open() as file:
        assert {Path(row["file"]).name for row in csv.DictReader(file) if row["imageId"]} == PHOTO_NAMES


def test_the_operations_page_runs(checkout: Checkout) -> None:
    done = checkout.run(checkout.page("docs/operations.md").replace("/somewhere/else", "."))
    assert done.returncode == 0, done.stdout + done.stderr
    assert isinstance(json.loads((checkout.folder / "erasures.json").read_text()), list)


@pytest.fixture
def new_postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


def test_the_database_page_runs(checkout: Checkout, new_postgres: PostgresServer) -> None:
    if not PROGRAMS:
        assert not IS_CI, "PostgreSQL is not installed"
        pytest.skip("createuser and psql are needed; `.ci/run` installs them")
    host = urlsplit(new_postgres.url("postgres")).query.removeprefix("host=")
    page = checkout.page("docs/deploy/database.md").replace("tryon:…@host/tryon", f"tryon@/tryon?host={host}")
    (grants,) = (block.text for block in BLOCKS if block.info == "sql")
    path = f"{PROGRAMS[-1]}:{checkout.environment['PATH']}"
    script = f'{page.replace("host=…", f"host={host}")}\npsql -v ON_ERROR_STOP=1 -d tryon -c "{grants}"'
    done = checkout.run(script, PATH=path, PGHOST=host, PGUSER="postgres")
    assert done.returncode == 0, done.stderr
    assert "GRANT" in done.stdout
    assert done.stdout.endswith("ALTER ROLE\n")


def test_no_page_with_blocks_for_a_shell_is_left_out() -> None:
    run = {"README.md", "docs/cli.md", "docs/operations.md", "docs/deploy/database.md"}
    assert {block.page for block in BLOCKS if block.info == "sh"} == run


def test_what_is_not_run_is_listed_with_its_reason() -> None:
    others = [block for block in BLOCKS if block.info not in CHECKED_HERE and "integrate" not in block.page]
    assert {(block.page, block.info) for block in others} == NOT_RUN.keys()
    for block in others:
        assert subprocess.run(["sh", "-n", "-c", block.text], check=False).returncode == 0, block.page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_on_a_page_exists_with_its_options(page: Path) -> None:
    text = page.read_text()
    for block in (block for block in BLOCKS if page == ROOT / block.page and block.info.startswith("sh")):
        for line in block.text.replace("\\\n", " ").splitlines():
            if call := re.search(r"\btryon-images ([a-z].*)", line.partition("  #")[0]):
                understood(shlex.split(call[1]))
    for call in re.finditer(r"`tryon-images ([a-z][^`|…]*)`", re.sub(r"(?ms)^```.*?^```$", "", text)):
        understood(shlex.split(call[1]))


def understood(words: list[str]) -> None:
    """Raises: click.UsageError, KeyError."""
    command: click.Command = main
    for end in (">", "|", "&&", ";"):
        words = words[: words.index(end)] if end in words else words
    while isinstance(command, click.Group) and words:
        command, words = command.commands[words[0]], words[1:]
    command.make_context("tryon-images", words, resilient_parsing=True)


def test_the_engine_pages_settings_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "engine-token").write_text("secret")
    (text,) = (block.text for block in BLOCKS if block.info == "dotenv")
    lines = text.replace("/run/secrets", str(tmp_path)).split()
    settings = load_settings(dict(line.split("=", 1) for line in lines))
    assert (settings.engine, settings.engine_token) == ("http", "secret")


def test_every_json_block_is_json_and_every_yaml_block_yaml() -> None:
    for block in BLOCKS:
        if block.info == "json":
            assert isinstance(json.loads(block.text), dict), block.page
    overlay, (rule,) = (yaml.safe_load(block.text) for block in BLOCKS if block.info == "yaml")
    base = ROOT / "deploy" / "kubernetes"
    assert [patch["path"] for patch in overlay["patches"] if not (base / patch["path"]).exists()] == []
    assert f"`{rule['seriesQuery'].partition('{')[0]}`" in (ROOT / "docs" / "operations.md").read_text()


def test_every_block_of_a_guide_is_a_snippet_that_is_run() -> None:
    snippets = {file.read_text().strip() for file in (ROOT / "docs" / "integrate" / "snippets").iterdir()}
    guides = [block for block in BLOCKS if "integrate" in block.page]
    assert [block.page for block in guides if block.text.strip() not in snippets] == []
