"""Whole servers side by side: `python -m tests.benchmarks.uploads [--quick]`.

Our service, as it is run, against libvips and Pillow behind a minimal server: CPU time of the whole process tree per
upload (rounds interleaved, medians), the share of it that is not pixel work, throughput, latency, memory, start-up, and
requests per second of `GET /images/{id}` beside the bare framework's.
"""

import argparse
import platform
import statistics
import time
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime

import httpx
from rich.console import Console
from rich.table import Table

from tests.benchmarks.photos import corpus, phone_jpeg
from tests.benchmarks.pixels import cpu_ms, ours
from tests.benchmarks.server_process import KEY, Tree, our_server, rival_server

UPLOAD = "/tryon/v1/images/upload"
OVERHEAD_BYTES = 4_000_000
console = Console()


def send(client: httpx.Client, url: str, photo: bytes, **fields: str) -> httpx.Response:
    files = {"file": ("photo", photo, "application/octet-stream")}
    answer = client.post(url, files=files, data=fields, headers={"x-api-key": KEY})
    return answer.raise_for_status()


def cpu_per_upload(tree: Tree, path: str, photo: bytes, uploads: int) -> float:
    """CPU ms of the whole tree for each upload."""
    with httpx.Client(timeout=120) as client:
        before = tree.cpu_seconds()
        for _ in range(uploads):
            send(client, tree.url + path, photo)
        return (tree.cpu_seconds() - before) * 1000 / uploads


def compare(service: Tree, rivals: Tree, rounds: int) -> None:
    photos = corpus()
    contenders = {"ours": (service, UPLOAD), "libvips": (rivals, "/libvips"), "Pillow": (rivals, "/pillow")}
    times: dict[tuple[str, str], list[float]] = {}
    for counted in range(-1, rounds):  # the first round warms up
        for kind, photo in photos.items():
            for name, (tree, path) in contenders.items():
                if not (name == "Pillow" and "HEIC" in kind):
                    taken = cpu_per_upload(tree, path, photo, uploads=2)
                    if counted >= 0:
                        times.setdefault((kind, name), []).append(taken)
    medians = {key: statistics.median(values) for key, values in times.items()}
    table = Table("upload", *contenders, "ours / libvips", title="CPU ms of the process tree per upload, medians")
    for kind in photos:
        row = [medians.get((kind, name)) for name in contenders]
        table.add_row(
            kind, *(f"{v:.0f}" if v else "-" for v in row), f"{row[0] / row[1]:.2f}" if row[0] and row[1] else ""
        )
    for title, mix in (("mix", [k for k in photos if "HEIC" not in k]), ("mix with HEIC", list(photos))):
        mine, vips = (statistics.mean(medians[kind, name] for kind in mix) for name in ("ours", "libvips"))
        table.add_row(title, f"{mine:.0f}", f"{vips:.0f}", "", f"{mine / vips:.2f}", style="bold")
    console.print(table)
    spread = statistics.median((max(v) - min(v)) / statistics.median(v) for v in times.values())
    if spread > 0.25:
        console.print(f"[yellow]Noisy machine: rounds differ by {spread:.0%} of their median.[/yellow]")


def overhead(service: Tree) -> None:
    """Everything but the pixels: a 4 MB file whose picture is tiny, less the pixel work on it."""
    tiny = phone_jpeg(64, 80)
    padded = tiny + bytes(OVERHEAD_BYTES - len(tiny))
    whole = statistics.median(cpu_per_upload_without_crop(service, padded) for _ in range(5))
    pixels = statistics.median(cpu_ms(ours, padded) for _ in range(20))
    console.print(
        f"around the pixels, 4 MB upload: {whole - pixels:.1f} CPU ms (whole {whole:.1f}, pixels {pixels:.1f})"
    )


def cpu_per_upload_without_crop(tree: Tree, photo: bytes) -> float:
    with httpx.Client(timeout=60) as client:
        before = tree.cpu_seconds()
        for _ in range(20):
            send(client, tree.url + UPLOAD, photo, crop="false")
        return (tree.cpu_seconds() - before) * 1000 / 20


def load(tree: Tree, photo: bytes, concurrency: int, uploads: int) -> tuple[float, list[float], float]:
    """Uploads per second, the seconds each took, and the most memory that the tree had, in MB."""
    most = tree.resident_mb()

    def one(_: int) -> float:
        started_at = time.monotonic()
        send(client, tree.url + UPLOAD, photo)
        return time.monotonic() - started_at

    with httpx.Client(timeout=300) as client, ThreadPoolExecutor(concurrency) as threads:
        started_at = time.monotonic()
        running = [threads.submit(one, number) for number in range(uploads)]
        while not all(upload.done() for upload in running):
            most = max(most, tree.resident_mb())
            wait(running, timeout=0.2)
        seconds = time.monotonic() - started_at
    return uploads / seconds, [upload.result() for upload in running], most


def scaling(service: Tree, uploads: int) -> None:
    photo = phone_jpeg()
    one, _, _ = load(service, photo, 1, uploads)
    _, two_taken, _ = load(service, photo, 2, uploads)
    eight, _, _ = load(service, photo, 8, uploads)
    _, _, memory = load(service, photo, 32, max(uploads, 64))
    deciles = statistics.quantiles(two_taken, n=20)
    console.print(f"throughput, 12 MP JPEG: {one:.2f}/s alone, {eight:.2f}/s at 8: ratio {eight / one:.2f}")
    console.print(f"latency at concurrency 2: p95 / p50 = {deciles[18] / statistics.median(two_taken):.2f}")
    console.print(f"memory at concurrency 32, proportional: {memory:.0f} MB")


def reads(service: Tree, rivals: Tree) -> None:
    with httpx.Client(timeout=60) as client:
        image_id = send(client, service.url + UPLOAD, phone_jpeg(640, 800)).json()["imageId"]
    ours_rate = statistics.median(rate(f"{service.url}/tryon/v1/images/{image_id}") for _ in range(3))
    bare_rate = statistics.median(rate(f"{rivals.url}/bare") for _ in range(3))
    console.print(
        f"GET /images/{{id}}: {ours_rate:.0f}/s, bare framework {bare_rate:.0f}/s: {ours_rate / bare_rate:.2f}"
    )


def rate(url: str, requests: int = 1000) -> float:
    """Requests per second over eight connections."""

    def some(_: int) -> None:
        with httpx.Client(headers={"x-api-key": KEY}) as client:
            for _ in range(requests // 8):
                client.get(url).raise_for_status()

    started_at = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(some, range(8)))
    return requests / (time.monotonic() - started_at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    quick = parser.parse_args().quick
    console.print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}")
    with our_server() as service, rival_server() as rivals:
        console.print(f"ready after {service.ready_seconds:.1f} s, {service.resident_mb():.0f} MB at rest")
        compare(service, rivals, rounds=1 if quick else 5)
        overhead(service)
        scaling(service, uploads=16 if quick else 60)
        reads(service, rivals)


if __name__ == "__main__":
    main()
