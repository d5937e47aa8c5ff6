"""Colors that a file names by number (ITU-T H.273): nclx of HEIC, cICP of PNG; and what a PNG's gamma says.

A signal is what is stored, 0 to 1. Linear light is 1 at the white of an ordinary picture; only HDR goes beyond it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Point: TypeAlias = tuple[float, float]  # chromaticity x, y

HDR_WHITE_NITS: Final = 203.0
"""Where an ordinary picture's white is in an HDR one. Source: ITU-R BT.2408, 2.2."""

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
    """cd/m2. Source: SMPTE ST 2084, BT.2100 table 4."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = np.asarray(signal) ** (1 / m2)
    return np.asarray(10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1))


def nits_to_pq(nits: Floats) -> Floats:
    """The inverse of `pq_to_nits`."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = (np.asarray(nits) / 10_000) ** m1
    return np.asarray(((c1 + c2 * power) / (1 + c3 * power)) ** m2)


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
    return partial(_to_the_power, exponent=exponent)


def _to_the_power(signal: Floats, exponent: float) -> Floats:
    return np.asarray(signal**exponent)


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
