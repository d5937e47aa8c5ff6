"""A decoder never meets the file that was sent: it gets a stream that was rebuilt, with its headers put right."""

import struct

import numpy as np
import pytest
from PIL import Image

from adapters.imaging.heif import scan_heif
from adapters.imaging.jpeg import scan_jpeg
from adapters.imaging.png import scan_png
from adapters.imaging.webp import scan_webp
from domain.errors import InvalidImage
from tests import photos
from tests.imaging.encoding import difference, encoded, looked_at, opened
from tests.imaging.test_output_promise import PRIVATE

PICTURE = photos.astronaut(160, 200)
RGB = np.asarray(PICTURE)
JPEG = photos.jpeg(PICTURE)
SCANNERS = {"jpeg": scan_jpeg, "png": scan_png, "webp": scan_webp, "heic": scan_heif}


@pytest.mark.parametrize("family", SCANNERS)
def test_nothing_private_gets_as_far_as_the_decoder(family: str) -> None:
    stream = SCANNERS[family](PRIVATE[family]).stream
    assert photos.SECRET not in stream
    assert difference(looked_at(stream), RGB).mean() < 4


def test_libheif_gets_only_what_the_primary_picture_needs() -> None:
    """What libheif refuses in another item never reaches it."""
    no_kind = photos.box(b"auxC")
    photo = photos.heif([photos.coded_item(PICTURE), photos.HeifItem(b"hvc1", b"?", no_kind)])
    assert difference(looked_at(photo), RGB).mean() < 4


def test_libjpeg_gets_only_the_first_adobe_segment() -> None:
    """With both, libjpeg would believe the last: that these three components are red, green and blue."""
    adobe = [photos.segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, code)) for code in (1, 0)]
    without_jfif = JPEG[:2] + b"".join(adobe) + JPEG[20:]
    assert JPEG[2:4] == b"\xff\xe0"
    assert difference(looked_at(without_jfif), RGB).mean() < 3


# ---- fields that phones write in their own way ----


def with_scan_parameters(photo: bytes, parameters: bytes) -> bytes:
    """Another start and end of spectral selection, and another successive approximation, in every scan header."""
    changed = bytearray(photo)
    for at in photos.scan_offsets(photo):
        end = at + 2 + int.from_bytes(photo[at + 2 : at + 4], "big")
        changed[end - 3 : end] = parameters
    return bytes(changed)


@pytest.mark.parametrize("parameters", [b"\0\0\0", b"\0\x3f\x11", b"\1\x3f\0", b"\xff\xff\xff", b"\x3f\0\0"])
@pytest.mark.parametrize("picture", [PICTURE, PICTURE.convert("L"), PICTURE.convert("CMYK")], ids=["RGB", "L", "CMYK"])
def test_baseline_scans_are_whole_whatever_their_header_says(parameters: bytes, picture: Image.Image) -> None:
    photo = photos.jpeg(picture)
    assert (looked_at(with_scan_parameters(photo, parameters)) == looked_at(photo)).all()


@pytest.mark.parametrize("code", [1, 2, 3, 7, 255])
@pytest.mark.parametrize("has_jfif", [True, False])
def test_three_components_with_an_odd_adobe_code_are_ycbcr(code: int, has_jfif: bool) -> None:
    adobe = photos.segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, code))
    photo = photos.with_segments(JPEG, adobe) if has_jfif else JPEG[:2] + adobe + JPEG[20:]
    assert difference(looked_at(photo), RGB).mean() < 3


@pytest.mark.parametrize("code", [0, 1, 2, 7])
def test_four_components_with_an_odd_adobe_code_are_ycck(code: int) -> None:
    """Pillow writes plain inks, code 0: only that shows them as they were."""
    photo = photos.jpeg(PICTURE.convert("CMYK"))
    at = photo.index(b"Adobe") + 11
    shown = looked_at(photo[:at] + bytes([code]) + photo[at + 1 :])
    as_ycck = looked_at(photo[:at] + bytes([2]) + photo[at + 1 :])
    assert (difference(shown, looked_at(photo)).max() == 0) == (code == 0)
    assert (difference(shown, as_ycck).max() == 0) == (code != 0)


