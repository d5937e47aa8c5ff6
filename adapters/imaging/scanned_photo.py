"""Findings of the header scanners in a stranger's file, before any decoder sees it; and which way is up in it."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import cv2

from adapters.imaging.color_spaces import ColorTag
from adapters.imaging.resampling import Pixels
from domain.errors import InvalidImage
from domain.geometry import Box, Size
from domain.photo import SourceFormat

MAX_ICC_BYTES: Final = 4 * 1024 * 1024  # the largest press profiles in use have about 2.7 MB; a phone's has 536 bytes

_ORIENTATION_TAG: Final = 0x0112
_EXIF_NUMBERS: Final = {3: "H", 4: "I"}  # SHORT, and LONG, as some editors write it
_MAX_EXIF_ENTRIES: Final = 1000  # IFD0 of a real photo has under 50


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
    `orientation` is None where the file itself does not say which way is up.
    `profile_is_broken` says that an ICC profile was there but could not be put together. `color_tag` counts when there
    is no profile, or when it is HDR, which no profile describes.
    """

    source_format: SourceFormat
    stored_size: Size
    orientation: Orientation | None
    stream: bytes
    icc_profile: bytes | None = None
    profile_is_broken: bool = False
    color_tag: ColorTag | None = None

    @property
    def to_upright(self) -> Orientation:
        return self.orientation or Orientation.UPRIGHT

    @property
    def is_steep(self) -> bool:
        """8 bits are too few for the signal."""
        return self.color_tag is not None and self.color_tag.is_steep

    @property
    def upright_size(self) -> Size:
        return self.stored_size.transposed() if self.to_upright.swaps_axes else self.stored_size


def nonempty_size(width: int, height: int) -> Size:
    """A size out of a file. Raises: InvalidImage when there is no pixel in it."""
    if width < 1 or height < 1:
        raise InvalidImage
    return Size(width, height)


def acceptable_profile(profile: bytes | None) -> tuple[bytes | None, bool]:
    """An ICC profile out of a file, or None; and whether it is broken, which means empty or too large."""
    is_broken = profile is not None and not 0 < len(profile) <= MAX_ICC_BYTES
    return None if is_broken else profile, is_broken


def read_orientation(exif: bytes) -> Orientation | None:
    """The orientation in a TIFF block (with or without the `Exif` preamble); None when there is none to be read.

    EXIF of real phones is full of errors, so that nothing in it can fail a photo. Source: TIFF 6.0, section 2.
    """
    tiff = exif[6:] if exif[:6] in {b"Exif\0\0", b"Exif\0\xff"} else exif
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return None
    (directory_at,) = struct.unpack_from(order + "I", tiff, 4)
    if directory_at + 2 > len(tiff):
        return None
    (entries,) = struct.unpack_from(order + "H", tiff, directory_at)
    first, last = directory_at + 2, min(directory_at + 2 + 12 * min(entries, _MAX_EXIF_ENTRIES), len(tiff) - 11)
    for at in range(first, last, 12):
        tag, kind, count = struct.unpack_from(order + "HHI", tiff, at)
        if tag == _ORIENTATION_TAG:
            if kind not in _EXIF_NUMBERS or count != 1:
                return None
            (value,) = struct.unpack_from(order + _EXIF_NUMBERS[kind], tiff, at + 8)
            return Orientation(value) if 1 <= value <= 8 else None
    return None


_FLIPS: Final = {
    Orientation.MIRRORED: 1,
    Orientation.UPSIDE_DOWN: -1,
    Orientation.FLIPPED: 0,
    Orientation.TURN_RIGHT: 1,
    Orientation.TRANSVERSED: -1,
    Orientation.TURN_LEFT: 0,
}
"""The flip after the exchange of axes, in OpenCV's numbers: 1 across, 0 down, -1 both. Source: CIPA DC-008."""


def turned_upright(pixels: Pixels, orientation: Orientation) -> Pixels:
    """Stored pixels as the viewer should see them."""
    turned = cv2.transpose(pixels) if orientation.swaps_axes else pixels
    return cv2.flip(turned, _FLIPS[orientation]) if orientation in _FLIPS else turned


def stored_box(upright: Box, orientation: Orientation, stored: Size) -> Box:
    """Where a box of the upright picture is in the stored one."""
    x, y, width, height = upright.x, upright.y, upright.width, upright.height
    flip = _FLIPS.get(orientation)
    across, down = flip in {1, -1}, flip in {0, -1}
    if orientation.swaps_axes:
        x, y, width, height, across, down = y, x, height, width, down, across
    return Box(stored.width - x - width if across else x, stored.height - y - height if down else y, width, height)
