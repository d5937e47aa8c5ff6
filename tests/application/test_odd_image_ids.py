"""Ids that no image can have, asked of a database that would choke on some of them."""

import pytest

from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from application.delete_images import DeleteImage, FinishDeletion
from application.erase_customer import ReadErasure
from application.read_image import ResolveImage
from domain.errors import ErasureNotFound, ImageNotFound
from domain.image import ErasureId, ImageId
from tests.builders import ACME, MovableClock, an_object_store


@pytest.mark.parametrize("odd", ["img_\0", "img_\udcff", "", "a/b"])
async def test_an_odd_id_is_unknown_and_as_gone_as_any_other(postgres_url: str, odd: str) -> None:
    engine, clock = create_engine(postgres_url), MovableClock()
    work = SqlUnitOfWork(engine)
    try:
        with pytest.raises(ImageNotFound):
            await ResolveImage(work, clock).execute(ImageId(odd), ACME)
        with pytest.raises(ErasureNotFound):
            await ReadErasure(work).execute(ErasureId(odd), ACME)
        await DeleteImage(work, FinishDeletion(an_object_store(), work, clock), clock).execute(ImageId(odd), ACME)
    finally:
        await engine.dispose()
