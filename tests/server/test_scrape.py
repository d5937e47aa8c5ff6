"""Prometheus and a collector in front of a real server: every name that rules and dashboard use, a whole trace."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from adapters.telemetry.metrics import ALL
from entrypoints.server.metrics_server import _health
from tests.free_port import free_port
from tests.http.conftest import a_jpeg
from tests.server.test_serve import ended, wait_until_ready

KEY = "gk_" + "k" * 32
CANARY = "cAnArY7q"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
WATCHED_BY = files("entrypoints") / "observability"
RULES = [
    rule for group in yaml.safe_load((WATCHED_BY / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
PANELS = [
    panel for panel in json.loads((WATCHED_BY / "dashboard.json").read_text())["panels"] if panel["type"] != "row"
]
EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in RULES} | {
    f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]
}
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


class Seen(NamedTuple):
    """Of a server that took an upload, refused one and ran a try-on."""

    scrape: str
    health: list[int]
    spans: list[bytes]
    log: str


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """An OTLP collector. Yields: its URL, and the bodies that it was sent."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", bodies
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    port, metrics_port, folder = free_port(), free_port(), tmp_path_factory.mktemp("data")
    with collector() as (endpoint, bodies):
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TRYON_")},
            "TRYON_PORT": str(port),
            "TRYON_METRICS_PORT": str(metrics_port),
            "TRYON_DATA_DIR": str(folder),
            "TRYON_DEV_API_KEY": KEY,
            "TRYON_WORKERS": "1",
            "TRYON_DRAIN_SECONDS": "0",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        }
        with (folder / "server.log").open("w") as log, started(environment, log) as process:
            wait_until_ready(f"http://127.0.0.1:{port}", process)
            use(f"http://127.0.0.1:{port}/tryon/v1")
            scrape = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics").text
            health = [
                httpx.get(f"http://127.0.0.1:{metrics_port}/health/{which}").status_code for which in ("live", "ready")
            ]
    return Seen(scrape, health, bodies, (folder / "server.log").read_text())


@contextmanager
def started(environment: dict[str, str], log: Any) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", "from entrypoints.cli.main import main; main()", "serve"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=log, text=True) as process:
        try:
            yield process
        finally:
            ended(process)


def use(api: str) -> None:
    headers = {
        "x-api-key": KEY,
        "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
        "baggage": CANARY,
        "user-agent": CANARY,
    }
    with httpx.Client(headers=headers) as client:
        photo = {"file": (f"{CANARY}.jpg", a_jpeg(480, 600), "image/jpeg")}
        stored = client.post(f"{api}/images/upload?x={CANARY}", files=photo, data={"externalUserId": CANARY})
        assert stored.status_code == 201, stored.text
        client.post(f"{api}/images/upload", files={"file": (CANARY, CANARY.encode())}, headers={"traceparent": ""})
        client.delete(f"{api}/customers/{CANARY}")


def existing_names(scrape: str) -> set[str]:
    return {
        family.name + suffix
        for family in text_string_to_metric_families(scrape)
        for suffix in SUFFIXES.get(family.type, ("",))
    }


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_metric_that_rules_and_dashboard_name_is_in_a_real_scrape(seen: Seen, where: str) -> None:
    named = set(re.findall(r"\b(?:tryon|process)_\w+", EXPRESSIONS[where]))
    assert named
    assert named <= existing_names(seen.scrape)


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_label_that_rules_and_dashboard_group_by_is_one_of_the_metric(where: str) -> None:
    used = {label for group in re.findall(r"\bby \(([^)]*)\)", EXPRESSIONS[where]) for label in group.split(", ")}
    used |= set(re.findall(r"(\w+)[=!]~?\"", EXPRESSIONS[where]))
    named = {metric for metric in ALL for described in metric.describe() if described.name in EXPRESSIONS[where]}
    known = {label for metric in named for label in metric._labelnames} | {"le"}
    assert used <= (known if "build_info" not in EXPRESSIONS[where] else {"version"})


def test_figures_that_teams_expect_are_there(seen: Seen) -> None:
    samples = {
        sample.name: sample for family in text_string_to_metric_families(seen.scrape) for sample in family.samples
    }
    assert samples["tryon_build_info"].labels.keys() == {"version", "python"}
    assert samples["process_resident_memory_bytes"].value > 100_000_000, "photo workers count too"
    assert samples["process_cpu_seconds_total"].value > 0
    assert samples["tryon_processes"].value >= 4, "supervisor, server, fork server, photo worker"
    assert samples["tryon_photo_wait_seconds_count"].value >= 1
    assert 'tryon_photo_seconds_count{format="JPEG"} 1.0' in seen.scrape
    assert abs(samples["tryon_clock_skew_seconds"].value) < 1
    assert samples["tryon_account_requests_total"].labels["account"] == "all"


def test_probes_are_answered_on_the_port_of_the_metrics(seen: Seen) -> None:
    assert seen.health == [200, 200]


def test_where_no_server_answers_probes_fail(tmp_path: Path) -> None:
    assert _health(tmp_path, "/health/live")[0] == 503
    with socket.socket(socket.AF_UNIX) as of_a_dead_process:
        of_a_dead_process.bind(str(tmp_path / "health-1"))
    assert _health(tmp_path, "/health/live")[0] == 503
    assert _health(None, "/health/live")[0] == 200


def test_a_trace_leads_from_http_through_the_sandbox_to_storage_and_names_nobody(seen: Seen) -> None:
    spans = [span for body in seen.spans for span in spans_of(body) if span.trace_id.hex() == TRACE]
    (whole,) = [span for span in spans if span.name == "POST /tryon/v1/images/upload"]
    stages = {span.name for span in spans if span.parent_span_id == whole.span_id}
    assert stages == {"read", "queue", "decode", "detect", "encode", "store", "database"}
    assert all(CANARY.encode() not in body and KEY.encode() not in body for body in seen.spans)
    assert CANARY not in seen.scrape + seen.log


def spans_of(body: bytes) -> list[Any]:
    request = ExportTraceServiceRequest.FromString(body)
    return [span for each in request.resource_spans for scope in each.scope_spans for span in scope.spans]
