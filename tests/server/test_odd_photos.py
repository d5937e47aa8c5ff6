"""Odd and hostile files through the whole service: over HTTP, sandboxed workers, the folder and back."""

from collections.abc import Callable

import httpx
import pytest

from tests import photos
from tests.imaging.jpeg_markers import assert_keeps_the_output_promise
from tests.server.test_serve import Server, server

__all__ = ["server"]

ACCEPTED: dict[str, Callable[[], bytes]] = {
    "turned JPEG": lambda: photos.with_segments(photos.jpeg(), photos.exif_segment(6, secret=True)),
    "JPEG with trailing bytes": lambda: photos.jpeg() + photos.SECRET * 1000,
    "progressive JPEG": lambda: photos.jpeg(progressive=True),
    "CMYK JPEG": lambda: photos.jpeg(photos.astronaut().convert("CMYK")),
    "JPEG with a broken profile": lambda: photos.with_segments(photos.jpeg(), *photos.icc_segments(b"nonsense" * 99)),
    "PNG with a palette": lambda: photos.encoded(photos.astronaut().convert("P"), "PNG"),
    "PNG with transparency": lambda: photos.encoded(photos.astronaut().convert("RGBA"), "PNG"),
    "PNG with a text": lambda: photos.with_chunks(
        photos.encoded(photos.astronaut(), "PNG"), photos.chunk(b"tEXt", b"Comment\0" + photos.SECRET)
    ),
    "WebP": lambda: photos.encoded(photos.astronaut(), "WEBP"),
    "HEIC": photos.heic,
    "HEIC in tiles": lambda: photos.tiled_heic(photos.astronaut(512, 640)),
}
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "INVALID_IMAGE"),
    "cut JPEG": (lambda: photos.jpeg()[:-2000], "INVALID_IMAGE"),
    "cut JPEG with its end restored": (lambda: photos.jpeg()[:-2000] + b"\xff\xd9", "INVALID_IMAGE"),
    "cut WebP": (lambda: photos.encoded(photos.astronaut(), "WEBP")[:-500], "INVALID_IMAGE"),
    "cut HEIC": (lambda: photos.heic()[:-500], "INVALID_IMAGE"),
    "JPEG of 2,000 scans": (lambda: b"\xff\xd8" + photos.segment(0xDA, bytes(10)) * 2000, "INVALID_IMAGE"),
    "268 megapixels in 32 bytes": (lambda: photos.flat_webp(16383, 16383), "IMAGE_TOO_LARGE"),
    "GIF": (lambda: photos.encoded(photos.astronaut().convert("P"), "GIF"), "UNSUPPORTED_IMAGE_FORMAT"),
    "AVIF": (lambda: photos.encoded(photos.astronaut(), "AVIF"), "UNSUPPORTED_IMAGE_FORMAT"),
    "SVG": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "UNSUPPORTED_IMAGE_FORMAT"),
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_a_phone_can_take_comes_out_as_promised(server: Server, kind: str) -> None:
    answer = server.upload(ACCEPTED[kind](), crop="false")
    assert answer.status_code == 201, answer.text
    jpeg = httpx.get(answer.json()["imageUrl"]).content
    source = answer.json()["source"]
    assert assert_keeps_the_output_promise(jpeg) == (source["width"], source["height"])
    assert photos.SECRET not in jpeg


@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_harm_is_refused_and_leaves_nothing(server: Server, kind: str) -> None:
    make, code = REFUSED[kind]
    before = server.stored()
    answer = server.upload(make())
    assert answer.json()["code"] == code
    assert server.stored() == before
