"""Every way of storing pixels comes out with the right levels."""

import struct
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from adapters.imaging.png import decode_png, scan_png
from domain.errors import InvalidImage
from domain.geometry import Size
from tests import photos
from tests.imaging.encoding import difference, encoded, in_planes, looked_at, opened, shown

PICTURE = photos.astronaut(80, 100)
RGB = np.asarray(PICTURE)
GRAY = np.asarray(PICTURE.convert("L"))


def gray(levels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.dstack([levels] * 3)


def rounded(samples: npt.NDArray[Any], depth: int) -> npt.NDArray[Any]:
    return np.asarray(np.floor(samples.astype(np.float64) * 255 / (2**depth - 1) + 0.5), np.uint8)


class TestPng:
    @pytest.mark.parametrize("depth", [1, 2, 4, 8])
    def test_gray_of_few_bits_is_stretched_to_the_full_range(self, depth: int) -> None:
        levels = (GRAY >> (8 - depth)).astype(np.uint8)
        bits = np.unpackbits(levels[:, :, None], axis=2)[:, :, 8 - depth :].reshape(100, -1)
        rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)
        assert (looked_at(photos.raw_png(80, 100, depth, 0, rows)) == gray(rounded(levels, depth))).all()

    @pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3), (6, 4)])
    @pytest.mark.parametrize("height", [1, 2, 63, 64, 65, 127, 193])
    def test_bands_are_what_libpng_makes_of_the_whole(self, color: int, channels: int, height: int) -> None:
        rows = np.random.default_rng(height).integers(0, 256, (height, 1 + 37 * channels), np.uint8)
        rows[:, 0] %= 5  # each row has a filter of its own
        scanned = scan_png(photos.raw_png(37, height, 8, color, rows.tobytes()))
        in_bands, by_libpng = decode_png(scanned), decode_png(replace(scanned, plain_bytes=0))
        assert scanned.plain_bytes == channels
        assert [plane.tobytes() for plane in in_bands.planes] == [plane.tobytes() for plane in by_libpng.planes]

    @pytest.mark.parametrize("size", [(16_385, 3), (3, 16_385)])
    def test_a_very_long_one_comes_out(self, size: tuple[int, int]) -> None:
        assert (
            opened(photos.encoded(Image.new("RGB", size, (9, 99, 199)), "PNG")).view(None, 100).size.longest_edge == 100
        )

    @pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3)])
    def test_16_bits_are_rounded_not_cut(self, color: int, channels: int) -> None:
        samples = np.random.default_rng(7).integers(0, 65536, (60, 50, channels), np.uint16)
        expected = rounded(samples, 16)
        expected = gray(expected[..., 0]) if channels == 1 else in_planes(expected)
        assert (looked_at(photos.png_16(samples, color)) == expected).all()

    @pytest.mark.parametrize(("color", "channels"), [(4, 2), (6, 4)])
    def test_16_bits_with_transparency_are_flattened_on_white(self, color: int, channels: int) -> None:
        samples = np.random.default_rng(8).integers(0, 65536, (60, 50, channels)).astype(np.float64)
        colors, alpha = samples[..., :-1] / 65535, samples[..., -1:] / 65535
        expected = 255 * (colors * alpha + 1 - alpha)
        shown = in_planes(np.broadcast_to(expected, (60, 50, 3)).round())
        assert difference(looked_at(photos.png_16(samples.astype(np.uint16), color)), shown).max() <= 3

    @pytest.mark.parametrize("depth", [1, 2, 4, 8])
    def test_a_palette_with_transparency_is_flattened_on_white(self, depth: int) -> None:
        indices = np.arange(2**depth, dtype=np.uint8).reshape(1, -1)
        palette = np.random.default_rng(9).integers(0, 256, (2**depth, 3), np.uint8)
        alpha = np.linspace(0, 255, 2**depth).round().astype(np.uint8)
        bits = np.unpackbits(indices[:, :, None], axis=2)[:, :, 8 - depth :].reshape(1, -1)
        chunks = photos.chunk(b"PLTE", palette.tobytes()), photos.chunk(b"tRNS", alpha.tobytes())
        photo = photos.raw_png(2**depth, 1, depth, 3, b"\0" + np.packbits(bits).tobytes(), *chunks)
        share = alpha[:, None] / 255
        expected = in_planes((palette * share + 255 * (1 - share)).round()[None])
        assert difference(looked_at(photo), expected).max() <= 3

    def test_a_palette_index_without_a_color_is_black(self) -> None:
        photo = photos.raw_png(2, 1, 8, 3, b"\0\x00\x09", photos.chunk(b"PLTE", b"\xff\x80\x40"))
        assert (looked_at(photo) == in_planes([[[255, 128, 64], [0, 0, 0]]])).all()

    @pytest.mark.parametrize(
        ("depth", "key", "row"),
        [(2, 1, b"\0\x1b"), (4, 1, b"\0\x01\x23"), (8, 1, b"\0\0\1\2\3"), (16, 1, b"\0\0\0\0\1\0\2\0\3")],
    )
    def test_the_color_key_of_a_gray_picture_is_transparent(self, depth: int, key: int, row: bytes) -> None:
        photo = photos.raw_png(4, 1, depth, 0, row, photos.chunk(b"tRNS", bytes([0, key])))
        expected = rounded(np.arange(4), depth)
        expected[1] = 255
        assert (looked_at(photo)[0, :, 0] == expected).all()

    def test_the_color_key_of_16_bit_colors_is_compared_with_all_16_bits(self) -> None:
        samples = np.array([[[256, 512, 768], [257, 512, 768]]], np.uint16)
        photo = photos.png_16(samples, 2, photos.chunk(b"tRNS", np.array([256, 512, 768], ">u2").tobytes()))
        assert (looked_at(photo) == in_planes([[[255, 255, 255], [1, 2, 3]]])).all()

    @pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1"])
    def test_every_mode_of_an_editor(self, mode: str) -> None:
        picture = PICTURE.convert(mode)
        white = Image.new("RGBA", picture.size, "white")
        expected = np.asarray(Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB"))
        assert difference(looked_at(photos.encoded(picture, "PNG")), in_planes(expected)).max() <= (
            mode in {"L", "1", "LA"}
        )

    def test_an_interlaced_picture(self) -> None:
        # Adam7 of a 1 x 3 picture: pass 1 has row 0, pass 5 row 2, pass 7 row 1
        photo = photos.raw_png(1, 3, 8, 0, b"\0\x10\0\x30\0\x20", interlace=1)
        assert looked_at(photo)[:, 0, 0].tolist() == [0x10, 0x20, 0x30]

    def test_an_animation_shows_its_first_frame(self) -> None:
        other = Image.new("RGB", PICTURE.size, "red")
        photo = photos.encoded(PICTURE, "PNG", save_all=True, append_images=[other], duration=100)
        assert b"acTL" in photo
        assert (looked_at(photo) == in_planes(RGB)).all()


class TestTransparency:
    def test_what_nobody_sees_does_not_bleed_into_the_edge(self) -> None:
        """A gray square whose invisible surroundings are bright green, scaled down by three."""
        rgba = np.zeros((300, 300, 4), np.uint8)
        rgba[...] = (0, 255, 0, 0)
        rgba[100:200, 100:200] = (128, 128, 128, 255)
        small = looked_at(photos.encoded(Image.fromarray(rgba), "PNG"), longest_edge=97).astype(int)
        kept = shown(photos.encoded(Image.fromarray(rgba), "PNG"), longest_edge=97).astype(int)
        for picture, tolerance in ((small, 2), (kept, 12)):
            assert np.abs(picture[..., 1] - picture[..., 0]).max() <= tolerance
            assert (picture[:5] >= 250).all()

    def test_half_transparent_black_on_white_is_middle_gray(self) -> None:
        rgba = np.zeros((20, 20, 4), np.uint8)
        rgba[..., 3] = 128
        assert (shown(photos.encoded(Image.fromarray(rgba), "PNG")) == 127).all()

    @pytest.mark.parametrize("lossless", [True, False])
    def test_a_webp_is_flattened_on_white(self, lossless: bool) -> None:
        rgba = np.dstack([RGB, np.full((100, 80), 255, np.uint8)])
        rgba[:50, :, 3] = 0
        picture = looked_at(photos.encoded(Image.fromarray(rgba), "WEBP", lossless=lossless, quality=95))
        assert (picture[:48] == 255).all()
        assert difference(picture[52:], in_planes(RGB)[52:]).mean() < (0.01 if lossless else 8)

    def test_a_heic_is_flattened_on_white(self) -> None:
        rgba = np.dstack([RGB, np.full((100, 80), 255, np.uint8)])
        rgba[:50, :, 3] = 0
        picture = looked_at(photos.heic(Image.fromarray(rgba)))
        assert (picture[:44] >= 253).all()
        assert difference(picture[56:], RGB[56:]).mean() < 4


class TestJpeg:
    @pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
    @pytest.mark.parametrize("progressive", [False, True])
    def test_progressive_and_subsampled(self, subsampling: str, progressive: bool) -> None:
        photo = photos.jpeg(PICTURE, subsampling=subsampling, progressive=progressive)
        assert difference(looked_at(photo), RGB).mean() < 5

    def test_restart_markers(self) -> None:
        photo = photos.jpeg(PICTURE, restart_marker_blocks=3)
        assert b"\xff\xd3" in photo
        assert difference(looked_at(photo), RGB).mean() < 4

    def test_gray(self) -> None:
        assert difference(looked_at(photos.jpeg(PICTURE.convert("L"))), gray(GRAY)).mean() < 2

    def test_inverted_inks_of_adobe(self) -> None:
        assert difference(looked_at(photos.jpeg(PICTURE.convert("CMYK"))), in_planes(RGB)).mean() < 2

    @pytest.mark.parametrize("factors", [0x41, 0x14, 0x12, 0x24, 0x42])
    def test_odd_subsampling_factors(self, factors: int) -> None:
        """A flat picture of odd sampling factors, one block per component and MCU slot, all of them level 128."""
        blocks = (factors >> 4) * (factors & 15) + 2
        photo = flat_jpeg(64, 64, [factors, 0x11, 0x11], blocks)
        assert np.abs(looked_at(photo).astype(int) - 128).max() <= 1
        with pytest.raises(InvalidImage):
            looked_at(photo[:-12] + photo[-2:])

    def test_several_pictures_in_one_file_are_the_first_one(self) -> None:
        photo = photos.encoded(PICTURE, "MPO", save_all=True, append_images=[Image.new("RGB", (90, 70))], quality=95)
        assert difference(looked_at(photo), RGB).mean() < 5

    def test_a_motion_photo_is_its_picture(self) -> None:
        video = photos.box(b"ftyp", b"mp42", bytes(4)) + photos.box(b"mdat", photos.jpeg()[:3000])
        assert difference(looked_at(photos.jpeg(PICTURE) + video), RGB).mean() < 4


def flat_jpeg(width: int, height: int, factors: list[int], blocks: int) -> bytes:
    """All blocks zero: one Huffman code of one bit each for DC and AC, both meaning nothing."""
    tables = photos.segment(0xDB, b"\0" + b"\1" * 64)
    for kind in (0x00, 0x10):
        tables += photos.segment(0xC4, bytes([kind, 1]) + bytes(15) + b"\0")
    parts = b"".join(bytes([n, factor, 0]) for n, factor in enumerate(factors, 1))
    frame = photos.segment(0xC0, bytes([8, 0, height, 0, width, len(factors)]) + parts)
    scan = photos.segment(0xDA, bytes([len(factors)]) + b"".join(bytes([n, 0]) for n in (1, 2, 3)) + b"\0\x3f\0")
    across, down = max(f >> 4 for f in factors), max(f & 15 for f in factors)
    mcus = -(-width // (8 * across)) * -(-height // (8 * down))
    bits = 2 * blocks * mcus
    data = bytes(bits // 8) + (bytes([0xFF >> bits % 8]) if bits % 8 else b"")
    return b"\xff\xd8" + tables + frame + scan + data + b"\xff\xd9"


class TestWebp:
    def test_lossless(self) -> None:
        assert (looked_at(photos.encoded(PICTURE, "WEBP", lossless=True)) == in_planes(RGB)).all()

    def test_an_animation_shows_its_first_frame(self) -> None:
        other = Image.new("RGB", PICTURE.size, "red")
        photo = photos.encoded(PICTURE, "WEBP", save_all=True, append_images=[other], lossless=True, duration=100)
        assert b"ANMF" in photo
        assert (looked_at(photo) == in_planes(RGB)).all()

    def test_a_first_frame_smaller_than_its_canvas_stands_on_white(self) -> None:
        frame = photos.encoded(PICTURE, "WEBP", lossless=True)[12:]
        head = b"".join(n.to_bytes(3, "little") for n in (10 // 2, 20 // 2, 80 - 1, 100 - 1, 100)) + b"\0"
        photo = photos.riff(
            photos.vp8x(120, 140, 2), photos.riff_chunk(b"ANIM", bytes(6)), photos.riff_chunk(b"ANMF", head + frame)
        )
        picture = looked_at(photo)
        assert picture.shape == (140, 120, 3)
        assert (picture[22:118, 12:88] == in_planes(RGB)[2:98, 2:78]).all()
        assert (picture[:18] == 255).all()


class TestHeic:
    @pytest.mark.parametrize("depth", [10, 12])
    def test_deep_colors_are_rounded_to_8_bits(self, depth: int) -> None:
        ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)
        samples = np.broadcast_to(ramp[None, :, None], (64, 256, 3))
        picture = looked_at(photos.deep_heic(samples, depth))
        assert difference(picture[32, :, 1], np.arange(256)).max() <= 2
        assert difference(picture[32, :, 1], np.arange(256)).mean() < 0.7

    @pytest.mark.parametrize("depth", [8, 10, 12])
    def test_monochrome_keeps_its_levels(self, depth: int) -> None:
        ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)
        picture = looked_at(photos.deep_heic(np.broadcast_to(ramp[None, :], (64, 256)), depth))
        assert difference(picture[32, :, 1], np.arange(256)).max() <= 4

    def test_tiles_of_an_iphone_are_put_together(self) -> None:
        picture = photos.astronaut(300, 400)
        photo = photos.tiled_heic(picture)
        assert opened(photo).upright_size == Size(300, 400)
        assert difference(looked_at(photo), np.asarray(picture)).mean() < 4

    def test_turned_tiles(self) -> None:
        upright = np.asarray(photos.astronaut(300, 400))
        photo = photos.tiled_heic(Image.fromarray(photos.stored_for(upright, 6)), 128, photos.irot(3))
        assert difference(looked_at(photo), upright).mean() < 4

    def test_of_a_burst_the_primary_picture_counts(self) -> None:
        others = [photos.coded_item(Image.new("RGB", (90, 90), name)) for name in ("red", "blue")]
        photo = photos.heif([others[0], photos.coded_item(PICTURE), others[1]], primary=2)
        assert difference(looked_at(photo), RGB).mean() < 4

    def test_gain_map_and_thumbnail_stay_behind(self) -> None:
        half = Image.new("RGB", (40, 50), "red")
        gain = photos.full_box(b"auxC", 0, b"urn:com:apple:photo:2020:aux:hdrgainmap\0")
        items = [photos.coded_item(PICTURE), photos.coded_item(half, gain), photos.coded_item(half)]
        photo = photos.heif(items, references=[(b"auxl", 2, [1]), (b"thmb", 3, [1])])
        assert (
            difference(looked_at(photo, longest_edge=50), looked_at(photos.heif(items[:1]), longest_edge=50)).max() == 0
        )

    def test_clean_aperture_cuts_the_picture(self) -> None:
        clap = photos.box(b"clap", np.array([40, 1, 50, 1, 0, 1, 0, 1], ">u4").tobytes())
        photo = photos.heif([photos.coded_item(PICTURE, clap)])
        assert opened(photo).upright_size == Size(40, 50)
        assert difference(looked_at(photo), RGB[25:75, 20:60]).mean() < 4

    @pytest.mark.parametrize(
        ("clap", "size"),
        [
            ((81, 2, 99, 2, 0, 1, 0, 1), (41, 50)),  # a half counts as a whole, whether the number is odd or even
            ((79, 2, 101, 2, 1, 2, -1, 2), (40, 51)),
            ((161, 4, 203, 4, 3, 4, 5, 4), (40, 51)),
            ((40, 1, 50, 1, -21, 2, 7, 2), (40, 50)),
            ((5, 2, 7, 2, 0, 1, 0, 1), (3, 4)),
            ((81, 1, 100, 1, 0, 1, 0, 1), (80, 100)),
        ],
        ids=str,
    )
    def test_a_clean_aperture_between_pixels_is_rounded(self, clap: tuple[int, ...], size: tuple[int, int]) -> None:
        box = photos.box(b"clap", struct.pack(">IIIIiIiI", *clap))
        photo = photos.heif([photos.coded_item(PICTURE, box)])
        assert opened(photo).upright_size == Size(*size)
        assert looked_at(photo).shape == (size[1], size[0], 3)

    @pytest.mark.parametrize("chroma", [420, 422, 444])
    @pytest.mark.parametrize("depth", [8, 10, 12])
    @pytest.mark.parametrize("full_range", [0, 1])
    def test_planes_look_as_rgb_does(
        self, chroma: int, depth: int, full_range: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        options = {"quality": 95, "chroma": chroma, "matrix_coefficients": 6, "full_range_flag": full_range}
        deep = RGB.astype(np.uint16) * 257
        photo = photos.heic(PICTURE, **options) if depth == 8 else photos.deep_heic(deep, depth, **options)
        by_planes = looked_at(photo).astype(int)
        monkeypatch.setattr("adapters.imaging.native.libheif._library", lambda: None)
        by_rgb = looked_at(photo).astype(int)
        assert abs((by_planes - by_rgb).mean()) < 0.6
        assert np.abs(by_planes - by_rgb).mean() < 2.5

    @pytest.mark.parametrize("depth", [8, 10])
    @pytest.mark.parametrize("full_range", [0, 1])
    def test_monochrome_keeps_black_and_white_whatever_range_it_names(self, depth: int, full_range: int) -> None:
        ramp = np.broadcast_to(np.linspace(0, 65535, 256).round().astype(np.uint16)[None], (64, 256))
        picture = looked_at(photos.deep_heic(ramp, depth, full_range_flag=full_range))
        assert difference(picture[32, :, 1], np.arange(256)).max() <= 4


def test_a_strip_keeps_at_least_one_pixel() -> None:
    photo = photos.encoded(Image.new("RGB", (3000, 1), "white"), "PNG")
    assert encoded(photo).size == Size(2000, 1)


def test_a_single_pixel_is_a_photo() -> None:
    assert shown(photos.encoded(Image.new("RGB", (1, 1), (200, 100, 50)), "PNG")).shape == (1, 1, 3)


def test_raw_zlib_bomb_after_the_last_row_is_not_unpacked() -> None:
    rows = b"".join(b"\0" + bytes([40]) * 10 for _ in range(10)) + bytes(50_000_000)
    photo = photos.raw_png(10, 10, 8, 0, rows)
    assert len(zlib.compress(rows)) < 100_000
    assert (looked_at(photo) == 40).all()
