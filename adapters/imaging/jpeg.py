"""JPEG: one bounded walk over the segments that keeps only what the pixels need, planes in, the kept picture out."""

import re
import struct
from dataclasses import dataclass, field, replace
from typing import Final

import cv2

from adapters.imaging.native import libturbojpeg
from adapters.imaging.picture import Colors, Picture, picture_of
from adapters.imaging.scanned_photo import (
    Orientation,
    ScannedPhoto,
    acceptable_profile,
    nonempty_size,
    read_orientation,
)
from domain.errors import InvalidImage
from domain.geometry import Size
from domain.photo import SourceFormat

_SOI, _EOI, _SOS, _DNL = 0xD8, 0xD9, 0xDA, 0xDC
_DHT, _DQT, _DRI = 0xC4, 0xDB, 0xDD
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
# Lossless, hierarchical and arithmetic frames, a height that comes after the pixels, a picture inside the picture.
_REFUSED: Final = (frozenset(range(0xC3, 0xD0)) - {_DHT}) | {_SOI, _DNL}
_TABLES: Final = frozenset({_DHT, _DQT, _DRI})
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})  # TEM and stray restart markers carry no length

# 10 MB of the largest segments are 160; panoramas and motion photos have been seen with about 200.
_MAX_SEGMENTS: Final = 4096
# libjpeg writes 10 scans for a color picture and mozjpeg up to 14. Each costs a pass over all coefficients.
_MAX_SCANS: Final = 50

_LOWEST_COEFFICIENTS: Final = 6  # zigzag order: the first three diagonals of a block

_MARKER: Final = re.compile(rb"\xff[\x01-\xfe]")
_END_OF_SCAN: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # neither stuffing, fill byte nor restart

_JFIF: Final = b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
_ICC_PREAMBLE: Final = b"ICC_PROFILE\0"
_QUALITY: Final = 92  # HTTP contract


@dataclass(slots=True)
class _Frame:
    """The frame header, and which bits of which coefficients the scans have brought so far."""

    size: Size
    progressive: bool
    missing_bits: dict[int, list[int | None]]  # component -> for every coefficient the lowest bit seen, None before any

    def note_scan(self, header: bytes) -> bytes:
        """Take note of a scan header. Returns: the same as the standard wants it.

        The last three bytes of sequential files have one legal value each, and phones write others (T.81, B.2.3).
        """
        count = header[0] if header else 0
        if not 1 <= count <= 4 or len(header) < 4 + 2 * count:
            raise InvalidImage
        choices = header[: 1 + 2 * count]
        spectral = header[1 + 2 * count : 4 + 2 * count] if self.progressive else b"\x00\x3f\x00"
        first, last, successive = spectral
        if first > last or last > 63:
            raise InvalidImage
        for component in choices[1::2]:
            if component not in self.missing_bits:
                raise InvalidImage
            self.missing_bits[component][first : last + 1] = [successive & 15] * (last + 1 - first)
        return choices + spectral

    def is_complete(self, *, had_end: bool) -> bool:
        """Whether the scans brought the whole picture; a file that was cut between two of them is not complete.

        What was begun has to come down to its last bit. A file with an end marker may leave out coefficients: that is
        legal (T.81, G.1.1.1), and some encoders save fine color detail so. Luma without its lowest ones is a mosaic.
        """
        luma, *_ = self.missing_bits.values()
        if not had_end or any(bit is None for bit in luma[:_LOWEST_COEFFICIENTS]):
            return all(bit == 0 for bits in self.missing_bits.values() for bit in bits)
        return all(bits[0] == 0 and not any(bits) for bits in self.missing_bits.values())


@dataclass(slots=True)
class _Walk:
    """What the walk has collected."""

    kept: list[bytes | memoryview] = field(default_factory=list)
    frame: _Frame | None = None
    has_jfif: bool = False
    adobe: bytes | None = None  # the body of its segment
    orientation: Orientation | None = None
    icc_chunks: list[bytes] = field(default_factory=list)
    scans: int = 0


def scan_jpeg(photo: bytes) -> ScannedPhoto:
    """Read a JPEG's headers, first picture only, and rebuild it without any metadata.

    A missing end marker is put back: whether pixels are missing too is for the decoder to say. Source: ITU T.81, B.
    Raises: InvalidImage.
    """
    walk = _Walk()
    at = 2
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(photo, at)
        if found is None or photo[found.start() + 1] == _EOI:
            break
        at = _take_segment(walk, photo, found.start())
    else:
        raise InvalidImage
    if walk.frame is None or not walk.frame.is_complete(had_end=found is not None):
        raise InvalidImage
    profile, is_broken = _join_profile(walk.icc_chunks)
    head = [b"\xff\xd8", _JFIF if walk.has_jfif else b"", _adobe_segment(walk.adobe, walk.frame)]
    return ScannedPhoto(
        source_format=SourceFormat.JPEG,
        stored_size=walk.frame.size,
        orientation=walk.orientation,
        stream=b"".join([*head, *walk.kept, b"\xff\xd9"]),
        icc_profile=profile,
        profile_is_broken=is_broken,
    )


