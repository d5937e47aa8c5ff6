"""JPEG pixels through libjpeg-turbo, which says so when any of them is missing."""

import io
from dataclasses import replace

import cv2
import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from adapters.imaging.jpeg.headers import ScannedJpeg
from adapters.imaging.native import libturbojpeg
from adapters.imaging.picture import Colors, Picture, picture_of
from adapters.imaging.resampling import Pixels
from domain.errors import InvalidImage


def decode_jpeg(photo: ScannedJpeg, reduction: int = 1) -> Picture:
    """The planes, or with a reduction of 2 half as many samples each way, which libjpeg makes from the coefficients.

    Raises: InvalidImage when the decoder had anything to complain about.
    """
    try:
        planes, step = libturbojpeg.decode(photo.stream, photo.stored_size, reduction)
    except libturbojpeg.UnnamedSubsamplingError:
        return _as_picture(_decode_by_pillow(photo))
    except libturbojpeg.JpegError as error:
        raise InvalidImage from error
    if planes[0].ndim == 3:
        return _as_picture(planes[0], reduction)
    return Picture(planes, Colors.GRAY if len(planes) == 1 else Colors.COLOR, step, reduction)


def _as_picture(pixels: Pixels, reduction: int = 1) -> Picture:
    if pixels.shape[2] == 3:
        return replace(picture_of(pixels), reduction=reduction)
    inks = cv2.split(cv2.bitwise_not(pixels))  # inverted, as Adobe writes them and every reader expects them
    return Picture(tuple(inks), Colors.INKS, reduction=reduction)


def _decode_by_pillow(photo: ScannedJpeg) -> Pixels:
    """For sampling factors that libjpeg-turbo's short interface has no name for. Raises: InvalidImage."""
    if not photo.had_end:
        raise InvalidImage
    try:
        image = JpegImageFile(io.BytesIO(photo.stream))
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise InvalidImage from error
    pixels = np.array(image)
    return np.subtract(255, pixels) if photo.components == 4 else pixels  # Pillow has turned inks round already
