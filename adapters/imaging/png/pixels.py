"""PNG pixels by libpng, which imagecodecs hands every kind of file to: palettes, transparent colors, 16 bits."""

from imagecodecs import png_decode

from adapters.imaging.picture import Picture
from adapters.imaging.samples import picture_of_samples
from adapters.imaging.scanned_photo import ScannedPhoto
from domain.errors import InvalidImage


def decode_png(photo: ScannedPhoto) -> Picture:
    """Raises: InvalidImage when a row is missing or the compressed data is broken."""
    try:
        samples = png_decode(photo.stream)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise InvalidImage from error
    if samples.shape[:2] != (photo.stored_size.height, photo.stored_size.width):
        raise InvalidImage
    return picture_of_samples(samples, 8 * samples.itemsize, photo.color_tag)
