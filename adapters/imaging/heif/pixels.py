"""HEIC pixels through libheif, which also applies clean aperture, turns and mirrors."""

import numpy as np
import pillow_heif

from adapters.imaging.heif.headers import ScannedHeif
from adapters.imaging.picture import Picture
from adapters.imaging.samples import picture_of_samples
from domain.errors import InvalidImage

# One picture, one thread: the worker processes share the cores among themselves, and what else a file holds besides
# its primary picture is not in the stream that libheif gets.
pillow_heif.options.DECODE_THREADS = 1
pillow_heif.options.THUMBNAILS = False
pillow_heif.options.DEPTH_IMAGES = False
pillow_heif.options.AUX_IMAGES = False


def decode_heif(photo: ScannedHeif) -> Picture:
    """Raises: InvalidImage."""
    try:
        image = pillow_heif.open_heif(photo.stream, convert_hdr_to_8bit=False, hdr_to_16bit=False)
        samples = np.asarray(image)
    except (OSError, ValueError, SyntaxError, RuntimeError, EOFError, IndexError) as error:
        raise InvalidImage from error
    width, height = image.size
    if (width, height) != (photo.upright_size.width, photo.upright_size.height):
        raise InvalidImage
    depth = int(image.mode.partition(";")[2] or 8)
    is_premultiplied = image.premultiplied_alpha
    return picture_of_samples(samples[:, :width], depth, photo.color_tag, is_premultiplied=is_premultiplied)
