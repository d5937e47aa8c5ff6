"""WebP: one bounded walk over the RIFF chunks that keeps only the first frame, and its pixels."""

import struct
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from imagecodecs import webp_decode

from adapters.imaging.native import libwebp
from adapters.imaging.picture import Colors, Picture
from adapters.imaging.resampling import Pixels
from adapters.imaging.samples import picture_of_samples
from adapters.imaging.scanned_photo import (
    Orientation,
    ScannedPhoto,
    acceptable_profile,
    nonempty_size,
    read_orientation,
)
from domain.errors import InvalidImage
from domain.geometry import Box, Size
from domain.photo import SourceFormat

_MAX_CHUNKS: Final = 16_384  # an animation has one per frame; 10 MB of 600-byte frames
_RIFF_HEADER_BYTES: Final = 8
_VP8_START_CODE: Final = b"\x9d\x01\x2a"  # RFC 6386, 9.1
_VP8L_SIGNATURE: Final = 0x2F  # RFC 9649, 3.1
_ALPHA_FLAG: Final = 0x10  # RFC 9649, 2.7.1


@dataclass(frozen=True, slots=True)
class ScannedWebp(ScannedPhoto):
    """A WebP found acceptable; `stream` is its first frame as a still picture that belongs to `frame` on the canvas."""

    frame: Box = field(kw_only=True)
    has_alpha: bool = field(kw_only=True)
    is_lossy: bool = field(kw_only=True)


@dataclass(slots=True)
class _Frame:
    """The chunks of one picture: an optional ALPH and one VP8 or VP8L."""

    alpha: bytes | None = None
    kind: bytes | None = None
    data: bytes = b""

    @property
    def size(self) -> Size:
        if self.kind == b"VP8 ":
            if len(self.data) < 10 or self.data[0] & 1 or self.data[3:6] != _VP8_START_CODE:
                raise InvalidImage
            width, height = struct.unpack_from("<HH", self.data, 6)
            return nonempty_size(width & 0x3FFF, height & 0x3FFF)
        if len(self.data) < 5 or self.data[0] != _VP8L_SIGNATURE:
            raise InvalidImage
        (bits,) = struct.unpack_from("<I", self.data, 1)
        return Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)

    @property
    def has_alpha(self) -> bool:
        """VP8L says in its header whether it uses alpha; VP8 has it in a chunk of its own."""
        return bool(self.data[4] & 0x10) if self.kind == b"VP8L" else self.alpha is not None

    def take(self, kind: bytes, data: bytes) -> None:
        if self.kind is not None:
            return
        if kind == b"ALPH":
            self.alpha = data
        elif kind in {b"VP8 ", b"VP8L"}:
            self.kind, self.data = kind, data


@dataclass(slots=True)
class _Walk:
    canvas: Size | None = None
    still: _Frame = field(default_factory=_Frame)
    first_frame: tuple[int, int, Size, _Frame] | None = None
    orientation: Orientation | None = None
    icc_profile: bytes | None = None


def scan_webp(photo: bytes) -> ScannedWebp:
    """Read a WebP's headers and rebuild its first frame without any metadata.

    Source: RFC 9649. Raises: InvalidImage.
    """
    if len(photo) < 20:
        raise InvalidImage
    riff_end = 8 + int.from_bytes(photo[4:8], "little")
    if riff_end > len(photo) + _RIFF_HEADER_BYTES:
        raise InvalidImage
    riff_end = min(riff_end, len(photo))  # of writers that count the header in; the chunks say if anything is missing
    walk = _Walk()
    for kind, data in _chunks(photo, 12, riff_end, _MAX_CHUNKS):
        _take_chunk(walk, kind, data)
    return _scanned(walk)


def _chunks(data: bytes, at: int, end: int, limit: int) -> list[tuple[bytes, bytes]]:
    """The chunks between two offsets. Raises: InvalidImage when one overruns or there are too many."""
    found: list[tuple[bytes, bytes]] = []
    while at + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, at)
        if at + 8 + length > end or len(found) >= limit:
            raise InvalidImage
        found.append((kind, data[at + 8 : at + 8 + length]))
        at += 8 + length + (length & 1)
    return found


