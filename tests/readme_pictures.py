"""Makes the pictures of the README with the service's own code: `python -m tests.readme_pictures`.

The people are public domain: NASA's portrait of Eileen Collins, and the photographer of scikit-image (CC0).
"""

import io
from pathlib import Path

import numpy as np
import pillow_heif
import skimage.data
from PIL import Image
from playwright.sync_api import sync_playwright

from adapters.vision.overlay import draw_overlay
from application.prepare_photo import PreparePhoto
from domain.cropping import Fit
from entrypoints.wiring.photo_processing import offline_preparer
from entrypoints.wiring.settings import Settings
from tests.benchmarks.server_process import KEY, our_server

FOLDER = Path(__file__).parents[1] / ".readme"
EXAMPLES = FOLDER.parent / "examples"
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


def cropped_and_padded(preparer: PreparePhoto) -> Image.Image:
    """A phone's tall photo, what `fit=crop` keeps of it, and what `fit=pad` does."""
    tall = (EXAMPLES / "tall.jpg").read_bytes()
    kept = [preparer.execute(tall, crop=True, fit=fit).jpeg for fit in Fit]
    return side_by_side(*(Image.open(io.BytesIO(jpeg)) for jpeg in (tall, *kept)))


def pages() -> None:
    """The page with a result and a try-on, and with several photos."""
    with our_server() as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(base_url=server.url, viewport={"width": 1440, "height": 1100})
        page.goto("/")
        page.evaluate("key => sessionStorage.setItem('tryon-api-key', key)", KEY)
        page.goto("/")
        page.locator("#file").set_input_files(
            [EXAMPLES / "portrait.heic", EXAMPLES / "garment.jpg", EXAMPLES / "tall.jpg"]
        )
        page.locator("#uploads li:has-text('tall.jpg'):has-text('Stored')").click()
        page.locator("#try-on-start").click()
        page.locator("#try-on-result").wait_for()
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(1000)
        page.screenshot(path=FOLDER / "playground.jpg", type="jpeg", quality=QUALITY)
        browser.close()


def main() -> None:
    preparer = offline_preparer(Settings())
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
    cropped_and_padded(preparer).save(FOLDER / "tall.jpg", quality=QUALITY)
    pages()


if __name__ == "__main__":
    main()
