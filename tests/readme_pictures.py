"""Makes the pictures of the README with the service's own code: `python -m tests.readme_pictures`.

The people are public domain: NASA's portrait of Eileen Collins, and the photographer of scikit-image (CC0).
"""

import io
from pathlib import Path

import numpy as np
import pillow_heif
import skimage.data
from PIL import Image

from adapters.vision.overlay import draw_overlay
from entrypoints.wiring.photo_worker import build_preparer
from entrypoints.wiring.settings import Settings

FOLDER = Path(__file__).parents[1] / ".readme"
HEIGHT = 480
QUALITY = 85
PAPER = (255, 255, 255)


def heic(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    pillow_heif.from_pillow(picture).save(out, quality=90)
    return out.getvalue()


def astronaut() -> Image.Image:
    return Image.fromarray(skimage.data.astronaut()).resize((1024, 1024), Image.Resampling.LANCZOS)


def astronaut_before_a_rocket() -> Image.Image:
    """A small person at the side of a wide photo."""
    rocket = Image.fromarray(skimage.data.rocket()).resize((2400, 1600), Image.Resampling.LANCZOS)
    portrait = astronaut().resize((620, 620), Image.Resampling.LANCZOS)
    rocket.paste(portrait, (120, 980))
    return rocket


def photographer() -> Image.Image:
    return Image.fromarray(np.asarray(skimage.data.camera())).convert("RGB").resize((1024, 1024))


def side_by_side(*pictures: Image.Image) -> Image.Image:
    scaled = [picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT)) for picture in pictures]
    sheet = Image.new("RGB", (sum(picture.width for picture in scaled) + 16 * (len(scaled) - 1), HEIGHT), PAPER)
    left = 0
    for picture in scaled:
        sheet.paste(picture, (left, 0))
        left += picture.width + 16
    return sheet


def main() -> None:
    settings = Settings()
    preparer = build_preparer(settings.model_dir.expanduser(), settings.max_pixels, settings.max_edge)
    FOLDER.mkdir(exist_ok=True)
    turned = heic(astronaut())
    before = Image.fromarray(skimage.data.astronaut())
    after = Image.open(io.BytesIO(preparer.explain(turned).prepared.jpeg))
    side_by_side(before, after).save(FOLDER / "before-after.jpg", quality=QUALITY)
    overlays = [
        Image.open(io.BytesIO(draw_overlay(preparer.explain(heic(picture)))))
        for picture in (astronaut(), astronaut_before_a_rocket(), photographer())
    ]
    side_by_side(*overlays).save(FOLDER / "overlays.jpg", quality=QUALITY)


if __name__ == "__main__":
    main()
