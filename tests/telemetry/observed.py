"""A service whose log lines, metrics and traces a test can read."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from litestar.testing import TestClient
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adapters.memory.surroundings import InMemoryObjectStore
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from adapters.telemetry.exposition import Traces, exposition
from adapters.telemetry.measured_ports import MeasuredObjectStore, MeasuredUnitOfWork, NotedPhotoProcessor
from application.authenticate import DEFAULT_ACCOUNT
from entrypoints.http.app import create_app
from entrypoints.server.logging import configure_structlog, line_formatter
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.http.conftest import account_with_key, an_in_process_processor


@dataclass
class Observed:
    """The client's side of a service, and all that is seen of it."""

    client: TestClient[Any]
    container: Container
    key: str
    log: io.StringIO
    exporter: InMemorySpanExporter

    def lines(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    def metrics(self) -> str:
        return exposition().decode()

    def spans(self) -> list[dict[str, Any]]:
        """Complete once the service has stopped."""
        return [json.loads(span.to_json()) for span in self.exporter.get_finished_spans()]


@contextmanager
def observed_service(data_dir: Path, **settings: Any) -> Iterator[Observed]:
    log, exporter = io.StringIO(), InMemorySpanExporter()
    container = Container(
        settings=Settings(data_dir=data_dir, public_url="http://photos.test", **settings),
        objects=MeasuredObjectStore(InMemoryObjectStore()),
        work=MeasuredUnitOfWork(InMemoryUnitOfWork()),
        processor=NotedPhotoProcessor(an_in_process_processor()),
        traces=Traces(exporter),
    )
    key = asyncio.run(account_with_key(container, DEFAULT_ACCOUNT))
    with everything_logged_to(log), TestClient(create_app(container), base_url="http://photos.test") as client:
        yield Observed(client, container, key, log, exporter)


@contextmanager
def everything_logged_to(stream: io.StringIO) -> Iterator[None]:
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    handler.setFormatter(line_formatter())
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    configure_structlog("debug", stream)
    try:
        yield
    finally:
        structlog.reset_defaults()
        root.setLevel(level)
        root.removeHandler(handler)
