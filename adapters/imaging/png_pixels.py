"""PNG pixels: libpng reads what most files are, Pillow the rest, and what that does not check is checked here."""

import io
import zlib
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from adapters.imaging.color.tone_mapping import in_8_bits
from adapters.imaging.libpng import decode_8_bit
from adapters.imaging.png_headers import ColorType, ScannedPng
from adapters.imaging.raster import Channels, Pixels, Raster
from domain.errors import InvalidImage

_INFLATE_STEP_BYTES: Final = 1 << 20
_ROWS_AT_ONCE: Final = 64
_ADAM7: Final = ((8, 8, 0, 0), (8, 8, 4, 0), (4, 8, 0, 4), (4, 4, 2, 0), (2, 4, 0, 2), (2, 2, 1, 0), (1, 2, 0, 1))


@dataclass(frozen=True, slots=True)
class _Samples:
    """Samples as stored; of 16-bit ones the high and the low byte, in arrays of the same shape."""

    high: Pixels
    low: Pixels | None = None


def decode_png(photo: ScannedPng) -> Raster:
    """Raises: InvalidImage when a row is missing or the compressed data is broken."""
    samples = _read_samples(photo)
    # Pillow leaves rows black that the file does not have; a black last row is the sign to count them.
    is_black = not samples.high[-1].any() and (samples.low is None or not samples.low[-1].any())
    if (photo.layout.interlaced or is_black) and not _has_every_row(photo):
        raise InvalidImage
    return _interpret(photo, samples)


def _read_samples(photo: ScannedPng) -> _Samples:
    """Palette indices as they are, 1-bit samples as 0 and 1."""
    color, depth = photo.layout.color_type, photo.layout.depth
    if depth == 8 and color in {ColorType.RGB, ColorType.RGBA} and not photo.layout.interlaced:
        pixels = decode_8_bit(photo.stream, photo.layout.size, 3 if color is ColorType.RGB else 4)
        if pixels is not None:
            return _Samples(pixels)
    if depth < 16:
        return _Samples(_samples_of(_load(photo.stream)))
    if color is ColorType.GRAY:
        gray = np.asarray(_load(photo.stream)).astype("<u2", copy=False).view(np.uint8)
        return _Samples(gray[:, 1::2], gray[:, ::2])
    if color is ColorType.GRAY_ALPHA:  # 4 bytes a pixel: read as if they were four 8-bit samples
        pairs = _samples_of(_load(photo.stream, "RGBA", "RGBA"))
        return _Samples(pairs[:, :, ::2], pairs[:, :, 1::2])
    # 6 and 8 bytes a pixel are more than Pillow's modes hold: high bytes first, then low ones
    mode = "RGB" if color is ColorType.RGB else "RGBA"
    return _Samples(
        _samples_of(_load(photo.stream, mode, mode + ";16B")), _samples_of(_load(photo.stream, mode, mode + ";16L"))
    )


def _load(stream: bytes, mode: str | None = None, raw_mode: str | None = None) -> Image.Image:
    """The decoded picture, if wanted with its bytes read in another mode than the usual one."""
    try:
        image = PngImageFile(io.BytesIO(stream))
        if mode is not None and raw_mode is not None:
            image._mode = mode  # read-only for callers, and what load() allocates
            image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InvalidImage from error
    return image


def _samples_of(image: Image.Image) -> Pixels:
    """The samples in one go; `np.asarray` asks for them in pieces of 64 KB and joins those, in three times the time."""
    if image.mode == "1":
        return np.asarray(image).view(np.uint8)
    width, height = image.size
    channels = len(image.getbands())
    packer = Image._getencoder(image.mode, "raw", (image.mode, 0, 1))
    packer.setimage(image.im, (0, 0, width, height))
    _, status, packed = packer.encode(width * height * channels)
    if status != 1:  # ImagingRawEncode says 1 when it reached the last row
        raise InvalidImage
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.frombuffer(packed, np.uint8).reshape(shape)


def _has_every_row(photo: ScannedPng) -> bool:
    """Whether the compressed data holds as many bytes as the header calls for."""
    needed = _raw_bytes(photo)
    inflater = zlib.decompressobj()
    rest = photo.pixel_data()
    try:
        while needed > 0 and not inflater.eof:
            piece = inflater.decompress(rest, _INFLATE_STEP_BYTES)
            needed -= len(piece)
            rest = inflater.unconsumed_tail
            if not piece and not rest:
                break
    except zlib.error:
        return False
    return needed <= 0


