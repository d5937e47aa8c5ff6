"""Measures light and sharpness with OpenCV, on the person and at the scale that is stored."""

from typing import Final

import cv2
import numpy as np

from application.photo_ports import OpenPhoto, PhotoMeter
from domain.geometry import Box
from domain.photo_quality import Appearance

_EDGE: Final = 1024


class PixelMeter(PhotoMeter):
    """Luma percentiles, and how much of the edges' strength is lost when the finest octave is taken away."""

    def measure(self, photo: OpenPhoto, region: Box | None) -> Appearance:
        view = photo.view(region, _EDGE)
        pixels = np.frombuffer(view.data, np.uint8).reshape(view.size.height, view.size.width, 3)
        luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        shadows, midtone, highlights = (float(value) / 255 for value in np.percentile(luma, (5, 50, 95)))
        return Appearance(shadows, midtone, highlights, _detail(luma))


def _detail(luma: "np.ndarray[tuple[int, int], np.dtype[np.uint8]]") -> float:
    """The strength of the strongest edges at full scale against those at half of it: 1 and more is crisp."""
    fine = np.percentile(np.abs(cv2.Laplacian(luma, cv2.CV_16S)), 99)
    half = cv2.resize(luma, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) if min(luma.shape) > 1 else luma
    coarse = np.percentile(np.abs(cv2.Laplacian(half, cv2.CV_16S)), 99)
    return float(fine / max(coarse, 1.0))
