"""Strangers' photos: headers first, pixels when asked for, and the picture that is kept."""

from collections.abc import Callable
from typing import Any, Final

import cv2
import numpy as np

from adapters.imaging.color_conversion import conversion_to_srgb
from adapters.imaging.heif_headers import ScannedHeif, scan_heif
from adapters.imaging.heif_pixels import decode_heif
from adapters.imaging.jpeg_headers import scan_jpeg
from adapters.imaging.jpeg_output import encode_jpeg
from adapters.imaging.jpeg_pixels import decode_jpeg
from adapters.imaging.png_headers import scan_png
from adapters.imaging.png_pixels import decode_png
from adapters.imaging.raster import Channels, Pixels, Raster
from adapters.imaging.resizing import roughly_scaled_down, scaled_down
from adapters.imaging.scanned_photo import ScannedPhoto
from adapters.imaging.sniffing import sniff
from adapters.imaging.turning import stored_box, turned_upright
from adapters.imaging.webp_headers import scan_webp
from adapters.imaging.webp_pixels import decode_webp
from application.photo_ports import DevelopedPhoto, OpenPhoto, PhotoDecoder, RgbPixels
from domain.errors import ImageTooLarge, InvalidImage, UnsupportedImageFormat
from domain.geometry import Box, Size
from domain.photo import PhotoWarning, SourceFormat

cv2.setNumThreads(1)  # the worker processes share the cores among themselves

_MAX_PIXELS: Final = 64_000_000  # HTTP contract, IMAGE_TOO_LARGE

_SCANNERS: Final[dict[SourceFormat, Callable[[bytes], ScannedPhoto]]] = {
    SourceFormat.JPEG: scan_jpeg,
    SourceFormat.PNG: scan_png,
    SourceFormat.WEBP: scan_webp,
    SourceFormat.HEIC: scan_heif,
}
_DECODERS: Final[dict[SourceFormat, Callable[[Any], Raster]]] = {
    SourceFormat.JPEG: decode_jpeg,
    SourceFormat.PNG: decode_png,
    SourceFormat.WEBP: decode_webp,
    SourceFormat.HEIC: decode_heif,
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
        self._decoded: Raster | None = None

    @property
    def source_format(self) -> SourceFormat:
        return self._scanned.source_format

    @property
    def upright_size(self) -> Size:
        return self._scanned.upright_size

    def view(self, window: Box | None, longest_edge: int) -> RgbPixels:
        upright, _ = self._srgb(window, longest_edge, roughly_scaled_down)
        height, width = upright.shape[:2]
        return RgbPixels(Size(width, height), np.ascontiguousarray(upright).data.cast("B"))

    def develop(self, window: Box | None, longest_edge: int) -> DevelopedPhoto:
        upright, warnings = self._srgb(window, longest_edge, scaled_down)
        height, width = upright.shape[:2]
        return DevelopedPhoto(encode_jpeg(upright), Size(width, height), warnings)

    def _srgb(
        self, window: Box | None, longest_edge: int, resize: Callable[[Pixels, Size], Pixels]
    ) -> tuple[Pixels, tuple[PhotoWarning, ...]]:
        """The window: cut, scaled, in sRGB, without transparency, upright. In this order most steps see few pixels."""
        stored, orientation = self._scanned.stored_size, self._scanned.orientation
        part = stored_box(window or Box.covering(self.upright_size), orientation, stored)
        if not part.is_inside(stored):
            raise ValueError(f"the window {window} leaves the picture of {self.upright_size}")
        raster = self._raster()
        cut = raster.pixels[part.y : part.bottom, part.x : part.right]
        size = part.size.limited_to(longest_edge)
        channels = Channels.RGB if raster.channels is Channels.RGBA else raster.channels
        convert, warnings = conversion_to_srgb(self._scanned, channels)
        if raster.channels is Channels.RGBA:
            rgb = _flattened(resize(_premultiplied(cut), size), convert)
        else:
            rgb = convert(resize(cut, size))
        return turned_upright(rgb, orientation), warnings

    def _raster(self) -> Raster:
        if self._decoded is None:
            self._decoded = _DECODERS[self._scanned.source_format](self._scanned)
        return self._decoded


def _premultiplied(rgba: Pixels) -> Pixels:
    """Colors weighted with their alpha, so that what nobody sees does not bleed into what they do."""
    alpha = rgba[:, :, 3]
    weighted = cv2.multiply(rgba[:, :, :3], cv2.merge([alpha] * 3), scale=1 / 255)
    return np.dstack([weighted, alpha])


def _flattened(premultiplied: Pixels, convert: Callable[[Pixels], Pixels]) -> Pixels:
    """On white, in sRGB."""
    alpha = premultiplied[:, :, 3:].astype(np.float32) / 255
    colors = np.minimum(premultiplied[:, :, :3] / np.maximum(alpha, 1 / 255), 255)
    srgb = convert(np.rint(colors).astype(np.uint8))
    return np.rint(srgb * alpha + 255 * (1 - alpha)).astype(np.uint8)
