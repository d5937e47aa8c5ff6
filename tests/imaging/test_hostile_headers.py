"""Headers made to hurt cost next to nothing, and every refusal has the right name."""

import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from domain.errors import DomainError, ImageTooLarge, InvalidImage, UnsupportedImageFormat
from tests import photos
from tests.imaging.encoding import encoded, looked_at, opened

PICTURE = photos.astronaut(80, 100)
JPEG, PNG = photos.jpeg(PICTURE), photos.encoded(PICTURE, "PNG")
WEBP, HEIC = photos.encoded(PICTURE, "WEBP"), photos.heic(PICTURE)
ITEM = photos.coded_item(PICTURE)
GRID = photos.HeifItem(b"grid", bytes(8), photos.ispe(80, 100))
TEN_MB = 10 * 1024 * 1024


def jpeg_header(width: int, height: int) -> bytes:
    """A complete baseline header and a scan without any data."""
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0"
    table = photos.segment(0xC4, b"\0\1" + bytes(15) + b"\0") + photos.segment(0xC4, b"\x10\1" + bytes(15) + b"\0")
    scan = photos.segment(0xDA, b"\1\1\0\0\x3f\0")
    return (
        b"\xff\xd8"
        + photos.segment(0xDB, b"\0" + b"\1" * 64)
        + photos.segment(0xC0, frame)
        + table
        + scan
        + b"\xff\xd9"
    )


def huge_heic() -> bytes:
    item = photos.coded_item(PICTURE)
    item.properties = (item.properties[0], photos.ispe(60_000, 60_000))
    return photos.heif([item])


