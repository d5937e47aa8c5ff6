"""`make setup` and the image's health check, where something got in between."""

import hashlib
import http.server
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import venv
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.free_port import free_port

ROOT = Path(__file__).parents[2]


def test_an_environment_that_was_interrupted_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    half = tmp_path / ".venv" / "bin"
    half.mkdir(parents=True)
    (half / "python").symlink_to(sys.executable)  # as far as `python -m venv` gets first: no pip in it
    subprocess.run(["make", "-s", ".venv/.made", f"PYTHON={sys.executable}"], cwd=tmp_path, check=True)
    subprocess.run([half / "python", "-m", "pip", "--version"], check=True, capture_output=True)


def made(folder: Path, **options: object) -> "subprocess.CompletedProcess[str]":
    command = ["make", "-s", ".venv/.made", *(f"{name}={value}" for name, value in options.items() if name == "PYTHON")]
    user = options.get("user")
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        user=user if isinstance(user, int) else None,
        env=os.environ | {"PYTHONPATH": str(options.get("modules", ""))},
    )


@pytest.mark.parametrize(
    ("python", "told"),
    [
        ("no-such-python", 'There is no program "no-such-python".'),
        ("/etc/hostname", 'There is no program "/etc/hostname".'),
        ("/bin/true", '"/bin/true" is no Python.'),
        ("./old", "./old is Python 3.9, and 3.11 or newer is needed:"),
    ],
)
def test_a_wrong_python_is_told_as_what_it_is(tmp_path: Path, python: str, told: str) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    pretends = f'exec {sys.executable} -c "import sys; sys.version_info = (3, 9); $2"'
    (tmp_path / "old").write_text(f"#!/bin/sh\n{pretends}\n")
    (tmp_path / "old").chmod(0o755)
    done = made(tmp_path, PYTHON=python)
    first, *rest = done.stdout.splitlines()
    assert (done.returncode, first.startswith(told), rest) == (2, True, [])
    assert not (tmp_path / ".venv").exists()


def test_a_python_without_venv_is_told_so(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "ensurepip.py").write_text("raise ImportError")  # as on Debian without python3-venv
    done = made(tmp_path, PYTHON=sys.executable, modules=tmp_path)
    assert done.returncode == 2
    assert "has no venv module. On Debian and Ubuntu: sudo apt-get install -y python3-venv" in done.stdout


def test_a_read_only_checkout_is_told_as_one() -> None:
    with tempfile.TemporaryDirectory() as folder:  # where others may look, unlike in pytest's own
        shutil.copy(ROOT / "Makefile", folder)
        Path(folder).chmod(0o555)
        done = made(Path(folder), PYTHON=sys.executable, user=65534 if os.geteuid() == 0 else None)
    assert done.returncode == 2
    assert done.stdout.startswith("This folder is read-only for you:")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder / ".venv", with_pip=True)
    return folder


def a_lock(folder: Path, *, is_right: bool) -> Path:
    wheel = folder / "shirt-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("shirt.py", "")
        file.writestr("shirt-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: shirt\nVersion: 1.0\n")
        file.writestr("shirt-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("shirt-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes() if is_right else b"something else").hexdigest()
    lock = folder / "requirements.lock"
    lock.write_text(f"--no-index\n--find-links {folder}\nshirt==1.0 \\\n    --hash=sha256:{digest}\n")
    return lock


def test_a_terminal_sees_how_far_the_packages_are(environment: Path) -> None:
    ours, theirs = pty.openpty()
    command = [environment / ".venv/bin/python", ROOT / "deploy" / "install.py", a_lock(environment, is_right=True)]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.STDOUT) as process:
        os.close(theirs)
        seen = "".join(what_a_terminal_sees(ours))
    os.close(ours)
    assert process.returncode == 0
    assert re.fullmatch(r"(\r  [01] of 1 packages (fetched|unpacked)\x1b\[K)+\r\x1b\[K", seen)
    assert subprocess.run([environment / ".venv/bin/python", "-c", "import shirt"], check=False).returncode == 0


def what_a_terminal_sees(terminal: int) -> Iterator[str]:
    with suppress(OSError):  # EIO: nobody writes any more
        while told := os.read(terminal, 4096):
            yield told.decode()


def test_an_index_that_does_not_answer_is_asked_again(environment: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    class Index(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            found = len(asked) > 1
            page = b"<a href='%s'>shirt</a>" % wheel.name.encode() if self.path.endswith("/") else wheel.read_bytes()
            self.send_response(200 if found else 404)
            self.send_header("content-type", "text/html" if self.path.endswith("/") else "application/octet-stream")
            self.send_header("content-length", str(len(page) if found else 0))
            self.end_headers()
            self.wfile.write(page if found else b"")

        def log_message(self, *_: object) -> None: ...

    lock = a_lock(tmp_path, is_right=True)
    wheel = tmp_path / "shirt-1.0-py3-none-any.whl"
    lock.write_text(lock.read_text().partition("\n--find-links")[2].partition("\n")[2])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        index = {"PIP_INDEX_URL": f"http://127.0.0.1:{server.server_address[1]}/", "PIP_FORCE_REINSTALL": "1"}
        command = [environment / ".venv/bin/python", ROOT / "deploy" / "install.py", lock]
        done = subprocess.run(command, env=os.environ | index, capture_output=True, text=True, check=False)
        server.shutdown()
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("Once more in 5 s") == 1


def test_packages_that_are_not_the_pinned_ones_are_told_in_pips_own_words(environment: Path) -> None:
    command = [environment / ".venv/bin/python", ROOT / "deploy" / "install.py", a_lock(environment, is_right=False)]
    done = subprocess.run(
        [*command], env=os.environ | {"PIP_FORCE_REINSTALL": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout.count("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES") == 1, "another try changes nothing"
    assert done.stdout.endswith("pip.log.\n")


def test_the_images_health_check_asks_no_proxy() -> None:
    found = re.search(r'CMD \["python", "-c", "(.*)"\]', (ROOT / "Dockerfile").read_text())
    assert found

    class Ready(http.server.BaseHTTPRequestHandler):
        status = 200

        def do_GET(self) -> None:
            self.send_response(self.status if self.path == "/health/ready" else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        proxy = f"http://127.0.0.1:{free_port()}"
        environment = {
            **os.environ,
            "http_proxy": proxy,
            "HTTP_PROXY": proxy,
            "TRYON_PORT": str(server.server_address[1]),
        }
        environment.pop("no_proxy", None)
        command = [sys.executable, "-c", found[1]]
        assert subprocess.run(command, env=environment, check=False).returncode == 0
        Ready.status = 503
        assert subprocess.run(command, env=environment, check=False).returncode == 1
        server.shutdown()
