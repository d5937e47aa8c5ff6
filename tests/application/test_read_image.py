"""Images that their account reads, and that links show without a key."""

from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.memory.unit_of_work import InMemoryUnitOfWork
from application.read_image import LinkedImage, OpenImage, OpenPreview, PreviewLinks, ReadImage, ResolveImage
from domain.errors import ImageNotFound
from domain.image import ImageId
from tests.builders import ACME, NOON, OTHER
from tests.durability.conftest import world_in_memory
from tests.durability.world import LINKS, World


async def read(world: World, image_id: ImageId) -> LinkedImage:
    links = PreviewLinks(LINKS, world.clock, timedelta(minutes=15))
    return await ReadImage(ResolveImage(world.work, world.clock), links).execute(image_id, ACME)


async def shown(world: World, linked: LinkedImage, *, wrong: str = "") -> bytes:
    """What a link shows; with something `wrong` in its signature."""
    query = parse_qs(urlsplit(linked.url).query)
    open_image = OpenImage(ResolveImage(world.work, world.clock), world.objects)
    preview = OpenPreview(LINKS, open_image, world.work, world.clock)
    expires, signature = int(query["expires"][0]), query["signature"][0] + wrong
    return await preview.execute(linked.image.image_id, ACME, expires, signature)


async def test_an_image_is_read_with_a_link_that_shows_it_for_a_quarter_of_an_hour() -> None:
    async with world_in_memory() as world:
        image = (await world.upload(b"photo")).image
        linked = await read(world, image.image_id)
        assert (linked.image, linked.url_expires_at) == (image, NOON + timedelta(minutes=15))
        with pytest.raises(ImageNotFound):
            await shown(world, linked, wrong="?")
        world.clock.advance(minutes=15, seconds=-1)
        assert await shown(world, linked) == b"photo"
        world.clock.advance(seconds=1)
        with pytest.raises(ImageNotFound):
            await shown(world, linked)


async def test_a_link_is_dead_with_its_account() -> None:
    async with world_in_memory() as world:
        linked = await read(world, (await world.upload(b"photo")).image.image_id)
        async with world.work.begin() as repositories:
            await repositories.accounts.save(replace(await world.account(), is_active=False))
        with pytest.raises(ImageNotFound):
            await shown(world, linked)


async def test_a_link_that_names_no_account_shows_nothing() -> None:
    async with world_in_memory() as world:
        linked = await read(world, (await world.upload(b"photo")).image.image_id)
        work = InMemoryUnitOfWork()
        open_image = OpenImage(ResolveImage(work, world.clock), world.objects)
        query = parse_qs(urlsplit(linked.url).query)
        with pytest.raises(ImageNotFound):
            await OpenPreview(LINKS, open_image, work, world.clock).execute(
                linked.image.image_id, ACME, int(query["expires"][0]), query["signature"][0]
            )


async def test_an_image_is_nobody_elses_and_none_without_its_bytes_or_after_its_end() -> None:
    async with world_in_memory() as world:
        image = (await world.upload(b"photo", keep_for_days=1)).image
        resolve = ResolveImage(world.work, world.clock)
        with pytest.raises(ImageNotFound):
            await resolve.execute(image.image_id, OTHER)
        await world.objects.delete([image.object_name])
        with pytest.raises(ImageNotFound):
            await OpenImage(resolve, world.objects).execute(image.image_id, ACME)
        world.clock.advance(days=1)
        with pytest.raises(ImageNotFound):
            await resolve.execute(image.image_id, ACME)
