"""JPEG's own planes through libturbojpeg: brightness and colors apart, the latter at the size they were stored in.

What `simplejpeg` decodes to RGB costs twice the memory and a fifth more time, and everything after it works on three
full channels where one and two quarters hold the same picture. The library is the system's (Debian's `libturbojpeg0`);
without it the photo takes the longer way.
"""

import ctypes
from contextlib import suppress
from functools import cache, partial
from typing import Final

import cv2
import numpy as np

from adapters.imaging.raster import Pixels, PlanarRaster
from domain.geometry import Size

_NAMES: Final = ("libturbojpeg.so.0", "libturbojpeg.dylib")
# Source: turbojpeg.h, version 1.4 (2014) and later, which all libraries of this name still offer.
_YCBCR: Final = 1  # TJCS_YCbCr
_CHROMA_STEPS: Final = {0: (1, 1), 1: (2, 1), 2: (2, 2), 4: (1, 2)}  # TJSAMP_444, _422, _420, _440: across, down
_420: Final = 2
# TJFLAG_ACCURATEDCT, TJFLAG_STOPONWARNING, TJFLAG_NOREALLOC
_ACCURATE, _STOP_ON_WARNING, _INTO_OUR_BUFFER = 4096, 8192, 1024
_WARNING: Final = 0  # TJERR_WARNING
_ABOUT_HEADERS: Final = ("Inconsistent progression sequence", "extraneous bytes before marker 0xd9")
"""The texts of libjpeg's warnings JWRN_BOGUS_PROGRESSION and, before the end marker, JWRN_EXTRANEOUS_DATA (jerror.h).

No pixel is in doubt then. Other warnings about headers cannot come, because the stream's headers are our own; all that
are left are about pixel data. The library only tells its first complaint.
"""


def is_about_headers(complaint: str) -> bool:
    """Whether the decoder complains about something that every viewer overlooks."""
    return any(text in complaint for text in _ABOUT_HEADERS)


class JpegEncodingError(RuntimeError):
    """The encoder did not write a picture; nothing that a photo could be to blame for."""


def decode_planes(stream: bytes, size: Size, reduction: int) -> PlanarRaster | None:
    """The planes of a YCbCr JPEG, or with a reduction of 2 half as many samples in each direction.

    None when there is no library, when the colors are stored in another way, or when the decoder has any but the
    harmless complaint: then somebody else has to judge the file.
    """
    library = _library()
    handle = library.tjInitDecompress() if library else None
    if library is None or not handle:
        return None
    try:
        width, height, subsampling, space = (ctypes.c_int() for _ in range(4))
        facts = [ctypes.byref(fact) for fact in (width, height, subsampling, space)]
        if library.tjDecompressHeader3(handle, stream, len(stream), *facts):
            return None
        steps = _CHROMA_STEPS.get(subsampling.value)
        if steps is None or space.value != _YCBCR or (width.value, height.value) != (size.width, size.height):
            return None
        across, down = -(-size.width // reduction), -(-size.height // reduction)
        planes = [_plane(library, component, across, down, subsampling.value) for component in range(3)]
        pointers = (ctypes.c_void_p * 3)(*(plane.ctypes.data for plane in planes))
        decompress = partial(library.tjDecompressToYUVPlanes, handle, stream, len(stream), pointers, across, None, down)
        failed = decompress(_ACCURATE | _STOP_ON_WARNING)
        if failed and is_about_headers(library.tjGetErrorStr2(handle).decode(errors="replace")):
            failed = decompress(_ACCURATE) and library.tjGetErrorCode(handle) != _WARNING
        if failed:
            return None
        luma, blue, red = planes
        return PlanarRaster(luma[:down, :across], blue, red, steps, reduction)  # without its padding to whole steps
    finally:
        library.tjDestroy(handle)


def is_there() -> bool:
    """Whether the system has the library."""
    return _library() is not None


def encode_planes(picture: PlanarRaster, quality: int) -> memoryview:
    """A baseline JPEG of a 4:2:0 picture of full range, with a JFIF header. Raises: JpegEncodingError."""
    size = picture.size
    if {picture.blue.shape, picture.red.shape} != {(-(-size.height // 2), -(-size.width // 2))}:
        raise ValueError("the library would read beyond chroma that is not half as wide and high as luma")
    library = _library()
    handle = library.tjInitCompress() if library else None
    if library is None or not handle:
        raise JpegEncodingError("there is no libturbojpeg")
    try:
        planes = [_in_rows(plane) for plane in (_padded(picture.luma), picture.blue, picture.red)]
        pointers = (ctypes.c_void_p * 3)(*(plane.ctypes.data for plane in planes))
        strides = (ctypes.c_int * 3)(*(plane.strides[0] for plane in planes))
        jpeg = np.empty(library.tjBufSize(size.width, size.height, _420), np.uint8)
        target, written = ctypes.c_void_p(jpeg.ctypes.data), ctypes.c_ulong(jpeg.size)
        if library.tjCompressFromYUVPlanes(
            handle, pointers, size.width, strides, size.height, _420,
            ctypes.byref(target), ctypes.byref(written), quality, _ACCURATE | _INTO_OUR_BUFFER,
        ):  # fmt: skip
            raise JpegEncodingError(library.tjGetErrorStr2(handle).decode(errors="replace"))
        return jpeg[: written.value].data
    finally:
        library.tjDestroy(handle)


def _in_rows(plane: Pixels) -> Pixels:
    """As the encoder reads it: bytes side by side, and rows at any distance behind one another."""
    is_so = plane.dtype == np.uint8 and plane.strides[1] == 1 and plane.strides[0] >= plane.shape[1]
    return plane if is_so else np.ascontiguousarray(plane, np.uint8)


def _padded(luma: Pixels) -> Pixels:
    """With an even number of rows and columns, which the encoder reads."""
    height, width = luma.shape
    if height % 2 == width % 2 == 0:
        return luma
    padded: Pixels = cv2.copyMakeBorder(luma, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return padded


def _plane(library: ctypes.CDLL, component: int, width: int, height: int, subsampling: int) -> Pixels:
    rows = library.tjPlaneHeight(component, height, subsampling)
    return np.empty((rows, library.tjPlaneWidth(component, width, subsampling)), np.uint8)


@cache
def _library() -> ctypes.CDLL | None:
    for name in _NAMES:
        with suppress(OSError):
            return _declared(ctypes.CDLL(name))
    return None


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    handle, stream, size, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_int
    out = ctypes.POINTER(ctypes.c_int)
    library.tjInitDecompress.restype = handle
    library.tjDecompressHeader3.argtypes = [handle, stream, size, out, out, out, out]
    library.tjPlaneWidth.argtypes = library.tjPlaneHeight.argtypes = [number, number, number]
    library.tjDecompressToYUVPlanes.argtypes = [
        handle, stream, size, ctypes.POINTER(handle), number, ctypes.POINTER(number), number, number
    ]  # fmt: skip
    library.tjInitCompress.restype = handle
    library.tjBufSize.argtypes = [number, number, number]
    library.tjBufSize.restype = size
    library.tjCompressFromYUVPlanes.argtypes = [
        handle, ctypes.POINTER(handle), number, ctypes.POINTER(number), number, number,
        ctypes.POINTER(handle), ctypes.POINTER(size), number, number
    ]  # fmt: skip
    library.tjGetErrorStr2.argtypes = library.tjGetErrorCode.argtypes = library.tjDestroy.argtypes = [handle]
    library.tjGetErrorStr2.restype = ctypes.c_char_p
    return library
