"""The same photo in a frame, a mirror, another size or between bars is judged the same: this needs no ground truth."""

from collections.abc import Callable

import pytest
from PIL import Image

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.vision.people_detector import PeopleDetector
from adapters.vision.pixel_meter import PixelMeter
from domain.person import SeenPhoto
from domain.photo import WarningCode
from tests.framing_variations import as_jpeg, codes_of, differences, variations
from tests.people import ASTRONAUT, scenery

Judge = Callable[[bytes], tuple[SeenPhoto, set[WarningCode]]]


def portrait() -> Image.Image:
    return ASTRONAUT.resize((1400, 1400), Image.Resampling.LANCZOS)


def in_a_meadow() -> Image.Image:
    image = scenery(1800, 1350)
    image.paste(ASTRONAUT.resize((1100, 1100), Image.Resampling.LANCZOS), (350, 250))
    return image


def two_in_a_meadow() -> Image.Image:
    image = scenery(2000, 1300)
    for x, y, edge in ((60, 150, 950), (1150, 300, 800)):
        image.paste(ASTRONAUT.resize((edge, edge), Image.Resampling.LANCZOS), (x, y))
    return image


def nobody() -> Image.Image:
    return scenery(1200, 900)


@pytest.fixture
def judge(detector: PeopleDetector) -> Judge:
    def judged(file: bytes) -> tuple[SeenPhoto, set[WarningCode]]:
        photo = ImagingPhotoDecoder().open(file)
        seen = detector.detect(photo)
        person = seen.main_person
        region, outline = (person.box, person.outline) if person else (None, None)
        return seen, codes_of(seen, PixelMeter().measure(photo, region, outline))

    return judged


@pytest.mark.parametrize(
    "make",
    [portrait, in_a_meadow, two_in_a_meadow, lambda: scenery(1200, 900)],
    ids=["portrait", "meadow", "two", "nobody"],
)
def test_frames_mirrors_turns_sizes_cuts_and_bars_change_neither_count_nor_person_nor_warnings(
    make: Callable[[], Image.Image], judge: Judge
) -> None:
    photo = make()
    first = judge(as_jpeg(photo))
    found = {
        variation.name: differences(first, judge(variation.file), variation.in_the_photo, variation.may_change)
        for variation in variations(photo)
    }
    assert {name: what for name, what in found.items() if what} == {}
