"""Strangers' photos: headers first, pixels when asked for, and the picture that is kept."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from adapters.imaging.color_conversion import ToSrgb, conversion_to_srgb
from adapters.imaging.heif import ScannedHeif, decode_heif, scan_heif
from adapters.imaging.jpeg import decode_jpeg, encode_jpeg, scan_jpeg
from adapters.imaging.picture import Picture, extended
from adapters.imaging.png import PNG_SIGNATURE, ScannedPng, decode_png, scan_png
from adapters.imaging.resampling import Area, Pixels, resampled
from adapters.imaging.scanned_photo import Orientation, ScannedPhoto, stored_box
from adapters.imaging.webp import ScannedWebp, decode_webp, scan_webp
from application.ports.photos import EncodedPhoto, OpenPhoto, PhotoDecoder, RgbPixels
from domain.errors import ImageTooLarge, InvalidImage, UnsupportedImageFormat
from domain.geometry import NO_PADDING, Box, Padding, Size
from domain.photo import PhotoWarning, SourceFormat

cv2.setNumThreads(1)  # the worker processes share the cores among themselves

_MAX_PIXELS: Final = 64_000_000  # HTTP contract, IMAGE_TOO_LARGE

_JPEG_MAGIC: Final = b"\xff\xd8\xff"  # ITU T.81: SOI and the first byte of the next marker
_MAX_FTYP_BYTES: Final = 1024  # real files list under 20 brands of 4 bytes

# ISO 23008-12, annex B: HEVC still pictures, and the structural brand that they share with every other HEIF.
_HEVC_STILL_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis"})
_ANY_STILL_BRANDS: Final = frozenset({b"mif1", b"mif2", b"mif3"})
_OTHER_CODEC_BRANDS: Final = frozenset(
    {b"avif", b"avis", b"avio", b"j2ki", b"j2is", b"jpeg", b"jpgs", b"avci", b"vvic"}
)

_SCANNERS: Final[dict[SourceFormat, Callable[[bytes], ScannedPhoto]]] = {
    SourceFormat.JPEG: scan_jpeg,
    SourceFormat.PNG: scan_png,
    SourceFormat.WEBP: scan_webp,
    SourceFormat.HEIC: scan_heif,
}


class ImagingPhotoDecoder(PhotoDecoder):
    """Reads JPEG, PNG, WebP and HEIC."""

    def __init__(self, max_pixels: int = _MAX_PIXELS) -> None:
        self._max_pixels = max_pixels

    def open(self, photo: bytes | memoryview) -> OpenPhoto:
        data = bytes(photo)
        if not data:
            raise InvalidImage
        source_format = _sniff(data)
        if source_format is None:
            raise UnsupportedImageFormat
        scanned = _SCANNERS[source_format](data)
        pixels = scanned.stored_size.pixels
        if isinstance(scanned, ScannedHeif):
            pixels = max(pixels, scanned.largest_pixels)
        if pixels > self._max_pixels:
            raise ImageTooLarge(pixels, self._max_pixels)
        return _ScannedOpenPhoto(scanned)


def _sniff(photo: bytes) -> SourceFormat | None:
    """The family that the magic bytes announce, or None for everything that is not accepted."""
    if photo.startswith(_JPEG_MAGIC):
        return SourceFormat.JPEG
    if photo.startswith(PNG_SIGNATURE):
        return SourceFormat.PNG
    if photo[:4] == b"RIFF" and photo[8:12] == b"WEBP":
        return SourceFormat.WEBP
    if photo[4:8] == b"ftyp" and _is_hevc_still(photo):
        return SourceFormat.HEIC
    return None


def _is_hevc_still(photo: bytes) -> bool:
    """Whether the brands promise a HEVC still picture; the primary item's codec is looked at later."""
    end = min(int.from_bytes(photo[:4], "big"), _MAX_FTYP_BYTES)
    brands = [photo[8:12], *(photo[at : at + 4] for at in range(16, end - 3, 4))]
    if brands[0] in _OTHER_CODEC_BRANDS:
        return False
    if _HEVC_STILL_BRANDS.intersection(brands):
        return True
    return bool(_ANY_STILL_BRANDS.intersection(brands)) and not _OTHER_CODEC_BRANDS.intersection(brands)


_TURNED: Final = {1: Orientation.TURN_LEFT, 2: Orientation.UPSIDE_DOWN, 3: Orientation.TURN_RIGHT}
"""What an EXIF block would say of a photo that is upright after so many quarter turns counterclockwise."""


