"""JPEG's planes as they are stored, and pictures that are kept without ever having been RGB."""

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from skimage import data

from adapters.imaging.color_conversion import MatrixConversion
from adapters.imaging.color_spaces import read_matrix_profile
from adapters.imaging.jpeg import encode_jpeg
from adapters.imaging.native import libturbojpeg
from adapters.imaging.picture import Colors, Picture, picture_of
from domain.errors import InvalidImage
from domain.geometry import Box, Size
from tests import photos
from tests.imaging.encoding import difference, encoded, looked_at, opened, shown
from tests.imaging.jpeg_markers import assert_keeps_the_output_promise
from tests.imaging.test_color import ADOBE_RGB, DISPLAY_P3, LEVELS, in_srgb, srgb_decoded

SIZE = Size(601, 757)
PICTURE = photos.astronaut(SIZE.width, SIZE.height)
JPEG_420 = photos.jpeg(PICTURE, quality=95, subsampling=2)
P3_PROFILE = photos.matrix_profile(DISPLAY_P3, photos.SRGB_CURVE)
PICTURES = {"astronaut": data.astronaut(), "cat": data.chelsea(), "coffee": data.coffee(), "rocket": data.rocket()}


class TestDecoding:
    def test_samples_are_those_that_are_stored(self) -> None:
        """Pillow hands luma out as it is when it is asked for gray."""
        (luma, blue, red), step = libturbojpeg.decode(JPEG_420, SIZE, 1)
        gray = Image.open(io.BytesIO(JPEG_420))
        gray.draft("L", gray.size)
        assert (luma == np.asarray(gray)).all()
        assert (blue.shape, red.shape, step) == ((379, 301), (379, 301), (2, 2))

    def test_a_cut_file_is_refused(self) -> None:
        with pytest.raises(InvalidImage):
            libturbojpeg.decode(JPEG_420[: len(JPEG_420) // 2] + b"\xff\xd9", SIZE, 1)

    def test_another_size_than_expected_is_refused(self) -> None:
        """The library writes as much as the file says into memory that was made for what the caller says."""
        with pytest.raises(InvalidImage):
            libturbojpeg.decode(JPEG_420, Size(757, 601), 1)

    def test_stray_bytes_behind_the_last_pixel_are_no_complaint(self) -> None:
        stray = libturbojpeg.decode(JPEG_420[:-2] + bytes(3) + JPEG_420[-2:], SIZE, 1)
        assert (stray[0][0] == libturbojpeg.decode(JPEG_420, SIZE, 1)[0][0]).all()

    def test_red_green_and_blue_stored_as_they_are(self) -> None:
        out = io.BytesIO()
        PICTURE.save(out, "JPEG", quality=95, keep_rgb=True)
        assert difference(looked_at(out.getvalue()), np.asarray(PICTURE)).mean() < 2

    @pytest.mark.parametrize("reduction", [1, 2])
    @pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
    def test_every_kind_of_colors_can_be_halved_while_it_is_decoded(self, mode: str, reduction: int) -> None:
        planes, _ = libturbojpeg.decode(photos.jpeg(PICTURE.convert(mode)), SIZE, reduction)
        assert planes[0].shape[:2] == (-(-757 // reduction), -(-601 // reduction))
        assert (len(planes), planes[0].ndim) == {"L": (1, 2), "RGB": (3, 2), "CMYK": (1, 3)}[mode]


class TestEncoding:
    @pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 2), (2, 3), (33, 47), (1601, 1999)], ids=str)
    def test_planes_of_any_size_come_back(self, size: tuple[int, int]) -> None:
        picture = picture_of(np.asarray(photos.astronaut(*size)))
        jpeg = encode_jpeg(picture)
        assert assert_keeps_the_output_promise(jpeg) == size
        kept, step = libturbojpeg.decode(jpeg, Size(*size), 1)
        assert step == (2, 2)
        for is_there, was_there in zip(kept, picture.planes, strict=True):
            assert difference(is_there, was_there).mean() < 4

    def test_the_order_in_which_samples_lie_in_memory_does_not_matter(self) -> None:
        luma, blue, red = picture_of(np.asarray(photos.astronaut(160, 200))).planes
        odd = np.asfortranarray(luma), blue[:, ::-1], red[::-1]
        copies = [plane.copy(order="C") for plane in odd]
        assert libturbojpeg.encode_420(*odd, quality=92) == libturbojpeg.encode_420(*copies, quality=92)

    @pytest.mark.parametrize("halves", [(16, 16), (15, 16), (16, 15)], ids=str)
    def test_chroma_that_is_too_small_never_reaches_the_library(self, halves: tuple[int, int]) -> None:
        luma, blue, red = np.zeros((33, 33), np.uint8), np.zeros((17, 17), np.uint8), np.zeros(halves, np.uint8)
        with pytest.raises(ValueError, match="read beyond"):
            libturbojpeg.encode_420(luma, blue, red, quality=92)

    @pytest.mark.parametrize("subsampling", [0, 1, 2])
    def test_every_window_at_every_size_has_planes_that_fit_each_other(self, subsampling: int) -> None:
        chance = np.random.default_rng(subsampling)
        photo = opened(photos.jpeg(photos.astronaut(67, 83), subsampling=subsampling))
        for _ in range(100):
            (left, right), (top, bottom) = (np.sort(chance.integers(0, edge, 2)) for edge in (67, 83))
            window = Box(int(left), int(top), int(right - left) + 1, int(bottom - top) + 1)
            kept = photo.encode(window, int(chance.integers(1, 90)))
            assert assert_keeps_the_output_promise(kept.jpeg) == (kept.size.width, kept.size.height)


def test_samples_of_a_420_photo_stay_as_they_are_when_it_is_not_scaled() -> None:
    photo = photos.jpeg(photos.astronaut(400, 500), quality=92, subsampling=2)
    before, after = (libturbojpeg.decode(jpeg, Size(400, 500), 1)[0] for jpeg in (photo, encoded(photo).jpeg))
    for is_there, was_there in zip(after, before, strict=True):
        assert difference(is_there, was_there).mean() < 0.6


def test_studio_range_becomes_full_range() -> None:
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


def test_a_lossy_webp_looks_the_same_without_the_library_that_hands_out_its_planes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photo = photos.encoded(PICTURE, "WEBP", quality=95)
    by_planes = looked_at(photo)
    assert difference(by_planes, np.asarray(Image.open(io.BytesIO(photo)))).mean() < 1.5
    monkeypatch.setattr("adapters.imaging.native.libwebp._library", lambda: None)
    assert difference(looked_at(photo), by_planes).mean() < 1.5


def test_hard_edges_of_transparency_have_no_bright_rim() -> None:
    """A dark square cut out of nothing, scaled down: nothing around it is brighter than the white it stands on."""
    rgba = np.zeros((400, 400, 4), np.uint8)
    rgba[100:300, 100:300] = (40, 40, 40, 255)
    for longest_edge in (300, 230, 111):
        kept = shown(photos.encoded(Image.fromarray(rgba), "PNG"), longest_edge=longest_edge).astype(int)
        inside = slice(longest_edge // 4 + 8, longest_edge * 3 // 4 - 8)
        assert np.abs(kept[inside, inside] - 40).max() <= 3
        assert kept[: longest_edge // 4 - 8].min() >= 252


def seen(picture: Picture) -> npt.NDArray[np.uint8]:
    """Each sample of chroma for four pixels."""
    luma, *halves = picture.planes
    height, width = luma.shape
    blue, red = (np.kron(plane, np.ones((2, 2), np.uint8))[:height, :width] for plane in halves)
    return np.asarray(Image.fromarray(np.dstack([luma, blue, red]), "YCbCr").convert("RGB"))


def by_formulas(picture: Picture) -> npt.NDArray[np.float64]:
    """In sRGB, pixel by pixel in double precision."""
    return in_srgb(seen(picture), srgb_decoded(LEVELS), DISPLAY_P3)


class TestDisplayP3:
    @pytest.fixture
    def conversion(self) -> MatrixConversion:
        profile = read_matrix_profile(P3_PROFILE)
        assert profile is not None
        return MatrixConversion.of(profile)

    @pytest.mark.parametrize("name", PICTURES)
    def test_pictures_are_converted_as_the_formulas_do_it(self, name: str, conversion: MatrixConversion) -> None:
        """These are sRGB pictures taken for Display P3: more saturated than any photo."""
        picture = picture_of(PICTURES[name])
        off = difference(seen(conversion.planes(picture)), by_formulas(picture))
        assert off.mean() < 1
        assert np.percentile(off, 99) < 8

    def test_flat_colors_are_converted_within_the_steps_of_8_bits(self, conversion: MatrixConversion) -> None:
        picture = picture_of(np.asarray(photos.color_chart(8)))
        inner = np.s_[3::8, 3::8]
        off = difference(seen(conversion.planes(picture))[inner], by_formulas(picture)[inner])
        assert off.mean() < 0.8
        assert off.max() < 5

    def test_grays_stay_as_they_are(self, conversion: MatrixConversion) -> None:
        ramp = np.broadcast_to(np.arange(256, dtype=np.uint8), (16, 256)).copy()
        no_color = np.full((8, 128), 128, np.uint8)
        converted = conversion.planes(Picture((ramp, no_color, no_color), Colors.COLOR))
        for is_there, was_there in zip(converted.planes, (ramp, no_color, no_color), strict=True):
            assert difference(is_there, was_there).max() <= 1

    def test_black_next_to_saturated_colors_stays_black_and_white_white(self, conversion: MatrixConversion) -> None:
        """What is added to luma has to stop at both ends, and not begin anew at the other."""
        stripes = np.zeros((64, 64, 3), np.uint8)
        stripes[:, 16:32], stripes[:, 32:48], stripes[:, 48:] = (0, 255, 0), (255, 255, 255), (255, 0, 0)
        luma = conversion.planes(picture_of(stripes)).planes[0]
        assert luma[:, :14].max() <= 1
        assert luma[:, 34:46].min() >= 254

    @pytest.mark.parametrize("size", [(1, 1), (3, 2), (33, 47)], ids=str)
    def test_odd_sizes(self, size: tuple[int, int], conversion: MatrixConversion) -> None:
        picture = picture_of(np.full((size[1], size[0], 3), (200, 120, 90), np.uint8))
        converted = conversion.planes(picture)
        assert converted.size == picture.size
        assert difference(seen(converted), by_formulas(picture)).max() < 3

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
