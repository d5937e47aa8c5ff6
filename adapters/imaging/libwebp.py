"""The plain decoder of the libwebp that Pillow brings along.

Pillow itself only offers libwebp's animation decoder, which needs twice the time and a second canvas for a still
picture. Its wheel holds the library as a file of its own, so that the plain decoder costs no further dependency.
"""

import ctypes
import ctypes.util
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import PIL

from adapters.imaging.raster import Pixels, PlanarRaster
from domain.errors import InvalidImage
from domain.geometry import Size

_RGB_INTO: Final = "WebPDecodeRGBInto"
_RGBA_INTO: Final = "WebPDecodeRGBAInto"
_YUV_INTO: Final = "WebPDecodeYUVInto"


def decode_still(stream: bytes, size: Size, *, alpha: bool) -> Pixels:
    """The pixels of a still WebP of a known size, RGB or RGBA (not premultiplied). Raises: InvalidImage."""
    channels = 4 if alpha else 3
    pixels = np.empty((size.height, size.width, channels), np.uint8)
    decode = getattr(_library(), _RGBA_INTO if alpha else _RGB_INTO)
    if not decode(stream, len(stream), pixels.ctypes.data, pixels.nbytes, size.width * channels):
        raise InvalidImage
    return pixels


def decode_planes(stream: bytes, size: Size) -> PlanarRaster:
    """The planes of a lossy WebP, as they are stored: 4:2:0, studio range (RFC 6386, 2). Raises: InvalidImage."""
    halved = (-(-size.height // 2), -(-size.width // 2))
    luma = np.empty((size.height, size.width), np.uint8)
    blue, red = np.empty(halved, np.uint8), np.empty(halved, np.uint8)
    planes = [fact for plane in (luma, blue, red) for fact in (plane.ctypes.data, plane.nbytes, plane.shape[1])]
    if not getattr(_library(), _YUV_INTO)(stream, len(stream), *planes):
        raise InvalidImage
    return PlanarRaster(luma, blue, red, chroma_step=(2, 2), is_full_range=False)


@cache
def _library() -> ctypes.CDLL:
    """Source: libwebp's webp/decode.h; these functions have been the same since 2010."""
    library = ctypes.CDLL(_library_path())
    for name, planes in ((_RGB_INTO, 1), (_RGBA_INTO, 1), (_YUV_INTO, 3)):
        function = getattr(library, name)
        function.argtypes = [ctypes.c_char_p, ctypes.c_size_t] + planes * [
            ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        ]  # fmt: skip
        function.restype = ctypes.c_void_p
    return library


def _library_path() -> str:
    """In Pillow's wheel, or the system's where Pillow was built against that."""
    bundled = sorted(Path(PIL.__file__).parent.parent.glob("[pP]illow.libs/libwebp-*.so*"))
    path = str(bundled[0]) if bundled else ctypes.util.find_library("webp")
    if path is None:
        raise ImportError("libwebp was found neither in Pillow's wheel nor on the system")
    return path
