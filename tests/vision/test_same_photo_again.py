"""The same photo in a frame, a mirror, another size or between bars is judged the same: this needs no ground truth."""

from collections.abc import Callable
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.vision.look import PixelMeter
from adapters.vision.people_detector import PeopleDetector
from domain.person import SeenPhoto
from domain.photo import WarningCode
from tests.framing_variations import as_jpeg, codes_of, differences, variations
from tests.people import ASTRONAUT, scenery

Judge = Callable[[bytes], tuple[SeenPhoto, set[WarningCode]]]


EXAMPLES = Path(__file__).parents[2] / "examples"


def a_square(image: Image.Image, edge: int) -> Image.Image:
    return image.convert("RGB").resize((edge, edge), Image.Resampling.LANCZOS)


def in_a_meadow() -> Image.Image:
    image = scenery(1200, 900)
    image.paste(a_square(ASTRONAUT, 730), (230, 170))
    return image


def two_in_a_meadow() -> Image.Image:
    image = scenery(1400, 910)
    for x, y, edge in ((40, 105, 665), (805, 210, 560)):
        image.paste(a_square(ASTRONAUT, edge), (x, y))
    return image


def example(name: str) -> Callable[[], Image.Image]:
    def opened() -> Image.Image:
        with Image.open(EXAMPLES / name) as image:
            image.thumbnail((1200, 1200))
            return image.convert("RGB")

    return opened


PHOTOS: dict[str, Callable[[], Image.Image]] = {
    "portrait": lambda: a_square(ASTRONAUT, 1100),
    "close by": lambda: a_square(ASTRONAUT.crop((110, 0, 340, 230)), 900),
    "meadow": in_a_meadow,
    "two": two_in_a_meadow,
    "tall": example("tall.jpg"),
    "cameraman": lambda: a_square(Image.fromarray(skimage.data.camera()), 1000),
    "garment": example("garment.jpg"),
    "grass": lambda: scenery(1200, 900),
}
"""All that this repository and the libraries of its tests have of people and things; 14 variations of each."""


@pytest.fixture
def judge(detector: PeopleDetector) -> Judge:
    def judged(file: bytes) -> tuple[SeenPhoto, set[WarningCode]]:
        photo = ImagingPhotoDecoder().open(file)
        seen = detector.detect(photo)
        person = seen.main_person
        region, outline = (person.box, person.outline) if person else (None, None)
        return seen, codes_of(seen, PixelMeter().measure(photo, region, outline))

    return judged


@pytest.mark.parametrize("name", PHOTOS)
def test_frames_mirrors_turns_sizes_cuts_and_bars_change_neither_count_nor_person_nor_warnings(
    name: str, judge: Judge
) -> None:
    photo = PHOTOS[name]()
    first = judge(as_jpeg(photo))
    found = {
        variation.name: differences(first, judge(variation.file), variation.in_the_photo, variation.may_change)
        for variation in variations(photo)
    }
    assert {changed: what for changed, what in found.items() if what} == {}
