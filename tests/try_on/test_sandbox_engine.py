"""The card that stands in for a try-on until a model is connected."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from adapters.try_on.sandbox_engine import CAPTION, SandboxEngine, draw_card
from domain.geometry import Size

GRAY, RED = (120, 150, 140), (200, 30, 30)


def a_jpeg(width: int, height: int, color: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), color).save(out, "JPEG", quality=90, comment=b"a remark")
    return out.getvalue()


def drawn(person: bytes, garment: bytes) -> Image.Image:
    card = draw_card(person, garment)
    picture = Image.open(io.BytesIO(card.jpeg))
    assert (picture.size, picture.mode) == ((card.size.width, card.size.height), "RGB")
    return picture


def test_the_person_the_garment_and_the_caption_are_on_it() -> None:
    card = drawn(a_jpeg(800, 1000, GRAY), a_jpeg(300, 300, RED))
    assert card.size == (800, 1000)
    pixels = np.asarray(card, int)
    assert np.abs(pixels[:500] - GRAY).max() < 3
    assert np.abs(pixels[800, 660] - RED).max() < 12
    band = pixels[950:].mean(axis=2)
    assert band.min() < 40
    assert band.max() > 240  # letters
    assert CAPTION == "SANDBOX - connect a model to see the try-on"


def test_the_card_is_a_baseline_jpeg_that_holds_nothing_but_pixels() -> None:
    card = drawn(a_jpeg(800, 1000, GRAY), a_jpeg(300, 300, RED))
    assert not card.info.get("progressive")
    assert set(card.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize("person", [(1, 1), (2000, 10), (10, 2000), (1, 2000), (2000, 1), (64, 80), (2000, 1600)])
@pytest.mark.parametrize("garment", [(1, 1), (2000, 3), (3, 2000), (900, 900)])
def test_no_size_is_refused(person: tuple[int, int], garment: tuple[int, int]) -> None:
    drawn(a_jpeg(*person, GRAY), a_jpeg(*garment, RED))


def test_a_picture_too_small_to_read_a_caption_on_is_enlarged() -> None:
    assert draw_card(a_jpeg(64, 80, GRAY), a_jpeg(9, 9, RED)).size == Size(320, 400)


async def test_a_card_of_the_largest_pictures_takes_little_of_a_core() -> None:
    engine = SandboxEngine()
    noise = np.random.default_rng(1).integers(0, 255, (2000, 1600, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "JPEG", quality=60)
    await engine.check()
    await engine.render(out.getvalue(), out.getvalue())
    took = []
    for _ in range(3):
        begun = time.process_time()
        await engine.render(out.getvalue(), out.getvalue())
        took.append(time.process_time() - begun)
    assert min(took) < 1.5  # 0.2 s on our machine
    await engine.close()
