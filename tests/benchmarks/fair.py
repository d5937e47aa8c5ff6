"""Nobody blocks anybody: `python -m tests.benchmarks.fair [--only phones bad ...] [--quick] [--write]`.

The real server and bad clients beside it on loopback, bounded in count and time. Each figure stands beside what it has
to reach; times are p95 against those of the same client alone, before and after.
"""

import argparse
import asyncio
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx

from entrypoints.server.logging import configure_logging
from tests.benchmarks import fair_attacks as bad
from tests.benchmarks.fair_attacks import API, Client, Target, answer_of, attacked, connect, head
from tests.benchmarks.fair_generations import generations
from tests.benchmarks.fair_shop import Figures, Row, Shop, Watched, answered, shop, small_photo, well_behaved
from tests.benchmarks.keep_alive import post_file
from tests.benchmarks.photos import phone_jpeg

REPORT = Path("docs/limits.md")
HEADING = "## Measured"
SETTLE_SECONDS = 3
PHONE_BYTES_PER_SECOND = 1_000_000 // 8


class Measuring:
    """How one client fares beside others."""

    def __init__(self, quick: bool) -> None:
        self.rounds = 2 if quick else 4
        self.uploads = 8 if quick else 15
        """In each round, and forty times as many look-ups."""
        self.photo = small_photo()

    def alone(self, shop: Shop) -> Figures:
        return asyncio.run(well_behaved(shop.b, self.photo, self.uploads))

    def in_turns(self, shop: Shop, clients: dict[Client, int], target: Target) -> tuple[Figures, Figures, float]:
        """Alone, beside the others, alone again: whatever else the machine does falls on both.

        Returns: both figures, and the longest first answer once the others were gone.
        """
        alone, beside, longest = Figures([], []), Figures([], []), 0.0
        for _ in range(self.rounds):
            alone += self.alone(shop)
            with attacked(clients, target):
                time.sleep(SETTLE_SECONDS)
                beside += self.alone(shop)
            status, seconds = asyncio.run(answered(shop.b, head(shop.b, "GET", f"/images/{shop.b.image_id}")))
            longest = max(longest, seconds if status == 200 else float("inf"))
        return alone, beside, longest

    def compared(self, name: str, alone: Figures, beside: Figures, uploads: float, look_ups: float) -> Iterator[Row]:
        yield Row(name, "B's refusals", 0, beside.refused())
        for what, limit, before, now in (
            ("uploads", uploads, alone.uploads, beside.uploads),
            ("look-ups", look_ups, alone.look_ups, beside.look_ups),
        ):
            yield Row(
                name,
                f"B's {what}, p95 / alone ({Figures.p95(before):.3f} s)",
                limit,
                Figures.p95(now) / Figures.p95(before),
            )


def phones(quick: bool) -> Iterator[Row]:
    """Phones that all begin at once; the process tree's memory, and another account meanwhile."""
    many, faster = (60, 4) if quick else (300, 1)
    photo = phone_jpeg()
    name = f"{many} phones, one key, {len(photo) / 1e6:.1f} MB each at {faster} Mbit/s"
    measuring = Measuring(quick)
    with shop(TRYON_RATE_LIMIT_PER_MINUTE="0") as place:
        alone = measuring.alone(place)
        most = Watched(place.tree.resident_mb)
        with most:
            statuses, beside = asyncio.run(all_phones(place, photo, many, faster, measuring))
        alone += measuring.alone(place)
    yield Row(name, "201", many, statuses.count(201), at_least=True)
    yield Row(name, "memory of the process tree, MB", 1400, most.value)
    yield from measuring.compared(name, alone, beside, 2, math.inf)


async def all_phones(
    place: Shop, photo: bytes, many: int, faster: int, measuring: Measuring
) -> tuple[list[int], Figures]:
    request = post_file(f"{API}/images/upload", place.a.key, photo)
    sending = [asyncio.create_task(phone(place.a, request, faster * PHONE_BYTES_PER_SECOND)) for _ in range(many)]
    await asyncio.sleep(SETTLE_SECONDS)
    beside = await well_behaved(place.b, measuring.photo, measuring.uploads)
    return await asyncio.gather(*sending), beside


