"""Hundreds of erasures against uploads that run at the same time: nobody survives."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.object_storage.folder import FolderObjectStore
from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from adapters.system import SystemRandomSource
from domain.errors import CustomerErased, IdempotencyKeyInUse
from domain.image import ImageId
from tests.builders import a_customer, an_account
from tests.durability.conftest import worlds_on_disk
from tests.durability.world import World

AT_ONCE = 10
UPLOADS_EACH = 4
LONGEST_HEAD_START_SECONDS = 0.02


@dataclass
class Result:
    """How the uploads fared that began before their customer was erased."""

    refused: int = 0
    erased: int = 0


async def race(replicas: list[World], erasures: int) -> Result:
    """Every upload begins before the erasure of its customer and runs beside it; one more begins after it."""
    chance, result = random.Random(3), Result()

    async def one_customer(number: int) -> None:
        customer = a_customer(f"customer {number}")
        account = await replicas[0].account()

        async def upload() -> None:
            await asyncio.sleep(chance.uniform(0, LONGEST_HEAD_START_SECONDS))
            try:
                linked = await chance.choice(replicas).upload(b"photo", account=account, customer=customer)
            except CustomerErased:
                result.refused += 1
                return
            acknowledged.append(linked.image.image_id)

        async def erase() -> None:
            await asyncio.sleep(chance.uniform(0, LONGEST_HEAD_START_SECONDS))
            assert (await chance.choice(replicas).erase(customer)).bytes_left == 0

        acknowledged: list[ImageId] = []
        await asyncio.gather(*(upload() for _ in range(UPLOADS_EACH)), erase())
        for image_id in acknowledged:
            assert await replicas[0].bytes_of(image_id) is None, "an upload in flight survived the erasure"
        result.erased += len(acknowledged)
        later = await replicas[-1].upload(b"later", customer=customer)
        assert await replicas[0].bytes_of(later.image.image_id) == b"later"

    for start in range(0, erasures, AT_ONCE):
        purging = asyncio.ensure_future(replicas[-1].purge())
        await asyncio.gather(*(one_customer(number) for number in range(start, start + AT_ONCE)))
        await purging
    for world in replicas:
        await world.recover()
    assert len(await replicas[0].assert_nothing_is_left_behind()) == erasures
    async with replicas[0].work.read() as repositories:
        records = await repositories.erasures.list_records(None, 2 * erasures)
    assert [record for record in records if record.completed_at is None] == []
    assert sum(record.image_count for record in records) >= result.erased
    assert result.refused + result.erased == erasures * UPLOADS_EACH
    assert result.refused > 0
    return result


@asynccontextmanager
async def two_replicas(postgres_url: str, folder: Path) -> AsyncIterator[list[World]]:
    """Two engines, each with connections of its own, as two servers have."""
    engines = [create_engine(postgres_url) for _ in range(2)]
    random_source = SystemRandomSource()
    worlds = [
        World(SqlUnitOfWork(engine), FolderObjectStore(folder), random=random_source)  # ids from one source for both
        for engine in engines
    ]
    worlds[1].clock = worlds[0].clock
    try:
        async with worlds[0].work.begin() as repositories:
            await repositories.accounts.add(an_account())
        yield worlds
    finally:
        for engine in engines:
            await engine.dispose()


async def test_no_upload_survives_an_erasure_on_sqlite(sqlite_with_account: Path, tmp_path: Path) -> None:
    async with worlds_on_disk(sqlite_with_account, tmp_path)() as world:
        print(await race([world], erasures=200))


async def test_no_upload_survives_an_erasure_on_two_postgres_replicas(postgres_url: str, tmp_path: Path) -> None:
    async with two_replicas(postgres_url, tmp_path) as replicas:
        print(await race(replicas, erasures=200))


async def test_copies_of_a_request_store_one_image_on_two_postgres_replicas(postgres_url: str, tmp_path: Path) -> None:
    async with two_replicas(postgres_url, tmp_path) as replicas:
        for _ in range(30):
            key = secrets.token_hex(4)
            copies = (replicas[number % 2].upload(b"photo", key=key) for number in range(6))
            answers = await asyncio.gather(*copies, return_exceptions=True)
            ids = {answer.image.image_id for answer in answers if not isinstance(answer, BaseException)}
            assert len(ids) == 1
            assert {type(answer) for answer in answers if isinstance(answer, BaseException)} <= {IdempotencyKeyInUse}
        assert len(await replicas[0].assert_nothing_is_left_behind()) == 30


async def test_two_purgers_share_the_work(postgres_url: str, tmp_path: Path) -> None:
    async with two_replicas(postgres_url, tmp_path) as replicas:
        for _ in range(40):
            await replicas[0].upload(b"photo", keep_for_days=1)
        replicas[0].clock.advance(days=1)
        reports = await asyncio.gather(*(world.purge() for world in replicas))
        assert sum(report.removed for report in reports) == sum(report.expired for report in reports) == 40
        assert await replicas[0].assert_nothing_is_left_behind() == set()


async def test_a_sweep_beside_uploads_is_no_outage(tmp_path: Path) -> None:
    store = FolderObjectStore(tmp_path)

    async def sweep_until(uploads: asyncio.Future[Any]) -> None:
        while not uploads.done():
            await store.sweep(datetime.now(UTC))

    uploads = asyncio.gather(*(store.put(f"ttl-7d/img_{number}.jpg", b"photo") for number in range(300)))
    await sweep_until(uploads)
    await uploads
