"""Pictures that are kept without ever having been RGB: the output's promises, and colors as by the exact way."""

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from skimage import data

from adapters.imaging import libturbojpeg
from adapters.imaging.color.icc_profile import read_matrix_profile
from adapters.imaging.color.matrix_conversion import MatrixConversion
from adapters.imaging.jpeg_output import encode_420, encode_jpeg
from adapters.imaging.libturbojpeg import decode_planes
from adapters.imaging.raster import PlanarRaster, halved
from domain.geometry import Box, Size
from tests import photos
from tests.imaging.conftest import needs_library
from tests.imaging.encoding import Picture, difference, encoded, opened, read, shown
from tests.imaging.jpeg_markers import assert_keeps_the_output_promise, segments
from tests.imaging.test_color import ADOBE_RGB, DISPLAY_P3, LEVELS, in_srgb, srgb_decoded

P3_PROFILE = photos.matrix_profile(DISPLAY_P3, photos.SRGB_CURVE)
PICTURES = {"astronaut": data.astronaut(), "cat": data.chelsea(), "coffee": data.coffee(), "rocket": data.rocket()}
ODD_SIZES = [(1, 1), (1, 2), (3, 2), (2, 3), (33, 47), (1601, 1999)]


def in_planes(picture: Picture) -> PlanarRaster:
    luma, blue, red = np.asarray(Image.fromarray(picture).convert("YCbCr")).transpose(2, 0, 1).copy()
    return PlanarRaster(luma, halved(blue), halved(red), (2, 2))


def in_display_p3(photo: bytes) -> bytes:
    return photos.with_segments(photo, *photos.icc_segments(P3_PROFILE))


@needs_library
class TestEncoding:
    @pytest.mark.parametrize("size", ODD_SIZES, ids=str)
    def test_planes_of_any_size_come_back(self, size: tuple[int, int]) -> None:
        picture = in_planes(np.asarray(photos.astronaut(*size)))
        jpeg = encode_420(picture)
        assert assert_keeps_the_output_promise(jpeg) == size
        kept = decode_planes(jpeg, Size(*size), 1)
        assert kept is not None
        assert kept.chroma_step == (2, 2)
        for is_there, was_there in ((kept.luma, picture.luma), (kept.blue, picture.blue), (kept.red, picture.red)):
            assert difference(is_there, was_there).mean() < 4

    def test_tables_and_frame_are_those_of_the_other_encoder(self) -> None:
        picture = np.asarray(photos.astronaut(331, 203))
        by_planes, by_rgb = segments(encode_420(in_planes(picture))), segments(encode_jpeg(picture))
        assert [(one.marker, one.body) for one in by_planes] == [(one.marker, one.body) for one in by_rgb]

    def test_a_part_of_larger_planes_needs_no_copy(self) -> None:
        """Rows are then farther apart than they are wide."""
        whole = in_planes(np.asarray(photos.astronaut(320, 400)))
        part = whole.cut(Box(32, 64, 160, 200))
        assert not part.luma.flags.c_contiguous
        luma, blue, red = (np.ascontiguousarray(plane) for plane in (part.luma, part.blue, part.red))
        assert encode_420(part) == encode_420(PlanarRaster(luma, blue, red, (2, 2)))

    def test_the_order_in_which_samples_lie_in_memory_does_not_matter(self) -> None:
        whole = in_planes(np.asarray(photos.astronaut(160, 200)))
        odd = PlanarRaster(np.asfortranarray(whole.luma), whole.blue[:, ::-1], whole.red[::-1], (2, 2))
        luma, blue, red = (plane.copy(order="C") for plane in (odd.luma, odd.blue, odd.red))
        assert encode_420(odd) == encode_420(PlanarRaster(luma, blue, red, (2, 2)))

    @pytest.mark.parametrize("halves", [(16, 16), (15, 16), (16, 15)], ids=str)
    def test_chroma_that_is_too_small_never_reaches_the_library(self, halves: tuple[int, int]) -> None:
        luma, blue, red = np.zeros((33, 33), np.uint8), np.zeros((17, 17), np.uint8), np.zeros(halves, np.uint8)
        with pytest.raises(ValueError, match="read beyond"):
            encode_420(PlanarRaster(luma, blue, red, (2, 2)))

    @pytest.mark.parametrize("subsampling", [0, 1, 2])
    def test_every_window_at_every_size_has_planes_that_fit_each_other(self, subsampling: int) -> None:
        chance = np.random.default_rng(subsampling)
        photo = opened(photos.jpeg(photos.astronaut(67, 83), subsampling=subsampling))
        for _ in range(200):
            (left, right), (top, bottom) = (np.sort(chance.integers(0, edge, 2)) for edge in (67, 83))
            window = Box(int(left), int(top), int(right - left) + 1, int(bottom - top) + 1)
            kept = photo.encode(window, int(chance.integers(1, 90)))
            assert assert_keeps_the_output_promise(kept.jpeg) == (kept.size.width, kept.size.height)


