"""Samples as a decoder hands them out: gray or RGB, of any depth, with or without transparency; made into planes."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from adapters.imaging.color.code_points import ColorTag
from adapters.imaging.color.tone_mapping import in_srgb
from adapters.imaging.picture import Picture, picture_of_rows
from adapters.imaging.resampling import Pixels

Samples = npt.NDArray[Any]  # height x width, or height x width x 1 to 4: gray or RGB, alpha behind it; uint8 or uint16
_OPAQUE = 255


def picture_of_samples(
    samples: Samples, depth: int = 8, tag: ColorTag | None = None, *, is_premultiplied: bool = False
) -> Picture:
    """Samples of `depth` bits as a picture, flattened on white; what 8 bits cannot hold becomes sRGB on the way."""
    if samples.ndim == 2:
        samples = samples[:, :, None]
    count = 3 if samples.shape[2] >= 3 else 1
    to_levels = _levels_of(samples[..., :count], depth, tag)

    def to_pixels(rows: Samples) -> Pixels:
        levels = to_levels(rows[..., :count])
        if rows.shape[2] == count:
            return levels
        alpha = _in_8_bits(rows[..., count], depth)
        return levels if alpha.min() == _OPAQUE else _on_white(levels, alpha, is_premultiplied=is_premultiplied)

    return picture_of_rows(samples, to_pixels)


def _levels_of(samples: Samples, depth: int, tag: ColorTag | None) -> Callable[[Samples], Pixels]:
    """Makes 8-bit levels of rows: height x width for gray, or height x width x 3."""
    is_gray = samples.shape[2] == 1
    if tag is None or not tag.is_steep:
        return lambda rows: _in_8_bits(rows[..., 0] if is_gray else rows, depth)
    if not is_gray:
        return in_srgb(samples, depth, tag)
    convert = in_srgb(np.broadcast_to(samples, (*samples.shape[:2], 3)), depth, tag)
    return lambda rows: convert(np.broadcast_to(rows, (*rows.shape[:2], 3)))[..., 1]


def _in_8_bits(samples: Samples, depth: int) -> Pixels:
    """The nearest of 256 levels: v x 255 / (2^depth - 1), rounded."""
    samples = np.ascontiguousarray(samples)
    if depth == 8:
        return samples
    levels: Pixels = cv2.convertScaleAbs(samples, alpha=_OPAQUE / ((1 << depth) - 1))
    return levels.reshape(samples.shape)


def _on_white(levels: Pixels, alpha: Pixels, *, is_premultiplied: bool) -> Pixels:
    coverage = alpha if levels.ndim == 2 else cv2.merge([alpha] * 3)
    flattened: Pixels
    if is_premultiplied:
        flattened = cv2.add(levels, cv2.bitwise_not(coverage))
    else:  # what is missing to white, weighted
        flattened = cv2.bitwise_not(cv2.multiply(cv2.bitwise_not(levels), coverage, scale=1 / _OPAQUE))
    return flattened
