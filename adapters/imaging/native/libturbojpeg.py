"""JPEG planes by libturbojpeg: brightness and colors apart, the latter at the size they were stored in.

The library is the system's (Debian's `libturbojpeg0`) and required: `doctor` looks for it, and every JPEG is read and
written by it. No kept package hands out planes and stops at the first damage.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from domain.errors import InvalidImage
from domain.geometry import Size

_NAMES: Final = ("libturbojpeg.so.0", "libturbojpeg.dylib")
# Source: turbojpeg.h, version 1.4 (2014) and later, which all libraries of this name still offer.
_RGB, _YCBCR, _GRAY, _CMYK, _YCCK = range(5)  # TJCS_*
_AS_RGB, _AS_CMYK = (0, 3), (11, 4)  # TJPF_RGB, TJPF_CMYK and bytes of a pixel
_PIXEL_FORMATS: Final = {_RGB: _AS_RGB, _CMYK: _AS_CMYK, _YCCK: _AS_CMYK}
# TJSAMP_444, _422, _420, _GRAY, _440, _411: samples of luma for one of chroma, across and down
_CHROMA_STEPS: Final = {0: (1, 1), 1: (2, 1), 2: (2, 2), 3: (1, 1), 4: (1, 2), 5: (4, 1)}
_420, _UNNAMED = 2, -1
# TJFLAG_ACCURATEDCT, TJFLAG_STOPONWARNING, TJFLAG_NOREALLOC
_ACCURATE, _STOP_ON_WARNING, _INTO_OUR_BUFFER = 4096, 8192, 1024
_UNNAMED_SUBSAMPLING: Final = "Could not determine subsampling"
"""The text for sampling factors without a TJSAMP name, such as 2 x 4 to 1 x 1; they come out as RGB only."""
_ABOUT_HEADERS: Final = ("Inconsistent progression sequence", "extraneous bytes before marker 0xd9")
"""The texts of libjpeg's warnings JWRN_BOGUS_PROGRESSION and, before the end marker, JWRN_EXTRANEOUS_DATA (jerror.h).

No pixel is in doubt then. Other warnings about headers cannot come, because the stream's headers are our own; all that
are left are about pixel data.
"""
_MESSAGE_BYTES: Final = 200  # JMSG_LENGTH_MAX

_Plane = npt.NDArray[np.uint8]


def decode(stream: bytes, size: Size, reduction: int) -> tuple[tuple[_Plane, ...], tuple[int, int]]:
    """The samples of a JPEG of a known size; with a reduction of 2 half as many in each direction.

    Returns: Y, or Y, Cb and Cr in their own sizes; or one array (height x width x 3 or 4) of RGB, or of inks as they
    are stored. And for how many samples of luma (across, down) one of chroma stands.
    Raises: InvalidImage when there is any doubt about a pixel.
    """
    library = _library()
    with _handle(library.tjInitDecompress()) as handle:
        width, height, subsampling, space = (ctypes.c_int() for _ in range(4))
        facts = [ctypes.byref(fact) for fact in (width, height, subsampling, space)]
        if library.tjDecompressHeader3(handle, stream, len(stream), *facts):
            if _UNNAMED_SUBSAMPLING not in _complaint(handle):
                raise InvalidImage
            subsampling.value = _UNNAMED
        if (width.value, height.value) != (size.width, size.height):
            raise InvalidImage
        across, down = -(-size.width // reduction), -(-size.height // reduction)
        if space.value in _PIXEL_FORMATS or subsampling.value == _UNNAMED:
            kind, channels = _PIXEL_FORMATS.get(space.value, _AS_RGB)
            pixels = np.empty((down, across, channels), np.uint8)
            into: tuple[Any, ...] = (pixels.ctypes.data, across, 0, down, kind)
            _without_doubt(library.tjDecompress2, handle, stream, len(stream), *into)
            return (pixels,), (1, 1)
        count = 1 if space.value == _GRAY else 3
        planes = [_plane(component, across, down, subsampling.value) for component in range(count)]
        into = (_addresses(planes), across, None, down)
        _without_doubt(library.tjDecompressToYUVPlanes, handle, stream, len(stream), *into)
        planes[0] = planes[0][:down, :across]  # without its padding to whole steps
        return tuple(planes), _CHROMA_STEPS[subsampling.value]


def encode_420(luma: _Plane, blue: _Plane, red: _Plane, *, quality: int) -> bytes:
    """A baseline JPEG with a JFIF header of full-range planes; chroma is half as wide and high as luma, rounded up."""
    height, width = luma.shape
    if {blue.shape, red.shape} != {(-(-height // 2), -(-width // 2))}:
        raise ValueError("the library would read beyond chroma that is not half as wide and high as luma")
    library = _library()
    if height % 2 or width % 2:  # the library reads as much
        luma = cv2.copyMakeBorder(luma, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    planes = [np.ascontiguousarray(plane, np.uint8) for plane in (luma, blue, red)]
    strides = (ctypes.c_int * 3)(*(plane.strides[0] for plane in planes))
    jpeg = np.empty(library.tjBufSize(width, height, _420), np.uint8)
    target, written = ctypes.c_void_p(jpeg.ctypes.data), ctypes.c_ulong(jpeg.size)
    with _handle(library.tjInitCompress()) as handle:
        if library.tjCompressFromYUVPlanes(
            handle, _addresses(planes), width, strides, height, _420,
            ctypes.byref(target), ctypes.byref(written), quality, _ACCURATE | _INTO_OUR_BUFFER,
        ):  # fmt: skip
            raise RuntimeError(_complaint(handle))
    return jpeg[: written.value].tobytes()


@contextmanager
def _handle(handle: int | None) -> Iterator[int]:
    if not handle:
        raise MemoryError
    try:
        yield handle
    finally:
        _library().tjDestroy(handle)


def _without_doubt(decompress: Callable[..., int], handle: int, *arguments: Any) -> None:
    """Decompress, and accept no complaint but those about headers. Raises: InvalidImage."""
    if not decompress(handle, *arguments, _ACCURATE | _STOP_ON_WARNING):
        return
    if not _is_about_headers(_complaint(handle)):
        raise InvalidImage
    _doubts.clear()  # the library tells its first warning only
    with _handle(_library().tjInitTransform()) as listened_to:
        _error_manager(listened_to).emit_message = _LISTENER
        if decompress(listened_to, *arguments, _ACCURATE) or _doubts:
            raise InvalidImage


_EMIT: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int)


class _ErrorManager(ctypes.Structure):
    """The beginning of struct jpeg_error_mgr, the same in every libjpeg."""

    _fields_ = (
        ("error_exit", ctypes.c_void_p),
        ("emit_message", _EMIT),
        ("output_message", ctypes.c_void_p),
        ("format_message", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)),
    )


_doubts: list[str] = []  # about pixel data, in the picture being decompressed; one thread does that at a time


def _note_doubt(codec: int, level: int) -> None:
    """Take libjpeg's message; warnings are below 0."""
    if level >= 0 or _doubts:
        return
    text = ctypes.create_string_buffer(_MESSAGE_BYTES)
    _error_manager(codec).format_message(codec, text)
    complaint = text.value.decode(errors="replace")
    if not _is_about_headers(complaint):
        _doubts.append(complaint)


