"""Ids that nothing can have, asked of a database that would choke on some of them."""

from datetime import timedelta

import pytest

from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from application.delete_images import DeleteImage, FinishDeletion
from application.erase_customer import ReadErasure
from application.generations import ReadGeneration
from application.read_image import PreviewLinks, ResolveImage
from domain.errors import ErasureNotFound, GenerationNotFound, ImageNotFound
from domain.generation import GenerationId
from domain.image import ErasureId, ImageId
from tests.builders import ACME, MovableClock, an_object_store
from tests.durability.world import LINKS


@pytest.mark.parametrize("odd", ["img_\0", "img_\udcff", "", "a/b", "x" * 100_000])
async def test_an_odd_id_is_unknown_and_as_gone_as_any_other(postgres_url: str, odd: str) -> None:
    engine, clock = create_engine(postgres_url), MovableClock()
    work = SqlUnitOfWork(engine)
    generations = ReadGeneration(work, PreviewLinks(LINKS, clock, timedelta(minutes=15)), clock)
    try:
        with pytest.raises(ImageNotFound):
            await ResolveImage(work, clock).execute(ImageId(odd), ACME)
        with pytest.raises(ErasureNotFound):
            await ReadErasure(work).execute(ErasureId(odd), ACME)
        with pytest.raises(GenerationNotFound):
            await generations.execute(GenerationId(odd), ACME)
        with pytest.raises(GenerationNotFound):
            await generations.page(ACME, GenerationId(f"gen_{odd}"), 2)
        await DeleteImage(work, FinishDeletion(an_object_store(), work, clock), clock).execute(ImageId(odd), ACME)
    finally:
        await engine.dispose()
