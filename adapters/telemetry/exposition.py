"""Exposition of all metrics of all processes of one service, in Prometheus' text format.

Server processes share what they count through files; what belongs to the service as a whole (its version, its
processes) is read when it is asked for.
"""

import os
import platform
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, multiprocess
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from adapters.telemetry.metrics import ALL, SHARED_FOLDER

OWNER: Final = "owner"
"""The file in the shared folder that names the process whose descendants are the service."""
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
    folder = os.environ.get(SHARED_FOLDER)
    if folder is None:
        return generate_latest(REGISTRY) + generate_latest(_registry(_Service(None)))
    _forget_the_dead(Path(folder))
    registry = _registry(_Service(_owner(Path(folder))), _Uncounted())
    multiprocess.MultiProcessCollector(registry, folder)
    return generate_latest(registry)


def _registry(*collectors: "_Service | _Uncounted") -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return registry


class _Service:
    """The version, and the processes under `owner`; of a lone process the library itself tells."""

    def __init__(self, owner: int | None) -> None:
        self._owner = owner

    def collect(self) -> Iterable[Metric]:
        build = GaugeMetricFamily("tryon_build_info", "1; the version and its Python.", labels=["version", "python"])
        build.add_metric([_version(), platform.python_version()], 1)
        yield build
        if self._owner is not None:
            yield from _process_metrics(self._owner)


class _Uncounted:
    """Metrics without a sample, so that whoever looks for a name finds it; the others come from the shared folder."""

    def collect(self) -> Iterable[Metric]:
        for metric in (described for each in ALL for described in each.describe()):
            if metric.type != "gauge":
                yield metric


@cache
def _version() -> str:
    return version("tryon-images")


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
    yield CounterMetricFamily(
        "process_cpu_seconds", "CPU time of all processes of the service.", sum(each.seconds for each in tree.values())
    )
    sums = {
        "process_resident_memory_bytes": ("Resident memory of all processes; shared pages count for each.", "resident"),
        "process_virtual_memory_bytes": ("Virtual memory of all processes.", "virtual"),
    }
    for name, (text, kind) in sums.items():
        yield GaugeMetricFamily(name, text, sum(getattr(each, f"{kind}_bytes") for each in tree.values()))
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
