"""The pool with all that the service runs in it: decoders, detector and models behind the filters of the workers."""

import asyncio
import io
import os
import signal

import pytest
from PIL import Image
from skimage import data

from domain.errors import InvalidImage, UnsupportedImageFormat
from domain.geometry import Size
from domain.photo import SourceFormat, WarningCode
from entrypoints.wiring.photo_processing import build_processor
from entrypoints.wiring.settings import Settings
from tests.patience import until
from tests.sandbox.pools import decoders


def a_photo(kind: str, size: tuple[int, int] = (512, 512)) -> bytes:
    """The astronaut Eileen Collins, public domain."""
    file = io.BytesIO()
    Image.fromarray(data.astronaut()).resize(size).save(file, kind)
    return file.getvalue()


async def test_photos_of_a_person_are_prepared_and_damaged_ones_cost_nobody_else_anything() -> None:
    pool = build_processor(Settings(workers=2))
    await pool.start()
    try:
        good = [asyncio.create_task(pool.prepare(a_photo(kind), crop=True)) for kind in ("JPEG", "PNG", "WEBP")]
        with pytest.raises(InvalidImage):
            await pool.prepare(a_photo("JPEG")[:10_000], crop=True)
        with pytest.raises(UnsupportedImageFormat):
            await pool.prepare(a_photo("BMP"), crop=True)
        for prepared, source_format in zip(await asyncio.gather(*good), SourceFormat, strict=False):
            assert prepared.facts.source_format is source_format
            assert prepared.facts.person is not None
            assert prepared.facts.person.count == 1
            assert Image.open(io.BytesIO(prepared.jpeg)).size == (prepared.facts.size.width, prepared.facts.size.height)
        assert pool.restarts == 0
    finally:
        await pool.close()


async def test_a_photo_that_lies_on_its_side_is_turned_by_its_decoder() -> None:
    photo = io.BytesIO()
    portrait = Image.fromarray(data.astronaut()).resize((700, 700)).crop((50, 0, 600, 700))
    portrait.transpose(Image.Transpose.ROTATE_270).save(photo, "PNG")
    pool = build_processor(Settings(workers=1))
    await pool.start()
    try:
        prepared = await pool.prepare(photo.getvalue(), crop=True)
        assert prepared.facts.source_size == Size(550, 700)
        assert prepared.facts.person is not None
        assert WarningCode.PHOTO_SIDEWAYS in [warning.code for warning in prepared.facts.warnings]
        assert pool.misbehaved == 0
    finally:
        await pool.close()


async def test_a_decoder_killed_while_it_decodes_64_megapixels_is_replaced_and_the_photo_still_comes_out() -> None:
    photo = a_photo("JPEG", (8000, 8000))
    pool = build_processor(Settings(workers=1))
    await pool.start()
    try:
        preparing = asyncio.create_task(pool.prepare(photo, crop=False))
        await until(lambda: len(decoders(pool)) == 1)
        os.kill(decoders(pool)[0], signal.SIGKILL)
        prepared = await preparing
        assert prepared.facts.source_size == Size(8000, 8000)
    finally:
        await pool.close()