@pytest.mark.usefixtures("without_library")
def test_there_is_no_encoding_of_planes_without_the_library() -> None:
    with pytest.raises(libturbojpeg.JpegEncodingError):
        encode_420(in_planes(np.asarray(photos.astronaut(8, 10))))


class TestSamples:
    def test_those_of_a_420_photo_stay_as_they_are_when_it_is_not_scaled(self) -> None:
        photo = photos.jpeg(photos.astronaut(400, 500), quality=92, subsampling=2)
        before, after = (decode_planes(jpeg, Size(400, 500), 1) for jpeg in (photo, encoded(photo).jpeg))
        if before is None or after is None:
            pytest.skip("the system has no libturbojpeg")
        assert difference(after.blue, before.blue).mean() < 0.6
        assert difference(after.red, before.red).mean() < 0.6

    @pytest.mark.parametrize("size", [(64, 80), (33, 47), (33, 48), (34, 47)], ids=str)
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("longest_edge", [2000, 31])
    def test_colors_stay_with_their_pixels_however_it_was_stored(
        self, size: tuple[int, int], orientation: int, longest_edge: int
    ) -> None:
        """A red and a blue half meet in the middle, where one row or column too far would show."""
        upright = np.full((size[1], size[0], 3), (180, 70, 60), np.uint8)
        upright[:, size[0] // 2 :] = (60, 80, 170)
        upright[size[1] // 2 :] //= 2
        stored = photos.jpeg(photos.stored_for(upright, orientation), quality=98, subsampling=0)
        kept = shown(photos.with_segments(stored, photos.exif_segment(orientation)), longest_edge=longest_edge)
        expected = shown(photos.jpeg(upright, quality=98, subsampling=0), longest_edge=longest_edge)
        assert difference(kept, expected).mean() < 2.5

    @pytest.mark.parametrize("size", [(601, 757), (600, 756)], ids=str)
    @pytest.mark.parametrize("subsampling", [0, 1, 2])
    def test_they_are_as_near_to_the_photo_as_by_way_of_rgb(
        self, size: tuple[int, int], subsampling: int, request: pytest.FixtureRequest
    ) -> None:
        photo = photos.jpeg(photos.astronaut(*size), quality=95, subsampling=subsampling)
        sent, by_planes = read(photo), shown(photo)
        request.getfixturevalue("without_library")
        assert difference(by_planes, sent).mean() < difference(shown(photo), sent).mean() + 0.1

    def test_studio_range_becomes_full_range(self) -> None:
        """A lossy WebP of black, white and colors in between, kept as it looked."""
        steps = np.repeat(np.linspace(0, 255, 16).round().astype(np.uint8), 16)
        picture = np.empty((64, 256, 3), np.uint8)
        picture[...] = steps[None, :, None]
        picture[32:, :, 0] = steps[::-1]
        photo = photos.encoded(picture, "WEBP", quality=100)
        kept, sent = shown(photo), np.asarray(Image.open(io.BytesIO(photo)).convert("RGB"))
        assert kept[4:20, 4:12].max() <= 3
        assert kept[4:20, -12:-4].min() >= 252
        assert difference(kept, sent).mean() < 1.5

    @pytest.mark.parametrize("family", ["JPEG", "WEBP"])
    def test_without_the_library_a_photo_looks_the_same(self, family: str, request: pytest.FixtureRequest) -> None:
        photo = photos.encoded(photos.astronaut(600, 750), family, quality=92)
        by_planes = shown(photo, longest_edge=400)
        request.getfixturevalue("without_library")
        assert difference(by_planes, shown(photo, longest_edge=400)).mean() < 1.5


def by_formulas(picture: PlanarRaster) -> npt.NDArray[np.float64]:
    """In sRGB, pixel by pixel in double precision, each sample of chroma for four pixels."""
    return in_srgb(seen(picture), srgb_decoded(LEVELS), DISPLAY_P3)


def seen(picture: PlanarRaster) -> Picture:
    height, width = picture.luma.shape
    blue, red = (np.kron(plane, np.ones((2, 2), np.uint8))[:height, :width] for plane in (picture.blue, picture.red))
    return np.asarray(Image.fromarray(np.dstack([picture.luma, blue, red]), "YCbCr").convert("RGB"))


class TestDisplayP3:
    @pytest.fixture
    def conversion(self) -> MatrixConversion:
        profile = read_matrix_profile(P3_PROFILE)
        assert profile is not None
        return MatrixConversion.of(profile)

    @pytest.mark.parametrize("name", PICTURES)
    def test_pictures_are_converted_as_the_formulas_do_it(self, name: str, conversion: MatrixConversion) -> None:
        """These are sRGB pictures taken for Display P3: more saturated than any photo."""
        picture = in_planes(PICTURES[name])
        off = difference(seen(conversion.planes(picture)), by_formulas(picture))
        assert off.mean() < 1
        assert np.percentile(off, 99) < 8

    def test_flat_colors_are_converted_within_the_steps_of_8_bits(self, conversion: MatrixConversion) -> None:
        picture = in_planes(np.asarray(photos.color_chart(8)))
        inner = np.s_[3::8, 3::8]
        off = difference(seen(conversion.planes(picture))[inner], by_formulas(picture)[inner])
        assert off.mean() < 0.8
        assert off.max() < 4

    def test_grays_stay_as_they_are(self, conversion: MatrixConversion) -> None:
        ramp = np.broadcast_to(np.arange(256, dtype=np.uint8), (16, 256)).copy()
        no_color = np.full((8, 128), 128, np.uint8)
        converted = conversion.planes(PlanarRaster(ramp, no_color, no_color, (2, 2)))
        assert difference(converted.luma, ramp).max() <= 1
        assert difference(converted.blue, no_color).max() <= 1
        assert difference(converted.red, no_color).max() <= 1

    def test_black_next_to_saturated_colors_stays_black_and_white_white(self, conversion: MatrixConversion) -> None:
        """What is added to luma has to stop at both ends, and not begin anew at the other."""
        stripes = np.zeros((64, 64, 3), np.uint8)
        stripes[:, 16:32], stripes[:, 32:48], stripes[:, 48:] = (0, 255, 0), (255, 255, 255), (255, 0, 0)
        luma = conversion.planes(in_planes(stripes)).luma
        assert luma[:, :14].max() <= 1
        assert luma[:, 34:46].min() >= 254

    @pytest.mark.parametrize("size", [(1, 1), (3, 2), (33, 47)], ids=str)
    def test_odd_sizes(self, size: tuple[int, int], conversion: MatrixConversion) -> None:
        picture = in_planes(np.full((size[1], size[0], 3), (200, 120, 90), np.uint8))
        converted = conversion.planes(picture)
        assert converted.luma.shape == picture.luma.shape
        assert difference(seen(converted), by_formulas(picture)).max() < 3

    def test_a_kept_photo_has_the_colors_of_the_exact_way(self, request: pytest.FixtureRequest) -> None:
        photo = in_display_p3(photos.jpeg(photos.astronaut(800, 1000), quality=95, subsampling=2))
        by_planes = shown(photo, longest_edge=600)
        request.getfixturevalue("without_library")
        assert difference(by_planes, shown(photo, longest_edge=600)).mean() < 2

    @pytest.mark.parametrize(
        "profile",
        [
            pytest.param(lambda: photos.matrix_profile(ADOBE_RGB, photos.curve_gamma(563 / 256)), id="Adobe RGB"),
            pytest.param(lambda: photos.matrix_profile(DISPLAY_P3, photos.curve_gamma(1.0)), id="linear light"),
            pytest.param(
                lambda: photos.matrix_profile(DISPLAY_P3[:, [1, 2, 0]], photos.SRGB_CURVE), id="channels swapped"
            ),
        ],
    )
    def test_profiles_that_change_more_than_the_reach_of_primaries_go_the_exact_way(
        self, profile: Callable[[], bytes]
    ) -> None:
        numbers = read_matrix_profile(profile())
        assert numbers is not None
        assert not MatrixConversion.of(numbers).suits_planes
