"""Planes of a HEIC by the libheif in pillow-heif's wheel: as they are stored, and on several threads to the end.

pillow-heif itself hands out RGB only. libheif makes that on one thread, and slowly of more than 8 bits: without this a
picture of 50 megapixels and 10 bits takes twice the time. Where the library is not found, or a file is out of the
ordinary (transparency, another matrix than BT.601's, odd sizes that are turned or cut), pillow-heif reads it.
"""

import ctypes
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pillow_heif

from domain.errors import InvalidImage

# Source: libheif's heif_image.h, heif_color.h and heif_decoding.h, unchanged since version 1.0 (2018).
_YCBCR, _RGB, _MONOCHROME, _ANY = 0, 1, 2, 99  # heif_colorspace and heif_chroma
_CHROMA_STEPS: Final = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}  # heif_chroma: monochrome, 420, 422, 444
_BT_601: Final = frozenset({2, 5, 6})  # H.273, table 4; 2 says nothing, and that is what libheif takes it for


@dataclass(frozen=True, slots=True)
class HeifPlanes:
    """Y, or Y, Cb and Cr of BT.601, in samples of `depth` bits; one of chroma for `chroma_step` (across, down) of Y."""

    planes: tuple[npt.NDArray[Any], ...]
    chroma_step: tuple[int, int]
    depth: int
    is_full_range: bool


class _Error(ctypes.Structure):
    _fields_ = (("code", ctypes.c_int), ("subcode", ctypes.c_int), ("message", ctypes.c_char_p))


class _Nclx(ctypes.Structure):
    """The beginning of struct heif_color_profile_nclx."""

    _fields_ = (
        ("version", ctypes.c_uint8),
        ("primaries", ctypes.c_int),
        ("transfer", ctypes.c_int),
        ("matrix", ctypes.c_int),
        ("full_range", ctypes.c_uint8),
    )


def decode(stream: bytes, threads: int) -> HeifPlanes | None:
    """The planes of the primary picture; None for whatever pillow-heif has to read. Raises: InvalidImage."""
    library = _library()
    if library is None:
        return None
    with _made(library.heif_context_alloc(), library.heif_context_free) as context:
        library.heif_context_set_max_decoding_threads(context, threads)
        _check(library.heif_context_read_from_memory_without_copy(context, stream, len(stream), None))
        handle = ctypes.c_void_p()
        _check(library.heif_context_get_primary_image_handle(context, ctypes.byref(handle)))
        with _made(handle, library.heif_image_handle_release):
            if library.heif_image_handle_has_alpha_channel(handle):
                return None
            image = ctypes.c_void_p()
            _check(library.heif_decode_image(handle, ctypes.byref(image), _ANY, _ANY, None))
            return _planes(library, _Image(library, image))


class _Image:
    """A decoded picture. Its planes keep it alive: they are views into the library's memory."""

    def __init__(self, library: ctypes.CDLL, image: ctypes.c_void_p) -> None:
        self.address = image
        weakref.finalize(self, library.heif_image_release, image)


class _Plane:
    """One plane of a picture, as numpy takes it without a copy."""

    def __init__(self, image: _Image, address: int, shape: tuple[int, int], stride: int, depth: int) -> None:
        self._image = image
        kind = np.dtype(np.uint8 if depth == 8 else np.uint16)
        self.__array_interface__ = {
            "version": 3,
            "data": (address, False),
            "shape": shape,
            "strides": (stride, kind.itemsize),
            "typestr": kind.str,
        }


def _planes(library: ctypes.CDLL, image: _Image) -> HeifPlanes | None:
    step = _CHROMA_STEPS.get(library.heif_image_get_chroma_format(image.address))
    matrix, is_full_range = _matrix(library, image.address)
    space = library.heif_image_get_colorspace(image.address)
    if step is None or space not in {_YCBCR, _MONOCHROME} or matrix not in _BT_601:
        return None
    channels = range(3 if space == _YCBCR else 1)
    depths = {library.heif_image_get_bits_per_pixel_range(image.address, channel) for channel in channels}
    if len(depths) != 1:
        return None
    planes = tuple(_plane(library, image, channel, *depths) for channel in channels)
    # libheif itself neither narrows nor stretches gray, and its files say "studio range" of levels that are not
    return HeifPlanes(planes, step, depths.pop(), is_full_range or space == _MONOCHROME)


def _plane(library: ctypes.CDLL, image: _Image, channel: int, depth: int) -> npt.NDArray[Any]:
    width = library.heif_image_get_width(image.address, channel)
    height = library.heif_image_get_height(image.address, channel)
    stride = ctypes.c_int()
    address = library.heif_image_get_plane_readonly(image.address, channel, ctypes.byref(stride))
    if not address or width < 1 or height < 1:
        raise InvalidImage
    return np.asarray(_Plane(image, address, (height, width), stride.value, depth))


def _matrix(library: ctypes.CDLL, image: ctypes.c_void_p) -> tuple[int, bool]:
    """Which matrix the samples were made with, by container or bit stream; and whether in full range."""
    said = ctypes.POINTER(_Nclx)()
    if library.heif_image_get_nclx_color_profile(image, ctypes.byref(said)).code:
        return 2, True
    matrix, is_full_range = said.contents.matrix, bool(said.contents.full_range)
    library.heif_nclx_color_profile_free(said)
    return matrix, is_full_range


@contextmanager
def _made(thing: Any, release: Any) -> Iterator[Any]:
    if not thing:
        raise MemoryError
    try:
        yield thing
    finally:
        release(thing)


def version() -> str | None:
    """None without the library."""
    library = _library()
    return library.heif_get_version().decode() if library else None


def _check(error: _Error) -> None:
    if error.code:
        raise InvalidImage


@cache
def _library() -> ctypes.CDLL | None:
    bundled = sorted(Path(pillow_heif.__file__).parent.parent.glob("pillow_heif.libs/libheif-*.so*"))
    if not bundled:
        return None
    library = ctypes.CDLL(str(bundled[0]))  # the one that pillow-heif has loaded
    address, number, out = ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_void_p)
    for name, result, *arguments in (
        ("heif_get_version", ctypes.c_char_p),
        ("heif_context_alloc", address),
        ("heif_context_free", None, address),
        ("heif_context_set_max_decoding_threads", None, address, number),
        ("heif_context_read_from_memory_without_copy", _Error, address, ctypes.c_char_p, ctypes.c_size_t, address),
        ("heif_context_get_primary_image_handle", _Error, address, out),
        ("heif_image_handle_has_alpha_channel", number, address),
        ("heif_image_handle_release", None, address),
        ("heif_decode_image", _Error, address, out, number, number, address),
        ("heif_image_get_colorspace", number, address),
        ("heif_image_get_chroma_format", number, address),
        ("heif_image_get_width", number, address, number),
        ("heif_image_get_height", number, address, number),
        ("heif_image_get_bits_per_pixel_range", number, address, number),
        ("heif_image_get_plane_readonly", address, address, number, ctypes.POINTER(number)),
        ("heif_image_get_nclx_color_profile", _Error, address, ctypes.POINTER(ctypes.POINTER(_Nclx))),
        ("heif_nclx_color_profile_free", None, ctypes.POINTER(_Nclx)),
        ("heif_image_release", None, address),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


_library()  # now: a decoder of strangers' photos cannot open any file
