"""ICC profiles that are a curve per channel and one matrix, read into numbers; phones and cameras write no others."""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from adapters.imaging.color.code_points import SRGB_PRIMARIES, ColorTag, Primaries

_HEADER_BYTES: Final = 128
_MAX_TAGS: Final = 100  # a display profile has 10 to 20
_MATRIX_TAGS: Final = (b"rXYZ", b"gXYZ", b"bXYZ")
_CURVE_TAGS: Final = (b"rTRC", b"gTRC", b"bTRC")
_LEVELS: Final = np.arange(256) / 255.0

# Bradford's cone responses (ICC.1:2022, annex E) and the profile connection space's white (7.2.16)
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50: Final = np.array([0.9642, 1.0, 0.8249])


@dataclass(frozen=True, slots=True)
class MatrixProfile:
    """`curves` (3 x 256): linear light, 0 to 1, of each 8-bit level; `to_xyz` (3 x 3): linear light to XYZ at D50."""

    curves: npt.NDArray[np.float64]
    to_xyz: npt.NDArray[np.float64]


class UnusableProfileError(ValueError):
    """The profile contradicts itself or the specification."""


def profile_color_space(profile: bytes) -> str:
    """`RGB`, `GRAY`, `CMYK` or another signature out of the header. Raises: UnusableProfileError."""
    if len(profile) < _HEADER_BYTES + 4 or profile[36:40] != b"acsp":
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
    curves = _finite(np.array([_read_curve(tags[kind]) for kind in _CURVE_TAGS]))
    return MatrixProfile(np.clip(curves, 0, 1), to_xyz)


def read_gray_curve(profile: bytes) -> npt.NDArray[np.float64] | None:
    """Linear light of the 256 levels of a gray profile, or None when it is for a color engine to apply.

    Raises: UnusableProfileError.
    """
    tags = _read_tags(profile)
    if b"A2B0" in tags or profile[20:24] != b"XYZ " or b"kTRC" not in tags:
        return None
    return np.clip(_finite(_read_curve(tags[b"kTRC"])), 0, 1)


def profile_of_tag(tag: ColorTag) -> MatrixProfile:
    """The profile that means the same. Raises: UnusableProfileError."""
    return MatrixProfile(np.array([tag.to_linear(_LEVELS)] * 3), primaries_to_xyz(tag.primaries))


def primaries_to_xyz(primaries: Primaries) -> npt.NDArray[np.float64]:
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


def xyz_to_srgb() -> npt.NDArray[np.float64]:
    """XYZ at D50 to linear sRGB."""
    return np.asarray(np.linalg.inv(primaries_to_xyz(SRGB_PRIMARIES)))


def _read_tags(profile: bytes) -> dict[bytes, bytes]:
    profile_color_space(profile)
    (count,) = struct.unpack_from(">I", profile, _HEADER_BYTES)
    if count > _MAX_TAGS or _HEADER_BYTES + 4 + 12 * count > len(profile):
        raise UnusableProfileError
    tags: dict[bytes, bytes] = {}
    for index in range(count):
        kind, at, length = struct.unpack_from(">4sII", profile, _HEADER_BYTES + 4 + 12 * index)
        if at + length > len(profile):
            raise UnusableProfileError
        tags.setdefault(kind, profile[at : at + length])
    return tags


def _read_xyz(data: bytes) -> tuple[float, ...]:
    if data[:4] != b"XYZ " or len(data) < 20:
        raise UnusableProfileError
    return tuple(value / 65536 for value in struct.unpack_from(">3i", data, 8))


def _read_curve(data: bytes) -> npt.NDArray[np.float64]:
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


def _finite(curves: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if not np.isfinite(curves).all():
        raise UnusableProfileError
    return curves


def _parametric(data: bytes) -> npt.NDArray[np.float64]:
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
