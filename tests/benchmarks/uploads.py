"""Whole servers side by side: `python -m tests.benchmarks.uploads [--quick]`.

Our service, as it is run, against libvips and Pillow behind a minimal server: CPU time of the whole process tree per
upload (rounds interleaved, medians), the share of it that is not pixel work, throughput, latency, memory, start-up, and
requests per second of `GET /images/{id}` beside the bare framework's.
"""

import argparse
import asyncio
import platform
import statistics
import time
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime

import httpx
from rich.console import Console
from rich.table import Table

from tests.benchmarks import keep_alive
from tests.benchmarks.photos import corpus, phone_jpeg
from tests.benchmarks.pixels import cpu_ms, floor, ours
from tests.benchmarks.server_process import KEY, Tree, bare_server, our_server, rival_server

UPLOAD = "/tryon/v1/images/upload"
OVERHEAD_BYTES = 4_000_000
console = Console()


def send(client: httpx.Client, url: str, photo: bytes, **fields: str) -> httpx.Response:
    files = {"file": ("photo", photo, "application/octet-stream")}
    answer = client.post(url, files=files, data=fields, headers={"x-api-key": KEY})
    return answer.raise_for_status()


def cpu_per_upload(tree: Tree, path: str, photo: bytes, uploads: int) -> float:
    """CPU ms of the whole tree for each upload, after one that brings everything it needs into the caches."""
    with httpx.Client(timeout=120) as client:
        send(client, tree.url + path, photo)
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
            taken = {
                name: cpu_per_upload(tree, path, photo, uploads=4)
                for name, (tree, path) in contenders.items()
                if not (name == "Pillow" and "HEIC" in kind)
            }
            taken["floor"] = statistics.median(cpu_ms(floor, photo) for _ in range(3))
            for name, cpu in taken.items() if counted >= 0 else ():
                times.setdefault((kind, name), []).append(cpu)
    medians = {key: statistics.median(values) for key, values in times.items()}
    columns = ("ours", "floor", "libvips", "Pillow")
    table = Table("upload", *columns, "ours / floor", "ours / libvips", title="CPU ms of the process tree per upload")
    for kind in photos:
        mine, least, vips, plain = (medians.get((kind, name), 0.0) for name in columns)
        row = (f"{value:.0f}" if value else "-" for value in (mine, least, vips, plain))
        table.add_row(kind, *row, f"{mine / least:.2f}", f"{mine / vips:.2f}")
    for title, mix in (("mix", [k for k in photos if "HEIC" not in k]), ("mix with HEIC", list(photos))):
        mine, least, vips = (statistics.mean(medians[kind, name] for kind in mix) for name in columns[:3])
        figures = f"{mine:.0f}", f"{least:.0f}", f"{vips:.0f}", "", f"{mine / least:.2f}", f"{mine / vips:.2f}"
        table.add_row(title, *figures, style="bold")
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


def load(tree: Tree, photo: bytes, concurrency: int, uploads: int) -> tuple[list[float], float]:
    """The seconds that each upload took, and the most memory that the tree had, in MB."""
    most = tree.resident_mb()

    def one(_: int) -> float:
        started_at = time.monotonic()
        send(client, tree.url + UPLOAD, photo)
        return time.monotonic() - started_at

    with httpx.Client(timeout=300) as client, ThreadPoolExecutor(concurrency) as threads:
        running = [threads.submit(one, number) for number in range(uploads)]
        while not all(upload.done() for upload in running):
            most = max(most, tree.resident_mb())
            wait(running, timeout=0.2)
    return [upload.result() for upload in running], most


def scaling(service: Tree, uploads: int, rounds: int) -> None:
    photo = phone_jpeg()
    request = keep_alive.post_file(UPLOAD, KEY, photo)
    ratios = []
    for _ in range(rounds):
        one, eight = (asyncio.run(keep_alive.load(service, request, many, 10)).per_second for many in (1, 8))
        console.print(f"throughput, 12 MP JPEG: {one:.2f}/s alone, {eight:.2f}/s at 8: ratio {eight / one:.2f}")
        ratios.append(eight / one)
    console.print(f"throughput at 8 against 1, median: {statistics.median(ratios):.2f}")
    two_taken, _ = load(service, photo, 2, uploads)
    _, memory = load(service, photo, 32, max(uploads, 64))
    twentieths = statistics.quantiles(two_taken, n=20)
    console.print(f"latency at concurrency 2: p95 / p50 = {twentieths[18] / statistics.median(two_taken):.2f}")
    console.print(f"memory at concurrency 32, proportional: {memory:.0f} MB")


def flatness(service: Tree, uploads: int) -> None:
    """Whether memory grows with the number of uploads, once as many as fit were in hand at once."""
    photo = phone_jpeg()
    load(service, photo, 8, 16)
    before = service.resident_mb()
    load(service, photo, 8, uploads)
    console.print(f"memory after {uploads} more uploads: {service.resident_mb():.0f} MB, before them {before:.0f} MB")


def reads(service: Tree, rounds: int) -> None:
    """`GET /images/{id}` beside a route that has the same body in memory; the client costs next to nothing."""
    with httpx.Client(timeout=60) as client:
        image_id = send(client, service.url + UPLOAD, phone_jpeg(640, 800)).json()["imageId"]
        path = f"/tryon/v1/images/{image_id}"
        body = client.get(service.url + path, headers={"x-api-key": KEY}).text
    with bare_server(body) as bare:
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(asyncio.run(keep_alive.load(service, keep_alive.get(path, KEY), 8)))
            theirs.append(asyncio.run(keep_alive.load(bare, keep_alive.get("/", KEY), 8)))
    mine, least = keep_alive.middle(ours).per_second, keep_alive.middle(theirs).per_second
    console.print(f"GET /images/{{id}}: {mine:.0f}/s, bare framework {least:.0f}/s: {mine / least:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    quick = parser.parse_args().quick
    console.print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}")
    with our_server() as service, rival_server() as rivals:
        console.print(f"ready after {service.ready_seconds:.1f} s, {service.resident_mb():.0f} MB at rest")
        compare(service, rivals, rounds=1 if quick else 5)
        overhead(service)
        scaling(service, uploads=16 if quick else 60, rounds=1 if quick else 3)
        flatness(service, uploads=50 if quick else 500)
        reads(service, rounds=1 if quick else 5)


if __name__ == "__main__":
    main()
