"""Colors named by number (ITU-T H.273) come out as the same scene in sRGB; these encoders share no code with ours."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from adapters.imaging.heif_stream import CodePoints, code_points_of
from domain.photo import WarningCode
from tests import photos
from tests.imaging.encoding import Picture, difference, encoded, in_planes, looked_at, shown

Floats = npt.NDArray[np.float64]
D65, WHITE_C, WHITE_DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
PRIMARIES = {  # ITU-T H.273, table 2
    1: (D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    4: (WHITE_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: (D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    7: (D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    9: (D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: (WHITE_DCI, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    12: (D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    22: (D65, (0.63, 0.34), (0.295, 0.605), (0.155, 0.077)),
}
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def to_xyz_d65(number: int) -> Floats:
    white, *colors = ([x / y, 1, (1 - x - y) / y] for x, y in PRIMARIES[number])
    matrix = np.array(colors).T
    matrix = matrix * np.linalg.solve(matrix, np.array(white))
    d65 = np.array([D65[0] / D65[1], 1, (1 - sum(D65)) / D65[1]])
    cones = np.diag((BRADFORD @ d65) / (BRADFORD @ np.array(white)))
    return np.asarray(np.linalg.inv(BRADFORD) @ cones @ BRADFORD @ matrix)


def srgb_signal(light: Floats) -> Floats:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)


def srgb_light(levels: npt.NDArray[Any]) -> Floats:
    v = levels / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def camera_signal(light: Floats) -> Floats:
    """BT.709 and BT.2020: the curve of a camera."""
    return np.where(light < 0.018053968, 4.5 * light, 1.099296827 * light**0.45 - 0.099296827)


def pq_signal(light: Floats) -> Floats:
    """BT.2100, white at 203 cd/m2."""
    y = (light * 203 / 10_000) ** 0.1593017578125
    return np.asarray(((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375)


def hlg_oetf(scene: Floats) -> Floats:
    return np.where(
        scene <= 1 / 12,
        np.sqrt(3 * scene),
        0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073,
    )


def hlg_signal(light: Floats) -> Floats:
    """BT.2100 for a display of 1,000 cd/m2: white at 203 of them, three quarters of the signal."""
    display = light * 0.203
    luminance = np.maximum(display @ np.array([0.2627, 0.6780, 0.0593]), 1e-9)
    return hlg_oetf(display * luminance[..., None] ** (1 / 1.2 - 1))


def hlg_signal_of_the_scene(light: Floats) -> Floats:
    """As tools write it that leave out the system gamma."""
    return hlg_oetf(light * 0.265)


SDR: dict[str, tuple[int, int, Callable[[Floats], Floats]]] = {
    "Display P3": (12, 13, srgb_signal),
    "P3 with the transfer of BT.709": (12, 1, srgb_signal),
    "P3 with the transfer of BT.601": (12, 6, srgb_signal),
    "P3 of a cinema": (11, 17, lambda light: (light * 48 / 52.37) ** (1 / 2.6)),
    "DCI primaries with sRGB's curve": (11, 13, srgb_signal),
    "BT.2020, 10 bits": (9, 14, camera_signal),
    "BT.2020, 12 bits": (9, 15, camera_signal),
    "BT.2020 with the transfer of BT.709": (9, 1, camera_signal),
    "BT.2020 with sRGB's curve": (9, 13, srgb_signal),
    "BT.601, 625 lines": (5, 6, srgb_signal),
    "BT.601, 525 lines": (6, 6, srgb_signal),
    "SMPTE 240M": (7, 7, lambda light: np.where(light < 0.0228, 4 * light, 1.1115 * light**0.45 - 0.1115)),
    "EBU 3213": (22, 13, srgb_signal),
    "NTSC of 1953": (4, 4, lambda light: light ** (1 / 2.2)),
    "BT.709 with a gamma of 2.8": (1, 5, lambda light: light ** (1 / 2.8)),
    "BT.709, linear": (1, 8, lambda light: light),
    "P3, linear": (12, 8, lambda light: light),
    "BT.709, logarithmic": (1, 9, lambda light: np.where(light < 0.01, 0, 1 + np.log10(np.maximum(light, 0.01)) / 2)),
    "BT.709 itself": (1, 1, srgb_signal),
    "nothing said": (2, 2, srgb_signal),
}
HDR: dict[str, tuple[int, int, Callable[[Floats], Floats]]] = {
    "PQ": (9, 16, pq_signal),
    "PQ in P3": (12, 16, pq_signal),
    "HLG": (9, 18, hlg_signal),
    "HLG without its system gamma": (9, 18, hlg_signal_of_the_scene),
}

RED, WHITE, SKIN = (slice(40, 60), slice(10, 30)), (slice(10, 30), slice(50, 70)), (slice(70, 90), slice(50, 70))


def scene() -> Picture:
    """A soft picture with patches of red, white and skin, inside of every gamut above."""
    y, x = np.mgrid[0:100, 0:80]
    picture = np.stack([120 + 60 * np.sin(x / 30), 110 + 50 * np.cos(y / 40), 100 + 50 * np.sin((x + y) / 50)], axis=-1)
    picture[RED], picture[WHITE], picture[SKIN] = (200, 60, 50), (240, 240, 240), (224, 172, 145)
    return picture.round().astype(np.uint8)


SCENE = scene()


def stored(case: tuple[int, int, Callable[[Floats], Floats]], light: Floats | None = None) -> npt.NDArray[np.uint16]:
    primaries, _, signal = case
    to_primaries = np.linalg.inv(to_xyz_d65(primaries if primaries != 2 else 1)) @ to_xyz_d65(1)
    linear = np.maximum((srgb_light(SCENE) if light is None else light) @ to_primaries.T, 0)
    return np.asarray(np.rint(np.clip(signal(linear), 0, 1) * 65535), np.uint16)


def as_png(case: tuple[int, int, Callable[[Floats], Floats]], *, depth: int = 16, light: Floats | None = None) -> bytes:
    samples = stored(case, light)
    tag = photos.chunk(b"cICP", bytes([case[0], case[1], 0, 1]))
    if depth == 16:
        return photos.png_16(samples, 2, tag)
    return photos.with_chunks(photos.encoded((samples // 257).astype(np.uint8), "PNG"), tag)


def as_heic(case: tuple[int, int, Callable[[Floats], Floats]], *, matrix: int = 6, full_range: int = 1) -> bytes:
    photo = photos.deep_heic(
        stored(case), 10, color_primaries=1, transfer_characteristics=13,
        matrix_coefficients=matrix, full_range_flag=full_range,
    )  # fmt: skip
    said = b"nclx" + struct.pack(">HH", 1, 13)
    assert said in photo
    return photo.replace(said, b"nclx" + struct.pack(">HH", *case[:2]))


def as_heic_by_its_stream(
    case: tuple[int, int, Callable[[Floats], Floats]], *, matrix: int = 6, full_range: int = 1, boxed: bytes = b"none"
) -> bytes:
    """Only the HEVC stream names the colors; `boxed`: what the container's nclx says instead of the truth."""
    photo = photos.deep_heic(
        stored(case), 10, color_primaries=case[0], transfer_characteristics=case[1],
        matrix_coefficients=matrix, full_range_flag=full_range,
    )  # fmt: skip
    said = b"nclx" + struct.pack(">HHH", *case[:2], matrix)
    assert said in photo
    return photo.replace(said, boxed + said[len(boxed) :])


