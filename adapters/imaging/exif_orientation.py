"""The orientation in an EXIF block: one look into one directory, and never an error."""

import struct
from typing import Final

from adapters.imaging.scanned_photo import Orientation

_ORIENTATION_TAG: Final = 0x0112
_SHORT: Final = 3
_LONG: Final = 4  # some editors write the orientation as a LONG
_MAX_ENTRIES: Final = 1000  # IFD0 of a real photo has under 50


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
    for index in range(min(entries, _MAX_ENTRIES)):
        at = directory_at + 2 + 12 * index
        if at + 12 > len(tiff):
            break
        tag, kind, count = struct.unpack_from(order + "HHI", tiff, at)
        if tag == _ORIENTATION_TAG:
            return _orientation(order, kind, count, tiff[at + 8 : at + 12])
    return None


def _orientation(order: str, kind: int, count: int, field: bytes) -> Orientation | None:
    if kind not in {_SHORT, _LONG} or count != 1:
        return None
    (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), field)
    return Orientation(value) if 1 <= value <= 8 else None