def _raw_bytes(photo: ScannedPng) -> int:
    """Bytes of the filtered rows, each with its filter byte. Source: PNG specification, 8."""
    size, bits = photo.layout.size, photo.layout.bits_per_pixel
    steps = _ADAM7 if photo.layout.interlaced else ((1, 1, 0, 0),)
    total = 0
    for step_x, step_y, left, top in steps:
        width, height = -(-(size.width - left) // step_x), -(-(size.height - top) // step_y)
        if width > 0 and height > 0:
            total += height * (1 + (width * bits + 7) // 8)
    return total


def _interpret(photo: ScannedPng, samples: _Samples) -> Raster:
    layout = photo.layout
    if layout.color_type is ColorType.PALETTE:
        return _look_up(photo, samples.high)
    transparent = _is_color_key(photo, samples)
    pixels = _levels(photo, samples)
    if layout.color_type is ColorType.GRAY_ALPHA:
        return _opaque_or_not(pixels[:, :, [0, 0, 0, 1]])
    if layout.color_type is ColorType.RGBA:
        return _opaque_or_not(pixels)
    if transparent is not None and transparent.any():
        rgb = pixels if pixels.ndim == 3 else np.dstack([pixels] * 3)
        return Raster(np.dstack([rgb, np.where(transparent, 0, 255).astype(np.uint8)]), Channels.RGBA)
    return Raster(pixels, Channels.GRAY if layout.color_type is ColorType.GRAY else Channels.RGB)


def _levels(photo: ScannedPng, samples: _Samples) -> Pixels:
    if samples.low is None:
        return in_8_bits(_stretched(samples.high, photo.layout.depth), 8, photo.color_tag)
    if photo.color_tag is not None and photo.color_tag.is_steep:
        whole = samples.high.astype(np.uint16) << 8 | samples.low
        return in_8_bits(whole, 16, photo.color_tag)
    return _rounded(samples.high, samples.low)


def _rounded(high: Pixels, low: Pixels) -> Pixels:
    """16 bits to the nearest of 256 levels: v / 257 = high + (low - high) / 257, a fraction that rounds to -1, 0 or 1.

    A few rows at a time, since 64 megapixels of 16-bit RGBA leave no room for a third array.
    """
    rounded = np.empty_like(high, order="C")
    for top in range(0, len(high), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        up, down = cv2.subtract(low[rows].copy(), high[rows].copy()), cv2.subtract(high[rows].copy(), low[rows].copy())
        rounded[rows] = (high[rows] + (up > 128).reshape(high[rows].shape)) - (down > 128).reshape(high[rows].shape)
    return rounded


def _stretched(samples: Pixels, depth: int) -> Pixels:
    """Pillow itself stretches 2 and 4 bits to the full range, and reads 1 bit as a truth value."""
    return samples * np.uint8(255) if depth == 1 and samples.max(initial=0) <= 1 else samples


def _is_color_key(photo: ScannedPng, samples: _Samples) -> npt.NDArray[np.bool_] | None:
    """Where the picture has the color that tRNS makes transparent."""
    count = {ColorType.GRAY: 1, ColorType.RGB: 3}.get(photo.layout.color_type)
    if photo.transparency is None or count is None or len(photo.transparency) < 2 * count:
        return None
    key = np.frombuffer(photo.transparency[: 2 * count], np.uint8)
    height, width = samples.high.shape[:2]
    high = samples.high.reshape(height, width, count)
    if samples.low is not None:
        return np.asarray(((high == key[::2]) & (samples.low.reshape(high.shape) == key[1::2])).all(axis=2))
    depth = photo.layout.depth
    level = key[1::2] & ((1 << depth) - 1)
    return np.asarray((high == (level * (255 // ((1 << depth) - 1)) if 1 < depth < 8 else level)).all(axis=2))


def _look_up(photo: ScannedPng, indices: Pixels) -> Raster:
    colors = np.zeros((256, 4), np.uint8)  # an index without a color shows black, as in libpng
    colors[:, 3] = 255
    palette = np.frombuffer(photo.palette or b"", np.uint8).reshape(-1, 3)
    colors[: len(palette), :3] = in_8_bits(palette[None], 8, photo.color_tag)[0]
    alpha = np.frombuffer(photo.transparency or b"", np.uint8)
    colors[: len(alpha), 3] = alpha
    if (colors[:, 3] == 255).all():
        return Raster(colors[:, :3][indices], Channels.RGB)
    return _opaque_or_not(colors[indices])


def _opaque_or_not(rgba: Pixels) -> Raster:
    """Most pictures with an alpha channel never use it."""
    if (rgba[:, :, 3] == 255).all():
        return Raster(np.ascontiguousarray(rgba[:, :, :3]), Channels.RGB)
    return Raster(rgba, Channels.RGBA)
