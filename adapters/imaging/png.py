"""PNG: one bounded walk over the chunks that keeps only what the pixels need, and the pixels."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from imagecodecs import DeflateError, deflate_crc32, deflate_decode, deflate_encode, png_decode, spng_decode

from adapters.imaging.color_spaces import ColorTag, Primaries, tag_of_code_points, tag_of_gamma
from adapters.imaging.picture import BAND_ROWS, Picture, picture_of_bands
from adapters.imaging.resampling import Pixels
from adapters.imaging.samples import flattened, picture_of_samples
from adapters.imaging.scanned_photo import (
    MAX_ICC_BYTES,
    Orientation,
    ScannedPhoto,
    acceptable_profile,
    nonempty_size,
    read_orientation,
)
from domain.errors import InvalidImage
from domain.geometry import Size
from domain.photo import SourceFormat

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"  # PNG specification, 5.2
_HEADER_BYTES: Final = 25  # of the IHDR chunk
_END: Final = b"\0\0\0\0IEND\xaeB`\x82"
# Encoders cut pixel data into chunks of 8 KB or more: 1,280 in 10 MB. Anything near the limit is a header flood.
_MAX_CHUNKS: Final = 65_536


_PALETTE: Final = 3
_DEPTHS: Final = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, _PALETTE: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
"""Bits of a sample in gray, RGB, a palette, and the first two with alpha. Source: PNG specification, table 12."""
_PLAIN_BYTES: Final = {0: 1, 2: 3, 6: 4}  # gray, RGB, RGBA
_LONGEST_PLAIN_EDGE: Final = 16_384  # a band of such rows is 4 MB
_USUAL_GAMMA: Final = 45455  # what encoders write for sRGB
_MIN_GAMMA, _MAX_GAMMA = 20_000, 125_000  # display exponents from 5 down to 0.8; beyond that it is a mistake


@dataclass(frozen=True, slots=True)
class ScannedPng(ScannedPhoto):
    """A PNG found acceptable. `plain_bytes` of a pixel where rows are nothing but filtered pixels of 8 bits, else 0."""

    plain_bytes: int = field(kw_only=True)


@dataclass(slots=True)
class _Walk:
    size: Size | None = None
    has_palette: bool = False
    plain_bytes: int = 0
    kept: dict[bytes, memoryview] = field(default_factory=dict)  # kind -> the whole chunk
    pixel_chunks: list[memoryview] = field(default_factory=list)
    pixel_data_ended: bool = False
    orientation: Orientation | None = None
    icc_profile: bytes | None = None
    profile_is_broken: bool = False
    cicp: bytes | None = None
    is_srgb: bool = False
    gamma: int | None = None
    chromaticities: tuple[int, ...] | None = None


def scan_png(photo: bytes) -> ScannedPng:
    """Read a PNG's headers and rebuild it without any metadata; of an animation, the picture that every reader shows.

    IHDR, PLTE, tRNS, the IDATs and IEND stay. Checksums are compared where pixels depend on them; an ancillary chunk
    with a wrong one is left out. Source: W3C PNG specification, third edition. Raises: InvalidImage.
    """
    walk = _Walk()
    at = len(PNG_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if at == len(photo) and walk.pixel_chunks:
            break  # no IEND: the decoder says whether pixels are missing too
        if at + 12 > len(photo):
            raise InvalidImage
        length, kind = struct.unpack_from(">I4s", photo, at)
        end = at + 12 + length
        if end > len(photo):
            raise InvalidImage
        if kind == b"IEND":
            break
        _take_chunk(walk, kind, memoryview(photo)[at:end])
        at = end
    else:
        raise InvalidImage
    return _scanned(walk)


def _take_chunk(walk: _Walk, kind: bytes, chunk: memoryview) -> None:
    is_intact = zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
    is_critical = not kind[0] & 0x20  # PNG specification, 5.4: an upper case first letter
    if is_critical or kind == b"tRNS":
        if not is_intact:
            raise InvalidImage
        _take_pixel_chunk(walk, kind, chunk)
    elif is_intact:
        walk.pixel_data_ended = bool(walk.pixel_chunks)
        _take_metadata(walk, kind, bytes(chunk[8:-4]))
    elif kind == b"iCCP":
        walk.profile_is_broken = True


def _take_pixel_chunk(walk: _Walk, kind: bytes, chunk: memoryview) -> None:
    if (walk.size is None) != (kind == b"IHDR"):
        raise InvalidImage
    size_bytes = len(chunk) - 12
    match kind:
        case b"IDAT" if not walk.pixel_data_ended:
            walk.pixel_chunks.append(chunk)
        case b"IHDR":
            _take_layout(walk, chunk[8:-4])
            walk.kept[kind] = chunk
        case b"PLTE" if not (kind in walk.kept or walk.pixel_chunks or size_bytes % 3) and 0 < size_bytes <= 768:
            walk.kept[kind] = chunk
        case b"tRNS" if walk.pixel_chunks:
            walk.pixel_data_ended = True
        case b"tRNS":
            walk.kept[kind] = chunk if size_bytes <= 256 else chunk[:0]
        case _:
            raise InvalidImage


def _take_layout(walk: _Walk, data: memoryview) -> None:
    if len(data) != 13:
        raise InvalidImage
    width, height, depth, color_type, compression, filtering, interlace = struct.unpack(">IIBBBBB", data)
    if depth not in _DEPTHS.get(color_type, set()) or compression or filtering or interlace > 1:
        raise InvalidImage
    walk.size, walk.has_palette = nonempty_size(width, height), color_type == _PALETTE
    walk.plain_bytes = _PLAIN_BYTES.get(color_type, 0) if depth == 8 and not interlace else 0


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
        profile, _ = acceptable_profile(inflater.decompress(data[name_end + 2 :], MAX_ICC_BYTES + 1))
    except zlib.error:
        return None
    return profile if inflater.eof else None


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


def _scanned(walk: _Walk) -> ScannedPng:
    if walk.size is None or not walk.pixel_chunks or (walk.has_palette and b"PLTE" not in walk.kept):
        raise InvalidImage
    needed = (b"IHDR", b"PLTE", b"tRNS") if walk.has_palette else (b"IHDR", b"tRNS")
    chunks = [*(walk.kept[kind] for kind in needed if kind in walk.kept), *walk.pixel_chunks]
    return ScannedPng(
        source_format=SourceFormat.PNG,
        stored_size=walk.size,
        orientation=walk.orientation,
        stream=b"".join([PNG_SIGNATURE, *chunks, _END]),
        icc_profile=walk.icc_profile if walk.cicp is None else None,
        profile_is_broken=walk.profile_is_broken and walk.icc_profile is None and walk.cicp is None,
        color_tag=_color_tag(walk),
        plain_bytes=0 if b"tRNS" in walk.kept else walk.plain_bytes,
    )


def decode_png(photo: ScannedPng) -> Picture:
    """Plain kinds in bands, all others by libpng: palettes, transparent colors, interlaced, 16 bits.

    Raises: InvalidImage when a row is missing or the compressed data is broken.
    """
    try:
        if (rows := _inflated(photo)) is not None:
            return picture_of_bands(photo.stored_size, map(flattened, _unfiltered(photo, rows)))
        samples = png_decode(photo.stream)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise InvalidImage from error
    if samples.shape[:2] != (photo.stored_size.height, photo.stored_size.width):
        raise InvalidImage
    return picture_of_samples(samples, 8 * samples.itemsize, photo.color_tag)


def _inflated(photo: ScannedPng) -> memoryview | None:
    """The filtered rows of a plain kind by libdeflate: in a third of the time of zlib, which libpng has.

    None of any other kind, and where there is more or less than the rows or their checksum is wrong: libpng judges.
    """
    size = photo.stored_size
    if not photo.plain_bytes or photo.is_steep or size.longest_edge > _LONGEST_PLAIN_EDGE:
        return None
    size_bytes = size.height * (1 + size.width * photo.plain_bytes)
    try:
        rows = deflate_decode(_compressed(photo.stream), out=size_bytes)
    except DeflateError:
        return None
    return memoryview(rows) if len(rows) == size_bytes else None


def _compressed(stream: bytes) -> bytes:
    """What is in the IDAT chunks of a rebuilt stream of a plain kind."""
    at, parts = len(PNG_SIGNATURE) + _HEADER_BYTES, []
    while stream[at + 4 : at + 8] == b"IDAT":
        end = at + 8 + int.from_bytes(stream[at : at + 4], "big")
        parts.append(memoryview(stream)[at + 8 : end])
        at = end + 4
    return b"".join(parts)


def _unfiltered(photo: ScannedPng, rows: memoryview) -> Iterator[Pixels]:
    """Bands of pixels by libspng, to which each is a PNG of its own whose data is stored, not compressed.

    A row was filtered by what is above it: so each band but the first begins with the last row of the one before.
    """
    width, row_bytes = photo.stored_size.width, 1 + photo.stored_size.width * photo.plain_bytes
    above = b""
    for top in range(0, len(rows), BAND_ROWS * row_bytes):
        band = b"".join([above, rows[top : top + BAND_ROWS * row_bytes]])
        header = photo.stream[16:20] + (len(band) // row_bytes).to_bytes(4, "big") + photo.stream[24:29]
        chunks = _chunk(b"IHDR", header), _chunk(b"IDAT", bytes(deflate_encode(band, level=0))), _END
        pixels = spng_decode(PNG_SIGNATURE + b"".join(chunks)).reshape(-1, width, photo.plain_bytes)
        yield pixels[1:] if above else pixels
        above = b"\0" + pixels[-1].tobytes()


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = deflate_crc32(data, deflate_crc32(kind))
    return b"".join([struct.pack(">I", len(data)), kind, data, struct.pack(">I", checksum)])
