"""A photo that lies on its side becomes an upright picture, unless its file says which way is up."""

import io

import numpy as np
import pytest
from PIL import Image

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.vision.look import PixelMeter
from adapters.vision.people_detector import PeopleDetector
from application.ports.photos import PreparedPhoto
from application.prepare_photo import PreparePhoto
from domain.geometry import Box, Size
from domain.photo import WarningCode
from tests.framing_variations import as_jpeg
from tests.people import ASTRONAUT, as_png, scenery


def upright() -> Image.Image:
    photo = scenery(1100, 1500)
    photo.paste(ASTRONAUT.resize((950, 950), Image.Resampling.LANCZOS), (70, 400))
    return photo


def prepared(file: bytes, detector: PeopleDetector) -> PreparedPhoto:
    return PreparePhoto(ImagingPhotoDecoder(), detector, PixelMeter(), 2000).execute(file, crop=True)


def codes(photo: PreparedPhoto) -> set[str]:
    return {warning.code for warning in photo.facts.warnings}


@pytest.mark.parametrize(
    "turn",
    [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270],
    ids=["left", "upside down", "right"],
)
def test_it_is_stored_as_if_it_had_been_sent_upright_and_the_shopper_is_told(
    turn: Image.Transpose, detector: PeopleDetector
) -> None:
    expected = prepared(as_png(upright()), detector)
    turned = prepared(as_png(upright().transpose(turn)), detector)
    assert WarningCode.PHOTO_SIDEWAYS not in codes(expected)
    assert codes(turned) == codes(expected) | {WarningCode.PHOTO_SIDEWAYS}
    assert turned.facts.source_size == Size(1100, 1500)
    crop, window = turned.facts.crop, expected.facts.crop
    assert crop is not None
    assert window is not None
    assert crop.size.width * 5 == crop.size.height * 4
    assert crop.shared_area(window) > 0.9 * crop.joined(window).area
    assert is_near(stored(turned, crop), stored(expected, window))


@pytest.mark.parametrize(("angle", "top"), [(90, 560), (270, 560), (65, 240)], ids=["left", "right", "aslant"])
def test_somebody_who_lies_in_the_grass_is_not_stood_up(angle: int, top: int, detector: PeopleDetector) -> None:
    photo = scenery(1500, 1100)
    body = ASTRONAUT.resize((500, 500), Image.Resampling.LANCZOS).convert("RGBA").rotate(angle, expand=True)
    photo.paste(body, (500, top), body)
    lying = prepared(as_png(photo), detector)
    assert WarningCode.PHOTO_SIDEWAYS not in codes(lying)
    assert lying.facts.source_size == Size(1500, 1100)


def test_a_file_that_says_which_way_is_up_is_believed_and_the_shopper_is_told(detector: PeopleDetector) -> None:
    lying = prepared(as_jpeg(upright().transpose(Image.Transpose.ROTATE_90)), detector)
    assert WarningCode.PHOTO_SIDEWAYS in codes(lying)
    assert lying.facts.source_size == Size(1500, 1100)


def stored(photo: PreparedPhoto, crop: Box) -> Image.Image:
    """What both windows show of the photo, small."""
    picture = Image.open(io.BytesIO(photo.jpeg))
    assert picture.size == (crop.width, crop.height)
    return picture.crop((200 - crop.x, 500 - crop.y, 800 - crop.x, 1300 - crop.y)).resize((60, 80))


def is_near(one: Image.Image, other: Image.Image) -> bool:
    return bool(np.abs(np.asarray(one, np.int16) - np.asarray(other)).mean() < 4)
