"""JPEG pixels through libjpeg-turbo, which says so when any of them is missing."""

from typing import Final

import numpy as np
import simplejpeg

from adapters.imaging.raster import Channels, Pixels, Raster
from adapters.imaging.scanned_photo import ScannedPhoto
from domain.errors import InvalidImage

# The first complaint of the decoder, and it comes after the last scan: no pixel was in doubt before it.
_HARMLESS_COMPLAINT: Final = "extraneous bytes before marker 0xd9"


def decode_jpeg(photo: ScannedPhoto) -> Raster:
    """Raises: InvalidImage when the decoder had anything to complain about."""
    try:
        _, _, colorspace, _ = simplejpeg.decode_jpeg_header(photo.stream)
        channels = {"Gray": Channels.GRAY, "CMYK": Channels.CMYK, "YCCK": Channels.CMYK}.get(colorspace, Channels.RGB)
        pixels = _decode(photo.stream, channels)
    except ValueError as error:
        raise InvalidImage from error
    if channels is Channels.GRAY:
        return Raster(pixels[:, :, 0], channels)
    if channels is Channels.CMYK:
        return Raster(
            np.subtract(255, pixels, out=pixels), channels
        )  # Adobe's inverted samples, as every reader has it
    return Raster(pixels, channels)


def _decode(stream: bytes, channels: Channels) -> Pixels:
    name = {Channels.GRAY: "GRAY", Channels.CMYK: "CMYK"}.get(channels, "RGB")
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(stream, colorspace=name, strict=True)
    except ValueError as error:
        if _HARMLESS_COMPLAINT not in str(error):
            raise
        pixels = simplejpeg.decode_jpeg(stream, colorspace=name, strict=False)
    return pixels
