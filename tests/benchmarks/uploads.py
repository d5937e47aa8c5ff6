"""Whole servers side by side: `python -m tests.benchmarks.uploads [--quick] [--before CHECKOUT]`.

Our service as it is run, against Fastify with sharp and against libvips behind a minimal server: CPU time of the whole
process tree per upload, in turns, medians; then throughput, latency, memory and start-up. `--before` adds another
checkout of ours with an environment of its own, so that two versions are measured in the same minutes.
"""

import argparse
import asyncio
import platform
import statistics
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from tests.benchmarks import keep_alive
from tests.benchmarks.photos import corpus, phone_jpeg
from tests.benchmarks.server_process import KEY, Tree, our_server, rival_server, sharp_server

UPLOAD = "/tryon/v1/images/upload"
REPORT = Path("docs/benchmarks.md")
APART = "## Measured apart"
"""The heading in the report from which on it is written by hand, and stays."""
Row = tuple[str, ...]
Fields = dict[str, str]


@dataclass(frozen=True)
class Contender:
    """A server, and the route that takes an upload."""

    tree: Tree
    path: str


class Report:
    """Printed as it grows, and kept as Markdown."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str = "") -> None:
        print(line, flush=True)
        self.lines.append(line)

    def table(self, head: Row, rows: Iterable[Row]) -> None:
        self.say()
        for row in (head, tuple("---" for _ in head), *rows):
            self.say("| " + " | ".join(row) + " |")
        self.say()


def send(client: httpx.Client, url: str, photo: bytes, fields: Fields | None = None) -> None:
    files = {"file": ("photo", photo, "application/octet-stream")}
    client.post(url, files=files, data=fields, headers={"x-api-key": KEY}).raise_for_status()


def cpu_per_upload(server: Contender, photo: bytes, fields: Fields | None, uploads: int = 4) -> float:
    """CPU ms of the whole tree for each upload, after one that brings everything it needs into the caches."""
    with httpx.Client(timeout=120) as client:
        send(client, server.tree.url + server.path, photo, fields)
        before = server.tree.cpu_seconds()
        for _ in range(uploads):
            send(client, server.tree.url + server.path, photo, fields)
        return (server.tree.cpu_seconds() - before) * 1000 / uploads


def compare(report: Report, contenders: dict[str, Contender], rounds: int, fields: Fields | None = None) -> None:
    photos = corpus()
    times: dict[tuple[str, str], list[float]] = {}
    for counted in range(-1, rounds):  # the first round warms up
        order = list(contenders) if counted % 2 else list(reversed(contenders))
        for kind, photo in photos.items():
            for name in order:
                cpu = cpu_per_upload(contenders[name], photo, fields)
                if counted >= 0:
                    times.setdefault((kind, name), []).append(cpu)
    medians = {key: statistics.median(values) for key, values in times.items()}
    report.say("CPU ms of the whole process tree per upload; in brackets ours as a multiple of it.")
    rows = [(kind, [medians[kind, name] for name in contenders]) for kind in photos]
    rows.append(("**mix**", [statistics.mean(figures) for figures in zip(*(row for _, row in rows), strict=True)]))
    report.table(("upload", *contenders), (_row(kind, figures) for kind, figures in rows))
    spread = statistics.median((max(v) - min(v)) / statistics.median(v) for v in times.values())
    report.say(f"Rounds differ by {spread:.0%} of their median.")


def _row(kind: str, figures: list[float]) -> Row:
    ours = figures[0]
    return (kind, f"{ours:.0f}", *(f"{figure:.0f} ({ours / figure:.2f})" for figure in figures[1:]))


def load(tree: Tree, photo: bytes, concurrency: int, uploads: int) -> tuple[list[float], float]:
    """The seconds that each upload took, and the most memory that the tree had, in MB."""
    most = tree.resident_mb()

    def one(_: int) -> float:
        started_at = time.monotonic()
        with httpx.Client(timeout=300) as client:
            send(client, tree.url + UPLOAD, photo)
        return time.monotonic() - started_at

    with ThreadPoolExecutor(concurrency) as threads:
        running = [threads.submit(one, number) for number in range(uploads)]
        while not all(upload.done() for upload in running):
            most = max(most, tree.resident_mb())
            wait(running, timeout=0.2)
    return [upload.result() for upload in running], most


def scaling(report: Report, ours: dict[str, Contender], rounds: int, uploads: int) -> None:
    photo = phone_jpeg()
    request = keep_alive.post_file(UPLOAD, KEY, photo)
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for name, server in ours.items():
            for many in (1, 8):
                rate = asyncio.run(keep_alive.load(server.tree, request, many, 10)).per_second
                rates.setdefault((name, many), []).append(rate)
    for name, server in ours.items():
        one, eight = (statistics.median(rates[name, many]) for many in (1, 8))
        report.say(
            f"- {name}: 12 MP JPEG, {one:.2f}/s alone and {eight:.2f}/s at concurrency 8 (ratio {eight / one:.2f})"
        )
        two, _ = load(server.tree, photo, 2, uploads)
        _, memory = load(server.tree, photo, 32, max(uploads, 64))
        report.say(
            f"- {name}: p95 / p50 at concurrency 2 {statistics.quantiles(two, n=20)[18] / statistics.median(two):.2f}"
        )
        report.say(f"- {name}: memory at concurrency 32, proportional, {memory:.0f} MB")


def flatness(report: Report, tree: Tree, uploads: int) -> None:
    """Whether memory grows with the number of uploads, once as many as fit were in hand at once."""
    photo = phone_jpeg()
    load(tree, photo, 8, 16)
    before = tree.resident_mb()
    load(tree, photo, 8, uploads)
    report.say(f"- memory after {uploads} more uploads {tree.resident_mb():.0f} MB, before them {before:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--before", type=Path, help="another checkout of this project, set up by `make setup`")
    parser.add_argument("--write", action="store_true", help=f"put the figures into {REPORT}")
    options = parser.parse_args()
    report, quick = Report(), options.quick
    report.say(f"# Benchmarks\n\n`make bench` on {datetime.now(UTC):%Y-%m-%d}, {_machine()}.\n")
    with ExitStack() as servers:
        ours = {"ours": Contender(servers.enter_context(our_server()), UPLOAD)}
        if options.before:
            command = options.before / ".venv" / "bin" / "tryon-images"
            ours["before"] = Contender(servers.enter_context(our_server(command)), UPLOAD)
        peers = {
            "Fastify + sharp": Contender(servers.enter_context(sharp_server()), "/images/upload"),
            "libvips": Contender(servers.enter_context(rival_server()), "/libvips"),
        }
        compare(report, ours | peers, rounds=1 if quick else 5)
        if options.before:
            report.say("\n## Kept whole (`crop=false`)\n")
            compare(report, ours, rounds=1 if quick else 5, fields={"crop": "false"})
        report.say("\n## Load\n")
        for name, server in ours.items():
            at_rest = server.tree.resident_mb()
            report.say(
                f"- {name}: ready after {server.tree.ready_seconds:.1f} s; {at_rest:.0f} MB after the table above"
            )
        scaling(report, ours, rounds=1 if quick else 3, uploads=16 if quick else 60)
        flatness(report, ours["ours"].tree, uploads=50 if quick else 500)
    if options.write:
        by_hand = REPORT.read_text().partition(APART)[2]
        REPORT.write_text("\n".join([*report.lines, "", APART + by_hand]))


def _machine() -> str:
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    return f"{model.partition(':')[2].strip() or platform.machine()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
