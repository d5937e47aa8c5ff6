"""Pictures with a gain map, from which displays make HDR: what is kept is the ordinary picture in them, as it is."""

import struct

import numpy as np
import pytest
from PIL import Image

from tests import photos
from tests.imaging.encoding import encoded, looked_at
from tests.imaging.jpeg_markers import segments

PICTURE = photos.astronaut(160, 200)
MAP = Image.linear_gradient("L").resize((80, 100))
ISO = b"urn:iso:std:iso:ts:21496:-1\0"
XMP = (
    b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" hdrgm:GainMapMax="3.5"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


def multi_picture_index(first: int, second: int) -> bytes:
    """The APP2 segment of CIPA DC-007 that says where both pictures are."""
    entries = struct.pack("<IIIHH", 0x030000, first, 0, 0, 0) + struct.pack("<IIIHH", 0, second, first, 0, 0)
    fields = [(0xB000, 7, 4, 0x30303130), (0xB001, 4, 1, 2), (0xB002, 7, len(entries), 50)]
    directory = struct.pack("<H", len(fields)) + b"".join(struct.pack("<HHII", *one) for one in fields) + bytes(4)
    return photos.segment(0xE2, b"MPF\0II*\0" + struct.pack("<I", 8) + directory + entries)


def with_gain_map(photo: bytes, *headers: bytes) -> bytes:
    gain = photos.with_segments(photos.jpeg(MAP), photos.segment(0xE1, XMP), photos.segment(0xE2, ISO + bytes(60)))
    return photos.with_segments(photo, *headers, multi_picture_index(len(photo), len(gain))) + gain


@pytest.mark.parametrize(
    "headers",
    [
        (photos.segment(0xE1, XMP),),
        (photos.segment(0xE2, ISO + bytes(4)),),
        (photos.segment(0xE1, XMP), photos.segment(0xE2, ISO + bytes(4))),
    ],
    ids=["Ultra HDR", "ISO 21496-1", "both"],
)
@pytest.mark.parametrize("profile", [False, True])
def test_a_jpeg_is_its_ordinary_picture(headers: tuple[bytes, ...], profile: bool) -> None:
    wide = photos.matrix_profile(
        np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]]),
        photos.curve_gamma(2.2),
    )
    plain = photos.jpeg(PICTURE, icc_profile=wide if profile else None)
    assert (looked_at(with_gain_map(plain, *headers)) == looked_at(plain)).all()
    kept = encoded(with_gain_map(plain, *headers))
    assert kept.warnings == ()
    assert all(b"hdr" not in segment.body and b"21496" not in segment.body for segment in segments(kept.jpeg))


def heic(primary: int, *tags: bytes) -> bytes:
    """The picture, its gain map, and what is made of both, with colors of its own."""
    gain = photos.coded_item(
        MAP.convert("RGB"), photos.full_box(b"auxC", 0, b"urn:com:apple:photo:2020:aux:hdrgainmap\0")
    )
    gain.hidden = True
    whole = photos.HeifItem(b"tmap", b"\0" + bytes(60), photos.ispe(160, 200), photos.nclx(9, 16, 0))
    items = [photos.coded_item(PICTURE, *tags, quality=-1), gain, whole]
    return photos.heif(items, primary=primary, references=[(b"auxl", 2, [1]), (b"dimg", 3, [1, 2])])


@pytest.mark.parametrize("primary", [1, 3])
@pytest.mark.parametrize("tags", [(), (photos.nclx(12, 13),)], ids=["sRGB", "P3"])
def test_a_heic_is_its_ordinary_picture(primary: int, tags: tuple[bytes, ...]) -> None:
    plain = photos.heif([photos.coded_item(PICTURE, *tags, quality=-1)])
    assert (looked_at(heic(primary, *tags)) == looked_at(plain)).all()
    assert encoded(heic(primary, *tags)).warnings == ()
