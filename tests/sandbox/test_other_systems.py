"""A system without all that only Linux has: the service works there, for a developer on a loopback host.

macOS itself cannot be run here: its calls and files are taken away instead, in processes of their own.
"""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from adapters.sandbox import linux, portable
from entrypoints.wiring.photo_processing import sample_photos
from tests.free_port import free_port
from tests.patience import PATIENCE_SECONDS
from tests.server.test_processes import serving
from tests.server.test_serve import KEY

ROOT = Path(__file__).parents[2]

AS_ON_MACOS = """
import asyncio, ctypes, mmap, multiprocessing.heap, os, pathlib, resource, signal, sys, sysconfig, time
import urllib.request  # there it would ask the system for proxies

sysconfig.get_config_vars()  # from a module that has the platform in its name
sys.platform = "darwin"
for name in [name for name in vars(os) if name.startswith(("sched_", "pidfd", "memfd", "setxattr", "inotify"))]:
    delattr(os, name)
del os.pipe2, os.eventfd, os.posix_fallocate, os.posix_fadvise, mmap.MADV_NOHUGEPAGE, mmap.MADV_HUGEPAGE
del resource.RLIMIT_AS, resource.prlimit, time.CLOCK_BOOTTIME
real_open = os.open

def without_linux_files(path, *arguments, **options):
    if str(path).startswith(("/proc", "/sys")):
        raise FileNotFoundError(2, "no such file", path)
    return real_open(path, *arguments, **options)

os.open = without_linux_files
pathlib.Path.read_text = lambda self, *_, **__: (_ for _ in ()).throw(FileNotFoundError(2, "x", str(self))) \
    if str(self).startswith(("/proc", "/sys")) else open(self).read()
"""
"""Put in front of what runs in the server's process and, through sitecustomize, of what runs in all others."""


def without_linux(tmp_path: Path) -> dict[str, str]:
    """Variables that make a process one of such a system."""
    (tmp_path / "sitecustomize.py").write_text(AS_ON_MACOS)
    return {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}


def run_without_linux(tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | without_linux(tmp_path)
    command = [sys.executable, "-P", "-c", "import asyncio\n" + code]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )


def test_a_photo_of_each_format_goes_through_the_service(tmp_path: Path) -> None:
    """And what is overdue is purged: its clock is looked at, too."""
    with serving(tmp_path, free_port(), **without_linux(tmp_path), TRYON_PURGE_INTERVAL_SECONDS="1") as service:
        for photo in sample_photos().values():
            upload = httpx.post(
                f"{service.url}/tryon/v1/images/upload",
                files={"file": ("photo", photo)},
                headers={"x-api-key": KEY},
                timeout=PATIENCE_SECONDS,
            )
            assert upload.status_code == 201, upload.text
            assert (upload.json()["width"], upload.json()["height"]) == (24, 30)
        log = (tmp_path / "server.log").read_text()
        assert log.count("photo_processes_unsandboxed") == 1
        assert "background_task_failed" not in log


FIGURES_AND_FORMS = r"""
from entrypoints.http.form_parts import PartLimit, read_parts
from entrypoints.server.metrics_server import PLACES, has_room, metrics_folder

async def arriving():
    yield b'--edge\r\ncontent-disposition: form-data; name="file"\r\n\r\n'
    for _ in range(20):
        yield bytes(65_536)
    yield b"\r\n--edge--\r\n"

async def read_a_form():
    limit = PartLimit(2_000_000, ValueError())
    (part,) = await read_parts("multipart/form-data; boundary=edge", arriving(), lambda _: limit, advice="")
    return len(part[1])

with metrics_folder(*PLACES) as folder:
    from adapters.telemetry.metrics import PreallocatedFile

    file = PreallocatedFile(str(folder / "counter.db"))
    for number in range(3000):
        file.write_value(f"series {number:0200d}", number, 0)
    print(has_room(folder), file.read_value(f"series {2999:0200d}")[0], asyncio.run(read_a_form()))
"""


def test_figures_are_kept_and_large_forms_are_read_there(tmp_path: Path) -> None:
    done = run_without_linux(tmp_path, FIGURES_AND_FORMS)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["True", "2999.0", str(20 * 65_536)]


def test_only_a_loopback_host_is_served_there(tmp_path: Path) -> None:
    check = (
        "from entrypoints.wiring.photo_processing import expect_sandbox\n"
        "from entrypoints.wiring.settings import Settings\n"
        "expect_sandbox(Settings())\n"
        "print('loopback is fine')\n"
        "expect_sandbox(Settings(host='0.0.0.0', allow_unsandboxed=True))\n"
    )
    done = run_without_linux(tmp_path, check)
    assert "loopback is fine" in done.stdout, done.stderr[-2000:]
    assert done.returncode == 1
    assert "127.0.0.1 or ::1 on this system" in done.stderr


def test_both_systems_offer_the_same_names() -> None:
    of_portable = {name for name, value in vars(portable).items() if name[0] != "_" and not inspect.ismodule(value)}
    assert len(of_portable) > 15
    assert of_portable <= vars(linux).keys() | {"Iterable", "Final", "SandboxUnavailable"}


@pytest.mark.parametrize("platform", ["aarch64-manylinux_2_28", "aarch64-apple-darwin"])
def test_every_locked_package_has_a_wheel_for_it(tmp_path: Path, platform: str) -> None:
    """Asked of the index that packages are installed from; nothing is downloaded but what describes them."""
    command = [sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--python-version", "3.11", "--python-platform", platform]
    command += ["--target", str(tmp_path / "nowhere"), "-r", str(ROOT / "requirements.lock")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5 * PATIENCE_SECONDS)
    if "error sending request" in done.stderr.lower() or "failed to fetch" in done.stderr.lower():
        pytest.skip("no package index can be reached from here")
    assert done.returncode == 0, done.stderr
    assert "mediapipe" in done.stderr
