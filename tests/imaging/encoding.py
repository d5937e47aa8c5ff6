"""Short ways from a file to what becomes of it."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.imaging.picture import picture_of
from application.ports.photos import EncodedPhoto, OpenPhoto
from domain.geometry import Box

Picture = npt.NDArray[np.uint8]


def opened(photo: bytes) -> OpenPhoto:
    return ImagingPhotoDecoder().open(photo)


def encoded(photo: bytes, window: Box | None = None, longest_edge: int = 2000) -> EncodedPhoto:
    return opened(photo).encode(window, longest_edge)


def shown(photo: bytes, window: Box | None = None, longest_edge: int = 2000) -> Picture:
    """The pixels that are kept, as any viewer would show them."""
    return read(encoded(photo, window, longest_edge).jpeg)


def looked_at(photo: bytes, window: Box | None = None, longest_edge: int = 2000) -> Picture:
    """The pixels that a detector gets to see."""
    view = opened(photo).view(window, longest_edge)
    return np.frombuffer(view.data, np.uint8).reshape(view.size.height, view.size.width, 3)


def read(jpeg: bytes) -> Picture:
    return np.asarray(Image.open(io.BytesIO(jpeg), formats=["JPEG"]))


def in_planes(rgb: npt.ArrayLike) -> Picture:
    """RGB pixels as they show once chroma is halved: what every picture goes through, whatever it came from."""
    return picture_of(np.ascontiguousarray(rgb, np.uint8)).rgb()


def difference(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Absolute difference, level by level; the shapes have to agree."""
    assert one.shape == other.shape
    return np.abs(one.astype(np.float64) - other.astype(np.float64))
