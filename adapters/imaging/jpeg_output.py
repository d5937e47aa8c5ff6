"""The JPEG that is kept: baseline, and nothing in it but tables and pixels."""

from typing import Final

import numpy as np
import simplejpeg

from adapters.imaging.raster import Pixels

_QUALITY: Final = 92  # HTTP contract
_SUBSAMPLING: Final = "420"
_JFIF_BYTES: Final = 18
_SOI: Final = b"\xff\xd8"


def encode_jpeg(rgb: Pixels) -> bytes:
    """sRGB pixels as a baseline JPEG without any application or comment segment.

    The encoder writes a JFIF header, which says nothing that a reader does not assume of a three-component JPEG.
    """
    jpeg: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), _QUALITY, "RGB", _SUBSAMPLING, fastdct=False)
    if jpeg[2:4] == b"\xff\xe0":
        return _SOI + jpeg[2 + _JFIF_BYTES :]
    return jpeg
