"""From signals that reach beyond white, or that 8 bits cannot hold, to 8-bit sRGB: at full depth and pixel by pixel."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from adapters.imaging.color.code_points import HDR_WHITE_NITS, ColorTag, Floats, linear_to_srgb, nits_to_pq, pq_to_nits
from adapters.imaging.color.icc_profile import primaries_to_xyz, xyz_to_srgb
from adapters.imaging.resampling import Pixels

_MEASURED_EDGE: Final = 512  # enough samples to find the brightest part of a picture
_PEAK_SHARE: Final = 0.999  # of all samples: a few glints may clip
_STEPS: Final = 4096


def in_srgb(samples: npt.NDArray[Any], depth: int, tag: ColorTag) -> Callable[[npt.NDArray[Any]], Pixels]:
    """Makes 8-bit sRGB of some rows of RGB samples (height x width x 3, `depth` bits).

    Light up to the picture's own peak is brought under white by the curve of ITU-R BT.2390, 5.4, on the brightest of
    the three channels, so that hues stay; a picture without anything beyond white keeps its levels.
    """
    to_linear = tag.to_linear(np.arange(1 << depth) / ((1 << depth) - 1)).astype(np.float32)
    of_source = primaries_to_xyz(tag.primaries)
    matrix = (xyz_to_srgb() @ of_source).T.astype(np.float32)
    luminance = of_source[1].astype(np.float32)
    gamma = tag.system_gamma

    def light(part: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        linear: npt.NDArray[np.float32] = to_linear[part]
        return linear * np.maximum(linear @ luminance, 1e-6)[..., None] ** (gamma - 1) if gamma != 1 else linear

    step = max(1, max(samples.shape[:2]) // _MEASURED_EDGE)
    measured = light(samples[::step, ::step]).max(axis=2).ravel()
    brightest_but_glints = int(_PEAK_SHARE * (measured.size - 1))
    # np.percentile would load a module, and a decoder of strangers' photos cannot open any file
    peak = max(1.0, float(np.partition(measured, brightest_but_glints)[brightest_but_glints]))
    gains = _gains(peak)

    def convert(rows: npt.NDArray[Any]) -> Pixels:
        linear = light(rows)
        brightest = np.minimum(linear.max(axis=2) / peak, 1)
        toned = linear * gains[(np.sqrt(brightest) * (_STEPS - 1)).astype(np.uint16)][..., None]
        srgb: Pixels = _ENCODED[(np.clip(toned @ matrix, 0, 1) * (len(_ENCODED) - 1) + 0.5).astype(np.uint16)]
        return srgb

    return convert


def _gains(peak: float) -> npt.NDArray[np.float32]:
    """What light is multiplied with, by the square root of its share of the peak."""
    light = (np.arange(_STEPS) / (_STEPS - 1)) ** 2 * peak
    return np.divide(_under_white(light, peak), light, out=np.ones(_STEPS), where=light > 0).astype(np.float32)


def _under_white(light: Floats, peak: float) -> Floats:
    """Light up to `peak` brought to 1 at most: a Hermite spline in PQ above a knee. Source: BT.2390, 5.4.1."""
    if peak <= 1:
        return light
    top = nits_to_pq(np.array(peak * HDR_WHITE_NITS))
    signal, white = nits_to_pq(light * HDR_WHITE_NITS) / top, nits_to_pq(np.array(HDR_WHITE_NITS)) / top
    knee = 1.5 * white - 0.5
    t = np.maximum(signal - knee, 0) / (1 - knee)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * white
    return pq_to_nits(np.where(signal < knee, signal, bent) * top) / HDR_WHITE_NITS


_ENCODED: Final = np.rint(linear_to_srgb(np.arange(65536) / 65535) * 255).astype(np.uint8)