def _take_chunk(walk: _Walk, kind: bytes, data: bytes) -> None:
    match kind:
        case b"VP8X" if walk.canvas is None:
            if len(data) < 10:
                raise InvalidImage
            walk.canvas = Size(int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1)
        case b"ANMF" if walk.first_frame is None:
            walk.first_frame = _read_frame(data)
        case b"EXIF" if walk.orientation is None:
            walk.orientation = read_orientation(data)
        case b"ICCP" if walk.icc_profile is None:
            walk.icc_profile = data
        case _:
            walk.still.take(kind, data)


def _read_frame(data: bytes) -> tuple[int, int, Size, _Frame]:
    """An ANMF chunk: where its picture belongs on the canvas, its size, and its chunks."""
    if len(data) < 16:
        raise InvalidImage
    x, y, width, height = (int.from_bytes(data[at : at + 3], "little") for at in (0, 3, 6, 9))
    frame = _Frame()
    for kind, chunk in _chunks(data, 16, len(data), 16):
        frame.take(kind, chunk)
    return 2 * x, 2 * y, Size(width + 1, height + 1), frame


def _scanned(walk: _Walk) -> ScannedWebp:
    x, y, declared, frame = walk.first_frame or (0, 0, walk.canvas, walk.still)
    if frame.kind is None or (walk.first_frame and walk.canvas is None):
        raise InvalidImage
    size = frame.size
    canvas = walk.canvas or size
    place = Box(x, y, size.width, size.height)
    if declared not in {None, size} or not place.is_inside(canvas):
        raise InvalidImage
    profile, is_broken = acceptable_profile(walk.icc_profile)
    return ScannedWebp(
        source_format=SourceFormat.WEBP,
        stored_size=canvas,
        orientation=walk.orientation,
        stream=_still(frame, size),
        icc_profile=profile,
        profile_is_broken=is_broken,
        frame=place,
        has_alpha=frame.has_alpha,
        is_lossy=frame.kind == b"VP8 ",
    )


def _still(frame: _Frame, size: Size) -> bytes:
    """A file with this picture and nothing else."""
    chunks = _chunk(frame.kind or b"", frame.data)
    if frame.kind == b"VP8 " and frame.alpha is not None:
        extent = (size.width - 1).to_bytes(3, "little") + (size.height - 1).to_bytes(3, "little")
        header = bytes([_ALPHA_FLAG, 0, 0, 0]) + extent
        chunks = _chunk(b"VP8X", header) + _chunk(b"ALPH", frame.alpha) + chunks
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)


def decode_webp(photo: ScannedWebp) -> Picture:
    """The first frame; that of an animation in its place on a transparent canvas. Raises: InvalidImage."""
    frame, canvas = photo.frame, photo.stored_size
    fills_canvas = frame == Box.covering(canvas)
    if photo.is_lossy and fills_canvas and not photo.has_alpha:
        planes = libwebp.decode_420(photo.stream, frame.size)
        if planes is not None:
            return Picture(planes, Colors.COLOR, is_full_range=False)
    pixels = _decode(photo, has_alpha=photo.has_alpha or not fills_canvas)
    if not fills_canvas:
        placed = np.zeros((canvas.height, canvas.width, 4), np.uint8)
        placed[frame.y : frame.bottom, frame.x : frame.right] = pixels
        pixels = placed
    return picture_of_samples(pixels)


def _decode(photo: ScannedWebp, *, has_alpha: bool) -> Pixels:
    """RGB, or RGBA that is not premultiplied."""
    try:
        pixels: Pixels = webp_decode(photo.stream, hasalpha=has_alpha)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise InvalidImage from error
    if pixels.shape[:2] != (photo.frame.height, photo.frame.width):
        raise InvalidImage
    return pixels
