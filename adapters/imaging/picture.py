"""The one form that pictures have in memory: luma and chroma apart, as JPEG stores them and as they are kept."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final, Self

import cv2
import numpy as np
import numpy.typing as npt

from adapters.imaging.resampling import Area, Pixels, halved, resampled
from adapters.imaging.scanned_photo import Orientation, stored_box, turned_upright
from domain.geometry import Box, Padding, Size

BAND_ROWS: Final = 64  # an even number
NEUTRAL: Final = 128
"""The level of chroma that is no color."""

_EDGE_SAMPLES: Final = 3  # their mean goes on: one alone carries too much noise
_SPREAD: Final = 0.3  # standard deviation of the blur along the edge, as a share of the distance from it
_BLURS: Final = 8  # each twice as wide as the one before; what is between two of them is mixed


class Colors(Enum):
    """What the planes of a picture hold."""

    GRAY = "luma"
    COLOR = "luma, Cb, Cr"
    INKS = "cyan, magenta, yellow, black; 255 is full ink"


@dataclass(frozen=True, slots=True)
class Picture:
    """8-bit planes in the order in which they are stored.

    One sample of chroma stands for `chroma_step` (across, down) samples of luma, and one of luma for `reduction` source
    pixels each way. Full range as JPEG has it (JFIF 1.02), or luma 16-235 and chroma 16-240 as WebP.
    """

    planes: tuple[Pixels, ...]
    colors: Colors
    chroma_step: tuple[int, int] = (2, 2)
    reduction: int = 1
    is_full_range: bool = True

    @property
    def size(self) -> Size:
        height, width = self.planes[0].shape
        return Size(width, height)

    def shown(self, part: Box, size: Size, orientation: Orientation, *, sharp: bool) -> Self:
        """A part of the source, in stored pixels, at a size that it gets before it is turned upright; 4:2:0 then.

        Pairs for chroma are counted from the left and the top of the upright picture, which is the other end of a
        mirrored one: with an odd size, chroma reaches one pixel beyond the picture on that side.
        """
        upright = size.transposed() if orientation.swaps_axes else size
        halves = halved_size(upright)
        paired = stored_box(Box(0, 0, 2 * halves.width, 2 * halves.height), orientation, size)
        across, down = part.width / size.width, part.height / size.height
        of_luma = Area(part.x, part.y, part.width, part.height).divided(self.reduction, self.reduction)
        of_chroma = Area(
            part.x + paired.x * across, part.y + paired.y * down, paired.width * across, paired.height * down
        ).divided(self.reduction * self.chroma_step[0], self.reduction * self.chroma_step[1])
        planes = []
        for number, plane in enumerate(self.planes):
            is_chroma = number > 0 and self.colors is Colors.COLOR
            area, wanted = (of_chroma, Size(paired.width // 2, paired.height // 2)) if is_chroma else (of_luma, size)
            planes.append(turned_upright(resampled(plane, area, wanted, sharp=sharp, is_chroma=is_chroma), orientation))
        return replace(self, planes=tuple(planes), chroma_step=(2, 2), reduction=1)

    def in_full_range(self) -> Self:
        """As JPEG has it."""
        if self.is_full_range:
            return self
        luma, *chroma = self.planes
        luma = _stretched(luma, 255 / 219, 16, becomes=0)
        chroma = [_stretched(plane, 255 / 224, NEUTRAL, becomes=NEUTRAL) for plane in chroma]
        return replace(self, planes=(luma, *chroma), is_full_range=True)

    def in_color(self) -> Self:
        """With planes of neutral chroma, if it is gray."""
        if self.colors is not Colors.GRAY:
            return self
        halves = halved_size(self.size)
        neutral = np.full((halves.height, halves.width), NEUTRAL, np.uint8)
        return replace(self, planes=(*self.planes, neutral, neutral), colors=Colors.COLOR)

    def rgb(self) -> Pixels:
        """RGB of a 4:2:0 or gray picture of full range; chroma is enlarged in between samples, as decoders do it."""
        if self.colors is Colors.GRAY:
            return _rgb(self.planes[0], cv2.COLOR_GRAY2RGB)
        luma, blue, red = self.planes
        height, width = luma.shape
        full = [
            cv2.resize(plane, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)[:height, :width]
            for plane in (red, blue)
        ]
        return _rgb(cv2.merge((luma, *full)), cv2.COLOR_YCrCb2RGB)


def picture_of(pixels: Pixels) -> Picture:
    """Gray (height x width) or RGB pixels as a picture of full range, 4:2:0."""
    height, width = pixels.shape[:2]
    return picture_of_bands(Size(width, height), in_bands(pixels))


def in_bands(samples: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Some rows at a time; such a piece stays in a core's own cache."""
    return (samples[top : top + BAND_ROWS] for top in range(0, samples.shape[0], BAND_ROWS))


