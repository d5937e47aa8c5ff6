"""Phone photos for measuring: full size, a person in them, noise and file sizes as cameras make them."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests import photos

DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])


def scene(width: int, height: int, noise: float = 5.0) -> npt.NDArray[np.uint8]:
    """The astronaut enlarged, with cloth-like detail and a sensor's noise (standard deviation in levels)."""
    chance = np.random.default_rng(width * height)
    base = np.asarray(photos.astronaut(width, height), np.float32)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    weave = 4 * np.sin(x * 0.9) * np.sin(y * 1.1) * (x > width / 2)
    grain = chance.normal(0, noise, (height, width)).astype(np.float32) if noise else np.float32(0)
    levels: npt.NDArray[np.uint8] = np.clip(base + (weave + grain)[..., None], 0, 255).astype(np.uint8)
    return levels


def p3_profile() -> bytes:
    return photos.matrix_profile(DISPLAY_P3, photos.SRGB_CURVE, 0x04000000)


def phone_jpeg(width: int = 3024, height: int = 4032, quality: int = 93) -> bytes:
    """An iPhone's JPEG: stored on its side, orientation 6, Display P3, 4:2:0."""
    stored = photos.stored_for(scene(width, height), 6)
    photo = photos.jpeg(stored, quality=quality, subsampling=2)
    return photos.with_segments(photo, photos.exif_segment(6), *photos.icc_segments(p3_profile()))


def corpus() -> dict[str, bytes]:
    """The mix that is measured; every file is at most 10 MB."""
    clean = Image.fromarray(scene(3024, 4032, noise=0))
    return {
        "JPEG 12 MP, P3, turned": phone_jpeg(),
        "JPEG 48 MP": phone_jpeg(6048, 8064, 75),
        "JPEG 3 MP": photos.jpeg(scene(1536, 2048), quality=88, subsampling=2),
        "PNG 12 MP": photos.encoded(clean.quantize(256, dither=Image.Dither.NONE).convert("RGB"), "PNG"),
        "WebP 12 MP": photos.encoded(scene(3024, 4032), "WEBP", quality=85, method=2),
        "HEIC 12 MP": photos.tiled_heic(Image.fromarray(scene(3024, 4032)), 512, quality=50, chroma=420),
    }
