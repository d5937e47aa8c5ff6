"""The fast reader for most PNGs: the same pixels as Pillow's, and no opinion on what is odd."""

import io

import numpy as np
import pytest
from PIL import Image

from adapters.imaging.libpng import decode_8_bit
from domain.geometry import Size
from tests import photos

PICTURE = photos.astronaut(61, 47)
SIZE = Size(61, 47)


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("RGBA", 4)])
def test_pixels_are_those_that_pillow_reads(mode: str, channels: int) -> None:
    image = PICTURE.convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    photo = photos.encoded(image, "PNG")

    decoded = decode_8_bit(photo, SIZE, channels)

    assert decoded is not None
    assert np.array_equal(decoded, np.asarray(Image.open(io.BytesIO(photo))))


def test_a_cut_file_is_left_to_others() -> None:
    photo = photos.encoded(PICTURE, "PNG")
    assert decode_8_bit(photo[: len(photo) // 2], SIZE, 3) is None


def test_another_layout_is_left_to_others() -> None:
    assert decode_8_bit(photos.encoded(PICTURE.convert("L"), "PNG"), SIZE, 3) is None
    assert decode_8_bit(photos.encoded(PICTURE, "PNG"), Size(47, 61), 3) is None