class TestProgressivePhotos:
    """Scans made by hand of flat blocks: every coefficient but the lowest is zero, and may as well not be sent."""

    @staticmethod
    def photo(*scans: tuple[int, int, int], end: bytes = b"\xff\xd9") -> bytes:
        """A gray-green picture of 16 x 16; `scans` are (component, first, last), DC of all components comes before."""
        quantization = b"".join(photos.segment(0xDB, bytes([n]) + bytes([1]) * 64) for n in (0, 1))
        frame = photos.segment(0xC2, struct.pack(">BHHB", 8, 8, 8, 3) + bytes([1, 0x11, 0, 2, 0x11, 1, 3, 0x11, 1]))
        # two codes: category 0 is "0", category 5 is "10"; of AC: end of block is "0"
        dc = photos.segment(0xC4, bytes([0x00, 1, 1, *bytes(14), 0, 5]))
        ac = photos.segment(0xC4, bytes([0x10, 1, *bytes(15), 0]))
        # "10" + 5 bits for -20 in each component: 10 01011
        bits = "1001011" * 3
        data = int(bits.ljust(24, "1"), 2).to_bytes(3, "big")
        parts = [photos.segment(0xDA, bytes([3, 1, 0, 2, 0, 3, 0, 0, 0, 0])) + data]
        for component, first, last in scans:
            parts.append(photos.segment(0xDA, bytes([1, component, 0, first, last, 0])) + b"\x7f")
        return b"".join([b"\xff\xd8", quantization, frame, dc, ac, *parts, end])

    WHOLE = ((1, 1, 63), (2, 1, 63), (3, 1, 63))

    @pytest.mark.parametrize(
        "scans",
        [
            WHOLE,
            ((1, 1, 63), (2, 1, 9), (3, 1, 9)),
            ((1, 1, 5), (1, 6, 63), (2, 1, 5), (3, 1, 20)),
            ((1, 1, 63), (2, 1, 9)),
            ((1, 1, 63),),
            ((1, 1, 35), (2, 1, 9), (3, 1, 9)),
        ],
        ids=str,
    )
    def test_high_coefficients_need_not_be_sent(self, scans: tuple[tuple[int, int, int], ...]) -> None:
        assert (looked_at(self.photo(*scans)) == looked_at(self.photo(*self.WHOLE))).all()

    @pytest.mark.parametrize("scans", [WHOLE[:1], ((1, 1, 63), (2, 1, 9), (3, 1, 9)), ()], ids=str)
    def test_without_an_end_marker_they_are_missing(self, scans: tuple[tuple[int, int, int], ...]) -> None:
        encoded(self.photo(*self.WHOLE, end=b""))
        with pytest.raises(InvalidImage):
            opened(self.photo(*scans, end=b""))

    @pytest.mark.parametrize("scans", [(), ((2, 1, 63), (3, 1, 63)), ((1, 1, 3), (2, 1, 63), (3, 1, 63))], ids=str)
    def test_luma_of_hardly_any_coefficients_is_no_photo(self, scans: tuple[tuple[int, int, int], ...]) -> None:
        with pytest.raises(InvalidImage):
            opened(self.photo(*scans))

    def test_coefficients_that_are_sent_twice_are_overlooked(self) -> None:
        """libjpeg warns of the progression; no pixel is in doubt."""
        assert (looked_at(self.photo(*self.WHOLE, (2, 1, 9))) == looked_at(self.photo(*self.WHOLE))).all()


class TestWarningsOfLibjpeg:
    """One about headers must not hide one about pixel data that comes later."""

    @staticmethod
    def photo(*, is_consistent: bool) -> bytes:
        """Progressive; if not consistent, the last bits of DC come twice."""
        photo = photos.encoded(photos.astronaut(160, 200), "JPEG", quality=90, progressive=True)
        start = photo.index(b"\xff\xda\x00\x0c\x03\x01\x00\x02\x00\x03\x00\x00\x00\x10")
        end = photo.index(b"\xff\xc4", start)
        return photo[:end] + (b"" if is_consistent else photo[start:end]) + photo[end:]

    def test_a_progression_that_is_out_of_order_is_overlooked(self) -> None:
        assert (looked_at(self.photo(is_consistent=False)) == looked_at(self.photo(is_consistent=True))).all()

    @pytest.mark.parametrize("is_consistent", [True, False])
    @pytest.mark.parametrize(("component", "table"), [(1, 0), (2, 1), (3, 1)])
    def test_a_later_scan_that_is_cut_is_found_all_the_same(
        self, component: int, table: int, is_consistent: bool
    ) -> None:
        photo = self.photo(is_consistent=is_consistent)
        header = b"\xff\xda\x00\x08" + bytes([1, component, table, 1, 63, 0x10])
        start = photo.index(header) + len(header)
        end = photo.index(b"\xff\xd9" if component == 1 else b"\xff\xc4", start)
        with pytest.raises(InvalidImage):
            looked_at(photo[: (start + end) // 2] + photo[end:])

    @pytest.mark.parametrize("is_consistent", [True, False])
    def test_stray_bytes_before_the_end_are_overlooked(self, is_consistent: bool) -> None:
        photo = self.photo(is_consistent=is_consistent)
        assert (looked_at(photo[:-2] + bytes(40) + photo[-2:]) == looked_at(photo)).all()


@pytest.mark.parametrize("off_by", [8, 1, 2])
@pytest.mark.parametrize("lossless", [True, False])
def test_a_webp_may_count_its_header_in_as_long_as_its_chunks_are_whole(off_by: int, lossless: bool) -> None:
    photo = photos.encoded(PICTURE, "WEBP", lossless=lossless, quality=95)
    (size,) = struct.unpack_from("<I", photo, 4)
    odd = photo[:4] + struct.pack("<I", size + off_by) + photo[8:]
    assert (looked_at(odd) == looked_at(photo)).all()
    with pytest.raises(InvalidImage):
        encoded(odd[:-9])
