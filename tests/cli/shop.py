"""A shop: a data folder as it is in service, and the commands on it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from application.authenticate import DEFAULT_ACCOUNT
from application.read_image import FileSource
from domain.account import Account, RetentionPolicy
from domain.customer import Customer
from domain.image import ImageId
from entrypoints.cli.main import main
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.builders import MovableClock
from tests.durability.world import World

PERSON = "gid://shopify/Customer/1"


class Shop:
    """A data folder, and the commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str, **options: Any) -> Result:
        environment = {"TRYON_DATA_DIR": str(self.folder)}
        return CliRunner().invoke(main, arguments, env=environment, catch_exceptions=False, **options)

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def upload(self, *photos: bytes, customer: str = PERSON) -> list[str]:
        return asyncio.run(self._upload(photos, customer))

    async def _upload(self, photos: tuple[bytes, ...], external_id: str) -> list[str]:
        async with self._open(external_id) as (world, account, customer):
            images = [await world.upload(photo, account=account, customer=customer) for photo in photos]
        return [linked.image.object_name for linked in images]

    def try_on(self, person: str) -> None:
        """With the image of this id, up to the result."""
        asyncio.run(self._try_on(ImageId(person)))

    async def _try_on(self, person: ImageId) -> None:
        async with self._open() as (world, account, customer):
            await world.try_on(person, (FileSource(b"shirt", "0"),), account=account, customer=customer)
            await world.work_off()

    @asynccontextmanager
    async def _open(self, external_id: str = PERSON) -> AsyncIterator[tuple[World, Account, Customer]]:
        container = Container(settings=Settings(data_dir=self.folder))
        world = World(container.work(), container.objects(), MovableClock(datetime.now(UTC)), container.random())
        async with world.work.read() as repositories:
            account = await repositories.accounts.find_by_name(DEFAULT_ACCOUNT)
        assert account is not None
        yield world, account, container.pseudonyms().customer(account.account_id, external_id)
        await container.engine().dispose()


async def open_shop(folder: Path) -> Shop:
    container = Container(settings=Settings(data_dir=folder))
    await container.migrator().upgrade()
    await container.create_account().execute(DEFAULT_ACCOUNT, RetentionPolicy(7))
    await container.engine().dispose()
    return Shop(folder)
