"""Every path through the decoders works where no file can be opened: whatever loads late would end the process."""

import numpy as np
from PIL import Image

from entrypoints.wiring.photo_processing import build_processor
from entrypoints.wiring.settings import Settings
from tests import photos
from tests.imaging import test_code_points, test_color
from tests.imaging.test_pixels import flat_jpeg
from tests.imaging.test_rebuilt_streams import TestWarningsOfLibjpeg
from tests.patience import until
from tests.sandbox.pools import decoders, everybody, process_file

PICTURE = photos.astronaut(160, 200)
TRANSPARENT = PICTURE.convert("RGBA")
TRANSPARENT.putalpha(Image.linear_gradient("L").resize(PICTURE.size))
LAB = np.random.default_rng(0).uniform(0, 50, (8, 3))

KINDS = {
    "inks": photos.jpeg(PICTURE.convert("CMYK")),
    "a JPEG of odd sampling factors": flat_jpeg(64, 64, [0x24, 0x11, 0x11], 10),
    "a JPEG that libjpeg warns of": TestWarningsOfLibjpeg.photo(is_consistent=False),
    "a PNG of 16 bits with transparency": photos.png_16(np.zeros((20, 20, 4), np.uint16), 6),
    "an HDR PNG": test_code_points.as_png(test_code_points.HDR["HLG"]),
    "an HDR HEIC": test_code_points.as_heic(test_code_points.HDR["PQ"]),
    "a HEIC whose stream alone names its colors": test_code_points.as_heic_by_its_stream(test_code_points.HDR["HLG"]),
    "tiles": photos.tiled_heic(photos.astronaut(256, 384)),
    "a HEIC of odd size": photos.heic(photos.astronaut(161, 201)),
    "a transparent HEIC": photos.heic(TRANSPARENT),
    "a monochrome HEIC of 10 bits": photos.deep_heic(np.full((64, 64), 30_000, np.uint16), 10),
    "a transparent WebP": photos.encoded(TRANSPARENT, "WEBP"),
    "a profile made of tables": photos.encoded(
        PICTURE, "PNG", icc_profile=test_color.lab_table_profile(b"RGB ", LAB)
    ),
    "a wide profile": photos.encoded(
        PICTURE, "WEBP", icc_profile=photos.matrix_profile(test_color.ADOBE_RGB, photos.curve_gamma(2.2))
    ),
}  # fmt: skip


async def test_every_kind_of_photo_comes_out_of_the_sandbox() -> None:
    pool = build_processor(Settings(workers=1))
    await pool.start()
    try:
        for kind, photo in KINDS.items():
            prepared = await pool.prepare(photo, crop=False)
            assert prepared.jpeg[:2] == b"\xff\xd8", kind
        await until(lambda: not decoders(pool))  # which have the pages of their parent
        for process_id in everybody(pool):  # libturbojpeg's listener lies in a page that was
            assert " rwx" not in process_file(process_id, "maps")
    finally:
        await pool.close()
