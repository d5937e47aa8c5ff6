"""The kept picture: a baseline JPEG of the promised size with nothing in it but pixels."""

import struct

import numpy as np
import pytest
from PIL import Image

from domain.geometry import Box, Size
from tests import photos
from tests.imaging.encoding import difference, encoded, looked_at, opened, read
from tests.imaging.jpeg_markers import assert_keeps_the_output_promise

PICTURE = photos.astronaut(160, 200)
SIZE = (160, 200)
XMP = b"<x:xmpmeta>" + photos.SECRET + b"</x:xmpmeta>"
IPTC = b"\x1c\x02\x78" + struct.pack(">H", len(photos.SECRET)) + photos.SECRET
PROFILE = photos.matrix_profile(np.eye(3) * [0.9642, 1, 0.8249], photos.SRGB_CURVE) + photos.SECRET
EXIF = photos.exif(1, secret=True)

PRIVATE = {
    "jpeg": photos.with_segments(
        photos.jpeg(PICTURE),
        photos.exif_segment(1, secret=True),
        photos.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP),
        photos.segment(0xED, b"Photoshop 3.0\08BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC),
        photos.segment(0xE5, photos.SECRET),
        photos.segment(0xFE, photos.SECRET),
        *photos.icc_segments(PROFILE),
    )
    + photos.SECRET,
    "png": photos.with_chunks(
        photos.encoded(PICTURE, "PNG"),
        photos.chunk(b"tEXt", b"Comment\0" + photos.SECRET),
        photos.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
        photos.chunk(b"eXIf", EXIF),
        photos.chunk(b"prVt", photos.SECRET),
    )
    + photos.SECRET,
    "webp": photos.webp_with(
        photos.encoded(PICTURE, "WEBP", quality=95), SIZE,
        photos.riff_chunk(b"EXIF", EXIF), photos.riff_chunk(b"XMP ", XMP), photos.riff_chunk(b"ICCP", PROFILE),
        flags=0x2C,
    )
    + photos.SECRET,
    "heic": photos.heif(
        [photos.coded_item(PICTURE), photos.HeifItem(b"Exif", bytes(4) + EXIF), photos.HeifItem(b"mime", XMP)],
        references=[(b"cdsc", 2, [1]), (b"cdsc", 3, [1])],
    )
    + photos.box(b"uuid", photos.SECRET * 4),
}  # fmt: skip


@pytest.mark.parametrize("family", PRIVATE)
def test_nothing_private_comes_back(family: str) -> None:
    assert photos.SECRET in PRIVATE[family]
    jpeg = encoded(PRIVATE[family]).jpeg
    assert photos.SECRET not in jpeg
    assert assert_keeps_the_output_promise(jpeg) == SIZE


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1", "I;16"])
def test_every_picture_is_kept_as_three_components_of_8_bits(mode: str) -> None:
    picture = PICTURE.convert("L").convert(mode) if mode == "I;16" else PICTURE.convert(mode)
    assert assert_keeps_the_output_promise(encoded(photos.encoded(picture, "PNG")).jpeg) == SIZE


@pytest.mark.parametrize(
    ("source", "window", "kept"),
    [
        ((2400, 3000), None, (1600, 2000)),
        ((3024, 4032), Box(0, 126, 3024, 3780), (1600, 2000)),
        ((3023, 3800), Box(0, 0, 3023, 3779), (1600, 2000)),
        ((3000, 3000), Box(300, 0, 2400, 3000), (1600, 2000)),
        ((1000, 1300), Box(0, 0, 1000, 1250), (1000, 1250)),
        ((2000, 2600), Box(10, 10, 1604, 2005), (1600, 2000)),
        ((160, 200), None, (160, 200)),
        ((4000, 100), None, (2000, 50)),
    ],
)
def test_the_kept_size(source: tuple[int, int], window: Box | None, kept: tuple[int, int]) -> None:
    photo = photos.encoded(Image.new("L", source, 90), "PNG")
    result = encoded(photo, window)
    assert result.size == Size(*kept)
    assert assert_keeps_the_output_promise(result.jpeg) == kept


def test_the_longest_edge_is_the_callers_choice() -> None:
    photo = photos.jpeg(photos.astronaut(400, 500))
    assert encoded(photo, longest_edge=100).size == Size(80, 100)
    assert looked_at(photo, longest_edge=100).shape == (100, 80, 3)
    assert looked_at(photo, Box(0, 0, 200, 100), longest_edge=100).shape == (50, 100, 3)


def test_a_window_outside_of_the_picture_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="leaves the picture"):
        encoded(photos.jpeg(PICTURE), Box(100, 0, 61, 200))


@pytest.mark.parametrize("family", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_looking_first_changes_nothing_about_what_is_kept(family: str) -> None:
    photo = photos.encoded(photos.astronaut(800, 1000), family)
    looked = opened(photo)
    looked.view(None, 256)
    looked.view(Box(100, 100, 300, 300), 256)
    assert looked.encode(Box(0, 0, 400, 500), 2000) == encoded(photo, Box(0, 0, 400, 500))


def test_the_kept_picture_shows_what_was_sent() -> None:
    picture = photos.astronaut(400, 500)
    kept = read(encoded(photos.encoded(picture, "PNG")).jpeg)
    assert difference(kept, np.asarray(picture)).mean() < 2.5
