"""Colors as files describe them: by number (ITU-T H.273: nclx of HEIC, cICP of PNG), by gamma, or by an ICC profile.

A signal is what is stored, 0 to 1. Linear light is 1 at the white of an ordinary picture; only HDR goes beyond it.
Of ICC profiles those that are a curve for each channel and one matrix are read into numbers: phones and cameras write
no others.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Point: TypeAlias = tuple[float, float]  # chromaticity x, y

HDR_WHITE_NITS: Final = 203.0
"""An ordinary picture's white, in an HDR one. Source: ITU-R BT.2408, 2.2."""

_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
"""PQ. Source: SMPTE ST 2084, BT.2100 table 4."""

_HLG_WHITE: Final = (HDR_WHITE_NITS / 1000) ** (1 / 1.2)  # light of the scene behind it, on BT.2100's display of 1,000
# 1.2 on that display, less on dimmer ones (BT.2100, note 5f). Tools write stills with and without it; in the middle
# both stay recognizable.
_HLG_GAMMA: Final = 1.1


@dataclass(frozen=True, slots=True)
class Primaries:
    """Chromaticities of white and of the three primaries."""

    white: Point
    red: Point
    green: Point
    blue: Point


@dataclass(frozen=True, slots=True)
class ColorTag:
    """How a file without a usable ICC profile describes its colors.

    `to_linear` makes linear light of a signal; a `system_gamma` other than 1 says that it is light of the scene, and
    that luminance to this power is what a display shows. `is_hdr` says that the light goes beyond white.
    `is_steep` says that 8 bits are too few for the signal.
    """

    primaries: Primaries
    to_linear: Callable[[Floats], Floats]
    system_gamma: float = 1.0
    is_hdr: bool = False
    is_steep: bool = False


def srgb_to_linear(signal: Floats) -> Floats:
    """IEC 61966-2-1."""
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: Floats) -> Floats:
    """IEC 61966-2-1."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


def pq_to_nits(signal: Floats) -> Floats:
    """cd/m2."""
    power = np.asarray(signal) ** (1 / _M2)
    return np.asarray(10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1))


def nits_to_pq(nits: Floats) -> Floats:
    """The inverse of `pq_to_nits`."""
    power = (np.asarray(nits) / 10_000) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


def tag_of_code_points(primaries: int, transfer: int) -> ColorTag | None:
    """What primaries (H.273, table 2) and a transfer function (table 3) mean together; None for sRGB or unspecified.

    BT.709 and BT.601 curves were made for cameras, and a viewer shows such stills as if they were sRGB, which is what
    phones mean by them. With the primaries of BT.2020 the curve is taken at its word.
    """
    curve = _TRANSFERS.get(transfer, srgb_to_linear)
    if transfer in _SHOWN_AS_SRGB and primaries != _BT_2020:
        curve = srgb_to_linear
    known = _PRIMARIES.get(primaries, SRGB_PRIMARIES)
    if known == SRGB_PRIMARIES and curve is srgb_to_linear:
        return None
    gamma = _HLG_GAMMA if transfer == _HLG else 1.0
    return ColorTag(known, curve, gamma, is_hdr=transfer in {_PQ, _HLG}, is_steep=transfer in _STEEP)


def tag_of_gamma(primaries: Primaries | None, exponent: float | None) -> ColorTag:
    """Light of a display with this exponent, or None for the sRGB curve; without primaries those of sRGB."""
    return ColorTag(primaries or SRGB_PRIMARIES, srgb_to_linear if exponent is None else _power(exponent))


def _power(exponent: float) -> Callable[[Floats], Floats]:
    return lambda signal: np.asarray(signal**exponent)


def _camera(signal: Floats) -> Floats:
    """BT.709, 1.2, the other way round; BT.601 and BT.2020 have the same curve."""
    return np.where(signal < 0.081243, signal / 4.5, ((signal + 0.099297) / 1.099297) ** (1 / 0.45))


def _smpte_240m(signal: Floats) -> Floats:
    return np.where(signal < 0.0913, signal / 4, ((signal + 0.1115) / 1.1115) ** (1 / 0.45))


def _logarithmic(signal: Floats, decades: float) -> Floats:
    return np.where(signal <= 0, 0, 10 ** (decades * (signal - 1)))


def _cinema(signal: Floats) -> Floats:
    """SMPTE ST 428-1: white lies a little below the full signal."""
    return np.minimum(52.37 / 48 * signal**2.6, 1)


def _pq(signal: Floats) -> Floats:
    return pq_to_nits(signal) / HDR_WHITE_NITS


def _hlg(signal: Floats) -> Floats:
    """Light of the scene. Source: BT.2100, table 5."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12) / _HLG_WHITE


