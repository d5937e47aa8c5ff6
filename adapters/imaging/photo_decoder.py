"""Strangers' photos: headers first, pixels when asked for, and the picture that is kept."""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from adapters.imaging.color.conversion import Conversion, conversion_to_srgb
from adapters.imaging.heif_headers import ScannedHeif, scan_heif
from adapters.imaging.heif_pixels import decode_heif
from adapters.imaging.jpeg_headers import ScannedJpeg, scan_jpeg
from adapters.imaging.jpeg_output import can_encode_420, encode_420, encode_jpeg
from adapters.imaging.jpeg_pixels import decode_jpeg
from adapters.imaging.png_headers import ScannedPng, scan_png
from adapters.imaging.png_pixels import decode_png
from adapters.imaging.raster import Channels, Pixels, PlanarRaster, Raster, size_of
from adapters.imaging.resizing import roughly_scaled_down, scaled_down
from adapters.imaging.scanned_photo import ScannedPhoto
from adapters.imaging.sniffing import sniff
from adapters.imaging.turning import stored_box, turned_upright
from adapters.imaging.webp_headers import ScannedWebp, scan_webp
from adapters.imaging.webp_pixels import decode_webp
from application.ports.photos import EncodedPhoto, OpenPhoto, PhotoDecoder, RgbPixels
from application.request_trace import Stage
from domain.errors import ImageTooLarge, InvalidImage, UnsupportedImageFormat
from domain.geometry import Box, Size
from domain.photo import PhotoWarning, SourceFormat

cv2.setNumThreads(1)  # the worker processes share the cores among themselves

_MAX_PIXELS: Final = 64_000_000  # HTTP contract, IMAGE_TOO_LARGE
_KEPT_EDGE: Final = 2000  # HTTP contract, "longest edge at most 2000"

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
        source_format = sniff(data)
        if source_format is None:
            raise UnsupportedImageFormat
        scanned = _SCANNERS[source_format](data)
        pixels = scanned.stored_size.pixels
        if isinstance(scanned, ScannedHeif):
            pixels = max(pixels, scanned.largest_pixels)
        if pixels > self._max_pixels:
            raise ImageTooLarge(pixels, self._max_pixels)
        return _ScannedOpenPhoto(scanned)


class _ScannedOpenPhoto(OpenPhoto):
    def __init__(self, scanned: ScannedPhoto) -> None:
        self._scanned = scanned
        self._decoded: Raster | PlanarRaster | None = None
        self._overview: Pixels | None = None
        self._conversion: tuple[Conversion, tuple[PhotoWarning, ...]] | None = None

    @property
    def source_format(self) -> SourceFormat:
        return self._scanned.source_format

    @property
    def upright_size(self) -> Size:
        return self._scanned.upright_size

    def view(self, window: Box | None, longest_edge: int) -> RgbPixels:
        if window is None or (upright := self._part_of_overview(window, longest_edge)) is None:
            raster = self._decoded or self._decode(
                _sufficient_reduction(_largest_portrait(self.upright_size), _KEPT_EDGE)
            )
            cut, size = self._cut(raster, window, longest_edge)
            conversion, _ = self._conversion_of(raster.channels)
            upright = _srgb(cut.scaled(size, roughly_scaled_down).turned(self._turn), conversion)
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
        left, right = round(window.x * across), round(window.right * across)
        top, bottom = round(window.y * down), round(window.bottom * down)
        if max(right - left, bottom - top) < longest_edge or left == right or top == bottom:
            return None
        size = Size(right - left, bottom - top).limited_to(longest_edge)
        return roughly_scaled_down(self._overview[top:bottom, left:right], size)

    def encode(self, window: Box | None, longest_edge: int) -> EncodedPhoto:
        raster = self._decode(_sufficient_reduction(self._stored_part(window).size, longest_edge))
        cut, size = self._cut(raster, window, longest_edge)
        conversion, warnings = self._conversion_of(raster.channels)
        if isinstance(cut, PlanarRaster) and conversion.planes is not None and can_encode_420():
            picture = conversion.planes(cut.in_420(size, scaled_down, self._turn).in_full_range())
            with Stage("encode"):
                return EncodedPhoto(encode_420(picture), picture.size, warnings)
        srgb = _srgb(cut.scaled(size, scaled_down).turned(self._turn), conversion)
        with Stage("encode"):
            return EncodedPhoto(encode_jpeg(srgb), size_of(srgb), warnings)

    def _cut(
        self, raster: Raster | PlanarRaster, window: Box | None, longest_edge: int
    ) -> tuple[Raster | PlanarRaster, Size]:
        """The window as it is stored, and the size that it gets before it is turned: most steps see few pixels then."""
        part = self._stored_part(window)
        cut = raster.cut(part)
        return cut, part.size.limited_to(min(longest_edge, cut.size.longest_edge))

    def _turn(self, pixels: Pixels) -> Pixels:
        return turned_upright(pixels, self._scanned.orientation)

    def _conversion_of(self, channels: Channels) -> tuple[Conversion, tuple[PhotoWarning, ...]]:
        if self._conversion is None:
            colors = Channels.RGB if channels is Channels.RGBA else channels
            self._conversion = conversion_to_srgb(self._scanned, colors)
        return self._conversion

    def _stored_part(self, window: Box | None) -> Box:
        stored = self._scanned.stored_size
        part = stored_box(window or Box.covering(self.upright_size), self._scanned.orientation, stored)
        if not part.is_inside(stored):
            raise ValueError(f"the window {window} leaves the picture of {self.upright_size}")
        return part

    def _decode(self, reduction: int) -> Raster | PlanarRaster:
        """Decode, or take what was decoded before if it is detailed enough."""
        if self._decoded is None or self._decoded.reduction > reduction:
            self._decoded = None  # before the next one is made: two of them would not fit into a worker
            with Stage("decode"):
                self._decoded = _decoded(self._scanned, reduction)
        return self._decoded


def _decoded(scanned: ScannedPhoto, reduction: int) -> Raster | PlanarRaster:
    match scanned:
        case ScannedJpeg():
            return decode_jpeg(scanned, reduction)
        case ScannedPng():
            return decode_png(scanned)
        case ScannedWebp():
            return decode_webp(scanned)
        case ScannedHeif():
            return decode_heif(scanned)
        case _:
            raise TypeError(f"no decoder for {type(scanned).__name__}")


def _largest_portrait(size: Size) -> Size:
    """The largest 4:5 window: what is kept of most photos."""
    height = min(size.height, size.width * 5 // 4)
    return Size(max(1, height * 4 // 5), max(1, height))


def _sufficient_reduction(part: Size, longest_edge: int) -> int:
    """2 when half of the pixels in each direction are still enough for a result of this size, else 1."""
    return 2 if part.longest_edge // 2 >= longest_edge else 1


def _srgb(upright: Raster | PlanarRaster, conversion: Conversion) -> Pixels:
    """In RGB and without transparency."""
    if upright.channels is Channels.RGBA:
        return _flattened(upright.pixels, conversion.pixels)
    return conversion.pixels(upright.pixels)


def _flattened(premultiplied: Pixels, convert: Callable[[Pixels], Pixels]) -> Pixels:
    """On white, in sRGB."""
    alpha = premultiplied[:, :, 3:].astype(np.float32) / 255
    colors = np.minimum(premultiplied[:, :, :3] / np.maximum(alpha, 1 / 255), 255)
    srgb = convert(np.rint(colors).astype(np.uint8))
    return np.rint(srgb * alpha + 255 * (1 - alpha)).astype(np.uint8)
