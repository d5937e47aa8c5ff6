"""Pictures that come out of the sandbox are of the one form that is kept, or of none."""

import io

import numpy as np
import pytest
from PIL import Image

from adapters.imaging.jpeg import encode_jpeg
from adapters.imaging.picture import picture_of
from adapters.sandbox.remote_photo import NotTheKeptForm, check_kept_form
from domain.geometry import Size
from tests.photos import astronaut, segment, with_segments

SIZE = Size(400, 500)
KEPT = encode_jpeg(picture_of(np.asarray(astronaut())))
CODE, SCAN = KEPT.index(b"\xff\xc4"), KEPT.index(b"\xff\xda")
STEPS = b"\0" + 64 * b"\1"
CODES = b"\0\0\1" + bytes(14) + b"x"


def longer(marker: int, more: bytes) -> bytes:
    """With more bytes in the first segment of this kind."""
    start = KEPT.index(bytes((0xFF, marker)))
    size = int.from_bytes(KEPT[start + 2 : start + 4], "big")
    end = start + 2 + size
    return KEPT[: start + 2] + (size + len(more)).to_bytes(2, "big") + KEPT[start + 4 : end] + more + KEPT[end:]


def by_pillow(**options: object) -> bytes:
    file = io.BytesIO()
    astronaut().save(file, "JPEG", **options)
    jpeg = file.getvalue()
    return jpeg[:2] + jpeg[20:]  # without the JFIF header


def test_what_the_encoder_writes_is_of_the_kept_form() -> None:
    check_kept_form(KEPT, SIZE)


@pytest.mark.parametrize(
    ("what", "jpeg"),
    [
        ("an application segment", with_segments(KEPT, segment(0xE1, b"Exif\0\0 a secret"))),
        ("a comment", with_segments(KEPT, segment(0xFE, b"a secret"))),
        ("a restart interval", with_segments(KEPT, segment(0xDD, b"\0\4"))),
        ("bytes after the end", KEPT + b"\0"),
        ("a second picture after the end", KEPT + KEPT),
        ("no end", KEPT[:-2]),
        ("a cut scan", KEPT[: len(KEPT) // 2]),
        ("a comment in the scan", KEPT[:-2] + segment(0xFE, b"a secret") + KEPT[-2:]),
        ("a restart marker in the scan", KEPT[:-2] + b"\xff\xd0" + KEPT[-2:]),
        ("a second scan", KEPT[:-2] + KEPT[SCAN:]),
        ("a segment without an end", KEPT[:4] + b"\xff\xff" + KEPT[6:]),
        ("a segment of no length", KEPT[:4] + b"\0\0" + KEPT[6:]),
        ("too many segments", KEPT[:2] + 20 * segment(0xDB, STEPS) + KEPT[2:]),
        ("a secret behind the steps", longer(0xDB, b"a secret")),
        ("steps of 16 bits", longer(0xDB, b"\x10" + 64 * b"\1\1")),
        ("a secret behind the codes", longer(0xC4, b"a secret")),
        ("half a table of codes", longer(0xC4, CODES[:-1])),
        ("a fifth table of codes", longer(0xC4, b"\4" + CODES[1:])),
        ("more codes than bits", longer(0xC4, b"\0\3" + bytes(15) + b"abc")),
        ("a secret behind the frame", longer(0xC0, b"a secret")),
        ("a secret behind the scan's head", longer(0xDA, b"a secret")),
        ("no codes", KEPT[:CODE] + KEPT[SCAN:]),
        ("part of the frequencies", KEPT[: SCAN + 11] + b"\1" + KEPT[SCAN + 12 :]),
        ("a frame of arithmetic codes", KEPT.replace(b"\xff\xc0", b"\xff\xc9", 1)),
        ("fill before a segment", KEPT[:2] + b"\xff" + KEPT[2:]),
        ("no frame", KEPT[:2] + KEPT[SCAN:]),
        ("two frames", with_segments(KEPT, segment(0xC0, b"\x08\x01\xf4\x01\x90\x03" + bytes(9)))),
        ("progressive", by_pillow(progressive=True)),
        ("gray", encode_jpeg(picture_of(np.asarray(astronaut()))).replace(b"\x01\x90\x03", b"\x01\x90\x01", 1)),
        ("12 bits", KEPT.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c", 1)),
        ("a PNG", b"\x89PNG\r\n\x1a\n" + KEPT),
        ("nothing", b""),
        ("a beginning", b"\xff\xd8\xff"),
    ],
)  # fmt: skip
def test_nothing_else_is(what: str, jpeg: bytes) -> None:  # noqa: ARG001 - names the case
    with pytest.raises(NotTheKeptForm):
        check_kept_form(jpeg, SIZE)


@pytest.mark.parametrize("size", [Size(500, 400), Size(400, 499), Size(401, 500)])
def test_neither_is_a_picture_of_another_size(size: Size) -> None:
    with pytest.raises(NotTheKeptForm, match="400 x 500"):
        check_kept_form(KEPT, size)


def test_a_picture_with_a_million_stuffed_zeros_is_checked_at_once() -> None:
    check_kept_form(KEPT[:-2] + b"\xff\0" * 1_000_000 + KEPT[-2:], SIZE)


def test_tables_beside_those_of_the_encoder_would_be_kept() -> None:
    """What is refused above is refused for what it holds."""
    check_kept_form(longer(0xDB, STEPS), SIZE)
    check_kept_form(longer(0xC4, CODES), SIZE)


def test_pillow_reads_what_is_kept() -> None:
    assert Image.open(io.BytesIO(KEPT)).size == (SIZE.width, SIZE.height)
