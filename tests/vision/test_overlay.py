import io

import numpy as np
from PIL import Image

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.memory.surroundings import InMemoryPersonDetector
from adapters.vision.look import PixelMeter
from adapters.vision.overlay import draw_overlay
from application.prepare_photo import PreparePhoto
from domain.geometry import Box
from tests.people import a_person, as_png


def test_an_overlay_shows_the_window_bright_and_what_is_cut_away_dark_with_the_person_outlined() -> None:
    person = a_person(Box(600, 200, 200, 700))
    prepare = PreparePhoto(ImagingPhotoDecoder(), InMemoryPersonDetector(person), PixelMeter(), 2000)
    explained = prepare.explain(as_png(Image.new("RGB", (1500, 1100), (200, 200, 200))))
    pixels = np.asarray(Image.open(io.BytesIO(draw_overlay(explained)))).astype(int)
    assert pixels.shape == (1100, 1500, 3)
    window = explained.prepared.facts.crop
    assert window is not None
    assert pixels[1000, window.x - 60].max() < 110
    assert pixels[1000, window.x + 60].min() > 180
    red, green, blue = pixels[600, 601]
    assert red > 2 * green > 0
    assert red > 2 * blue
    red, green, blue = pixels[600, window.x]
    assert green > 2 * red
