"""Measures light and sharpness with OpenCV, on the person where the person is."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from application.ports.photos import OpenPhoto, PhotoMeter
from domain.geometry import Box
from domain.photo_quality import Appearance

_EDGE: Final = 512
"""The person is measured at this size: blur that does not show at it does not harm, and noise is averaged out."""


_LEAST_CONTRAST: Final = 0.1
"""Of a surface without any contrast nothing can be said; this keeps noise on it from counting as detail."""


class PixelMeter(PhotoMeter):
    """Luma percentiles, and how steep the steepest edges are for the contrast there is."""

    def measure(self, photo: OpenPhoto, region: Box | None) -> Appearance:
        view = photo.view(region, _EDGE)
        pixels = np.frombuffer(view.data, np.uint8).reshape(view.size.height, view.size.width, 3)
        luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        shadows, midtone, highlights = (level / 255 for level in _percentiles(luma, (5, 50, 95)))
        (edges,) = _percentiles(cv2.convertScaleAbs(cv2.Laplacian(luma, cv2.CV_16S)), (99,))
        return Appearance(shadows, midtone, highlights, detail=edges / 255 / max(highlights - shadows, _LEAST_CONTRAST))


def _percentiles(levels: NDArray[np.uint8], percents: Sequence[float]) -> list[float]:
    """The least levels that so many percent of all do not exceed, from a histogram: sorting takes ten times as long."""
    counts = np.cumsum(cv2.calcHist([levels], [0], None, [256], [0, 256]).astype(np.int64))
    return [float(np.searchsorted(counts, percent / 100 * counts[-1])) for percent in percents]
