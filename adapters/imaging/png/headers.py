"""PNG files: one bounded walk over the chunks that keeps only what the pixels need."""

import struct
import zlib
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from adapters.imaging.color.code_points import ColorTag, Primaries, tag_of_code_points, tag_of_gamma
from adapters.imaging.exif_orientation import read_orientation
from adapters.imaging.scanned_photo import MAX_ICC_BYTES, Orientation, ScannedPhoto, nonempty_size
from domain.errors import InvalidImage
from domain.geometry import Size
from domain.photo import SourceFormat

_SIGNATURE_BYTES: Final = 8
_MAX_CHUNK_BYTES: Final = 2**31 - 1  # PNG specification, 5.3
# Encoders cut pixel data into chunks of 8 KB or more: 1,280 in 10 MB. Anything near the limit is a header flood.
_MAX_CHUNKS: Final = 65_536


class ColorType(IntEnum):
    """PNG specification, table 12."""

    GRAY = 0
    RGB = 2
    PALETTE = 3
    GRAY_ALPHA = 4
    RGBA = 6


_ALLOWED_DEPTHS: Final = {
    ColorType.GRAY: {1, 2, 4, 8, 16},
    ColorType.RGB: {8, 16},
    ColorType.PALETTE: {1, 2, 4, 8},
    ColorType.GRAY_ALPHA: {8, 16},
    ColorType.RGBA: {8, 16},
}
_USUAL_GAMMA: Final = 45455  # what encoders write for sRGB
_MIN_GAMMA, _MAX_GAMMA = 20_000, 125_000  # display exponents from 5 down to 0.8; beyond that it is a mistake


@dataclass(frozen=True, slots=True)
class PngLayout:
    """The IHDR chunk: how pixels are stored."""

    size: Size
    depth: int
    color_type: ColorType
    interlaced: bool


@dataclass(slots=True)
class _Walk:
    layout: PngLayout | None = None
    palette: bytes | None = None
    transparency: bytes | None = None
    pixel_chunks: list[bytes] = field(default_factory=list)
    pixel_data_ended: bool = False
    orientation: Orientation | None = None
    icc_profile: bytes | None = None
    profile_is_broken: bool = False
    cicp: bytes | None = None
    is_srgb: bool = False
    gamma: int | None = None
    chromaticities: tuple[int, ...] | None = None


def scan_png(photo: bytes) -> ScannedPhoto:
    """Read a PNG's headers and rebuild it without any metadata; of an animation, the picture that every reader shows.

    IHDR, PLTE, tRNS, the IDATs and IEND stay. Checksums are compared where pixels depend on them; an ancillary chunk
    with a wrong one is left out. Source: W3C PNG specification, third edition. Raises: InvalidImage.
    """
    walk = _Walk()
    at = _SIGNATURE_BYTES
    for _ in range(_MAX_CHUNKS):
        if at == len(photo) and walk.pixel_chunks:
            break  # no IEND: the decoder says whether pixels are missing too
        if at + 12 > len(photo):
            raise InvalidImage
        length, kind = struct.unpack_from(">I4s", photo, at)
        end = at + 12 + length
        if length > _MAX_CHUNK_BYTES or end > len(photo):
            raise InvalidImage
        if kind == b"IEND":
            break
        _take_chunk(walk, kind, photo[at:end])
        at = end
    else:
        raise InvalidImage
    return _scanned(walk)


def _take_chunk(walk: _Walk, kind: bytes, chunk: bytes) -> None:
    is_intact = zlib.crc32(memoryview(chunk)[4:-4]) == int.from_bytes(chunk[-4:], "big")
    is_critical = not kind[0] & 0x20  # PNG specification, 5.4: an upper case first letter
    if is_critical or kind == b"tRNS":
        if not is_intact:
            raise InvalidImage
        _take_pixel_chunk(walk, kind, chunk)
    elif is_intact:
        walk.pixel_data_ended = bool(walk.pixel_chunks)
        _take_metadata(walk, kind, chunk[8:-4])
    elif kind == b"iCCP":
        walk.profile_is_broken = True


