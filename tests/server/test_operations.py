"""The server as an operator and an attacker meet it: metrics, log lines, slow clients, its end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from entrypoints.http.request_parts import WINDOW_SECONDS
from tests.free_port import free_port
from tests.http.conftest import a_jpeg
from tests.patience import PATIENCE_SECONDS, wait_until
from tests.server.test_serve import KEY, ended, wait_until_ready

pytestmark = pytest.mark.xdist_group("server")  # one server, and the test that ends it comes last
HEADER_SECONDS, DRAIN_SECONDS = 1, 12
PROCESSES = 2


@dataclass
class Watched:
    """A server of two processes, with metrics on a port of their own."""

    port: int
    metrics_port: int
    process: "subprocess.Popen[str]"
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def metric(self, sample: str) -> float:
        text = httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics").text
        found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def lines_of(self, request_id: str) -> list[dict[str, Any]]:
        """What the log tells of a request; the last line may not be whole yet."""
        whole = self.log.read_text().rpartition("\n")[0].splitlines()
        return [line for line in map(json.loads, whole) if line.get("request_id") == request_id]

    def send_slowly(self, head: bytes) -> tuple[float, bytes]:
        """Send `head`, then never enough; returns how long the server put up with it, and what it said."""
        started = time.monotonic()
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(head)
            connection.settimeout(PATIENCE_SECONDS)
            answer = connection.recv(65536)
        return time.monotonic() - started, answer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    port, metrics_port, data_dir = free_port(), free_port(), tmp_path_factory.mktemp("data")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TRYON_")},
        "TRYON_PORT": str(port),
        "TRYON_METRICS_PORT": str(metrics_port),
        "TRYON_DATA_DIR": str(data_dir),
        "TRYON_DEV_API_KEY": KEY,
        "TRYON_WORKERS": "1",
        "TRYON_SERVER_PROCESSES": str(PROCESSES),
        "TRYON_HEADER_TIMEOUT_SECONDS": str(HEADER_SECONDS),
        "TRYON_DRAIN_SECONDS": str(DRAIN_SECONDS),
    }
    log = data_dir / "server.log"
    command = [sys.executable, "-c", "from entrypoints.cli.main import main; main()", "serve"]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=errors, text=True) as process,
    ):
        running = Watched(port, metrics_port, process, log)
        try:
            wait_until_ready(running.url, process)
            yield running
        finally:
            ended(process)  # also when it never became ready: the block would wait for it for ever


def test_the_metrics_are_those_of_all_processes_and_not_on_the_public_port(server: Watched) -> None:
    sample = 'tryon_requests_total{method="GET",route="/health/live",status="200"}'
    before = server.metric(sample)
    for _ in range(20):  # connections of their own: the kernel spreads them over the processes
        httpx.get(f"{server.url}/health/live")
    wait_until(lambda: server.metric(sample) == before + 20)
    assert httpx.get(f"{server.url}/metrics").status_code == 404
    assert httpx.get(f"http://127.0.0.1:{server.metrics_port}/anything").status_code == 404


def test_an_uploads_stages_are_measured_those_of_the_sandbox_too(server: Watched) -> None:
    files = {"file": ("a.jpg", a_jpeg(), "image/jpeg")}
    answer = httpx.post(f"{server.url}/tryon/v1/images/upload", files=files, headers={"x-api-key": KEY})
    assert answer.status_code == 201
    for stage in ("read", "queue", "decode", "detect", "encode", "store", "database"):
        assert server.metric(f'tryon_stage_seconds_count{{stage="{stage}"}}') >= 1
    wait_until(lambda: server.lines_of(answer.headers["x-request-id"]))
    (line,) = server.lines_of(answer.headers["x-request-id"])
    assert line["event"] == "request"
    assert line["stages_ms"].keys() >= {"queue", "detect"}


def test_headers_that_come_too_slowly_are_not_waited_for(server: Watched) -> None:
    for head in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n"):
        seconds, answer = server.send_slowly(head)
        assert seconds > HEADER_SECONDS - 0.5
        assert answer == b""


def test_a_body_that_comes_too_slowly_is_refused(server: Watched) -> None:
    head = (
        f"POST /tryon/v1/images/upload HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\ncontent-length: 1000\r\n"
        "content-type: multipart/form-data; boundary=b\r\n\r\n"
    )
    seconds, answer = server.send_slowly(head.encode())
    assert seconds > WINDOW_SECONDS - 0.5
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"REQUEST_TIMEOUT" in answer


def test_the_rate_is_counted_across_processes(server: Watched) -> None:
    started = time.monotonic()
    states = [
        httpx.get(f"{server.url}/tryon/v1/images/img_1", headers={"x-api-key": KEY}).headers["ratelimit"]
        for _ in range(21)
    ]
    left = [int(re.findall(r"r=(\d+)", state)[0]) for state in states]
    came_back = (time.monotonic() - started) * 100 / 60 + 1
    assert left[0] - left[-1] >= 20 - came_back  # about half of it if each process counted by itself


def test_readiness_fails_first_and_requests_are_answered_until_the_end(server: Watched) -> None:
    server.process.send_signal(signal.SIGTERM)
    while (answer := httpx.get(f"{server.url}/health/ready", headers={"x-api-key": KEY})).status_code == 200:
        pass  # until it hears of the signal, or has ended
    assert answer.json() == {
        "status": "not ready",
        "works": ["uploads", "reads", "erasures"],
        "failing": ["draining"],
    }
    assert "failing" not in httpx.get(f"{server.url}/health/ready").json()
    assert httpx.get(f"{server.url}/tryon/v1/images/img_1", headers={"x-api-key": KEY}).status_code == 404
    assert server.process.wait(PATIENCE_SECONDS) == 0
