"""kill -9 of the real server, again and again, under load: what was acknowledged is intact, nothing is orphaned."""

import asyncio
import hashlib
import io
import os
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
from PIL import Image

from adapters.memory.surroundings import InProcessPhotoProcessor
from application.authenticate import DEFAULT_ACCOUNT
from domain.account import AccountId, RetentionPolicy
from domain.image import ImageId
from tests.builders import MovableClock
from tests.durability.light_server import preparer
from tests.durability.running_server import Nursery, a_nursery
from tests.durability.world import World

KILLS = 30
SHOPS = 4
MOST_UPLOADS_IN_A_LIFE = 6
LONGEST_FUSE_SECONDS = 0.05
"""About what one upload takes: the kill falls into any part of it."""


def a_photo(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (48, 60), (number % 256, number // 256 % 256, 120)).save(out, "JPEG")
    return out.getvalue()


class Counter:
    """How many uploads all shops together had acknowledged; can be waited for."""

    def __init__(self) -> None:
        self.number = 0
        self._changed = asyncio.Event()

    def add(self) -> None:
        self.number += 1
        self._changed.set()

    async def reach(self, number: int) -> None:
        while self.number < number:
            self._changed.clear()
            await self._changed.wait()


@dataclass
class Shop:
    """Uploads, deletes and erases, one call after the other, and keeps a book of what it was told."""

    name: str
    client: httpx.AsyncClient
    chance: random.Random
    uploads: Counter
    told: dict[ImageId, tuple[bytes, str]] = field(default_factory=dict)
    """Acknowledged: the photo and its customer."""
    gone: set[ImageId] = field(default_factory=set)
    calls: int = 0

    async def trade(self) -> None:
        while True:
            self.calls += 1
            dice = self.chance.random()
            try:
                if dice < 0.8 or not self.told:
                    await self.upload()
                elif dice < 0.9:
                    await self.delete(self.chance.choice(list(self.told)))
                else:
                    await self.erase(self.chance.choice(list(self.told.values()))[1])
            except httpx.TransportError:
                await asyncio.sleep(0.005)  # the server has just been killed

    async def upload(self) -> None:
        photo, customer = a_photo(self.chance.randrange(65536)), f"{self.name}/{self.chance.randrange(3)}"
        answer = await self.client.post(
            "/tryon/v1/images/upload",
            files={"file": ("photo.jpg", photo)},
            data={"crop": "false", "externalUserId": customer},
        )
        assert answer.status_code == 201, answer.text
        self.told[ImageId(answer.json()["imageId"])] = (photo, customer)
        self.uploads.add()

    async def delete(self, image_id: ImageId) -> None:
        await self.end(f"/tryon/v1/images/{image_id}", {image_id})

    async def erase(self, customer: str) -> None:
        theirs = {image_id for image_id, (_, owner) in self.told.items() if owner == customer}
        await self.end(f"/tryon/v1/customers/{customer.replace('/', '%2F')}", theirs)

    async def end(self, path: str, images: set[ImageId]) -> None:
        try:
            answer = await self.client.delete(path)
        except httpx.ConnectError:
            raise  # it was never asked for
        except (httpx.TransportError, asyncio.CancelledError):
            self.forget(images)  # nobody knows what became of them
            raise
        assert answer.status_code == 204, answer.text
        self.forget(images)
        self.gone.update(images)

    def forget(self, images: set[ImageId]) -> None:
        for image_id in images:
            del self.told[image_id]


async def prepare_database(nursery: Nursery) -> None:
    container = nursery.container(MovableClock(datetime.now(UTC)))
    await container.migrator().upgrade()
    await container.create_account().execute(DEFAULT_ACCOUNT, RetentionPolicy(7))
    await container.engine().dispose()


async def trade_under_fire(nursery: Nursery, chance: random.Random) -> list[Shop]:
    async with nursery.client() as client:
        uploads = Counter()
        shops = [Shop(f"shop {number}", client, random.Random(number), uploads) for number in range(SHOPS)]
        async with asyncio.TaskGroup() as group:
            trading = [group.create_task(shop.trade()) for shop in shops]
            for _ in range(KILLS):
                await nursery.start()
                await uploads.reach(uploads.number + chance.randint(0, MOST_UPLOADS_IN_A_LIFE))
                await asyncio.sleep(chance.uniform(0, LONGEST_FUSE_SECONDS))
                nursery.kill()
            for task in trading:
                task.cancel()
    return shops


async def test_what_was_acknowledged_survives_kill_minus_nine(tmp_path: Path) -> None:
    async with a_nursery(tmp_path) as nursery:
        await prepare_database(nursery)
        shops = await trade_under_fire(nursery, random.Random(7))
        clock = MovableClock(datetime.now(UTC))
        container = nursery.container(clock)
        world = World(container.work(), container.objects(), clock)
        photos = InProcessPhotoProcessor(preparer())
        for shop in shops:
            for image_id, (photo, _) in shop.told.items():
                kept = await container.open_image().execute(image_id, await account_id(world))
                expected = await photos.prepare(photo, crop=False)
                assert hashlib.sha256(kept).digest() == hashlib.sha256(expected.jpeg).digest()
        await world.recover()
        names = {name async for name in world.objects.names()}
        there = await stored(world)
        assert names == {f"ttl-7d/{image_id}.jpg" for image_id in there}
        told = {image_id for shop in shops for image_id in shop.told}
        assert told <= there
        assert not {image_id for shop in shops for image_id in shop.gone} & there
        await assert_no_half_written_file_stays(world, nursery)
        await container.engine().dispose()
    uploads = shops[0].uploads.number
    assert uploads > KILLS
    print(
        f"{KILLS} kills, {sum(shop.calls for shop in shops)} calls, "
        f"{uploads} uploads acknowledged, {len(told)} of them to be kept, "
        f"{sum(len(shop.gone) for shop in shops)} deleted or erased, {len(there - told)} kept that nobody heard of"
    )


async def account_id(world: World) -> AccountId:
    async with world.work.read() as repositories:
        account = await repositories.accounts.find_by_name(DEFAULT_ACCOUNT)
    assert account is not None
    return account.account_id


async def stored(world: World) -> set[ImageId]:
    async with world.work.read() as repositories:
        rows = await repositories.images.known_after(RetentionPolicy(7), "", 1_000_000)
    assert all(row.is_stored for row in rows), "a row is left in the middle of its life"
    return {row.image_id for row in rows}


async def assert_no_half_written_file_stays(world: World, nursery: Nursery) -> None:
    incoming = nursery.settings.storage_folder / "incoming"
    for part in incoming.iterdir():
        os.utime(part, (0, 0))
    await world.purge()
    assert list(incoming.iterdir()) == []
