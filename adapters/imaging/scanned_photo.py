"""Findings of the header scanners in a stranger's file, before any decoder sees it."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from adapters.imaging.color.code_points import ColorTag
from domain.errors import InvalidImage
from domain.geometry import Size
from domain.photo import SourceFormat

MAX_ICC_BYTES: Final = 4 * 1024 * 1024  # the largest press profiles in use have about 2.7 MB; a phone's has 536 bytes


class Orientation(IntEnum):
    """How stored pixels become the upright picture: the values of EXIF tag 0x0112 (CIPA DC-008, 4.6.5.1.6)."""

    UPRIGHT = 1
    MIRRORED = 2
    UPSIDE_DOWN = 3
    FLIPPED = 4
    TRANSPOSED = 5
    TURN_RIGHT = 6
    TRANSVERSED = 7
    TURN_LEFT = 8

    @property
    def swaps_axes(self) -> bool:
        return self >= Orientation.TRANSPOSED


@dataclass(frozen=True, slots=True)
class ScannedPhoto:
    """A file found acceptable by its headers.

    `stream` is what the decoder gets: a file of the same family rebuilt from nothing but what the pixels need.
    `color_tag` counts when there is no profile, or when it is HDR, which no profile describes.
    `profile_is_broken` says that an ICC profile was there but could not be put together, `tells_orientation` that the
    file itself says which way is up.
    """

    source_format: SourceFormat
    stored_size: Size
    orientation: Orientation
    stream: bytes
    icc_profile: bytes | None = None
    profile_is_broken: bool = False
    color_tag: ColorTag | None = None
    tells_orientation: bool = False

    @property
    def upright_size(self) -> Size:
        return self.stored_size.transposed() if self.orientation.swaps_axes else self.stored_size


def nonempty_size(width: int, height: int) -> Size:
    """A size out of a file. Raises: InvalidImage when there is no pixel in it."""
    if width < 1 or height < 1:
        raise InvalidImage
    return Size(width, height)
