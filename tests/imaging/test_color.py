"""Colors are judged by formulas in double precision that share nothing with the code under test, and by Little CMS."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from adapters.imaging.color_conversion import MatrixConversion
from adapters.imaging.color_spaces import read_matrix_profile
from domain.photo import WarningCode
from tests import photos
from tests.imaging.encoding import difference, encoded, in_planes, looked_at

Floats = npt.NDArray[np.float64]

# RGB to XYZ at D50: Bruce Lindbloom's tables (Bradford) for Adobe RGB (1998) and sRGB, Apple's Display P3.icc, and
# ROMM RGB (ISO 22028-2).
SRGB = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
ADOBE_RGB = np.array(
    [[0.6097559, 0.2052401, 0.1492240], [0.3111242, 0.6256560, 0.0632197], [0.0194811, 0.0608902, 0.7448387]]
)
PROPHOTO = np.array([[0.7976749, 0.1351917, 0.0313534], [0.2880402, 0.7118741, 0.0000857], [0.0, 0.0, 0.8252100]])


def srgb_decoded(v: Floats) -> Floats:
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def srgb_encoded(v: Floats) -> Floats:
    v = np.clip(v, 0, 1)
    return np.where(v <= 0.0031308, v * 12.92, 1.055 * v ** (1 / 2.4) - 0.055)


def romm_decoded(v: Floats) -> Floats:
    return np.where(v < 16 / 512, v / 16, v**1.8)


def in_srgb(levels: npt.NDArray[np.uint8], linear: Floats, to_xyz: Floats) -> Floats:
    """What the levels should look like, unrounded."""
    return 255 * srgb_encoded(linear[levels] @ (np.linalg.inv(SRGB) @ to_xyz).T)


LEVELS = np.arange(256) / 255
INNER = np.s_[3::8, 3::8]  # of patches of 8 or 16 pixels: chroma is half as wide and high
GRID = np.linspace(0, 1, 4096)
WIDE_GAMUTS = {
    "Display P3, v4 parametric": (DISPLAY_P3, photos.SRGB_CURVE, 0x04000000, srgb_decoded(LEVELS)),
    "Display P3, v2 table": (DISPLAY_P3, photos.curve_table(srgb_decoded(GRID)), 0x02400000, srgb_decoded(LEVELS)),
    "Adobe RGB, v2 gamma": (ADOBE_RGB, photos.curve_gamma(563 / 256), 0x02100000, LEVELS ** (563 / 256)),
    "Adobe RGB, v4 parametric": (ADOBE_RGB, photos.curve_parametric(0, 563 / 256), 0x04200000, LEVELS ** (563 / 256)),
    "ProPhoto, v4 with its toe": (
        PROPHOTO, photos.curve_parametric(3, 1.8, 1, 0, 1 / 16, 16 / 512), 0x04200000, romm_decoded(LEVELS),
    ),
    "ProPhoto, v2 gamma": (PROPHOTO, photos.curve_gamma(1.8), 0x02400000, LEVELS ** (461 / 256)),
    "linear light": (SRGB, photos.curve_gamma(1.0), 0x02400000, LEVELS),
    "no curve at all": (SRGB, b"curv" + bytes(8), 0x02400000, LEVELS),
}  # fmt: skip


@pytest.mark.parametrize("name", WIDE_GAMUTS)
def test_a_profile_is_honoured_within_a_level_of_the_formulas(name: str) -> None:
    to_xyz, curve, version, linear = WIDE_GAMUTS[name]
    chart = np.asarray(photos.color_chart())
    numbers = read_matrix_profile(photos.matrix_profile(to_xyz, curve, version))
    assert numbers is not None
    off = difference(MatrixConversion.of(numbers).pixels(chart), in_srgb(chart, linear, to_xyz))
    assert off.mean() < 0.4  # rounding to whole levels alone is 0.25
    assert off.max() < 1.2


@pytest.mark.parametrize("name", WIDE_GAMUTS)
def test_a_photo_with_a_profile_shows_what_the_formulas_say(name: str) -> None:
    """In flat patches, within what 8 bits of luma and chroma can tell apart: most in the dark of steep curves."""
    to_xyz, curve, version, linear = WIDE_GAMUTS[name]
    photo = photos.encoded(photos.color_chart(), "PNG", icc_profile=photos.matrix_profile(to_xyz, curve, version))
    off = difference(looked_at(photo), in_srgb(np.asarray(photos.color_chart()), linear, to_xyz))[INNER]
    assert off.mean() < 1.2
    assert np.percentile(off, 95) < (4 if "light" not in name and "curve" not in name else 12)


@pytest.mark.parametrize("name", [name for name in WIDE_GAMUTS if "light" not in name and "curve" not in name])
def test_a_profile_is_honoured_as_little_cms_does_it(name: str) -> None:
    to_xyz, curve, version, _ = WIDE_GAMUTS[name]
    profile = photos.matrix_profile(to_xyz, curve, version)
    chart = photos.color_chart()
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    reference = ImageCms.profileToProfile(chart, source, ImageCms.createProfile("sRGB"))
    assert reference is not None
    off = difference(looked_at(photos.encoded(chart, "PNG", icc_profile=profile)), np.asarray(reference))[INNER]
    assert off.mean() < 1.2
    assert np.percentile(off, 95) < 4


LEAST_LOSS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 98, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "HEIF": {"quality": -1, "chroma": 444},
}


@pytest.mark.parametrize("family", LEAST_LOSS)
def test_every_family_carries_a_profile(family: str) -> None:
    profile = photos.matrix_profile(DISPLAY_P3, photos.SRGB_CURVE)
    chart = photos.color_chart(16)
    options = LEAST_LOSS[family]
    picture = looked_at(photos.encoded(chart, family, icc_profile=profile, **options))
    off = difference(picture, in_srgb(np.asarray(chart), srgb_decoded(LEVELS), DISPLAY_P3))[INNER]
    assert off.mean() < (0.9 if family in {"PNG", "WEBP"} else 1.6)
    assert np.median(off) <= 1


def test_a_profile_in_several_segments_is_put_together() -> None:
    profile = photos.matrix_profile(DISPLAY_P3, photos.curve_table(srgb_decoded(GRID)))
    chart = photos.jpeg(photos.color_chart())
    whole = photos.with_segments(chart, *photos.icc_segments(profile))
    parts = photos.icc_segments(profile, 700)
    assert len(parts) > 10
    assert (looked_at(photos.with_segments(chart, *reversed(parts))) == looked_at(whole)).all()


def test_photos_with_different_profiles_do_not_share_them() -> None:
    """What was made of a profile is kept for the next photo that brings it, and for no other."""
    flat = Image.new("RGB", (16, 16), (60, 160, 90))
    curves = {1.8: LEVELS ** (461 / 256), 563 / 256: LEVELS ** (563 / 256)}
    for gamma in (1.8, 563 / 256, 1.8):
        profile = photos.matrix_profile(ADOBE_RGB, photos.curve_gamma(gamma))
        expected = in_srgb(np.array([60, 160, 90], np.uint8), curves[gamma], ADOBE_RGB)
        assert np.abs(looked_at(photos.encoded(flat, "PNG", icc_profile=profile))[8, 8] - expected).max() < 2.2


def test_the_kept_picture_is_converted_too() -> None:
    profile = photos.matrix_profile(ADOBE_RGB, photos.curve_gamma(563 / 256))
    photo = photos.encoded(Image.new("RGB", (64, 80), (60, 160, 90)), "PNG", icc_profile=profile)
    expected = in_srgb(np.array([60, 160, 90], np.uint8), LEVELS ** (563 / 256), ADOBE_RGB)
    kept = np.asarray(Image.open(io.BytesIO(encoded(photo).jpeg)))
    assert np.abs(kept[40, 32] - expected).max() <= 2


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("alpha", [None, 255, 51])
def test_a_gray_profile_is_honoured(alpha: int | None, depth: int) -> None:
    """With transparency, too: the colors are mixed with white as they are stored, as viewers do it."""
    profile = photos.profile_of(
        {b"wtpt": b"XYZ " + bytes(4) + photos.fixed(0.9642) + photos.fixed(1) + photos.fixed(0.8249),
         b"desc": b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2, 28) + b"\0x",
         b"kTRC": photos.curve_gamma(1.8)}, space=b"GRAY")  # fmt: skip
    samples = np.arange(256, dtype=np.uint16).reshape(1, 256, 1) * (257 if depth == 16 else 1)
    if alpha is not None:
        samples = np.dstack([samples, np.full_like(samples, alpha * (257 if depth == 16 else 1))])
    iccp = photos.chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))
    color = 0 if alpha is None else 4
    rows = b"\0" + samples.astype(">u2" if depth == 16 else np.uint8).tobytes()
    picture = looked_at(photos.raw_png(256, 1, depth, color, rows, iccp))
    mixed = LEVELS if alpha is None else 1 - (1 - LEVELS) * alpha / 255
    assert difference(picture[0, :, 0], 255 * srgb_encoded(mixed ** (461 / 256))).max() < 2
    assert (picture[..., 0] == picture[..., 2]).all()


def lab_table_profile(space: bytes, corners: Floats) -> bytes:
    """A profile made of a table from the corners of the device cube to Lab, in lut8 (ICC.1:2001-04, 6.5.8)."""
    channels = int(np.log2(len(corners)))
    encoded = np.stack([corners[:, 0] * 2.55, corners[:, 1] + 128, corners[:, 2] + 128], axis=1)
    identity = b"".join(photos.fixed(v) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    ramp = bytes(range(256))
    table = np.clip(np.rint(encoded), 0, 255).astype(np.uint8).tobytes()
    lut = b"mft1" + bytes(4) + bytes([channels, 3, 2, 0]) + identity + ramp * channels + table + ramp * 3
    profile = bytearray(
        photos.profile_of(
            {
                b"A2B0": lut,
                b"wtpt": b"XYZ " + bytes(4) + photos.fixed(0.9642) + photos.fixed(1) + photos.fixed(0.8249),
                b"desc": b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78),
            },
            space=space,
            version=0x02400000,
        )
    )
    profile[12:16], profile[20:24] = b"prtr", b"Lab "
    return bytes(profile)


def lab_in_srgb(lab: Floats) -> Floats:
    """CIE Lab at D50 to levels in sRGB. CIE 15:2004."""
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * np.array([0.9642, 1, 0.8249])
    return 255 * srgb_encoded(xyz @ np.linalg.inv(SRGB).T)


def test_a_press_profile_is_honoured() -> None:
    """Inks whose colors are all inside sRGB, so that nothing needs to be clipped."""
    ink = np.array([[c, m, y, k] for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)], float)
    c, m, y, k = ink.T
    light = 1 - k  # black ink covers all; paper is white: engines map the device's white and black to those of sRGB
    lab = np.stack([100 - 25 * (c + m + y), -20 * c + 25 * m - 3 * y, -25 * c + 30 * y], axis=1) * light[:, None]
    corners = np.array([[c, m, y, k] for c in (0, 255) for m in (0, 255) for y in (0, 255) for k in (0, 255)], np.uint8)
    cmyk = np.kron(corners.reshape(2, 8, 4), np.ones((16, 16, 1), np.uint8))
    photo = photos.jpeg(Image.fromarray(cmyk, "CMYK"), quality=100, icc_profile=lab_table_profile(b"CMYK", lab))
    picture = looked_at(photo)[8::16, 8::16].reshape(16, 3)
    assert difference(picture, lab_in_srgb(lab)).max() <= 3


def test_a_profile_made_of_tables_is_honoured() -> None:
    r, g, b = np.array([[r, g, b] for r in (0, 1) for g in (0, 1) for b in (0, 1)], float).T
    lab = np.stack([30 * r + 60 * g + 10 * b, 40 * (r - g), 30 * (r - b)], axis=1)
    corners = np.array([[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)], np.uint8).reshape(2, 4, 3)
    patches = np.kron(corners, np.ones((8, 8, 1), np.uint8))
    photo = photos.encoded(Image.fromarray(patches), "PNG", icc_profile=lab_table_profile(b"RGB ", lab))
    assert encoded(photo).warnings == ()
    assert difference(looked_at(photo)[INNER].reshape(8, 3), lab_in_srgb(lab)).max() <= 4


GOOD = photos.matrix_profile(DISPLAY_P3, photos.SRGB_CURVE)
UNUSABLE = {
    "noise": b"not a profile at all" * 20,
    "cut": GOOD[:200],
    "without a signature": GOOD[:36] + b"xxxx" + GOOD[40:],
    "for inks on a color picture": photos.profile_of({}, space=b"CMYK"),
    "without any tag": photos.profile_of({}),
    "a million tags": GOOD[:128] + struct.pack(">I", 1_000_000) + GOOD[132:],
    "all primaries alike": photos.matrix_profile(np.ones((3, 3)), photos.SRGB_CURVE),
    "curve outside of the file": GOOD.replace(b"rTRC" + GOOD[GOOD.index(b"rTRC") + 4 :][:4], b"rTRC\x7f\xff\xff\xff"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_profile_counts_as_srgb_with_a_warning(name: str) -> None:
    chart = photos.color_chart()
    photo = photos.encoded(chart, "PNG", icc_profile=UNUSABLE[name])
    assert (looked_at(photo) == in_planes(np.asarray(chart))).all()
    assert [warning.code for warning in encoded(photo).warnings] == [WarningCode.COLOR_PROFILE_IGNORED]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda parts: parts[1:], id="the first part is missing"),
        pytest.param(lambda parts: [*parts, parts[0]], id="a part comes twice"),
        pytest.param(lambda parts: [*parts, photos.segment(0xE2, b"ICC_PROFILE\0")], id="a part without a number"),
    ],
)
def test_a_profile_with_a_part_missing_or_double_counts_as_srgb_with_a_warning(
    broken: Callable[[list[bytes]], list[bytes]],
) -> None:
    chart = photos.jpeg(photos.color_chart())
    photo = photos.with_segments(chart, *broken(photos.icc_segments(GOOD, 200)))
    assert [warning.code for warning in encoded(photo).warnings] == [WarningCode.COLOR_PROFILE_IGNORED]
    assert (looked_at(photo) == looked_at(chart)).all()


def test_a_picture_without_a_profile_is_srgb_and_nobody_is_warned() -> None:
    chart = photos.color_chart()
    photo = photos.encoded(chart, "PNG")
    assert encoded(photo).warnings == ()
    assert (looked_at(photo) == in_planes(np.asarray(chart))).all()


def test_a_profile_that_is_srgb_changes_no_level() -> None:
    chart = photos.color_chart()
    photo = photos.encoded(chart, "PNG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert (looked_at(photo) == in_planes(np.asarray(chart))).all()


def test_display_p3_in_nclx_of_a_heic_is_honoured() -> None:
    chart = photos.color_chart(16)
    photo = photos.heif([photos.coded_item(chart, photos.nclx(12, 13), quality=-1)])
    off = difference(looked_at(photo), in_srgb(np.asarray(chart), srgb_decoded(LEVELS), DISPLAY_P3))[INNER]
    assert off.mean() < 1.6


def test_display_p3_in_cicp_of_a_png_is_honoured() -> None:
    chart = photos.color_chart()
    photo = photos.with_chunks(photos.encoded(chart, "PNG"), photos.chunk(b"cICP", bytes([12, 13, 0, 1])))
    off = difference(looked_at(photo), in_srgb(np.asarray(chart), srgb_decoded(LEVELS), DISPLAY_P3))[INNER]
    assert off.mean() < 0.9
    assert np.percentile(off, 95) < 4


def test_the_gamma_of_a_png_is_honoured() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 256)
    photo = photos.with_chunks(
        photos.encoded(Image.fromarray(ramp), "PNG"), photos.chunk(b"gAMA", struct.pack(">I", 100_000))
    )
    assert difference(looked_at(photo)[0, :, 0], 255 * srgb_encoded(LEVELS)).max() < 1.2


@pytest.mark.parametrize("gamma", [45_455, 0, 1, 2**31])
def test_a_usual_or_senseless_gamma_changes_nothing(gamma: int) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 256)
    photo = photos.with_chunks(
        photos.encoded(Image.fromarray(ramp), "PNG"), photos.chunk(b"gAMA", struct.pack(">I", gamma))
    )
    assert (looked_at(photo)[0, :, 0] == ramp[0]).all()
