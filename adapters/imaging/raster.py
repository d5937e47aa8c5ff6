"""Pixels as they come out of a decoder: in the order in which they are stored, in the colors of the file."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Self, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from domain.geometry import Box, Size

Pixels: TypeAlias = npt.NDArray[np.uint8]  # height x width, or height x width x channels

Resize: TypeAlias = Callable[[Pixels, Size], Pixels]
Turn: TypeAlias = Callable[[Pixels], Pixels]


class Channels(StrEnum):
    """What the samples of a pixel mean; the names are those of Pillow's modes."""

    GRAY = "L"
    RGB = "RGB"
    RGBA = "RGBA"
    CMYK = "CMYK"


@dataclass(frozen=True, slots=True)
class Raster:
    """8-bit samples. RGBA is not premultiplied; CMYK has 255 for full ink.

    `reduction` tells how many source pixels one pixel stands for along each axis.
    """

    pixels: Pixels
    channels: Channels
    reduction: int = 1

    @property
    def size(self) -> Size:
        return size_of(self.pixels)

    def cut(self, part: Box) -> Self:
        """What shows a part of the source, in source pixels."""
        return replace(self, pixels=_cut(self.pixels, part, self.reduction, self.reduction))

    def scaled(self, size: Size, resize: Resize) -> Self:
        """At another size; the colors of RGBA are premultiplied then."""
        pixels = _premultiplied(self.pixels) if self.channels is Channels.RGBA else self.pixels
        return replace(self, pixels=resize(pixels, size))

    def turned(self, turn: Turn) -> Self:
        return replace(self, pixels=turn(self.pixels))


@dataclass(frozen=True, slots=True)
class PlanarRaster:
    """Luma, and chroma (Cb, Cr) of which one sample stands for `chroma_step` (across, down) samples of luma.

    Decoders store pictures like this. Full range as JPEG has it (JFIF 1.02), or luma 16-235 and chroma 16-240 as WebP.
    """

    luma: Pixels
    blue: Pixels
    red: Pixels
    chroma_step: tuple[int, int]
    reduction: int = 1
    is_full_range: bool = True
    channels: Channels = Channels.RGB

    @property
    def size(self) -> Size:
        return size_of(self.luma)

    def cut(self, part: Box) -> Self:
        """What shows a part of the source, in source pixels."""
        across, down = (self.reduction * step for step in self.chroma_step)
        return replace(
            self,
            luma=_cut(self.luma, part, self.reduction, self.reduction),
            blue=_cut_between(self.blue, part, across, down),
            red=_cut_between(self.red, part, across, down),
        )

    def scaled(self, size: Size, resize: Resize) -> Self:
        """All planes at one size. Chroma goes there at once: enlarging it first would gain nothing."""
        luma, blue, red = (resize(plane, size) for plane in (self.luma, self.blue, self.red))
        return replace(self, luma=luma, blue=blue, red=red, chroma_step=(1, 1))

    def turned(self, turn: Turn) -> Self:
        """Faster than turning RGB: single bytes go through vector instructions, three at a time do not."""
        return replace(self, luma=turn(self.luma), blue=turn(self.blue), red=turn(self.red))

    def in_420(self, size: Size, resize: Resize, turn: Turn) -> Self:
        """At another size, upright, with one sample of chroma for two by two of luma, as most JPEGs are.

        Stored so and not scaled, the samples stay as they are. Pairs are counted from the left and the top of the
        upright picture, which is the other end of a mirrored one: with an odd size that makes a difference.
        """
        if size.width % 2 or size.height % 2:
            return self.scaled(size, resize).turned(turn)._with_halved_chroma()
        is_so_already = size == self.size and self.chroma_step == (2, 2)
        picture = self if is_so_already else self.scaled(size, resize)._with_halved_chroma()
        return picture.turned(turn)

    def _with_halved_chroma(self) -> Self:
        return replace(self, blue=halved(self.blue), red=halved(self.red), chroma_step=(2, 2))

    def in_full_range(self) -> Self:
        """As JPEG has it."""
        if self.is_full_range:
            return self
        luma = _stretched(self.luma, 255 / 219, 16, becomes=0)
        blue, red = (_stretched(plane, 255 / 224, 128, becomes=128) for plane in (self.blue, self.red))
        return replace(self, luma=luma, blue=blue, red=red, is_full_range=True)

    @property
    def pixels(self) -> Pixels:
        """RGB, once all planes have one size."""
        rgb: Pixels
        if self.is_full_range:
            rgb = cv2.cvtColor(cv2.merge((self.luma, self.red, self.blue)), cv2.COLOR_YCrCb2RGB)
        else:
            rgb = cv2.transform(cv2.merge((self.luma, self.blue, self.red)), _STUDIO_TO_RGB)
        return rgb


