"""Samples as a decoder hands them out: gray or RGB, of any depth, with or without transparency; made into planes.

Signals that reach beyond white, or that 8 bits cannot hold, become 8-bit sRGB here, at full depth and pixel by pixel.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from adapters.imaging.color_spaces import (
    HDR_WHITE_NITS,
    SRGB_LEVELS,
    XYZ_TO_SRGB,
    ColorTag,
    Floats,
    nits_to_pq,
    pq_to_nits,
    primaries_to_xyz,
)
from adapters.imaging.picture import Picture, in_bands, picture_of_bands
from adapters.imaging.resampling import Pixels
from domain.geometry import Size

Samples = npt.NDArray[Any]  # height x width, or height x width x 1 to 4: gray or RGB, alpha behind it; uint8 or uint16
_OPAQUE: Final = 255
_MEASURED_EDGE: Final = 512  # enough samples to find the brightest part of a picture
_PEAK_SHARE: Final = 0.999  # of all samples: a few glints may clip
_STEPS: Final = 4096


def picture_of_samples(
    samples: Samples, depth: int = 8, tag: ColorTag | None = None, *, is_premultiplied: bool = False
) -> Picture:
    """Samples of `depth` bits as a picture, flattened on white; what 8 bits cannot hold becomes sRGB on the way."""
    if samples.ndim == 2:
        samples = samples[:, :, None]
    height, width, channels = samples.shape
    to_levels = _levels_of(samples[..., : 3 if channels >= 3 else 1], depth, tag)
    bands = (flattened(rows, to_levels, depth, is_premultiplied=is_premultiplied) for rows in in_bands(samples))
    return picture_of_bands(Size(width, height), bands)


def _in_8_bits(samples: Samples, depth: int = 8) -> Pixels:
    """The nearest of 256 levels: v x 255 / (2^depth - 1), rounded."""
    samples = np.ascontiguousarray(samples)
    if depth == 8:
        return samples
    levels: Pixels = cv2.convertScaleAbs(samples, alpha=_OPAQUE / ((1 << depth) - 1))
    return levels.reshape(samples.shape)


def flattened(
    rows: Samples,
    to_levels: Callable[[Samples], Pixels] = _in_8_bits,
    depth: int = 8,
    *,
    is_premultiplied: bool = False,
) -> Pixels:
    """Samples (height x width x 1, 2, 3 or 4) as 8-bit gray (height x width) or RGB, on white."""
    count = 3 if rows.shape[2] >= 3 else 1
    levels = to_levels(rows[..., :count])
    if count == 1:
        levels = levels[..., 0]
    if rows.shape[2] == count:
        return levels
    alpha = _in_8_bits(rows[..., count], depth)
    return levels if alpha.min() == _OPAQUE else _on_white(levels, alpha, is_premultiplied=is_premultiplied)


def _levels_of(samples: Samples, depth: int, tag: ColorTag | None) -> Callable[[Samples], Pixels]:
    """Makes 8-bit levels of rows without alpha."""
    if tag is None or not tag.is_steep:
        return partial(_in_8_bits, depth=depth)
    convert = _in_srgb(_of_three(samples), depth, tag)
    return lambda rows: convert(_of_three(rows))[..., : rows.shape[2]]


def _of_three(samples: Samples) -> Samples:
    return np.broadcast_to(samples, (*samples.shape[:2], 3))


def _on_white(levels: Pixels, alpha: Pixels, *, is_premultiplied: bool) -> Pixels:
    coverage = alpha if levels.ndim == 2 else cv2.merge([alpha] * 3)
    flattened: Pixels
    if is_premultiplied:
        flattened = cv2.add(levels, cv2.bitwise_not(coverage))
    else:  # what is missing to white, weighted
        flattened = cv2.bitwise_not(cv2.multiply(cv2.bitwise_not(levels), coverage, scale=1 / _OPAQUE))
    return flattened


def _in_srgb(samples: Samples, depth: int, tag: ColorTag) -> Callable[[Samples], Pixels]:
    """Makes 8-bit sRGB of some rows of RGB samples (height x width x 3, `depth` bits).

    Light up to the picture's own peak is brought under white by the curve of ITU-R BT.2390, 5.4, on the brightest of
    the three channels, so that hues stay; a picture without anything beyond white keeps its levels.
    """
    to_linear = tag.to_linear(np.arange(1 << depth) / ((1 << depth) - 1)).astype(np.float32)
    of_source = primaries_to_xyz(tag.primaries)
    matrix = (XYZ_TO_SRGB @ of_source).T.astype(np.float32)
    luminance = of_source[1].astype(np.float32)
    gamma = tag.system_gamma

    def light(part: Samples) -> npt.NDArray[np.float32]:
        linear: npt.NDArray[np.float32] = to_linear[part]
        return linear * np.maximum(linear @ luminance, 1e-6)[..., None] ** (gamma - 1) if gamma != 1 else linear

    step = max(1, max(samples.shape[:2]) // _MEASURED_EDGE)
    measured = light(samples[::step, ::step]).max(axis=2).ravel()
    brightest_but_glints = int(_PEAK_SHARE * (measured.size - 1))
    # np.percentile would load a module, and a decoder of strangers' photos cannot open any file
    peak = max(1.0, float(np.partition(measured, brightest_but_glints)[brightest_but_glints]))
    gains = _gains(peak)

    def convert(rows: Samples) -> Pixels:
        linear = light(rows)
        brightest = np.minimum(linear.max(axis=2) / peak, 1)
        toned = linear * gains[(np.sqrt(brightest) * (_STEPS - 1)).astype(np.uint16)][..., None]
        srgb: Pixels = SRGB_LEVELS[(np.clip(toned @ matrix, 0, 1) * (len(SRGB_LEVELS) - 1) + 0.5).astype(np.uint16)]
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
