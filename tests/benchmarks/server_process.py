"""A server under measurement: its process tree's CPU time and memory."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from tests.free_port import free_port

KEY = "gk_dev_key-of-the-benchmark"
READY_SECONDS = 60
OURS = Path(sys.executable).with_name("tryon-images")
SHARP = Path(__file__).parent / "fastify_sharp"


class Tree:
    """All processes of a server."""

    def __init__(self, root: int, url: str, ready_seconds: float = 0) -> None:
        self._root = psutil.Process(root)
        self.url = url
        self.ready_seconds = ready_seconds

    def processes(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """User and system time, including children that are gone already."""
        total = 0.0
        for process in self.processes():
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def resident_mb(self) -> float:
        """Proportional: what processes share counts once."""
        total = 0.0
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):  # a worker that is being replaced
                total += process.memory_full_info().pss
        return total / 1e6


@contextmanager
def our_server(command: Path = OURS, **settings: str) -> Iterator[Tree]:
    """The real service, as `tryon-images serve` runs it; `command` may be that of another checkout."""
    with tempfile.TemporaryDirectory() as data_dir:
        always = {"TRYON_DATA_DIR": data_dir, "TRYON_DEV_API_KEY": KEY, "TRYON_RATE_LIMIT_PER_MINUTE": "0"}
        with running_server(
            [str(command), "serve"], always | settings, "/health/ready", Path(data_dir), cwd=data_dir
        ) as tree:
            yield tree


@contextmanager
def sharp_server() -> Iterator[Tree]:
    """Fastify and sharp; `npm ci` brings them on the first use."""
    if not (SHARP / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=SHARP, check=True)
    with tempfile.TemporaryDirectory() as folder:
        settings = {"PORT": str(free_port()), "DATA_DIR": folder, "API_KEY": KEY}
        settings["TRYON_PORT"] = settings["PORT"]  # where `_running` looks
        with running_server(["node", str(SHARP / "server.js")], settings, "/health", Path(folder)) as tree:
            yield tree


@contextmanager
def rival_server() -> Iterator[Tree]:
    """The minimal servers of `tests.benchmarks.rivals`."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [sys.executable, "-m", "granian", "--interface", "asgi", "--factory", "--port", str(port)]
        command += ["tests.benchmarks.rivals:create_app"]
        with running_server(command, {"TRYON_PORT": str(port)}, "/bare", Path(folder)) as tree:
            yield tree


@contextmanager
def running_server(
    command: list[str], settings: dict[str, str], probe: str, folder: Path, cwd: str | None = None
) -> Iterator[Tree]:
    settings = {"TRYON_PORT": str(free_port())} | settings
    url = f"http://127.0.0.1:{settings['TRYON_PORT']}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TRYON_")} | settings
    log = (folder / "server.log").open("w")
    started_at = time.monotonic()
    with log, subprocess.Popen(command, env=environment, cwd=cwd, stdout=log, stderr=subprocess.STDOUT) as process:
        try:
            _wait(url + probe, process, folder / "server.log")
            yield Tree(process.pid, url, time.monotonic() - started_at)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=1).is_success:
                return
        except httpx.TransportError:
            threading.Event().wait(0.05)
    raise RuntimeError("the server did not become ready:\n" + log.read_text()[-2000:])