# ITU-R BT.601, 8 bit: Y, Cb, Cr and one to R, G, B.
_STUDIO_TO_RGB: Final = np.array(
    [
        [1.164384, 0.0, 1.596027, -222.921],
        [1.164384, -0.391762, -0.812968, 135.576],
        [1.164384, 2.017232, 0.0, -276.836],
    ]
)


def _stretched(plane: Pixels, factor: float, origin: int, *, becomes: int) -> Pixels:
    """Levels spread from an origin. Of OpenCV's ways that clip at both ends a sum with nothing is the fastest."""
    stretched: Pixels = cv2.addWeighted(plane, factor, plane, 0, becomes - factor * origin)
    return stretched


def halved(plane: Pixels) -> Pixels:
    """The means of two by two samples; an odd last row or column counts twice."""
    height, width = plane.shape
    if height % 2 or width % 2:
        plane = cv2.copyMakeBorder(plane, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    means: Pixels = cv2.resize(plane, (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA)
    return means


def size_of(pixels: Pixels) -> Size:
    """Width and height of an array of rows."""
    height, width = pixels.shape[:2]
    return Size(width, height)


def _cut(pixels: Pixels, part: Box, across: int, down: int) -> Pixels:
    return pixels[part.y // down : -(-part.bottom // down), part.x // across : -(-part.right // across)]


def _cut_between(plane: Pixels, part: Box, across: int, down: int) -> Pixels:
    """A part that may begin between two samples, of which each stands for a whole step: then it shows their mixture."""
    (x, right_of_x), (y, below_y) = divmod(part.x, across), divmod(part.y, down)
    width, height = -(-part.width // across), -(-part.height // down)
    cut = plane[y : y + height + 1, x : x + width + 1]
    if right_of_x or below_y:
        missing = height + 1 - cut.shape[0], width + 1 - cut.shape[1]  # beyond the border of the plane
        cut = cv2.copyMakeBorder(cut, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
    if right_of_x:
        cut = cv2.addWeighted(cut[:, :-1], 1 - right_of_x / across, cut[:, 1:], right_of_x / across, 0)
    if below_y:
        cut = cv2.addWeighted(cut[:-1], 1 - below_y / down, cut[1:], below_y / down, 0)
    return cut[:height, :width]


def _premultiplied(rgba: Pixels) -> Pixels:
    """Colors weighted with their alpha, so that what nobody sees does not bleed into what they do."""
    alpha = rgba[:, :, 3]
    weighted = cv2.multiply(rgba[:, :, :3], cv2.merge([alpha] * 3), scale=1 / 255)
    return np.dstack([weighted, alpha])


_MAX_8_BIT: Final = 255


def to_8_bit(samples: npt.NDArray[np.uint16], depth: int) -> Pixels:
    """Samples of `depth` bits as the nearest of 256 levels: v x 255 / (2^depth - 1), rounded."""
    top = (1 << depth) - 1
    table = ((np.arange(top + 1, dtype=np.uint32) * _MAX_8_BIT + top // 2) // top).astype(np.uint8)
    return table[samples]
