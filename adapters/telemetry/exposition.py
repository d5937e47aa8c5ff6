"""Exposition of what was observed: metrics in Prometheus' text format, requests as OpenTelemetry's spans.

Server processes share what they count through files; what belongs to the service as a whole (its version, its
processes) is read when it is asked for. Traces are configured by the standard OTEL_* variables.
"""

import os
import platform
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, multiprocess
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from adapters.telemetry import OWNER, SHARED_FOLDER
from adapters.telemetry.metrics import ALL, AccountMeter, observe
from application.request_trace import ObservedRequest, Observer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

SERVICE: Final = "tryon-images"
PROC: Final = Path("/proc")
TICKS: Final = os.sysconf("SC_CLK_TCK")
PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """Of one process: `seconds` of CPU, those of its dead children included, and bytes of memory."""

    parent: int
    seconds: float
    started_at: float
    virtual_bytes: int
    resident_bytes: int


def exposition() -> bytes:
    """All metrics; also those of which nothing has been counted yet have their lines of HELP and TYPE."""
    folder, registry = os.environ.get(SHARED_FOLDER), CollectorRegistry()
    registry.register(_Service(None if folder is None else _owner(Path(folder))))
    if folder is None:
        return generate_latest(REGISTRY) + generate_latest(registry)
    _forget_the_dead(Path(folder))
    multiprocess.MultiProcessCollector(registry, folder)
    return generate_latest(registry)


class _Service:
    """What no server process counts: the version, the processes under `owner`, and metrics that nothing was counted of.

    Of a lone process the library itself tells the last two.
    """

    def __init__(self, owner: int | None) -> None:
        self._owner = owner

    def collect(self) -> Iterable[Metric]:
        build = GaugeMetricFamily("tryon_build_info", "1; the version and its Python.", labels=["version", "python"])
        build.add_metric([_version(), platform.python_version()], 1)
        yield build
        if self._owner is not None:
            yield from _process_metrics(self._owner)
            yield from (metric for each in ALL for metric in each.describe() if metric.type != "gauge")


@cache
def _version() -> str:
    return version(SERVICE)


def _owner(folder: Path) -> int:
    try:
        return int((folder / OWNER).read_text())
    except (OSError, ValueError):
        return os.getpid()


def _process_metrics(owner: int) -> Iterator[Metric]:
    """The names that every Prometheus client has, summed up: the supervisor, its servers, their photo workers."""
    tree = _descendants(owner)
    if not tree:
        return
    seconds = sum(each.seconds for each in tree.values())
    yield CounterMetricFamily("process_cpu_seconds", "CPU time of all processes of the service.", seconds)
    resident = sum(each.resident_bytes for each in tree.values())
    text = "Resident memory of all processes; shared pages count for each."
    yield GaugeMetricFamily("process_resident_memory_bytes", text, resident)
    virtual = sum(each.virtual_bytes for each in tree.values())
    yield GaugeMetricFamily("process_virtual_memory_bytes", "Virtual memory of all processes.", virtual)
    started_at = _booted_at() + tree[owner].started_at if owner in tree else 0
    yield GaugeMetricFamily("process_start_time_seconds", "When the service started, in Unix time.", started_at)
    yield GaugeMetricFamily("process_open_fds", "Open files of all processes.", sum(map(_open_files, tree)))
    yield GaugeMetricFamily("tryon_processes", "Processes of the service.", len(tree))


def _descendants(owner: int) -> dict[int, Process]:
    processes = {int(path.name): found for path in PROC.glob("[0-9]*") if (found := _read(path)) is not None}
    tree: dict[int, Process] = {}
    newest = {owner} & processes.keys()
    while newest:
        tree |= {number: processes[number] for number in newest}
        newest = {number for number, each in processes.items() if each.parent in newest} - tree.keys()
    return tree


def _read(path: Path) -> Process | None:
    """proc(5), `/proc/pid/stat`: the second field may hold spaces and ends with the last parenthesis."""
    try:
        fields = (path / "stat").read_text().rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return None
    seconds = sum(map(int, fields[11:15])) / TICKS
    return Process(int(fields[1]), seconds, int(fields[19]) / TICKS, int(fields[20]), int(fields[21]) * PAGE)


def _open_files(number: int) -> int:
    """Zero for a process that lets nobody look, as photo workers do."""
    try:
        return len(os.listdir(PROC / str(number) / "fd"))  # noqa: PTH208 - only their number
    except OSError:
        return 0


@cache
def _booted_at() -> float:
    lines = (PROC / "stat").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("btime"))


def _forget_the_dead(folder: Path) -> None:
    """A process that is gone has no uploads in hand; what it counted still counts."""
    for path in folder.glob("gauge_live*_*.db"):
        process_id = path.stem.rpartition("_")[2]
        if not (PROC / process_id).exists():
            multiprocess.mark_process_dead(int(process_id), str(folder))


class Traces:
    """One span per request and one for each of its stages, made after the fact out of request traces.

    Only a `traceparent` is taken from a client. Its `tracestate` and `baggage` are free text, which we would pass on.
    """

    def __init__(self, exporter: "SpanExporter | None" = None) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - half a second, and an optional dependency
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        resource = Resource.create({"service.name": SERVICE}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(SERVICE)
        self._propagator = TraceContextTextMapPropagator()
        self._library = trace

    def record(self, request: ObservedRequest) -> None:
        """Never raises, never waits: spans are sent in the background, or dropped when nobody takes them."""
        to_unix_ns = time.time_ns() - time.monotonic_ns()
        carrier = {"traceparent": request.traceparent} if request.traceparent else {}
        span = self._tracer.start_span(
            f"{request.method} {request.route}",
            context=self._propagator.extract(carrier),
            kind=self._library.SpanKind.SERVER,
            attributes={
                "http.request.method": request.method,
                "http.route": request.route,
                "http.response.status_code": request.status,
                **{f"tryon.{name}": fact for name, fact in request.trace.facts.items()},
            },
            start_time=request.started_ns + to_unix_ns,
        )
        if request.status >= 500:
            span.set_status(self._library.StatusCode.ERROR)
        inside = self._library.set_span_in_context(span)
        for stage in request.trace.stages:
            child = self._tracer.start_span(stage.name, context=inside, start_time=stage.started_ns + to_unix_ns)
            child.end(stage.ended_ns + to_unix_ns)
        span.end(request.ended_ns + to_unix_ns)

    def close(self) -> None:
        """Send what is left; blocks."""
        self._provider.shutdown()


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Who is told of every request, and where the figures are read."""

    traces: Traces | None
    accounts: AccountMeter

    @property
    def observers(self) -> tuple[Observer, ...]:
        counting = (observe, self.accounts.observe)
        return (*counting, self.traces.record) if self.traces else counting

    def metrics(self) -> bytes:
        """In Prometheus' text format."""
        return exposition()

    def close(self) -> None:
        """Send the traces that are left; blocks."""
        if self.traces is not None:
            self.traces.close()
