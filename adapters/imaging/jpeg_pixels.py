"""JPEG pixels through libjpeg-turbo, which says so when any of them is missing."""

import io
from typing import Final

import numpy as np
import simplejpeg
from PIL.JpegImagePlugin import JpegImageFile

from adapters.imaging.jpeg_headers import ScannedJpeg
from adapters.imaging.libturbojpeg import decode_planes, is_about_headers
from adapters.imaging.raster import Channels, Pixels, PlanarRaster, Raster
from domain.errors import InvalidImage

_UNNAMED_SUBSAMPLING: Final = "Could not determine subsampling level"


_CHANNELS: Final = {1: Channels.GRAY, 3: Channels.RGB, 4: Channels.CMYK}
_COLORSPACES: Final = {Channels.GRAY: "GRAY", Channels.RGB: "RGB", Channels.CMYK: "CMYK"}  # the decoder's names


def decode_jpeg(photo: ScannedJpeg, reduction: int = 1) -> Raster | PlanarRaster:
    """The pixels, or with a reduction of 2 half as many in each direction, which libjpeg makes from the coefficients.

    Raises: InvalidImage when the decoder had anything to complain about.
    """
    channels = _CHANNELS[photo.components]
    if channels is Channels.RGB and (planes := decode_planes(photo.stream, photo.stored_size, reduction)):
        return planes
    try:
        pixels = _decode(photo, _COLORSPACES[channels], reduction)
    except (ValueError, OSError, SyntaxError) as error:
        raise InvalidImage from error
    if channels is Channels.GRAY:
        pixels = pixels.reshape(pixels.shape[:2])
    if channels is Channels.CMYK:  # inverted, as Adobe writes them and every reader expects them
        pixels = np.subtract(255, pixels, out=pixels)
    return Raster(pixels, channels, 1 if pixels.shape[:2] == _shape(photo) else reduction)


def _shape(photo: ScannedJpeg) -> tuple[int, int]:
    return photo.stored_size.height, photo.stored_size.width


def _decode(photo: ScannedJpeg, colorspace: str, reduction: int) -> Pixels:
    """Samples as stored. Raises: ValueError, OSError, SyntaxError."""
    wish = {}
    if reduction > 1:  # the factor alone is not acted on: the decoder reduces down to a size that it is given
        height, width = _shape(photo)
        wish = {"min_height": -(-height // reduction), "min_width": -(-width // reduction), "min_factor": reduction}
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(photo.stream, colorspace, strict=True, **wish)
    except ValueError as error:
        complaint = str(error)
        if is_about_headers(complaint):
            pixels = simplejpeg.decode_jpeg(photo.stream, colorspace, strict=False, **wish)
        elif _UNNAMED_SUBSAMPLING in complaint and photo.had_end:
            pixels = _decode_by_pillow(photo.stream, photo.components)
        else:
            raise
    return pixels


def _decode_by_pillow(stream: bytes, components: int) -> Pixels:
    """For sampling factors that libjpeg-turbo's short interface has no name for, such as 2 x 4 to 1 x 1."""
    image = JpegImageFile(io.BytesIO(stream))
    image.load()
    pixels = np.array(image)
    return np.subtract(255, pixels) if components == 4 else pixels  # Pillow has turned inks round already
