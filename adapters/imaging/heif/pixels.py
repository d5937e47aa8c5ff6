"""HEIC pixels through libheif, which also applies clean aperture, turns and mirrors."""

import os
from typing import Final

import cv2
import numpy as np
import pillow_heif

from adapters.imaging.heif.headers import ScannedHeif
from adapters.imaging.native import libheif
from adapters.imaging.picture import NEUTRAL, Colors, Picture
from adapters.imaging.resampling import Pixels
from adapters.imaging.samples import picture_of_samples
from domain.errors import InvalidImage

# A phone's HEIC is a grid of tiles, which libheif decodes on so many threads at the same time. Where all cores are busy
# they share the time that one thread would have had; where one is idle, a photo does not wait for the other.
_THREADS: Final = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
pillow_heif.options.DECODE_THREADS = _THREADS
pillow_heif.options.THUMBNAILS = False
pillow_heif.options.DEPTH_IMAGES = False
pillow_heif.options.AUX_IMAGES = False


def decode_heif(photo: ScannedHeif) -> Picture:
    """Raises: InvalidImage."""
    picture = None if _has_to_be_rgb(photo) else _planes(photo)
    return picture or _by_pillow_heif(photo)


def _has_to_be_rgb(photo: ScannedHeif) -> bool:
    """Pairs for chroma would not begin at the border; or 8 bits are too few for the colors."""
    is_odd = photo.stored_size.width % 2 or photo.stored_size.height % 2
    return bool(is_odd) or photo.is_cut or (photo.color_tag is not None and photo.color_tag.is_steep)


def _planes(photo: ScannedHeif) -> Picture | None:
    try:
        found = libheif.decode(photo.stream, _THREADS)
    except libheif.HeifError as error:
        raise InvalidImage from error
    if found is None:
        return None
    planes = tuple(_in_8_bits(found, number) for number in range(len(found.planes)))
    colors = Colors.GRAY if len(planes) == 1 else Colors.COLOR
    return _checked(photo, Picture(planes, colors, found.chroma_step, is_full_range=found.is_full_range))


def _in_8_bits(found: libheif.HeifPlanes, number: int) -> Pixels:
    """H.273, 8.3: levels are stretched, or in studio range multiplied, around black or around no color."""
    samples, depth = found.planes[number], found.depth
    if depth == 8:
        return samples
    factor = 255 / ((1 << depth) - 1) if found.is_full_range else 1 / (1 << depth - 8)
    origin, becomes = (1 << depth - 1, NEUTRAL) if number else (0, 0)
    levels: Pixels = cv2.convertScaleAbs(samples, alpha=factor, beta=becomes - factor * origin)
    return levels


def _by_pillow_heif(photo: ScannedHeif) -> Picture:
    try:
        image = pillow_heif.open_heif(photo.stream, convert_hdr_to_8bit=False, hdr_to_16bit=False)
        samples = np.asarray(image)
    except (OSError, ValueError, SyntaxError, RuntimeError, EOFError, IndexError) as error:
        raise InvalidImage from error
    depth = int(image.mode.partition(";")[2] or 8)
    is_premultiplied = image.premultiplied_alpha
    samples = samples[:, : image.size[0]]
    return _checked(photo, picture_of_samples(samples, depth, photo.color_tag, is_premultiplied=is_premultiplied))


def _checked(photo: ScannedHeif, picture: Picture) -> Picture:
    if picture.size != photo.upright_size:
        raise InvalidImage
    return picture
