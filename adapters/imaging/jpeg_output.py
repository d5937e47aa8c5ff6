"""The JPEG that is kept: baseline, and nothing in it but tables and pixels."""

from typing import Final

import numpy as np
import simplejpeg

from adapters.imaging import libturbojpeg
from adapters.imaging.raster import Pixels, PlanarRaster

_QUALITY: Final = 92  # HTTP contract
_SUBSAMPLING: Final = "420"
_JFIF_BYTES: Final = 18
_SOI: Final = b"\xff\xd8"


def encode_jpeg(rgb: Pixels) -> bytes:
    """sRGB pixels as a baseline JPEG without any application or comment segment.

    The encoder writes a JFIF header, which says nothing that a reader does not assume of a three-component JPEG.
    """
    return _without_header(
        simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), _QUALITY, "RGB", _SUBSAMPLING, fastdct=False)
    )


def can_encode_420() -> bool:
    """Whether the system has the library for it."""
    return libturbojpeg.is_there()


def encode_420(picture: PlanarRaster) -> bytes:
    """The same from planes in sRGB, 4:2:0 and full range, which spares the way to RGB and back."""
    return _without_header(libturbojpeg.encode_planes(picture, _QUALITY))


def _without_header(jpeg: bytes | memoryview) -> bytes:
    start = 2 + _JFIF_BYTES if jpeg[2:4] == b"\xff\xe0" else 2
    return b"".join((_SOI, memoryview(jpeg)[start:]))