def picture_of_bands(size: Size, bands: Iterable[Pixels]) -> Picture:
    """The same of pixels that come in bands: all of them at once would not fit into a worker."""
    halves = halved_size(size)
    luma = np.empty((size.height, size.width), np.uint8)
    blue, red = (np.empty((halves.height, halves.width), np.uint8) for _ in range(2))
    is_gray = False
    for number, pixels in enumerate(bands):
        rows, half_rows = (slice(number * step, (number + 1) * step) for step in (BAND_ROWS, BAND_ROWS // 2))
        is_gray = pixels.ndim == 2
        if is_gray:
            luma[rows] = pixels
            continue
        luma[rows] = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        _, red[half_rows], blue[half_rows] = cv2.split(cv2.cvtColor(halved(pixels), cv2.COLOR_RGB2YCrCb))
    return Picture((luma,), Colors.GRAY) if is_gray else Picture((luma, blue, red), Colors.COLOR)


def halved_size(size: Size) -> Size:
    """Of planes of chroma, 4:2:0."""
    return Size(-(-size.width // 2), -(-size.height // 2))


def _rgb(pixels: Pixels, conversion: int) -> Pixels:
    rgb: Pixels = cv2.cvtColor(pixels, conversion)
    return rgb


def _stretched(plane: Pixels, factor: float, origin: int, *, becomes: int) -> Pixels:
    """Levels spread from an origin. Of OpenCV's ways that clip at both ends a sum with nothing is the fastest."""
    stretched: Pixels = cv2.addWeighted(plane, factor, plane, 0, becomes - factor * origin)
    return stretched


def extended(picture: Picture, padding: Padding) -> Picture:
    """A 4:2:0 or gray picture with a canvas around it; `padding` is even on the left and at the top."""
    if not padding:
        return picture
    luma, *chroma = picture.planes
    whole = halved_size(padding.around(picture.size))
    planes = [_extended_plane(luma, padding, 1)]
    for plane in chroma:
        left, top = padding.left // 2, padding.top // 2
        rest = Padding(left, top, whole.width - plane.shape[1] - left, whole.height - plane.shape[0] - top)
        planes.append(_extended_plane(plane, rest, 2))
    return replace(picture, planes=tuple(planes))


def _extended_plane(plane: Pixels, padding: Padding, step: int) -> Pixels:
    """First to both sides, then that up and down."""
    wide = _sideways(plane, padding.left, padding.right, step)
    return np.ascontiguousarray(_sideways(wide.T, padding.top, padding.bottom, step).T)


def _sideways(plane: Pixels, left: int, right: int, step: int) -> Pixels:
    before = _blurred_outwards(plane[:, :_EDGE_SAMPLES], left, step)[:, ::-1]
    return np.hstack([before, plane, _blurred_outwards(plane[:, -_EDGE_SAMPLES:], right, step)])


def _blurred_outwards(edge: Pixels, length: int, step: int) -> Pixels:
    """An edge (height x samples) going on for `length` samples; one of them stands for `step` pixels."""
    column = edge.mean(axis=1, dtype=np.float32, keepdims=True)
    blurred = [column] + [
        cv2.GaussianBlur(column, (0, 0), sigmaX=0.1, sigmaY=2.0**power / step, borderType=cv2.BORDER_REPLICATE)
        for power in range(_BLURS)
    ]
    spread = _SPREAD * step * np.arange(1, length + 1)
    level = np.clip(np.log2(np.maximum(spread, 1e-3)) + 1, 0, _BLURS)
    lower = np.minimum(level.astype(int), _BLURS - 1)
    stack = np.hstack(blurred)
    mixed = stack[:, lower] + (stack[:, lower + 1] - stack[:, lower]) * (level - lower).astype(np.float32)
    stretched: Pixels = np.rint(mixed).astype(np.uint8)
    return stretched
