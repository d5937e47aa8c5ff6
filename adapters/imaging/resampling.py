"""Parts of a plane at another size, without aliasing and without drift: a low-pass filter, then cubic interpolation."""

import math
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from domain.geometry import Size

Pixels: TypeAlias = npt.NDArray[np.uint8]  # height x width, or height x width x channels

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


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle between the samples of a plane: sample n reaches from n to n + 1. It may leave the plane."""

    x: float
    y: float
    width: float
    height: float

    def divided(self, across: float, down: float) -> Self:
        """The same rectangle where one sample stands for `across` x `down` of these."""
        return type(self)(self.x / across, self.y / down, self.width / across, self.height / down)

    def is_all_of(self, plane: Pixels) -> bool:
        return (self.x, self.y, self.height, self.width) == (0, 0, *plane.shape[:2])


def resampled(plane: Pixels, area: Area, size: Size, *, sharp: bool, is_chroma: bool = False) -> Pixels:
    """An area of a plane at another size; beyond the plane its border goes on.

    `sharp` is as sharp as Lanczos would leave it. Otherwise by averaging: fast, and good enough for a detector. Where
    it grows, and chroma between samples: in the middle of the two nearest ones, as decoders do it. OpenCV's cubic
    (a = -0.75) is sharper, but moves what lies a quarter of the way by a twentieth of a sample.
    """
    plane, area = _cut(plane, area)
    plane, area = _halved_while_large(plane, area, size, at_least=4 if sharp else 2)
    scale_x, scale_y = size.width / area.width, size.height / area.height
    is_cubic = sharp and max(scale_x, scale_y) <= 1 and (area.is_all_of(plane) or not is_chroma)
    if sharp and min(scale_x, scale_y) < 1:
        across, down = _low_pass(min(scale_x, 1.0)), _low_pass(min(scale_y, 1.0))
        plane = cv2.sepFilter2D(plane, -1, across, down, borderType=cv2.BORDER_REFLECT_101)
    return _interpolated(plane, area, size, cv2.INTER_CUBIC if is_cubic else cv2.INTER_LINEAR)


def halved(plane: Pixels) -> Pixels:
    """The means of two by two samples; an odd last row or column counts twice."""
    return _averaged(plane, 2, 2)


def _cut(plane: Pixels, area: Area) -> tuple[Pixels, Area]:
    """The samples that an area touches, at least one."""
    height, width = plane.shape[:2]
    left, top = min(max(0, math.floor(area.x)), width - 1), min(max(0, math.floor(area.y)), height - 1)
    right, bottom = max(left + 1, math.ceil(area.x + area.width)), max(top + 1, math.ceil(area.y + area.height))
    return plane[top:bottom, left:right], Area(area.x - left, area.y - top, area.width, area.height)


def _halved_while_large(plane: Pixels, area: Area, size: Size, at_least: int) -> tuple[Pixels, Area]:
    """Halved in each direction in which it is `at_least` times the wanted size.

    Halving has a path of its own in OpenCV, ten times as fast as averaging areas of any other size. Per direction,
    since a strip of 60,000,000 x 1 pixels is a picture too.
    """
    while True:
        step_x = 2 if area.width >= at_least * size.width else 1
        step_y = 2 if area.height >= at_least * size.height else 1
        if step_x == step_y == 1:
            return plane, area
        plane, area = _averaged(plane, step_x, step_y), area.divided(step_x, step_y)


def _averaged(plane: Pixels, step_x: int, step_y: int) -> Pixels:
    height, width = plane.shape[:2]
    if height % step_y or width % step_x:
        plane = cv2.copyMakeBorder(plane, 0, height % step_y, 0, width % step_x, cv2.BORDER_REPLICATE)
    size = -(-width // step_x), -(-height // step_y)
    means: Pixels = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    return means


def _interpolated(plane: Pixels, area: Area, size: Size, interpolation: int) -> Pixels:
    target = (size.width, size.height)
    result: Pixels
    if area.is_all_of(plane):
        result = plane if plane.shape[1::-1] == target else cv2.resize(plane, target, interpolation=interpolation)
        return result
    step_x, step_y = area.width / size.width, area.height / size.height
    to_source = np.array([[step_x, 0, area.x + step_x / 2 - 0.5], [0, step_y, area.y + step_y / 2 - 0.5]])
    flags = interpolation | cv2.WARP_INVERSE_MAP
    result = cv2.warpAffine(plane, to_source, target, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return result


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
