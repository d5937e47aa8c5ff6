"""Measure light and sharpness with OpenCV, on the person's own pixels where a person is."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from application.ports.photos import PhotoMeter, ViewablePhoto
from domain.geometry import Box
from domain.person import Outline
from domain.photo_quality import Appearance

_EDGE: Final = 512
"""The person is measured at this size: blur that does not show at it does not harm, and noise is averaged out."""

_LEAST_CONTRAST: Final = 0.1
"""Of a surface without any contrast nothing can be said; this keeps noise on it from counting as detail."""

_OWN: Final = 128
"""A pixel is the person's when that is more likely than not."""

_LEAST_OWN: Final = 0.05
"""An outline with less than this share of its box tells nothing: all of the box is measured."""

_CLIPPED: Final = 250
"""Luma, of 255, from which on a camera has lost what was there."""

_ALONG: Final = (
    np.array([[0, 0, 0], [-1, 2, -1], [0, 0, 0]], np.float32),
    np.array([[0, -1, 0], [0, 2, 0], [0, -1, 0]], np.float32),
    np.array([[-1, 0, 0], [0, 2, 0], [0, 0, -1]], np.float32) / 1.5,
    np.array([[0, 0, -1], [0, 2, 0], [-1, 0, 0]], np.float32) / 1.5,
)
"""Second differences across, down and along both diagonals; the latter span 1.4 pixels and are weighed down for it."""


class PixelMeter(PhotoMeter):
    """Luma percentiles, and how steep the steepest edges are where they are least steep, for the contrast there is."""

    def measure(self, photo: ViewablePhoto, region: Box | None, outline: Outline | None = None) -> Appearance:
        view = photo.view(region, _EDGE)
        pixels = np.frombuffer(view.data, np.uint8).reshape(view.size.height, view.size.width, 3)
        luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        own = _own_pixels(outline, luma.shape)
        shadows, midtone, highlights = (level / 255 for level in percentiles(luma, (5, 50, 95), own))
        near = cv2.dilate(own, np.ones((5, 5), np.uint8)) if own is not None else None
        edges = min(percentiles(cv2.convertScaleAbs(cv2.filter2D(luma, cv2.CV_16S, k)), (99,), near)[0] for k in _ALONG)
        brightest = luma[own > 0] if own is not None else luma
        return Appearance(
            shadows,
            midtone,
            highlights,
            detail=edges / 255 / max(highlights - shadows, _LEAST_CONTRAST),
            clipped=float(np.mean(brightest >= _CLIPPED)),
        )


def _own_pixels(outline: Outline | None, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """255 where the person is, in the size of the view; None when nothing tells."""
    if outline is None:
        return None
    small = np.frombuffer(outline.data, np.uint8).reshape(outline.size.height, outline.size.width)
    own = (cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR) >= _OWN).astype(np.uint8) * 255
    return own if np.mean(own > 0) >= _LEAST_OWN else None


def percentiles(
    levels: NDArray[np.uint8], percents: Sequence[float], own: NDArray[np.uint8] | None = None
) -> list[float]:
    """The least levels that so many percent of all do not exceed, from a histogram: sorting takes ten times as long."""
    counts = np.cumsum(cv2.calcHist([levels], [0], own, [256], [0, 256]).astype(np.int64))
    return [float(np.searchsorted(counts, percent / 100 * counts[-1])) for percent in percents]
