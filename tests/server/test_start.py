"""A start that takes long can be stopped, and one that fails again and again ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from entrypoints.server.metrics_server import health_socket, in_short
from entrypoints.server.process import TRIES, Supervisor
from entrypoints.wiring.environment import load_settings
from entrypoints.wiring.surroundings import leave_folder
from tests.free_port import free_port
from tests.patience import PATIENCE_SECONDS, wait_until

STARTS_FOR_EVER = """
import asyncio, pathlib
async def application(scope, receive, send):
    pathlib.Path("{0}").touch()
    await asyncio.sleep(600)
"""
FAILS = """
async def application(scope, receive, send):
    await send({{"type": "lifespan.startup.failed", "message": "the cellar is flooded"}})
"""


@contextmanager
def started(folder: Path, application: str) -> Iterator["subprocess.Popen[str]"]:
    """The supervisor with an application that never gets ready."""
    (folder / "odd.py").write_text(application.format(folder / "begun") + "make = lambda: application\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRYON_")} | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), str(folder)]),
        "TRYON_PORT": str(free_port()),
        "TRYON_DATA_DIR": str(folder),
        "TRYON_DRAIN_SECONDS": "600",
    }
    command = [sys.executable, "-c", "from entrypoints.server.process import main; main('odd:make')"]
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(command, env=environment, cwd=folder, stderr=log, text=True) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def test_a_server_that_is_still_starting_ends_at_once(tmp_path: Path) -> None:
    with started(tmp_path, STARTS_FOR_EVER) as process:
        wait_until((tmp_path / "begun").exists)
        told_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert time.monotonic() - told_at < 20  # not 25 s to end, nor 600 to drain; alone it takes 0.1


def test_a_server_that_cannot_start_says_so_and_ends(tmp_path: Path) -> None:
    with started(tmp_path, FAILS) as process:
        assert process.wait(120) == 1
    said = (tmp_path / "server.log").read_text()
    assert "The service cannot start: the cellar is flooded" in said


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One whose only server process, number 1, has ended."""
    supervisor: Any = Supervisor("nothing:here")
    supervisor.folder, supervisor.wrks = tmp_path, [SimpleNamespace(inner=SimpleNamespace(pid=1))]
    monkeypatch.setattr("granian.server.mp.MPServer._respawn_workers", lambda *_: None)
    return supervisor


def test_slow_failures_to_start_are_not_repeated_for_ever(supervisor: Any) -> None:
    for _ in range(TRIES - 1):
        supervisor._respawn_workers([0])
        assert not supervisor.interrupt_signal
    supervisor._respawn_workers([0])
    assert supervisor.interrupt_signal
    assert supervisor.interrupt_children == [0]  # what makes its exit code 1


def test_a_process_that_was_ready_is_replaced_however_often_it_ends(supervisor: Any) -> None:
    health_socket(supervisor.folder, 1).touch()
    for _ in range(2 * TRIES):
        supervisor._respawn_workers([0])
    assert not supervisor.interrupt_signal


def test_a_socket_in_a_deep_folder_has_a_short_address(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100)
    folder.mkdir()
    path = health_socket(folder, 1)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        with in_short(path) as address:
            server.bind(address)
        server.listen()
        with in_short(path) as address:
            client.connect(address)
    assert path.is_socket()


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("sqlite+aiosqlite:///one.db", "sqlite+aiosqlite:///{here}/one.db"),
        ("sqlite+aiosqlite:///one%20b.db", "sqlite+aiosqlite:///{here}/one b.db"),
        (
            "postgresql+asyncpg://a:p%40b@h1,h2:1/db?sslrootcert=ca.pem",
            "postgresql+asyncpg://a:p%40b@h1,h2:1/db?sslrootcert={here}/ca.pem",
        ),
        (
            "postgresql+asyncpg://a@h/db?sslkey=%2Fk&passfile=p",
            "postgresql+asyncpg://a@h/db?sslkey=/k&passfile={here}/p",
        ),
        ("postgresql+asyncpg://a@h/db?sslrootcert=%2Fca.pem", "postgresql+asyncpg://a@h/db?sslrootcert=%2Fca.pem"),
    ],
)
@pytest.mark.parametrize("is_in_file", [True, False])
def test_files_that_a_database_url_names_relatively_are_still_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, meant: str, is_in_file: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "url").write_text(url)
    database = {"TRYON_DATABASE_URL_FILE": "url"} if is_in_file else {"TRYON_DATABASE_URL": url}
    environ = database | {"TRYON_PSEUDONYM_KEY": "k" * 40, "PGSSLROOTCERT": "ca.pem"}
    leave_folder(load_settings(environ), environ)
    assert load_settings(environ).database_url == meant.format(here=tmp_path)
    assert environ["PGSSLROOTCERT"] == str(tmp_path / "ca.pem")


def test_relative_paths_mean_what_they_meant_where_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").write_text("k" * 40)
    environ = {
        "TRYON_DATABASE_URL": "sqlite+aiosqlite:///one.db?timeout=3",
        "TRYON_SIGNING_KEY_FILE": "key",
        "TRYON_MODEL_DIR": "~/models",
        "GOOGLE_APPLICATION_CREDENTIALS": "google.json",
        "PYTHONPATH": f"code{os.pathsep}/absolute",
        "SSL_CERT_FILE": "",
    }
    before = load_settings(environ)
    leave_folder(before, environ)
    after = load_settings(environ)
    assert Path.cwd() == Path("/")
    assert after.data_dir == tmp_path / "data"
    assert after.resolved_database_url == f"sqlite+aiosqlite:///{tmp_path}/one.db?timeout=3"
    assert after.database_file == tmp_path / "one.db"
    assert (after.signing_key, after.model_dir) == ("k" * 40, Path.home() / "models")
    assert environ["GOOGLE_APPLICATION_CREDENTIALS"] == str(tmp_path / "google.json")
    assert environ["PYTHONPATH"] == f"{tmp_path}/code{os.pathsep}/absolute"
    assert environ["SSL_CERT_FILE"] == ""
