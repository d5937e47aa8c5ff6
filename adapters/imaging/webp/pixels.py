"""WebP pixels; the first frame of an animation is put in its place on a transparent canvas."""

import numpy as np
from imagecodecs import webp_decode

from adapters.imaging.native import libwebp
from adapters.imaging.picture import Colors, Picture
from adapters.imaging.resampling import Pixels
from adapters.imaging.samples import picture_of_samples
from adapters.imaging.webp.headers import ScannedWebp
from domain.errors import InvalidImage
from domain.geometry import Box


def decode_webp(photo: ScannedWebp) -> Picture:
    """Raises: InvalidImage."""
    frame, canvas = photo.frame, photo.stored_size
    fills_canvas = frame == Box.covering(canvas)
    if photo.is_lossy and fills_canvas and not photo.has_alpha:
        planes = libwebp.decode_420(photo.stream, frame.size)
        if planes is not None:
            return Picture(planes, Colors.COLOR, is_full_range=False)
    pixels = _decode(photo, has_alpha=photo.has_alpha or not fills_canvas)
    if not fills_canvas:
        placed = np.zeros((canvas.height, canvas.width, 4), np.uint8)
        placed[frame.y : frame.bottom, frame.x : frame.right] = pixels
        pixels = placed
    return picture_of_samples(pixels)


def _decode(photo: ScannedWebp, *, has_alpha: bool) -> Pixels:
    """RGB, or RGBA that is not premultiplied."""
    try:
        pixels: Pixels = webp_decode(photo.stream, hasalpha=has_alpha)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise InvalidImage from error
    if pixels.shape[:2] != (photo.frame.height, photo.frame.width):
        raise InvalidImage
    return pixels
