"""Damaged pixels are refused; damage that no pixel suffers from is not."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from domain.errors import InvalidImage
from domain.geometry import Size
from tests import photos
from tests.imaging.encoding import difference, encoded, looked_at, opened

PICTURE = photos.astronaut(160, 200)
RGB = np.asarray(PICTURE)

WHOLE = {
    "baseline.jpg": photos.jpeg(PICTURE),
    "progressive.jpg": photos.jpeg(PICTURE, progressive=True),
    "restarts.jpg": photos.jpeg(PICTURE, restart_marker_blocks=4),
    "gray.jpg": photos.jpeg(PICTURE.convert("L")),
    "inks.jpg": photos.jpeg(PICTURE.convert("CMYK")),
    "colors.png": photos.encoded(PICTURE, "PNG"),
    "palette.png": photos.encoded(PICTURE.quantize(64), "PNG"),
    "lossy.webp": photos.encoded(PICTURE, "WEBP", quality=90),
    "lossless.webp": photos.encoded(PICTURE, "WEBP", lossless=True),
    "one.heic": photos.heic(PICTURE),
    "tiles.heic": photos.tiled_heic(PICTURE),
}


def refused(photo: bytes) -> bool:
    try:
        encoded(photo)
    except InvalidImage:
        return True
    return False


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_accepted(name: str) -> None:
    assert not refused(WHOLE[name])


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("percent", [1, 5, 20, 40, 60, 80, 90, 97])
def test_a_file_cut_anywhere_is_refused(name: str, percent: int) -> None:
    photo = WHOLE[name]
    assert refused(photo[: max(16, len(photo) * percent // 100)])


@pytest.mark.parametrize("name", [name for name in WHOLE if name.endswith("jpg")])
@pytest.mark.parametrize("percent", [30, 60, 90, 97])
def test_a_cut_scan_is_refused_even_with_its_end_marker_put_back(name: str, percent: int) -> None:
    photo = WHOLE[name]
    assert refused(photo[: len(photo) * percent // 100].rstrip(b"\xff") + b"\xff\xd9")


def test_a_progressive_photo_cut_between_two_scans_is_refused() -> None:
    photo = WHOLE["progressive.jpg"]
    for at in photos.scan_offsets(photo)[1:]:
        assert refused(photo[:at] + b"\xff\xd9")


@pytest.mark.parametrize("name", [name for name in WHOLE if name.endswith("webp")])
@pytest.mark.parametrize("percent", [30, 60, 90])
def test_a_cut_webp_is_refused_even_with_its_lengths_mended(name: str, percent: int) -> None:
    kind, pixels = WHOLE[name][12:16], WHOLE[name][20:]
    assert refused(photos.riff(photos.riff_chunk(kind, pixels[: len(pixels) * percent // 100])))


@pytest.mark.parametrize("name", [name for name in WHOLE if name.endswith("heic")])
@pytest.mark.parametrize("percent", [30, 60, 90, 99])
def test_a_cut_heic_is_refused_even_with_its_last_box_mended(name: str, percent: int) -> None:
    photo = bytearray(WHOLE[name][: len(WHOLE[name]) * percent // 100])
    mdat = photo.find(b"mdat")
    if mdat < 0:
        pytest.skip("cut before the pixels")
    photo[mdat - 4 : mdat] = (len(photo) - mdat + 4).to_bytes(4, "big")
    assert refused(bytes(photo))


ROWS = [b"\0" + bytes([40, 80, 120] * 30) for _ in range(40)]


class TestPngRows:
    def test_missing_rows_are_noticed(self) -> None:
        assert refused(photos.raw_png(30, 40, 8, 2, b"".join(ROWS[:39])))

    def test_a_last_row_that_is_cut_is_noticed(self) -> None:
        assert refused(photos.raw_png(30, 40, 8, 2, b"".join(ROWS)[:-1]))

    def test_missing_rows_of_an_interlaced_picture_are_noticed(self) -> None:
        assert refused(photos.raw_png(1, 3, 8, 0, b"\0\x10\0\x30", interlace=1))

    def test_a_black_last_row_is_not_a_missing_one(self) -> None:
        rows = [*ROWS[:39], bytes(91)]
        assert not refused(photos.raw_png(30, 40, 8, 2, b"".join(rows)))

    def test_a_wrong_checksum_of_the_pixels_is_noticed(self) -> None:
        photo = bytearray(WHOLE["colors.png"])
        at = photo.index(b"IDAT")
        length = int.from_bytes(photo[at - 4 : at], "big")
        photo[at + 4 + length] ^= 1
        assert refused(bytes(photo))

    def test_flipped_bits_under_a_right_checksum_are_noticed(self) -> None:
        body = bytearray(zlib.compress(b"".join(ROWS)))
        body[-1] ^= 1
        head = photos.chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 40, 8, 2, 0, 0, 0))
        assert refused(photos.PNG_SIGNATURE + head + photos.chunk(b"IDAT", bytes(body)) + photos.chunk(b"IEND", b""))

    def test_a_filter_that_does_not_exist_is_noticed(self) -> None:
        assert refused(photos.raw_png(30, 40, 8, 2, b"".join([b"\7" + row[1:] for row in ROWS])))


FORGIVEN = {
    "trailing garbage behind a JPEG": WHOLE["baseline.jpg"] + b"garbage" * 100,
    "another JPEG behind a JPEG": WHOLE["baseline.jpg"] + photos.jpeg(Image.new("RGB", (9, 9))),
    "a JPEG without its end marker": WHOLE["baseline.jpg"][:-2],
    "zeros before the end marker": WHOLE["progressive.jpg"][:-2] + bytes(5) + b"\xff\xd9",
    "fill bytes before a marker": photos.with_segments(WHOLE["baseline.jpg"], b"\xff" * 9),
    "stray bytes between segments": photos.with_segments(WHOLE["baseline.jpg"], b"stray"),
    "a restart marker among the segments": photos.with_segments(WHOLE["baseline.jpg"], b"\xff\xd0"),
    "two JFIF headers": photos.with_segments(WHOLE["baseline.jpg"], WHOLE["baseline.jpg"][2:20]),
    "a short Adobe segment": photos.with_segments(WHOLE["baseline.jpg"], photos.segment(0xEE, b"Adobe")),
    "trailing garbage behind a PNG": WHOLE["colors.png"] + b"garbage" * 100,
    "a PNG without IEND": WHOLE["colors.png"][:-12],
    "a broken checksum of a text": photos.with_chunks(WHOLE["colors.png"], photos.chunk(b"tEXt", b"a\0b", checksum=1)),
    "trailing garbage behind a WebP": WHOLE["lossy.webp"] + b"garbage" * 100,
    "a chunk that nobody knows": photos.webp_with(WHOLE["lossy.webp"], (160, 200), photos.riff_chunk(b"ODD ", b"odd")),
    "trailing garbage behind a HEIC": WHOLE["one.heic"] + b"garbage" * 100,
    "a box of a phone maker's": WHOLE["one.heic"] + photos.box(b"sefd", b"private"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGIVEN)
def test_what_browsers_forgive_is_forgiven(name: str) -> None:
    assert difference(looked_at(FORGIVEN[name]), RGB).mean() < 9
    assert opened(FORGIVEN[name]).upright_size == Size(160, 200)
