"""Scaling down without aliasing: a short low-pass filter fitted to the scale, then cubic interpolation."""

import math
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from adapters.imaging.raster import Pixels
from domain.geometry import Size

# Scale -> weights of the symmetric 7-tap filter, outermost first, the middle one last, that followed by OpenCV's cubic
# (a = -0.75) comes closest to Lanczos (a = 3): least squares over 32 phases and all frequencies, those above 6 % of the
# sampling rate weighted like a photo's spectrum with a floor of 10 %. At 1 nothing needs to be removed.
_LOW_PASS: Final = (
    (0.500, -0.0564, 0.0010, 0.3048, 0.5013),
    (0.525, -0.0460, -0.0205, 0.3029, 0.5272),
    (0.550, -0.0343, -0.0408, 0.2984, 0.5534),
    (0.600, -0.0103, -0.0748, 0.2816, 0.6068),
    (0.650, 0.0106, -0.0970, 0.2555, 0.6620),
    (0.700, 0.0251, -0.1061, 0.2217, 0.7185),
    (0.750, 0.0325, -0.1029, 0.1827, 0.7755),
    (0.800, 0.0336, -0.0902, 0.1408, 0.8316),
    (0.850, 0.0302, -0.0711, 0.0981, 0.8856),
    (0.900, 0.0240, -0.0487, 0.0566, 0.9363),
    (0.950, 0.0165, -0.0257, 0.0179, 0.9826),
    (1.000, 0.0, 0.0, 0.0, 1.0),
)


def scaled_down(pixels: Pixels, size: Size) -> Pixels:
    """The picture at another size, as sharp as Lanczos would leave it.

    Where it grows, as chroma does that was stored smaller than luma: in between the two nearest samples, like decoders.
    """
    if pixels.shape[1::-1] == (size.width, size.height):
        return pixels
    pixels = _halved(pixels, size, at_least=4)
    height, width = pixels.shape[:2]
    grows = size.width > width or size.height > height
    if size.width < width or size.height < height:
        across, down = _low_pass(size.width / width), _low_pass(size.height / height)
        pixels = cv2.sepFilter2D(pixels, -1, across, down, borderType=cv2.BORDER_REFLECT_101)
    interpolation = cv2.INTER_LINEAR if grows else cv2.INTER_CUBIC
    resized: Pixels = cv2.resize(pixels, (size.width, size.height), interpolation=interpolation)
    return resized


def roughly_scaled_down(pixels: Pixels, size: Size) -> Pixels:
    """The picture at another size by averaging: fast, and good enough for a detector.

    Halving two by two has a path of its own in OpenCV, ten times as fast as averaging areas of any other size. What is
    left to do then is less than another halving, for which the mean of the two nearest pixels each way serves as well.
    """
    pixels = _halved(pixels, size, at_least=2)
    if pixels.shape[1::-1] == (size.width, size.height):
        return pixels
    resized: Pixels = cv2.resize(pixels, (size.width, size.height), interpolation=cv2.INTER_LINEAR)
    return resized


def _halved(pixels: Pixels, size: Size, at_least: int) -> Pixels:
    """Halved in each direction in which it is `at_least` times the wanted size; an odd last row or column is left out.

    Per direction, since a strip of 60,000,000 x 1 pixels is a picture too.
    """
    while True:
        height, width = pixels.shape[:2]
        step_x = 2 if width >= at_least * size.width else 1
        step_y = 2 if height >= at_least * size.height else 1
        if step_x == step_y == 1:
            return pixels
        width, height = width // step_x, height // step_y
        pixels = _averaged(pixels[: step_y * height, : step_x * width], width, height)


def _averaged(pixels: Pixels, width: int, height: int) -> Pixels:
    averaged: Pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return averaged


def _low_pass(scale: float) -> npt.NDArray[np.float32]:
    """The filter for a scale: below one half Lanczos' own kernel, for then cubic interpolation adds next to nothing."""
    if scale < _LOW_PASS[0][0]:
        reach = math.ceil(3 / scale) - 1
        position = np.arange(-reach, reach + 1) * scale
        kernel = np.sinc(position) * np.sinc(position / 3)
    else:
        scales, *weights = zip(*_LOW_PASS, strict=True)
        half = [float(np.interp(scale, scales, weight)) for weight in weights]
        kernel = np.array([*half, *half[-2::-1]])
    return np.asarray(kernel / kernel.sum(), np.float32)
