"""Measures light and sharpness with OpenCV, on the person where the person is."""

from typing import Final

import cv2
import numpy as np

from application.photo_ports import OpenPhoto, PhotoMeter
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
        shadows, midtone, highlights = (float(value) / 255 for value in np.percentile(luma, (5, 50, 95)))
        edges = float(np.percentile(np.abs(cv2.Laplacian(luma, cv2.CV_16S)), 99)) / 255
        return Appearance(shadows, midtone, highlights, detail=edges / max(highlights - shadows, _LEAST_CONTRAST))
