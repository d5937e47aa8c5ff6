"""WebP pixels; the first frame of an animation is put in its place on a transparent canvas."""

import numpy as np

from adapters.imaging.libwebp import decode_planes, decode_still
from adapters.imaging.raster import Channels, PlanarRaster, Raster
from adapters.imaging.webp_headers import ScannedWebp
from domain.geometry import Box


def decode_webp(photo: ScannedWebp) -> Raster | PlanarRaster:
    """Raises: InvalidImage."""
    frame, canvas = photo.frame, photo.stored_size
    fills_canvas = frame == Box.covering(canvas)
    if photo.is_lossy and fills_canvas and not photo.has_alpha:
        return decode_planes(photo.stream, frame.size)
    pixels = decode_still(photo.stream, frame.size, alpha=photo.has_alpha or not fills_canvas)
    if not fills_canvas:
        placed = np.zeros((canvas.height, canvas.width, 4), np.uint8)
        placed[frame.y : frame.bottom, frame.x : frame.right] = pixels
        pixels = placed
    if pixels.shape[2] == 3:
        return Raster(pixels, Channels.RGB)
    if (pixels[:, :, 3] == 255).all():
        return Raster(np.ascontiguousarray(pixels[:, :, :3]), Channels.RGB)
    return Raster(pixels, Channels.RGBA)