@pytest.mark.parametrize("name", SDR)
@pytest.mark.parametrize("family", [as_png, as_heic])
def test_an_ordinary_picture_looks_like_the_scene(name: str, family: Callable[[Any], bytes]) -> None:
    photo = family(SDR[name])
    assert difference(shown(photo), SCENE).mean() < 2
    assert encoded(photo).warnings == ()


@pytest.mark.parametrize("name", HDR)
@pytest.mark.parametrize("family", [as_png, as_heic, as_heic_by_its_stream])
def test_skin_and_white_of_an_hdr_picture_look_like_the_scene(name: str, family: Callable[[Any], bytes]) -> None:
    photo = family(HDR[name])
    kept = shown(photo)
    for patch in (RED, WHITE, SKIN):
        inner = np.median(kept[patch], axis=(0, 1))
        assert np.abs(inner - SCENE[patch][0, 0]).max() < 20
    assert [warning.code for warning in encoded(photo).warnings] == [WarningCode.HDR_TONE_MAPPED]


def test_hdr_without_anything_beyond_white_keeps_its_levels() -> None:
    assert difference(shown(as_png(HDR["PQ"])), SCENE).mean() < 2


@pytest.mark.parametrize("name", ["PQ", "HLG"])
def test_lights_beyond_white_keep_their_order_and_leave_skin_alone(name: str) -> None:
    light = srgb_light(SCENE)
    light[:10] = np.geomspace(1.1, 4.5, 80)[None, :, None]
    kept = looked_at(as_png(HDR[name], light=light))
    lamps = kept[5, :, 1].astype(int)
    assert (np.diff(lamps) >= 0).all()
    assert lamps[0] < lamps[40] <= lamps[-1]
    assert np.abs(kept[SKIN].mean(axis=(0, 1)) - SCENE[SKIN].mean(axis=(0, 1))).max() < 30
    assert kept[WHITE].mean() >= 210


def test_8_bits_are_enough_for_an_hdr_picture_to_be_recognized() -> None:
    assert difference(shown(as_png(HDR["PQ"], depth=8)), SCENE).mean() < 3


@pytest.mark.parametrize("matrix", [0, 1, 2, 5, 6, 7, 9])
@pytest.mark.parametrize("full_range", [0, 1])
def test_matrix_and_range_of_a_heic_are_honoured(matrix: int, full_range: int) -> None:
    photo = as_heic(SDR["P3 with the transfer of BT.709"], matrix=matrix, full_range=full_range)
    assert difference(shown(photo), SCENE).mean() < 2


