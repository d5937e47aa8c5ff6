"""The processes of a service: what they give up, how they end together, and what a second service is told."""

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.free_port import free_port
from tests.http.conftest import a_jpeg
from tests.patience import PATIENCE_SECONDS, wait_until
from tests.sandbox.pools import is_running, process_file
from tests.server.test_serve import KEY, wait_until_ready

pytestmark = pytest.mark.xdist_group("processes")
PROGRAM = [sys.executable, "-P", "-c", "from entrypoints.cli.main import main; main()"]
COMMAND = [*PROGRAM, "serve"]
ROOT = str(Path(__file__).parents[2])
AN_INTRUDER = "import pathlib; pathlib.Path(__file__).with_name('was-imported').touch()\n"


@dataclass
class Service:
    """A running service, the folder that it was started in, and all its processes."""

    url: str
    folder: Path
    process: "subprocess.Popen[str]"

    @property
    def everybody(self) -> list[int]:
        return [self.process.pid, *(child.pid for child in psutil.Process(self.process.pid).children(recursive=True))]


def environment(port: int, **more: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("TRYON_")},
        "PYTHONPATH": ROOT,
        "TRYON_PORT": str(port),
        "TRYON_DATA_DIR": "data",
        "TRYON_DEV_API_KEY": KEY,
        "TRYON_WORKERS": "2",
        **more,
    }


@contextmanager
def serving(folder: Path, port: int, **more: str) -> Iterator[Service]:
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(
            COMMAND, cwd=folder, env=environment(port, **more), stdout=log, stderr=log, text=True
        ) as process,
    ):
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", process)
            yield Service(f"http://127.0.0.1:{port}", folder, process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    for package in ("entrypoints", "adapters", "litestar"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text(AN_INTRUDER)
    (folder / "json.py").write_text(AN_INTRUDER)
    with serving(folder, free_port()) as running:
        upload = httpx.post(
            f"{running.url}/tryon/v1/images/upload",
            files={"file": ("photo", a_jpeg())},
            headers={"x-api-key": KEY},
            timeout=PATIENCE_SECONDS,
        )
        assert upload.status_code == 201, upload.text
        yield running


def refusal_of_a_second(folder: Path, port: int, **more: str) -> str:
    second = environment(port, **more)
    done = subprocess.run(COMMAND, cwd=folder, env=second, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    return done.stderr


def test_nothing_is_imported_from_the_folder_that_it_was_started_in(service: Service) -> None:
    assert list(service.folder.rglob("was-imported")) == []


def test_no_process_stays_in_the_folder_that_it_was_started_in(service: Service) -> None:
    assert {Path(f"/proc/{process_id}/cwd").readlink() for process_id in service.everybody} == {Path("/")}
    assert (service.folder / "data" / "tryon.db").exists()  # where the relative path led from there


def test_nobody_else_may_read_what_it_wrote(service: Service) -> None:
    written = list((service.folder / "data").rglob("*"))
    assert {"tryon.db", "signing.key"} <= {path.name for path in written}
    assert any(path.parent.parent.name == "objects" for path in written)
    open_to_others = {str(path): oct(path.stat().st_mode) for path in written if path.stat().st_mode & 0o077}
    assert open_to_others == {}
    assert stat.S_IMODE((service.folder / "data").stat().st_mode) == 0o700


def test_no_process_keeps_a_capability_or_leaves_a_core(service: Service) -> None:
    assert len(service.everybody) >= 6  # master, HTTP, two parents, two detectors
    expect_no_rights(service.everybody)


def test_neither_does_a_worker(service: Service) -> None:
    command = [*PROGRAM, "worker"]
    with subprocess.Popen(
        command, cwd=service.folder, env=environment(free_port()), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert "Working on generations" in next(process.stdout)
            expect_no_rights([process.pid])
        finally:
            process.kill()


def expect_no_rights(process_ids: list[int]) -> None:
    for process_id in process_ids:
        status = process_file(process_id, "status")
        assert re.findall(r"Cap(?:Inh|Prm|Eff|Bnd|Amb):\t(\w+)", status) == ["0" * 16] * 5
        assert re.search(r"Max core file size +0 +0 ", process_file(process_id, "limits"))


def test_a_second_one_on_the_same_folder_is_told_who_has_it(service: Service) -> None:
    said = refusal_of_a_second(service.folder, free_port())
    assert f"process {service.process.pid} on port {service.url.rpartition(':')[2]} serves this one" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("more", [{}, {"TRYON_SIGNING_KEY": "a-key-for-signing-of-32-characters"}])
def test_a_second_one_with_its_database_elsewhere_is_told_who_has_the_data_folder(
    service: Service, tmp_path: Path, more: dict[str, str]
) -> None:
    elsewhere = f"sqlite+aiosqlite:///{tmp_path}/other.db"
    said = refusal_of_a_second(service.folder, free_port(), TRYON_DATABASE_URL=elsewhere, **more)
    assert f"process {service.process.pid} on port" in said


def test_of_two_that_start_at_the_same_moment_one_gets_the_port(tmp_path: Path) -> None:
    port, folders = free_port(), [tmp_path / "one", tmp_path / "other"]
    both = []
    for folder in folders:
        folder.mkdir()
        with (folder / "server.log").open("w") as log:
            both.append(subprocess.Popen(COMMAND, cwd=folder, env=environment(port), stdout=log, stderr=log, text=True))
    try:
        wait_until(lambda: any(process.poll() is not None for process in both), "both went on")
        [loser] = [number for number in range(2) if both[number].poll() is not None]
        assert f"TRYON_PORT={port + 1} make serve" in (folders[loser] / "server.log").read_text()
        wait_until_ready(f"http://127.0.0.1:{port}", both[1 - loser])
    finally:
        for process in both:
            process.kill()
            process.wait()


def test_a_second_one_on_the_same_port_is_told_another(service: Service, tmp_path: Path) -> None:
    port = int(service.url.rpartition(":")[2])
    said = refusal_of_a_second(tmp_path, port)
    assert f"TRYON_PORT={port + 1} make serve" in said
    assert "Traceback" not in said


def test_all_processes_end_with_a_killed_master_and_leave_port_and_folder_to_the_next(tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path, port) as first:
        processes = first.everybody
        assert len(processes) >= 6
        first.process.send_signal(signal.SIGKILL)
        wait_until(lambda: not any(map(is_running, processes)), "a process has outlived its master")
    with serving(tmp_path, port) as second:
        assert httpx.get(f"{second.url}/health/live").status_code == 200