_D65: Final = (0.3127, 0.3290)
SRGB_PRIMARIES: Final = Primaries(_D65, (0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_C: Final = (0.310, 0.316)
_SMPTE_170M: Final = Primaries(_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))

_BT_2020: Final = 9
_PRIMARIES: Final = {
    1: SRGB_PRIMARIES,
    4: Primaries(_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: Primaries(_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: _SMPTE_170M,
    7: _SMPTE_170M,
    8: Primaries(_C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    _BT_2020: Primaries(_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    10: Primaries((1 / 3, 1 / 3), (1, 0), (0, 1), (0, 0)),
    11: Primaries((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: Primaries(_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: Primaries(_D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
_PQ, _HLG = 16, 18
_STEEP: Final = frozenset({8, 9, 10, _PQ, _HLG})
_SHOWN_AS_SRGB: Final = frozenset({1, 6})
_TRANSFERS: Final[dict[int, Callable[[Floats], Floats]]] = {
    1: _camera,
    4: _power(2.2),
    5: _power(2.8),
    6: _camera,
    7: _smpte_240m,
    8: _power(1.0),
    9: partial(_logarithmic, decades=2.0),
    10: partial(_logarithmic, decades=2.5),
    11: _camera,
    12: _camera,
    14: _camera,
    15: _camera,
    _PQ: _pq,
    17: _cinema,
    _HLG: _hlg,
}

_ICC_HEADER_BYTES: Final = 128
_MAX_ICC_TAGS: Final = 100  # a display profile has 10 to 20
_MATRIX_TAGS: Final = (b"rXYZ", b"gXYZ", b"bXYZ")
_CURVE_TAGS: Final = (b"rTRC", b"gTRC", b"bTRC")
_LEVELS: Final = np.arange(256) / 255.0

# Bradford's cone responses (ICC.1:2022, annex E) and the profile connection space's white (7.2.16)
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50: Final = np.array([0.9642, 1.0, 0.8249])


@dataclass(frozen=True, slots=True)
class MatrixProfile:
    """`curves` (3 x 256): linear light, 0 to 1, of each 8-bit level; `to_xyz` (3 x 3): linear light to XYZ at D50."""

    curves: Floats
    to_xyz: Floats


class UnusableProfileError(ValueError):
    """The profile contradicts itself or the specification."""


def profile_color_space(profile: bytes) -> str:
    """`RGB`, `GRAY`, `CMYK` or another signature out of the header. Raises: UnusableProfileError."""
    if len(profile) < _ICC_HEADER_BYTES + 4 or profile[36:40] != b"acsp":
        raise UnusableProfileError
    return profile[16:20].decode("ascii", "replace").strip()


def read_matrix_profile(profile: bytes) -> MatrixProfile | None:
    """The numbers of a matrix profile, or None when it is built from tables and for a color engine to apply.

    Source: ICC.1:2022, 8.3 and 10. Raises: UnusableProfileError.
    """
    tags = _read_tags(profile)
    if b"A2B0" in tags or profile[20:24] != b"XYZ " or not {*_MATRIX_TAGS, *_CURVE_TAGS} <= tags.keys():
        return None
    to_xyz = np.array([_read_xyz(tags[kind]) for kind in _MATRIX_TAGS]).T
    if abs(np.linalg.det(to_xyz)) < 1e-6:
        raise UnusableProfileError
    return MatrixProfile(_within_reach(np.array([_read_curve(tags[kind]) for kind in _CURVE_TAGS])), to_xyz)


def read_gray_curve(profile: bytes) -> Floats | None:
    """Linear light of the 256 levels of a gray profile, or None when it is for a color engine to apply.

    Raises: UnusableProfileError.
    """
    tags = _read_tags(profile)
    if b"A2B0" in tags or profile[20:24] != b"XYZ " or b"kTRC" not in tags:
        return None
    return _within_reach(_read_curve(tags[b"kTRC"]))


def profile_of_tag(tag: ColorTag) -> MatrixProfile:
    """The profile that means the same. Raises: UnusableProfileError."""
    return MatrixProfile(np.array([tag.to_linear(_LEVELS)] * 3), primaries_to_xyz(tag.primaries))


def primaries_to_xyz(primaries: Primaries) -> Floats:
    """Linear light to XYZ adapted to D50. Source: SMPTE RP 177. Raises: UnusableProfileError."""
    points = np.array([primaries.red, primaries.green, primaries.blue, primaries.white])
    if (points < 0).any() or (points > 1).any() or points[3, 1] == 0:
        raise UnusableProfileError
    *colors, white = np.column_stack([points, 1 - points.sum(axis=1)]) / points[3, 1]
    reach = np.array(colors).T
    if abs(np.linalg.det(reach)) < 1e-6:
        raise UnusableProfileError
    to_xyz = reach * np.linalg.solve(reach, white)
    adapted = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    return np.asarray(np.linalg.inv(_BRADFORD) @ adapted @ _BRADFORD @ to_xyz)


def _read_tags(profile: bytes) -> dict[bytes, bytes]:
    profile_color_space(profile)
    (count,) = struct.unpack_from(">I", profile, _ICC_HEADER_BYTES)
    if count > _MAX_ICC_TAGS or _ICC_HEADER_BYTES + 4 + 12 * count > len(profile):
        raise UnusableProfileError
    tags: dict[bytes, bytes] = {}
    for index in range(count):
        kind, at, length = struct.unpack_from(">4sII", profile, _ICC_HEADER_BYTES + 4 + 12 * index)
        if at + length > len(profile):
            raise UnusableProfileError
        tags.setdefault(kind, profile[at : at + length])
    return tags


def _read_xyz(data: bytes) -> tuple[float, ...]:
    if data[:4] != b"XYZ " or len(data) < 20:
        raise UnusableProfileError
    return tuple(value / 65536 for value in struct.unpack_from(">3i", data, 8))


def _read_curve(data: bytes) -> Floats:
    """Linear light of the 256 levels. Source: ICC.1:2022, 10.6 and 10.18."""
    if len(data) < 12:
        raise UnusableProfileError
    if data[:4] == b"para":
        return _parametric(data)
    if data[:4] != b"curv":
        raise UnusableProfileError
    (count,) = struct.unpack_from(">I", data, 8)
    if 12 + 2 * count > len(data):
        raise UnusableProfileError
    points = np.frombuffer(data, ">u2", count, 12).astype(np.float64)
    if count == 0:
        return _LEVELS
    if count == 1:
        return np.asarray(_LEVELS ** (points[0] / 256))
    return np.interp(_LEVELS, np.linspace(0, 1, count), points / 65535)


def _within_reach(curves: Floats) -> Floats:
    if not np.isfinite(curves).all():
        raise UnusableProfileError
    return np.clip(curves, 0, 1)


def _parametric(data: bytes) -> Floats:
    (kind,) = struct.unpack_from(">H", data, 8)
    count = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}.get(kind)
    if count is None or 12 + 4 * count > len(data):
        raise UnusableProfileError
    values = [value / 65536 for value in struct.unpack_from(f">{count}i", data, 12)]
    g, a, b, c, d, e, f = _seven_parameters(kind, values)
    with np.errstate(all="ignore"):
        power = np.maximum(a * _LEVELS + b, 0) ** g + e
    return np.where(d > _LEVELS, c * _LEVELS + f, power)


def _seven_parameters(kind: int, v: list[float]) -> tuple[float, ...]:
    """Every kind written as the last one: (aX + b)^g + e from d on, cX + f below."""
    match kind:
        case 0:
            return v[0], 1, 0, 0, 0, 0, 0
        case 1 | 2:
            if v[1] == 0:
                raise UnusableProfileError
            offset = v[3] if kind == 2 else 0.0
            return v[0], v[1], v[2], 0, -v[2] / v[1], offset, offset
        case 3:
            return v[0], v[1], v[2], v[3], v[4], 0, 0
        case _:
            return tuple(v)


XYZ_TO_SRGB: Final[Floats] = np.asarray(np.linalg.inv(primaries_to_xyz(SRGB_PRIMARIES)))
"""XYZ at D50 to linear sRGB."""

SRGB_LEVELS: Final[npt.NDArray[np.uint8]] = np.rint(linear_to_srgb(np.arange(65536) / 65535) * 255).astype(np.uint8)
"""The sRGB level of every 16-bit linear value."""