@pytest.mark.parametrize("name", [name for name, case in SDR.items() if case[0] < 22])  # all that x265 writes
def test_colors_that_only_the_stream_names_are_honoured(name: str) -> None:
    photo = as_heic_by_its_stream(SDR[name])
    assert difference(shown(photo), SCENE).mean() < 2
    assert encoded(photo).warnings == ()


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("full_range", [0, 1])
def test_matrix_and_range_that_only_the_stream_names_are_honoured(matrix: int, full_range: int) -> None:
    photo = as_heic_by_its_stream(SDR["P3 with the transfer of BT.709"], matrix=matrix, full_range=full_range)
    assert difference(shown(photo), SCENE).mean() < 2


def test_the_stream_names_what_the_container_leaves_unspecified() -> None:
    photo = as_heic_by_its_stream(SDR["P3 with the transfer of BT.709"], boxed=b"nclx" + struct.pack(">HHH", 2, 2, 2))
    assert difference(shown(photo), SCENE).mean() < 2


def test_the_container_counts_more_than_the_stream() -> None:
    photo = as_heic(SDR["P3 with the transfer of BT.709"])  # its stream says sRGB
    assert difference(shown(photo), SCENE).mean() < 2


def test_the_first_tile_names_the_colors_of_a_grid() -> None:
    case = SDR["P3 with the transfer of BT.709"]
    tile = Image.fromarray((stored(case) // 257).astype(np.uint8))
    grid = photos.tiled_heic(tile, 64, quality=-1, color_primaries=12, transfer_characteristics=13)
    assert difference(shown(grid), SCENE).mean() < 2


def test_parameters_that_are_cut_or_make_no_sense_name_no_colors() -> None:
    item = photos.coded_item(SCENE, quality=-1, color_primaries=12, transfer_characteristics=13)
    configuration = item.properties[0][8:]
    whole = CodePoints(12, 13, 6, is_full_range=True)
    assert code_points_of(configuration) == whole
    assert {code_points_of(configuration[:length]) for length in range(len(configuration))} == {None, whole}
    for unit in (b"", b"\x42\x01\x01" + bytes(3000), b"\x42\x01" + b"\xff" * 5000, b"\x42\x01\x0e" + bytes(7)):
        head = bytes(22) + b"\x01\x21\x00\x01" + struct.pack(">H", len(unit))
        assert code_points_of(head + unit) is None


def test_gray_and_transparent_hdr_pictures_are_tone_mapped_too() -> None:
    gray = np.rint(pq_signal(srgb_light(np.full((20, 20), 200))) * 65535).astype(np.uint16)
    tag = photos.chunk(b"cICP", bytes([9, 16, 0, 1]))
    opaque = np.full((20, 20), 65535, np.uint16)
    for samples, color in (
        (gray[..., None], 0),
        (np.dstack([gray, opaque // 2]), 4),
        (np.dstack([gray] * 3 + [opaque // 2]), 6),
    ):
        expected = 200 if samples.shape[2] == 1 else (200 + 255) / 2
        assert np.abs(looked_at(photos.png_16(samples, color, tag)) - expected).max() <= 2


def test_cicp_of_a_png_counts_more_than_its_profile() -> None:
    """PNG specification, third edition, 4.3."""
    profile = photos.matrix_profile(np.eye(3)[:, [1, 2, 0]] * 0.9, photos.SRGB_CURVE)
    photo = photos.with_chunks(
        photos.encoded(SCENE, "PNG", icc_profile=profile), photos.chunk(b"cICP", bytes([1, 13, 0, 1]))
    )
    assert (looked_at(photo) == in_planes(SCENE)).all()


def test_a_profile_of_a_heic_counts_more_than_its_numbers_unless_they_say_hdr() -> None:
    identity = photos.matrix_profile(
        np.array(
            [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
        ),
        photos.SRGB_CURVE,
    )
    with_profile = photos.box(b"colr", b"prof", identity)
    ordinary = photos.heif([photos.coded_item(SCENE, photos.nclx(9, 14), with_profile, quality=-1)])
    assert difference(looked_at(ordinary), SCENE).mean() < 2
    hdr = photos.heif([photos.coded_item(SCENE, photos.nclx(9, 16), with_profile, quality=-1)])
    assert [warning.code for warning in encoded(hdr).warnings] == [WarningCode.HDR_TONE_MAPPED]


@pytest.mark.parametrize("numbers", [(255, 255), (0, 3), (2, 2), (3, 0)])
def test_numbers_without_a_meaning_count_as_srgb(numbers: tuple[int, int]) -> None:
    photo = photos.with_chunks(photos.encoded(SCENE, "PNG"), photos.chunk(b"cICP", bytes([*numbers, 0, 1])))
    assert (looked_at(photo) == in_planes(SCENE)).all()
