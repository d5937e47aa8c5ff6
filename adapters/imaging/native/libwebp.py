"""Planes of a lossy WebP by libwebp's plain decoder: as they are stored, without the way to RGB and back.

Neither Pillow nor imagecodecs hands them out. By way of RGB, which is gone where the library is not found, a WebP takes
a fifth more time. It is a file of its own in Pillow's wheel, so that it costs no further dependency.
"""

import ctypes
import ctypes.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL

from domain.errors import InvalidImage
from domain.geometry import Size


def decode_420(stream: bytes, size: Size) -> tuple[npt.NDArray[np.uint8], ...] | None:
    """Y, Cb and Cr, 4:2:0 and studio range (RFC 6386, 2), or None without the library. Raises: InvalidImage."""
    library = _library()
    if library is None:
        return None
    halved = (-(-size.height // 2), -(-size.width // 2))
    planes = tuple(np.empty(shape, np.uint8) for shape in ((size.height, size.width), halved, halved))
    targets = [fact for plane in planes for fact in (plane.ctypes.data, plane.nbytes, plane.shape[1])]
    if not library.WebPDecodeYUVInto(stream, len(stream), *targets):
        raise InvalidImage
    return planes


def version() -> str | None:
    """None without the library."""
    library = _library()
    return ".".join(map(str, library.WebPGetDecoderVersion().to_bytes(3, "big"))) if library else None


@cache
def _library() -> ctypes.CDLL | None:
    """In Pillow's wheel, or the system's. Source: libwebp's webp/decode.h; this function is the same since 2010."""
    bundled = sorted(Path(PIL.__file__).parent.parent.glob("[pP]illow.libs/libwebp-*.so*"))
    path = str(bundled[0]) if bundled else ctypes.util.find_library("webp")
    if path is None:
        return None
    library = ctypes.CDLL(path)
    plane: list[Any] = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    library.WebPDecodeYUVInto.argtypes = [ctypes.c_char_p, ctypes.c_size_t, *plane, *plane, *plane]
    library.WebPDecodeYUVInto.restype = ctypes.c_void_p
    return library


_library()  # now: a decoder of strangers' photos cannot open any file
