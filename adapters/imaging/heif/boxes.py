"""The box structure of HEIF files: reading with every length checked, and writing."""

import struct
from dataclasses import dataclass
from typing import Final

from domain.errors import InvalidImage

MAX_BOXES: Final = 4096  # in one container; an iPhone's property container has under 100


@dataclass(frozen=True, slots=True)
class Box:
    """One box: its four-letter kind and what is in it."""

    kind: bytes
    body: bytes


def read_boxes(data: bytes) -> list[Box]:
    """The boxes that fill `data` exactly. Source: ISO 14496-12, 4.2. Raises: InvalidImage when one overruns."""
    boxes: list[Box] = []
    at = 0
    while at < len(data):
        start, end = box_extent(data, at)
        if end > len(data) or len(boxes) >= MAX_BOXES:
            raise InvalidImage
        boxes.append(Box(data[at + 4 : at + 8], data[start:end]))
        at = end
    return boxes


def box_extent(data: bytes, at: int) -> tuple[int, int]:
    """Where the body of the box at `at` starts and where it ends; a size of 0 reaches to the end of the file."""
    if at + 8 > len(data):
        raise InvalidImage
    (size,) = struct.unpack_from(">I", data, at)
    start = at + 8
    if size == 1:
        if at + 16 > len(data):
            raise InvalidImage
        (size,) = struct.unpack_from(">Q", data, at + 8)
        start = at + 16
    end = at + size if size else len(data)
    if end < start:
        raise InvalidImage
    return start, end


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box with this body."""
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box that begins with version and flags."""
    return box(kind, bytes([version]), flags.to_bytes(3, "big"), *parts)


class Fields:
    """Reads big-endian numbers off a body one after another. Raises: InvalidImage at the end of the body."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, size_bytes: int) -> int:
        return int.from_bytes(self.take(size_bytes), "big")

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise InvalidImage
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def rest(self) -> bytes:
        return self._data[self._at :]
