"""JPEG through libjpeg-turbo: pixels in, with word of any that is missing, and the picture that is kept out."""

from dataclasses import replace
from typing import Final

import cv2

from adapters.imaging.native import libturbojpeg
from adapters.imaging.picture import Colors, Picture, picture_of
from adapters.imaging.scanned_photo import ScannedPhoto
from domain.errors import InvalidImage

_QUALITY: Final = 92  # HTTP contract
_JFIF_BYTES: Final = 18
_SOI: Final = b"\xff\xd8"


def decode_jpeg(photo: ScannedPhoto, reduction: int = 1) -> Picture:
    """The planes, or with a reduction of 2 half as many samples each way, which libjpeg makes from the coefficients.

    Raises: InvalidImage when the decoder had anything to complain about.
    """
    try:
        planes, step = libturbojpeg.decode(photo.stream, photo.stored_size, reduction)
    except libturbojpeg.JpegError as error:
        raise InvalidImage from error
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
    start = 2 + _JFIF_BYTES if jpeg[2:4] == b"\xff\xe0" else 2
    return b"".join((_SOI, jpeg[start:]))