def _take_pixel_chunk(walk: _Walk, kind: bytes, chunk: bytes) -> None:
    if (walk.layout is None) != (kind == b"IHDR"):
        raise InvalidImage
    if kind == b"IDAT" and not walk.pixel_data_ended:
        walk.pixel_chunks.append(chunk)
        return
    data = chunk[8:-4]
    match kind:
        case b"IHDR":
            walk.layout = _read_layout(data)
        case b"PLTE" if walk.palette is None and not walk.pixel_chunks:
            if not data or len(data) % 3 or len(data) > 768:
                raise InvalidImage
            walk.palette = data
        case b"tRNS" if not walk.pixel_chunks:
            walk.transparency = data if len(data) <= 256 else None
        case b"tRNS":
            walk.pixel_data_ended = True
        case _:
            raise InvalidImage


def _read_layout(data: bytes) -> PngLayout:
    if len(data) != 13:
        raise InvalidImage
    width, height, depth, color_type, compression, filtering, interlace = struct.unpack(">IIBBBBB", data)
    if depth not in _ALLOWED_DEPTHS.get(color_type, set()) or compression or filtering or interlace > 1:
        raise InvalidImage
    return PngLayout(nonempty_size(width, height), depth, ColorType(color_type), bool(interlace))


def _take_metadata(walk: _Walk, kind: bytes, data: bytes) -> None:
    match kind:
        case b"eXIf" if walk.orientation is None:
            walk.orientation = read_orientation(data)
        case b"iCCP" if walk.icc_profile is None:
            walk.icc_profile = _inflate_profile(data)
            walk.profile_is_broken = walk.icc_profile is None
        case b"sRGB":
            walk.is_srgb = True
        case b"cICP" if len(data) == 4:
            walk.cicp = data
        case b"gAMA" if len(data) == 4:
            walk.gamma = int.from_bytes(data, "big")
        case b"cHRM" if len(data) == 32:
            walk.chromaticities = struct.unpack(">8I", data)
        case _:
            pass  # text, time, thumbnails, private chunks: of no use for the pixels


def _inflate_profile(data: bytes) -> bytes | None:
    """The profile in an iCCP chunk, inflated up to its limit and not a byte further."""
    name_end = data.find(b"\0", 0, 80)
    if name_end < 1 or data[name_end + 1 : name_end + 2] != b"\0":
        return None
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(data[name_end + 2 :], MAX_ICC_BYTES + 1)
    except zlib.error:
        return None
    return profile if inflater.eof and 0 < len(profile) <= MAX_ICC_BYTES else None


def _color_tag(walk: _Walk) -> ColorTag | None:
    """What cICP, or else gAMA and cHRM, say about colors; None for sRGB. Source: PNG specification, 4.3."""
    if walk.cicp is not None:
        return tag_of_code_points(walk.cicp[0], walk.cicp[1])
    if walk.is_srgb or walk.gamma is None or not _MIN_GAMMA <= walk.gamma <= _MAX_GAMMA:
        return None
    is_usual = abs(walk.gamma - _USUAL_GAMMA) <= 1000
    x = [value / 100_000 for value in walk.chromaticities or ()]
    primaries = Primaries((x[0], x[1]), (x[2], x[3]), (x[4], x[5]), (x[6], x[7])) if x else None
    return tag_of_gamma(primaries, None if is_usual else 100_000 / walk.gamma)


def _scanned(walk: _Walk) -> ScannedPhoto:
    layout = walk.layout
    if layout is None or not walk.pixel_chunks or (layout.color_type == ColorType.PALETTE and walk.palette is None):
        raise InvalidImage
    size = layout.size
    header = struct.pack(">IIBBBBB", size.width, size.height, layout.depth, layout.color_type, 0, 0, layout.interlaced)
    chunks = [_chunk(b"IHDR", header)]
    if layout.color_type == ColorType.PALETTE and walk.palette is not None:
        chunks.append(_chunk(b"PLTE", walk.palette))
    if walk.transparency is not None:
        chunks.append(_chunk(b"tRNS", walk.transparency))
    chunks += [*walk.pixel_chunks, _chunk(b"IEND", b"")]
    return ScannedPhoto(
        source_format=SourceFormat.PNG,
        stored_size=layout.size,
        orientation=walk.orientation or Orientation.UPRIGHT,
        tells_orientation=walk.orientation is not None,
        stream=b"\x89PNG\r\n\x1a\n" + b"".join(chunks),
        icc_profile=walk.icc_profile if walk.cicp is None else None,
        profile_is_broken=walk.profile_is_broken and walk.icc_profile is None and walk.cicp is None,
        color_tag=_color_tag(walk),
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join([struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))])
