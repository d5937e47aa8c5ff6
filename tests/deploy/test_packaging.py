"""The files that package the service speak of settings and commands that exist."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from adapters.sandbox.linux import PACKAGE_OF
from entrypoints.cli.main import main
from entrypoints.server.process import SHUTDOWN_SECONDS
from entrypoints.wiring.environment import OF_CLIENTS, load_settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
GUIDES = "".join(
    path.read_text() for path in [*(ROOT / "docs" / "deploy").glob("*.md"), ROOT / "docs" / "operations.md"]
)
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
IMAGE_SETTINGS = dict(re.findall(r"^\s+(TRYON_\w+)=(\S+)", DOCKERFILE, re.MULTILINE))


@pytest.mark.parametrize("service", ["migrate", "tryon"])
def test_the_settings_of_every_container_are_accepted(service: str) -> None:
    settings = load_settings(IMAGE_SETTINGS | COMPOSE["services"][service]["environment"])
    assert settings.host == "0.0.0.0"
    assert not settings.keeps_files


def test_the_image_can_be_built_of_what_is_copied_into_it(tmp_path: Path) -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = " ".join(re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)).split()
    assert set(copied) <= sent
    for name in copied:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(tmp_path),
    ]
    subprocess.run(command, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        files = set(wheel.namelist())
    assert {"entrypoints/http/playground/examples/portrait.jpg", "entrypoints/http/openapi.yaml"} <= files


def test_linters_find_nothing_in_the_files_of_containers() -> None:
    for command in (
        ["hadolint", "Dockerfile"],
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"],
    ):
        done = subprocess.run(
            [Path(sys.executable).with_name(command[0]), *command[1:]],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_containers_write_nowhere_and_are_not_root() -> None:
    for service in ("migrate", "tryon"):
        assert COMPOSE["services"][service]["read_only"] is True
        assert COMPOSE["services"][service]["cap_drop"] == ["ALL"]
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]


@pytest.mark.parametrize(
    "command",
    sorted(
        set(re.findall(r"tryon-images ((?:db|storage|customers|models) [a-z-]+|doctor|purge)\b", DOCKERFILE + GUIDES))
        | {" ".join(COMPOSE["services"]["migrate"]["command"])}
    ),
)
def test_every_command_that_is_named_exists(command: str) -> None:
    assert CliRunner().invoke(main, [*command.split(), "--help"]).exit_code == 0


def test_every_setting_that_is_named_exists() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    text = "".join(page.read_text() for page in pages if page.name != "CHANGELOG.md")  # which names what was dropped
    named = set(re.findall(r"\bTRYON_[A-Z_]+[A-Z]\b", DOCKERFILE + GUIDES + str(COMPOSE) + text))
    known = {f"TRYON_{name.upper()}" for name in load_settings({}).__struct_fields__}
    of_kubernetes = {name for name in named if name.startswith("TRYON_IMAGES_")}
    assert {name.removesuffix("_FILE") for name in named} - known - of_kubernetes - OF_CLIENTS == set()


@pytest.mark.parametrize("file", ["Dockerfile", "README.md", ".ci/run"])
def test_whoever_installs_system_libraries_installs_those_that_are_looked_for(file: str) -> None:
    text = (ROOT / file).read_text().replace("`", " ")
    assert f" {' '.join(PACKAGE_OF.values())}" in text


def test_containers_end_in_peace_and_come_back() -> None:
    settings = load_settings(IMAGE_SETTINGS | COMPOSE["services"]["tryon"]["environment"])
    assert seconds(COMPOSE["services"]["tryon"]["stop_grace_period"]) > settings.seconds_to_drain + SHUTDOWN_SECONDS
    for name, service in COMPOSE["services"].items():
        assert service["restart"] != "no"
        assert {"mem_limit", "cpus"} <= service.keys(), name
    for name in ("postgres", "bucket"):
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+[\w.-]*", COMPOSE["services"][name]["image"]), "a version, not `latest`"


def seconds(period: str) -> int:
    return int(period.removesuffix("s"))
