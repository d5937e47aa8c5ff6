"""HEIC pixels through libheif, which also applies clean aperture, turns and mirrors."""

import numpy as np
import pillow_heif

from adapters.imaging.color.tone_mapping import in_8_bits
from adapters.imaging.heif_headers import ScannedHeif
from adapters.imaging.raster import Channels, Pixels, Raster
from domain.errors import InvalidImage

# One picture, one thread: the worker processes share the cores among themselves, and what else a file holds besides
# its primary picture is not in the stream that libheif gets.
pillow_heif.options.DECODE_THREADS = 1
pillow_heif.options.THUMBNAILS = False
pillow_heif.options.DEPTH_IMAGES = False
pillow_heif.options.AUX_IMAGES = False


def decode_heif(photo: ScannedHeif) -> Raster:
    """Raises: InvalidImage."""
    try:
        image = pillow_heif.open_heif(photo.stream, convert_hdr_to_8bit=False, hdr_to_16bit=False)
        samples = np.asarray(image)
        mode, premultiplied = image.mode, image.premultiplied_alpha
    except (OSError, ValueError, SyntaxError, RuntimeError, EOFError, IndexError) as error:
        raise InvalidImage from error
    width, height = image.size
    samples = samples[:, :width]
    if (width, height) != (photo.upright_size.width, photo.upright_size.height):
        raise InvalidImage
    name, _, depth = mode.partition(";")
    pixels = in_8_bits(samples, int(depth or 8), photo.color_tag)
    return _as_raster(np.ascontiguousarray(pixels), name, premultiplied=premultiplied)


def _as_raster(pixels: Pixels, name: str, *, premultiplied: bool) -> Raster:
    if name in {"L", "I"}:
        return Raster(pixels.reshape(pixels.shape[:2]), Channels.GRAY)
    if name == "RGB":
        return Raster(pixels, Channels.RGB)
    if name.upper() == "LA":
        pixels = pixels[:, :, [0, 0, 0, 1]]
    if (pixels[:, :, 3] == 255).all():
        return Raster(np.ascontiguousarray(pixels[:, :, :3]), Channels.RGB)
    return Raster(_unpremultiplied(pixels) if premultiplied else pixels, Channels.RGBA)


def _unpremultiplied(pixels: Pixels) -> Pixels:
    alpha = np.maximum(pixels[:, :, 3:].astype(np.uint16), 1)
    colors = np.minimum((pixels[:, :, :3].astype(np.uint16) * 255 + alpha // 2) // alpha, 255)
    return np.dstack([colors.astype(np.uint8), pixels[:, :, 3]])
