"""The cost of PostgreSQL as tables grow, and of reading an image.

`python -m tests.benchmarks.database`

Starts a PostgreSQL of its own. CPU is user + system of the server's process tree, so that a busy machine disturbs less.
"""

import asyncio
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from io import BytesIO
from pathlib import Path

from PIL import Image
from sqlalchemy import text

from adapters.sql.migrate import Migrator
from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from domain.account import AccountId
from domain.image import ImageId
from tests.benchmarks.keep_alive import Load, get, load, middle
from tests.benchmarks.server_process import Tree
from tests.builders import ACME, NOON
from tests.postgres import PostgresServer, running_postgres
from tests.replicas.server import API, KEY, serving
from tests.sql.many_rows import fill

SIZES = (10_000, 100_000, 1_000_000)
LOOKUPS = 400
EXPIRED = 1_000
CONNECTIONS = 8
ROUNDS = 3


async def milliseconds(work: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await work()
    return (time.perf_counter() - started) * 1000


async def cost_of(server: PostgresServer, rows: int) -> tuple[float, float, int, float]:
    """Returns: median ms of a lookup, ms for each image purged, images purged, bytes of table and indexes for each."""
    await server.execute(f"CREATE DATABASE bench_{rows}")
    engine = create_engine(server.url(f"bench_{rows}"), statement_seconds=600)
    await Migrator(engine).upgrade()
    await fill(engine, rows, ("accounts", "images"))
    async with engine.connect() as connection:
        size_bytes = int(await connection.scalar(text("SELECT pg_total_relation_size('images')")) or 0)
    work = SqlUnitOfWork(engine)

    async def look_up(number: int) -> None:
        name = ImageId("img_" + hashlib.md5(str(number).encode()).hexdigest())
        async with work.read() as repositories:
            assert await repositories.images.find(name, AccountId(ACME))

    await look_up(1)
    step = rows // LOOKUPS
    lookups = [await milliseconds(partial(look_up, 1 + number * step)) for number in range(LOOKUPS)]
    now = NOON + timedelta(days=7) * (EXPIRED / rows)  # just so many of them are over by then
    purged = 0

    async def purge() -> None:
        nonlocal purged
        while True:
            async with work.begin() as repositories:
                batch = await repositories.images.mark_due_deleting(now, now + timedelta(minutes=1), 200)
            async with work.begin() as repositories:
                await repositories.images.remove([image.image_id for image in batch.images])
            purged += len(batch.images)
            if not batch.images:
                return

    took = await milliseconds(purge)
    await engine.dispose()
    await server.execute(f"DROP DATABASE bench_{rows}")
    return statistics.median(lookups), took / purged, purged, size_bytes / rows


async def reading(database_url: str | None) -> Load:
    """The median of the rounds."""
    settings = {"TRYON_RATE_LIMIT_PER_MINUTE": "0"}
    if database_url:
        settings |= {"TRYON_DATABASE_URL": database_url, "TRYON_PSEUDONYM_KEY": "k" * 64}
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "replica", settings) as replica:
        async with replica.client() as client:
            photo = {"file": ("photo.jpg", a_photo(), "image/jpeg")}
            made = (await client.post("/images/upload", files=photo)).json()
        service = Tree(replica.process.pid, replica.url)
        request = get(f"{API}/images/{made['imageId']}", KEY)
        return middle([await load(service, request, CONNECTIONS) for _ in range(ROUNDS)])


def a_photo() -> bytes:
    out = BytesIO()
    Image.new("RGB", (960, 1200), (90, 140, 200)).save(out, "JPEG")
    return out.getvalue()


async def main() -> None:
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    with running_postgres() as server:
        print(f"{'rows':>10} {'lookup, ms':>12} {'purge, ms/image':>16} {'purged':>8} {'bytes/image':>12}")
        for rows in SIZES:
            lookup, purge, purged, size_bytes = await cost_of(server, rows)
            print(f"{rows:>10,} {lookup:>12.2f} {purge:>16.3f} {purged:>8,} {size_bytes:>12.0f}")
        await server.execute("CREATE DATABASE replica")
        await server.migrate("replica")
        print(f"\n{'GET /images/{id}':<22} {'req/s':>8} {'req/CPU-s':>10}")
        for name, url in (("SQLite", None), ("PostgreSQL", server.url("replica"))):
            read = await reading(url)
            print(f"{name:<22} {read.per_second:>8.0f} {read.per_cpu_second:>10.0f}")


if __name__ == "__main__":
    asyncio.run(main())