async def phone(target: Target, request: bytes, bytes_per_second: int) -> int:
    """The status; 0 when there was no answer."""
    step = bytes_per_second // 10
    with suppress(OSError, EOFError):
        reader, writer = await connect(target)
        for begin in range(0, len(request), step):
            writer.write(request[begin : begin + step])
            await writer.drain()
            await asyncio.sleep(0.1)
        status = await answer_of(reader)
        writer.close()
        return status
    return 0


BAD: dict[str, dict[Client, int]] = {
    "100 bodies that trickle": {bad.trickled_body: 100},
    "16 bodies that never end": {bad.endless_body: 16},
    "500 connections": {bad.kept_connection: 500},
    "50 connections that ask without a pause": {bad.beyond_its_rate: 50},
    "30 try-ons whose URLs drip": {bad.dripping_source: 30},
    "products and try-ons, without a pause": {bad.product: 4, bad.try_on: 4},
    "the costliest photos, 8 at a time": {bad.costly_upload: 8},
}
STRANGERS: dict[str, dict[Client, int]] = {
    "5,000 silent and slow connections": {bad.silent: 2500, bad.slow_headers: 2500},
    "1,000 connections with wrong keys": {bad.wrong_keys: 1000},
    "50 connections that ask for nothing there is": {bad.no_route: 50},
    "50 header floods": {bad.header_flood: 50},
}


def one_bad_account(quick: bool) -> Iterator[Row]:
    """One key does each kind of harm; in a shop of its own, since what one uses up of its rate the next would lack."""
    measuring = Measuring(quick)
    for name, clients in BAD.items():
        with shop() as place:
            alone, beside, _ = measuring.in_turns(place, clients, place.a)
            yield from measuring.compared(name, alone, beside, 3, 2)


def strangers(quick: bool) -> Iterator[Row]:
    """Nobody of them has a key; health is asked for all the time."""
    measuring = Measuring(quick)
    with shop() as place:
        for name, clients in STRANGERS.items():
            health = Watched(lambda: unhealthy(place))
            with health:
                alone, beside, recovered = measuring.in_turns(place, clients, Target(place.b.port))
            yield from measuring.compared(name, alone, beside, 2, 2)
            yield Row(name, "health: longest answer, s", 3, health.value)
            yield Row(name, "first answer afterwards, s", 1, recovered)


def unhealthy(place: Shop) -> float:
    """Seconds that live and ready took, both of the port for metrics; infinite when one of them does not say well."""
    began = time.perf_counter()
    for path in ("live", "ready"):
        try:
            well = httpx.get(f"http://127.0.0.1:{place.metrics_port}/health/{path}", timeout=10).is_success
        except httpx.TransportError:
            well = False
        if not well:
            return float("inf")
    return time.perf_counter() - began


SCENARIOS: dict[str, Callable[[bool], Iterator[Row]]] = {
    "phones": phones,
    "bad": one_bad_account,
    "strangers": strangers,
    "generations": generations,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="fewer phones, and fewer requests for each figure")
    parser.add_argument("--write", action="store_true", help=f"put the table into {REPORT}, if it is whole")
    options = parser.parse_args()
    configure_logging("error")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # its servers end with it
    quick = " --quick" if options.quick else ""
    lines = [
        f"`make bench-fair{quick}` on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load before it "
        f"{os.getloadavg()[0]:.1f}; bad clients on the same machine, at a lower priority.",
        "",
        "| who does what | figure | has to be | is |",
        "| --- | --- | --- | --- |",
    ]
    print("\n".join(lines), flush=True)
    all_hold = True
    for name in options.only:
        for row in SCENARIOS[name](options.quick):
            print(row.line(), flush=True)
            lines.append(row.line())
            all_hold &= row.holds
    if options.write and set(options.only) == set(SCENARIOS):
        kept = REPORT.read_text().partition(HEADING)[0].rstrip()
        REPORT.write_text("\n".join([kept, "", HEADING, "", *lines, ""]))
    sys.exit(not all_hold)


if __name__ == "__main__":
    main()