def _take_segment(walk: _Walk, photo: bytes, at: int) -> int:
    """Take what the segment at `at` is good for. Returns: where the next one may begin."""
    marker = photo[at + 1]
    if marker in _STANDALONE:
        return at + 2
    if marker in _REFUSED:
        raise InvalidImage
    length = int.from_bytes(photo[at + 2 : at + 4], "big")
    end = at + 2 + length
    if length < 2 or end > len(photo):
        raise InvalidImage
    body = photo[at + 4 : end]
    if marker == _SOS:
        return _take_scan(walk, photo, at, end)
    if marker in {_BASELINE, _EXTENDED, _PROGRESSIVE}:
        if walk.frame is not None:
            raise InvalidImage
        walk.frame = _read_frame(marker, body)
        walk.kept.append(photo[at:end])
    elif marker in _TABLES:
        walk.kept.append(photo[at:end])
    else:
        _note_application_data(walk, marker, body)
    return end


def _read_frame(marker: int, body: bytes) -> _Frame:
    if len(body) < 6:
        raise InvalidImage
    precision, height, width, count = struct.unpack_from(">BHHB", body)
    ids = list(body[6 : 6 + 3 * count : 3])
    if precision != 8 or count not in {1, 3, 4} or len(body) != 6 + 3 * count or len(set(ids)) != count:
        raise InvalidImage
    return _Frame(nonempty_size(width, height), marker == _PROGRESSIVE, {i: [None] * 64 for i in ids})


def _take_scan(walk: _Walk, photo: bytes, at: int, end: int) -> int:
    walk.scans += 1
    if walk.frame is None or walk.scans > _MAX_SCANS:
        raise InvalidImage
    header = walk.frame.note_scan(photo[at + 4 : end])
    found = _END_OF_SCAN.search(photo, end)
    stop = len(photo) if found is None else found.start()
    walk.kept.append(struct.pack(">BBH", 0xFF, _SOS, 2 + len(header)) + header)
    walk.kept.append(memoryview(photo)[end:stop])  # most of the file: it is copied once, when all is joined
    return stop


def _note_application_data(walk: _Walk, marker: int, body: bytes) -> None:
    """Read orientation, profile and color transform; everything else in here is private or of no use."""
    if marker == _APP0 and body.startswith(b"JFIF\0"):
        walk.has_jfif = True
    elif marker == _APP1 and body.startswith(b"Exif\0") and walk.orientation is None:
        walk.orientation = read_orientation(body)
    elif marker == _APP2 and body.startswith(_ICC_PREAMBLE):
        walk.icc_chunks.append(body[len(_ICC_PREAMBLE) :])
    elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12 and walk.adobe is None:
        walk.adobe = body[:12]


def _adobe_segment(adobe: bytes | None, frame: _Frame) -> bytes:
    """The segment that tells the color transform: 0 (none), 1 (YCbCr) or, of four components, 2 (YCCK).

    Other codes are taken as every decoder takes them, with a transform. Source: Adobe Technical Note 5116, section 18.
    """
    if adobe is None:
        return b""
    usual = {3: 1, 4: 2}.get(len(frame.missing_bits), 0)
    return b"\xff\xee\x00\x0e" + adobe[:11] + bytes([adobe[11] and usual])


def _join_profile(chunks: list[bytes]) -> tuple[bytes | None, bool]:
    """The profile in chunks of a number, how many there are, and data; and whether it is broken (ICC.1:2022, B.4)."""
    if not chunks:
        return None, False
    numbered, count = sorted(chunks), len(chunks)
    if count > 255 or [chunk[:2] for chunk in numbered] != [bytes([number, count]) for number in range(1, count + 1)]:
        return None, True
    return acceptable_profile(b"".join(chunk[2:] for chunk in numbered))


def decode_jpeg(photo: ScannedPhoto, reduction: int) -> Picture:
    """The planes, or with a reduction of 2 half as many samples each way, which libjpeg makes from the coefficients.

    Raises: InvalidImage when the decoder had anything to complain about.
    """
    planes, step = libturbojpeg.decode(photo.stream, photo.stored_size, reduction)
    if planes[0].ndim == 2:
        return Picture(planes, Colors.GRAY if len(planes) == 1 else Colors.COLOR, step, reduction)
    if planes[0].shape[2] == 3:
        return replace(picture_of(planes[0]), reduction=reduction)
    inks = cv2.split(cv2.bitwise_not(planes[0]))  # inverted, as Adobe writes them and every reader expects them
    return Picture(tuple(inks), Colors.INKS, reduction=reduction)


def encode_jpeg(picture: Picture) -> bytes:
    """A 4:2:0 picture in sRGB as a baseline JPEG without any application or comment segment.

    The encoder writes a JFIF header, which says nothing that a reader does not assume of a three-component JPEG.
    """
    jpeg = libturbojpeg.encode_420(*picture.in_color().planes, quality=_QUALITY)
    start = 2 + len(_JFIF) if jpeg[2:4] == _JFIF[:2] else 2
    return jpeg[:2] + jpeg[start:]