class _ScannedOpenPhoto(OpenPhoto):
    def __init__(self, scanned: ScannedPhoto) -> None:
        self._scanned = scanned
        self._decoded: Picture | None = None
        self._overview: Pixels | None = None
        self._conversion: tuple[ToSrgb, tuple[PhotoWarning, ...]] | None = None

    @property
    def source_format(self) -> SourceFormat:
        return self._scanned.source_format

    @property
    def upright_size(self) -> Size:
        return self._scanned.upright_size

    def decode(self, longest_edge: int) -> None:
        self._decode(_sufficient_reduction(_largest_portrait(self.upright_size), longest_edge))

    def turn(self, turns: int) -> bool:
        if self._scanned.orientation is not None:
            return False
        self._scanned = replace(self._scanned, orientation=_TURNED[turns])
        self._overview = None
        return True

    def view(self, window: Box | None, longest_edge: int) -> RgbPixels:
        if window is None or (upright := self._part_of_overview(window, longest_edge)) is None:
            decoded = self._decoded or self._decode(1)
            shown = window.size if window else self.upright_size
            size = shown.limited_to(min(longest_edge, -(-shown.longest_edge // decoded.reduction)))
            convert, _ = self._conversion_of(decoded)
            upright = convert(self._shown(decoded, window, size, sharp=False)).rgb()
        if window is None:
            self._overview = upright
        height, width = upright.shape[:2]
        return RgbPixels(Size(width, height), np.ascontiguousarray(upright).data.cast("B"))

    def _part_of_overview(self, window: Box, longest_edge: int) -> Pixels | None:
        """The window out of the last view of the whole, if that shows it in enough pixels."""
        if self._overview is None:
            return None
        height, width = self._overview.shape[:2]
        across, down = width / self.upright_size.width, height / self.upright_size.height
        area = Area(window.x * across, window.y * down, window.width * across, window.height * down)
        shown = Size(max(1, round(area.width)), max(1, round(area.height)))
        if shown.longest_edge < longest_edge:
            return None
        return resampled(self._overview, area, shown.limited_to(longest_edge), sharp=False)

    def encode(self, window: Box | None, longest_edge: int, padding: Padding = NO_PADDING) -> EncodedPhoto:
        shown = window.size if window else self.upright_size
        canvas = padding.around(shown)
        decoded = self._decode(_sufficient_reduction(canvas, longest_edge))
        convert, warnings = self._conversion_of(decoded)
        canvas = canvas.limited_to(min(longest_edge, -(-canvas.longest_edge // decoded.reduction)))
        around = padding.scaled(shown, canvas)
        kept = Size(canvas.width - around.left - around.right, canvas.height - around.top - around.bottom)
        picture = extended(convert(self._shown(decoded, window, kept, sharp=True)), around)
        return EncodedPhoto(encode_jpeg(picture), picture.size, warnings)

    def _shown(self, decoded: Picture, window: Box | None, size: Size, *, sharp: bool) -> Picture:
        """A window at this size, upright and of full range, in the colors of the file."""
        orientation = self._scanned.to_upright
        stored = size.transposed() if orientation.swaps_axes else size
        return decoded.shown(self._stored_part(window), stored, orientation, sharp=sharp).in_full_range()

    def _conversion_of(self, decoded: Picture) -> tuple[ToSrgb, tuple[PhotoWarning, ...]]:
        if self._conversion is None:
            self._conversion = conversion_to_srgb(self._scanned, decoded.colors)
        return self._conversion

    def _stored_part(self, window: Box | None) -> Box:
        stored = self._scanned.stored_size
        part = stored_box(window or Box.covering(self.upright_size), self._scanned.to_upright, stored)
        if not part.is_inside(stored):
            raise ValueError(f"the window {window} leaves the picture of {self.upright_size}")
        return part

    def _decode(self, reduction: int) -> Picture:
        """Decode, or take what was decoded before if it is detailed enough."""
        if self._decoded is None or self._decoded.reduction > reduction:
            self._decoded = None  # before the next one is made: two of them would not fit into a worker
            self._decoded = _decoded(self._scanned, reduction)
        return self._decoded


def _decoded(scanned: ScannedPhoto, reduction: int) -> Picture:
    match scanned:
        case ScannedWebp():
            return decode_webp(scanned)
        case ScannedHeif():
            return decode_heif(scanned)
        case ScannedPng():
            return decode_png(scanned)
        case _:
            return decode_jpeg(scanned, reduction)


def _largest_portrait(size: Size) -> Size:
    """The largest 4:5 window: what is kept of most photos."""
    height = min(size.height, size.width * 5 // 4)
    return Size(max(1, height * 4 // 5), max(1, height))


def _sufficient_reduction(part: Size, longest_edge: int) -> int:
    """2 when half of the pixels in each direction are still enough for a result of this size, else 1."""
    return 2 if part.longest_edge // 2 >= longest_edge else 1
