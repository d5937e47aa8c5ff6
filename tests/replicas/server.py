"""The service as it is started in production: processes of its own, spoken to over HTTP."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.free_port import free_port

API = "/tryon/v1"
KEY = "gk_test_" + secrets.token_hex(8)
START_SECONDS = 180  # a busy machine; three or four are usual


@dataclass
class Replica:
    """One `tryon-images serve` and everything that it started."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url + API, headers={"x-api-key": KEY}, timeout=30)

    def kill(self) -> None:
        """The whole tree at once, without a chance to tidy up."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def photo_workers(self) -> "list[psutil.Process]":
        """What the parents have forked: between two photos only detectors."""
        tree = psutil.Process(self.process.pid).children(recursive=True)
        servers = {process.pid for process in tree if "adapters.sandbox.parent" in process.cmdline()}
        return [process for process in tree if process.ppid() in servers]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(40)


@contextmanager
def serving(folder: Path, settings: Mapping[str, str]) -> Iterator[Replica]:
    """As `starting`; ready when it is handed out."""
    with starting(folder, settings) as replica:
        wait_until_ready(replica)
        yield replica


@contextmanager
def starting(folder: Path, settings: Mapping[str, str]) -> Iterator[Replica]:
    """Starts to serve with `settings` beside what every replica needs."""
    port = free_port()
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRYON_")} | {
        "PYTHONPATH": str(Path(__file__).parents[2]),  # the code beside this test, whatever is installed
        "TRYON_PORT": str(port),
        "TRYON_DATA_DIR": str(folder / "data"),
        "TRYON_DEV_API_KEY": KEY,
        "TRYON_WORKERS": "1",
        **settings,
    }
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", "from entrypoints.cli.main import main; main()", "serve"],
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    replica = Replica(f"http://127.0.0.1:{port}", process, log)
    try:
        yield replica
    finally:
        replica.stop()


def wait_until_ready(replica: Replica) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{replica.url}/health/ready", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            if replica.process.poll() is not None:
                break
        time.sleep(0.1)  # polls a port: there is nothing to wait on
    raise AssertionError(f"the server did not start:\n{replica.log.read_text()}")
