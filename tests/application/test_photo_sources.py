"""Photos that a request names: by an id, by a link of ours, or by a stranger's URL."""

from datetime import timedelta

import pytest

from adapters.memory.surroundings import InMemoryPhotoFetcher
from application.read_image import OpenSource, PhotoSource, ResolveImage, StoredSource, UrlSource
from domain.errors import DomainError, ImageNotFound, ProductImageFetchFailed
from tests.builders import ACME
from tests.durability.conftest import world_in_memory
from tests.durability.world import LINKS, World

STRANGERS = "https://shop.test/shirt.jpg"


def sources(world: World) -> OpenSource:
    web = InMemoryPhotoFetcher({STRANGERS: b"shirt"})
    return OpenSource(ResolveImage(world.work, world.clock), web, LINKS, world.clock)


async def test_a_link_of_ours_names_its_image_and_is_not_fetched() -> None:
    async with world_in_memory() as world:
        image = (await world.upload(b"shirt")).image
        link = UrlSource(await LINKS.sign(image, image.expires_at), "url")
        for source in (link, StoredSource(image.image_id)):
            assert await sources(world).image(source, ACME, ProductImageFetchFailed) == image


@pytest.mark.parametrize(("is_link", "refusal"), [(True, ProductImageFetchFailed), (False, ImageNotFound)])
async def test_an_image_that_is_gone_is_told_by_the_way_it_was_named(is_link: bool, refusal: type[DomainError]) -> None:
    async with world_in_memory() as world:
        image = (await world.upload(b"shirt")).image
        url = await LINKS.sign(image, world.clock.now() + timedelta(minutes=15))
        source: PhotoSource = UrlSource(url, "its.path") if is_link else StoredSource(image.image_id, "its.path")
        await world.delete(image.image_id)
        with pytest.raises(refusal) as refused:
            await sources(world).image(source, ACME, ProductImageFetchFailed)
        assert refused.value.path == "its.path"


async def test_a_strangers_url_is_fetched_and_one_that_leads_nowhere_is_named() -> None:
    async with world_in_memory() as world:
        opened = sources(world)
        assert await opened.image(UrlSource(STRANGERS, "url"), ACME, ProductImageFetchFailed) is None
        with opened.for_one_request(ACME) as fetch:
            fetched = await opened.photo(UrlSource(STRANGERS, "url"), fetch, ProductImageFetchFailed)
            assert fetched is not None
            assert fetched.photo == b"shirt"
            with pytest.raises(ProductImageFetchFailed) as refused:
                await opened.photo(UrlSource("https://shop.test/", "its.path"), fetch, ProductImageFetchFailed)
        assert refused.value.path == "its.path"
