"""The check of a picture that came out of the sandbox, marker by marker, before anybody stores it."""

import re
from typing import Final

from domain.geometry import Size

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_DQT, _SOF0, _DHT, _SOS = 0xDB, 0xC0, 0xC4, 0xDA
_ALLOWED: Final = frozenset({_DQT, _SOF0, _DHT, _SOS})
_MAX_SEGMENTS: Final = 16  # one encoder writes two DQT and four DHT, the other one of each
_NEXT_MARKER: Final = re.compile(rb"\xff[^\x00]", re.DOTALL)  # in a scan, 0xFF stands for itself only before a zero


class NotTheKeptForm(Exception):
    """The bytes are not what an honest encoder of ours writes; the text says where they differ."""


def check_kept_form(jpeg: bytes | bytearray, size: Size) -> None:
    """Baseline, 8 bits, three components, of exactly this size, one scan, no metadata, and nothing after the end.

    Raises: NotTheKeptForm. Source: ITU-T T.81, B.1 and B.2; HTTP contract, "The stored image is always".
    """
    if jpeg[:2] != _SOI:
        raise NotTheKeptForm("it does not begin as a JPEG")
    position, frames = 2, 0
    for _ in range(_MAX_SEGMENTS):
        marker, end = _segment(jpeg, position)
        if marker == _SOF0:
            frames += 1
            _check_frame(jpeg[position + 4 : end], size)
        position = end
        if marker == _SOS:
            break
    else:
        raise NotTheKeptForm("it has too many segments")
    if frames != 1:
        raise NotTheKeptForm(f"it has {frames} frames")
    found = _NEXT_MARKER.search(jpeg, position)
    if found is None or found.group() != _EOI:
        raise NotTheKeptForm("its scan does not end with the picture")
    if found.end() != len(jpeg):
        raise NotTheKeptForm(f"{len(jpeg) - found.end()} bytes follow its end")


def _segment(jpeg: bytes | bytearray, position: int) -> tuple[int, int]:
    """The marker of the segment that begins here, and where the next one does."""
    head = jpeg[position : position + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] not in _ALLOWED:
        raise NotTheKeptForm(f"it has {head[:2].hex()} among its segments")
    end = position + 2 + int.from_bytes(head[2:], "big")
    if end < position + 4 or end > len(jpeg):
        raise NotTheKeptForm("a segment ends outside of it")
    return head[1], end


def _check_frame(frame: bytes | bytearray, size: Size) -> None:
    """Source: T.81, B.2.2: precision, lines, samples per line, components."""
    if len(frame) < 6 or frame[0] != 8 or frame[5] != 3:
        raise NotTheKeptForm("it has not three components of 8 bits")
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    if (width, height) != (size.width, size.height):
        raise NotTheKeptForm(f"it has {width} x {height} pixels")