def animation_frame(x: int, y: int) -> bytes:
    """The WebP as a frame at this place."""
    numbers = (x // 2, y // 2, 80 - 1, 100 - 1, 100)
    return photos.riff_chunk(b"ANMF", b"".join(n.to_bytes(3, "little") for n in numbers) + b"\0" + WEBP[12:])


TOO_LARGE = {
    "JPEG": jpeg_header(65_500, 65_500),
    "PNG": photos.raw_png(30_000, 30_000, 1, 0, b""),
    "lossless WebP": photos.flat_webp(16_383, 16_383),
    "WebP canvas": photos.riff(photos.vp8x(16_383, 16_383, 2), animation_frame(0, 0)),
    "HEIC": huge_heic(),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_too_many_pixels_are_refused_from_the_header(name: str) -> None:
    with pytest.raises(ImageTooLarge, match="the limit is 64,000,000"):
        opened(TOO_LARGE[name])


def test_the_limit_is_the_last_size_that_is_accepted() -> None:
    decoder = ImagingPhotoDecoder(max_pixels=8_000)
    assert decoder.open(PNG).upright_size.pixels == 8_000
    with pytest.raises(ImageTooLarge):
        ImagingPhotoDecoder(max_pixels=7_999).open(PNG)


def test_a_tile_larger_than_the_picture_counts_too() -> None:
    grid = photos.tiled_heic(photos.astronaut(128, 128))
    grown = grid.replace(photos.ispe(128, 128), photos.ispe(50_000, 50_000), 1)
    with pytest.raises(ImageTooLarge):
        opened(grown)


def gif() -> bytes:
    return photos.encoded(PICTURE.quantize(16), "GIF")


UNSUPPORTED = {
    "GIF": gif(),
    "TIFF": photos.encoded(PICTURE, "TIFF"),
    "BMP": photos.encoded(PICTURE, "BMP"),
    "AVIF": photos.encoded(PICTURE, "AVIF"),
    "JPEG 2000": photos.encoded(PICTURE, "JPEG2000"),
    "ICO": photos.encoded(PICTURE, "ICO"),
    "PPM": photos.encoded(PICTURE, "PPM"),
    "PSD": b"8BPS\0\1" + bytes(60),
    "SVG": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
    "PDF": b"%PDF-1.7\n",
    "MP4": photos.box(b"ftyp", b"isom", bytes(4), b"isomiso2avc1mp41"),
    "QuickTime": photos.box(b"ftyp", b"qt  ", bytes(4), b"qt  "),
    "HEVC sequence": photos.box(b"ftyp", b"hevc", bytes(4), b"msf1hevc") + bytes(40),
    "AVIF that says mif1": photos.box(b"ftyp", b"mif1", bytes(4), b"mif1avifmiaf") + bytes(40),
    "AVIF item under the name of HEIC": photos.heif([photos.HeifItem(b"av01", bytes(99), photos.ispe(9, 9))]),
    "JPEG item in a HEIF": photos.heif([photos.HeifItem(b"jpeg", JPEG, photos.ispe(80, 100))], brand=b"mif1"),
    "WAV": b"RIFF\x24\0\0\0WAVEfmt " + bytes(30),
    "text": b"hello",
    "zeros": bytes(1000),
    "half a signature": b"\x89PN",
}  # fmt: skip


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_every_other_format_is_unsupported(name: str) -> None:
    with pytest.raises(UnsupportedImageFormat):
        opened(UNSUPPORTED[name])


def test_no_byte_at_all_is_an_invalid_image() -> None:
    with pytest.raises(InvalidImage):
        opened(b"")


def scan_bomb() -> bytes:
    """A progressive photo whose last scan is repeated ten thousand times."""
    photo = photos.jpeg(Image.new("L", (2000, 2000)), progressive=True)
    last = photos.scan_offsets(photo)[-1]
    return photo[:last] + photo[last:-2] * 10_000 + b"\xff\xd9"


def text_bomb() -> bytes:
    return zlib.compress(bytes(200_000_000), 9)


HOSTILE: dict[str, tuple[bytes, type[DomainError] | None]] = {
    "2.6 million comments": (JPEG[:2] + b"\xff\xfe\0\2" * (TEN_MB // 4) + JPEG[2:], InvalidImage),
    "ten million fill bytes": (JPEG[:2] + b"\xff" * TEN_MB + JPEG[2:], None),
    "five million stuffed bytes in a scan": (JPEG[:-2] + b"\xff\0" * (TEN_MB // 2) + b"\xff\xd9", None),
    "five million restart markers": (JPEG[:2] + b"\xff\xd0" * (TEN_MB // 2) + JPEG[2:], InvalidImage),
    "five million fill runs in a scan": (JPEG[:-2] + b"\xff\xff\xff\0" * (TEN_MB // 4) + b"\xff\xd9", None),
    "10,000 scans": (scan_bomb(), InvalidImage),
    "two frame headers": (photos.with_segments(JPEG, JPEG[JPEG.index(b"\xff\xc0") :][:19]), InvalidImage),
    "a frame header with another size after the first": (
        JPEG.replace(b"\xff\xda", jpeg_header(60_000, 60_000)[71:84] + b"\xff\xda", 1),
        InvalidImage,
    ),
    "255 empty profile chunks": (
        photos.with_segments(JPEG, *(photos.segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 255])) for n in range(1, 256))),
        None,
    ),
    "arithmetic coding": (JPEG.replace(b"\xff\xc0", b"\xff\xc9", 1), InvalidImage),
    "lossless JPEG": (JPEG.replace(b"\xff\xc0", b"\xff\xc3", 1), InvalidImage),
    "12 bits a sample": (JPEG.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c", 1), InvalidImage),
    "no height": (jpeg_header(100, 0), InvalidImage),
    "870,000 empty chunks": (PNG[:33] + photos.chunk(b"teXt", b"") * (TEN_MB // 12) + PNG[33:], InvalidImage),
    "a text that inflates to 200 MB": (photos.with_chunks(PNG, photos.chunk(b"zTXt", b"a\0\0" + text_bomb())), None),
    "a profile that inflates to 200 MB": (photos.with_chunks(PNG, photos.chunk(b"iCCP", b"a\0\0" + text_bomb())), None),
    "a bomb as EXIF in a text": (photos.with_chunks(PNG, photos.chunk(b"zTXt", b"exif\0\0" + text_bomb())), None),
    "a chunk longer than the file": (PNG[:33] + b"\x7f\xff\xff\xffIDAT" + PNG[33:], InvalidImage),
    "a chunk before IHDR": (PNG[:8] + photos.chunk(b"PLTE", bytes(3)) + PNG[8:], InvalidImage),
    "two IHDR": (photos.with_chunks(PNG, PNG[8:33]), InvalidImage),
    "Apple's private PNG": (PNG[:8] + photos.chunk(b"CgBI", bytes(4)) + PNG[8:], InvalidImage),
    "a bit depth that does not exist": (photos.raw_png(9, 9, 3, 0, bytes(90)), InvalidImage),
    "no pixel": (photos.raw_png(0, 9, 8, 0, bytes(9)), InvalidImage),
    "a million chunks": (photos.webp_with(WEBP, (80, 100), b"ODD \0\0\0\0" * 1_000_000), InvalidImage),
    "a canvas smaller than the picture": (photos.webp_with(WEBP, (40, 50)), InvalidImage),
    "a canvas larger than the picture": (photos.webp_with(WEBP, (800, 1000)), InvalidImage),
    "a frame outside of the canvas": (
        photos.riff(photos.vp8x(80, 100, 2), animation_frame(20, 0)),
        InvalidImage,
    ),
    "no picture": (photos.riff(photos.vp8x(80, 100)), InvalidImage),
    "a RIFF longer than the file": (WEBP[:4] + b"\xff\xff\xff\x7f" + WEBP[8:], InvalidImage),
    "a grid of itself": (
        photos.heif([GRID], references=[(b"dimg", 1, [1])]),
        InvalidImage,
    ),
    "two grids of each other": (
        photos.heif([GRID] * 2, references=[(b"dimg", 1, [2]), (b"dimg", 2, [1])]),
        InvalidImage,
    ),
    "no size": (photos.heif([photos.HeifItem(b"hvc1", bytes(50))]), InvalidImage),
    "no primary picture": (photos.heif([ITEM], primary=7), InvalidImage),
    "a thousand items": (photos.heif([ITEM] + [photos.HeifItem(b"hvc1", b"")] * 1_000), InvalidImage),
    "a box shorter than its header": (HEIC.replace(b"pitm", b"\0\0\0\4"), InvalidImage),
    "no meta box": (photos.box(b"ftyp", b"heic", bytes(4), b"mif1heic") + photos.box(b"mdat", bytes(99)), InvalidImage),
    "a million empty boxes": (HEIC[:24] + photos.box(b"free") * 1_000_000 + HEIC[24:], InvalidImage),
    "a size that the pixels do not have": (
        photos.heif([photos.HeifItem(b"hvc1", ITEM.payload, ITEM.properties[0], photos.ispe(4000, 5000))]),
        InvalidImage,
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_are_answered_in_little_time(name: str) -> None:
    photo, refusal = HOSTILE[name]
    started_at = time.process_time()
    if refusal is None:
        assert encoded(photo).size.pixels == 8_000
    else:
        with pytest.raises(refusal):
            encoded(photo)
    assert time.process_time() - started_at < 20  # plain Pillow needs a minute for some


@pytest.mark.parametrize("family", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_whatever_stands_behind_the_magic_bytes_is_an_invalid_image(family: str) -> None:
    head = photos.encoded(PICTURE, family)[:24]
    noise = np.random.default_rng(3).integers(0, 256, 5000, np.uint8).tobytes()
    with pytest.raises(InvalidImage):
        encoded(head + noise)


def test_pillow_is_never_asked_which_decoder_to_take() -> None:
    """Nothing is registered with Pillow by decoding: in a fresh process no plugin is loaded."""
    script = """
import sys
from tests.imaging import plain_decode
print(sorted(name for name in sys.modules if name.startswith("PIL.") and name.endswith("Plugin")))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("library", ["libheif", "libwebp"])
def test_libraries_are_loaded_before_the_first_photo(library: str) -> None:
    """Later, in a sandbox without files, they would not be found, and every photo would take the slower way."""
    script = f"""
import adapters.imaging.photo_decoder
from adapters.imaging.native import {library}
{library}.Path = None
print({library}._library() is not None)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_a_photo_may_come_as_a_memoryview() -> None:
    assert (
        looked_at(PNG)
        == np.frombuffer(ImagingPhotoDecoder().open(memoryview(PNG)).view(None, 2000).data, np.uint8).reshape(
            100, 80, 3
        )
    ).all()