# Now: it takes memory with code in it, which a decoder of strangers' photos cannot have.
_LISTENER: Final = _EMIT(_note_doubt)


def _error_manager(codec: int) -> _ErrorManager:
    """The first field of a libjpeg structure; a transformer's handle begins with one."""
    manager: _ErrorManager = ctypes.cast(codec, ctypes.POINTER(ctypes.POINTER(_ErrorManager))).contents.contents
    return manager


def _is_about_headers(complaint: str) -> bool:
    return any(text in complaint for text in _ABOUT_HEADERS)


def _complaint(handle: int) -> str:
    text: bytes = _library().tjGetErrorStr2(handle)
    return text.decode(errors="replace")


def _plane(component: int, width: int, height: int, subsampling: int) -> _Plane:
    library = _library()
    rows = library.tjPlaneHeight(component, height, subsampling)
    return np.empty((rows, library.tjPlaneWidth(component, width, subsampling)), np.uint8)


def _addresses(planes: list[_Plane]) -> "ctypes.Array[ctypes.c_void_p]":
    return (ctypes.c_void_p * 3)(*(plane.ctypes.data for plane in planes))


@cache
def _library() -> ctypes.CDLL:
    """Raises: ImportError."""
    for name in _NAMES:
        with suppress(OSError):
            return _declared(ctypes.CDLL(name))
    raise ImportError("libturbojpeg is missing: install Debian's libturbojpeg0")


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    handle, stream, size, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_int
    out, address, addresses = ctypes.POINTER(ctypes.c_int), ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)
    for name, result, *arguments in (
        ("tjInitDecompress", handle),
        ("tjInitTransform", handle),
        ("tjDecompressHeader3", number, handle, stream, size, out, out, out, out),
        ("tjPlaneWidth", number, number, number, number),
        ("tjPlaneHeight", number, number, number, number),
        ("tjDecompressToYUVPlanes", number, handle, stream, size, addresses, number, out, number, number),
        ("tjDecompress2", number, handle, stream, size, address, number, number, number, number, number),
        ("tjInitCompress", handle),
        ("tjBufSize", size, number, number, number),
        ("tjCompressFromYUVPlanes", number, handle, addresses, number, out, number, number,
         addresses, ctypes.POINTER(size), number, number),
        ("tjGetErrorStr2", stream, handle),
        ("tjDestroy", number, handle),
    ):  # fmt: skip
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
