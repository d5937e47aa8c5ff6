"""The service as it is started in production: processes of its own, spoken to over HTTP."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.free_port import free_port
from tests.live_server import answers
from tests.patience import PATIENCE_SECONDS, wait_until

API = "/tryon/v1"
KEY = "gk_test_" + secrets.token_hex(8)


@dataclass
class Replica:
    """One `tryon-images serve` and everything that it started."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url + API, headers={"x-api-key": KEY}, timeout=PATIENCE_SECONDS)

    def kill(self) -> None:
        """The whole tree at once, without a chance to tidy up."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def photo_workers(self) -> "list[psutil.Process]":
        """What the parents have forked: between two photos only detectors."""
        tree = psutil.Process(self.process.pid).children(recursive=True)
        with suppress(psutil.Error):  # one has just ended
            servers = {process.pid for process in tree if "adapters.sandbox.children" in process.cmdline()}
            return [process for process in tree if process.ppid() in servers]
        return []

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise


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
    wait_until(lambda: answers(replica.url, "ready") or replica.process.poll() is not None)
    assert replica.process.poll() is None, f"the server did not start:\n{replica.log.read_text()}"
