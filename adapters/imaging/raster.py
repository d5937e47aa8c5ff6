"""Pixels as they come out of a decoder: in the order in which they are stored, in the colors of the file."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8]  # height x width, or height x width x channels


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


_MAX_8_BIT: Final = 255


def to_8_bit(samples: npt.NDArray[np.uint16], depth: int) -> Pixels:
    """Samples of `depth` bits as the nearest of 256 levels: v x 255 / (2^depth - 1), rounded."""
    top = (1 << depth) - 1
    table = ((np.arange(top + 1, dtype=np.uint32) * _MAX_8_BIT + top // 2) // top).astype(np.uint8)
    return table[samples]
