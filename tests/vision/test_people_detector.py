"""The detector on a real person: near, mirrored, far away, alone with scenery, on a product, in the dark."""

import pytest
import skimage.data
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.vision.people_detector import PeopleDetector
from domain.cropping import choose_window
from domain.geometry import Box, Size
from domain.person import BodyPart, Framing, SeenPerson, main_person
from tests.people import ASTRONAUT, ASTRONAUTS_EYES, as_png, scenery

HEAD = Box(146, 10, 158, 180)
"""Of the portrait, with the hair; found by eye."""


A_SHIRT = [
    *((330, 130), (430, 165), (470, 165), (570, 130), (700, 180), (860, 470), (760, 530), (690, 420)),
    *((700, 800), (725, 1070), (450, 1090), (180, 1065), (200, 800), (210, 420), (140, 530), (40, 470), (200, 180)),
]
"""Its outline, lying flat, in pixels of a picture of 900 x 1200."""


def seen_in(image: Image.Image, detector: PeopleDetector) -> tuple[SeenPerson, ...]:
    return detector.detect(ImagingPhotoDecoder().open(as_png(image))).people


def in_landscape(width: int, height: int, portrait_height: int, x: int, y: int) -> Image.Image:
    """The portrait, scaled, in front of grass."""
    image = scenery(width, height)
    image.paste(ASTRONAUT.resize((portrait_height, portrait_height), Image.Resampling.LANCZOS), (x, y))
    return image


def test_nothing_of_a_photo_is_kept_when_it_was_looked_at(detector: PeopleDetector) -> None:
    assert seen_in(ASTRONAUT, detector)
    assert detector._networks._answers == []


def test_a_person_close_by_is_seen_with_head_face_and_shoulders(detector: PeopleDetector) -> None:
    (person,) = seen_in(ASTRONAUT, detector)
    assert person.head is not None
    assert person.face is not None
    assert person.head.shared_area(HEAD) >= 0.75 * HEAD.joined(person.head).area
    assert person.face.x < ASTRONAUTS_EYES[0] < person.face.right
    assert person.face.y < ASTRONAUTS_EYES[1] < person.face.bottom
    assert person.box.bottom == 512
    assert person.landmarks[BodyPart.RIGHT_SHOULDER].x < person.landmarks[BodyPart.LEFT_SHOULDER].x
    assert person.framing(Box(0, 0, 512, 512)) in {Framing.CLOSE_UP, Framing.HALF_BODY}
    assert 0.3 < person.silhouette < 0.6


def test_a_mirrored_person_is_seen_at_the_mirrored_place(detector: PeopleDetector) -> None:
    (person,) = seen_in(ASTRONAUT, detector)
    (mirrored,) = seen_in(ImageOps.mirror(ASTRONAUT), detector)
    assert mirrored.box.x == pytest.approx(512 - person.box.right, abs=15)
    assert mirrored.landmarks[BodyPart.NOSE].x == pytest.approx(512 - person.landmarks[BodyPart.NOSE].x, abs=6)


@pytest.mark.parametrize("portrait", [1000, 500], ids=["half the height", "a quarter"])
def test_somebody_far_away_in_a_wide_landscape_is_found_and_framed(portrait: int, detector: PeopleDetector) -> None:
    source, x, y = Size(3600, 2000), 2300, 700
    person = main_person(seen_in(in_landscape(3600, 2000, portrait, x, y), detector), Box.covering(source))
    assert person is not None
    scale = portrait / 512
    eyes_x, eyes_y = x + ASTRONAUTS_EYES[0] * scale, y + ASTRONAUTS_EYES[1] * scale
    assert person.head is not None
    assert person.head.x < eyes_x < person.head.right
    assert person.head.y < eyes_y < person.head.bottom
    window = choose_window(Box.covering(source), person)
    assert window.x < x + HEAD.x * scale
    assert x + HEAD.right * scale < window.right
    assert window.y < y + HEAD.y * scale


def test_of_two_people_both_are_seen_and_the_larger_is_framed(detector: PeopleDetector) -> None:
    image = in_landscape(2400, 1200, 1100, 100, 100)
    image.paste(ASTRONAUT.resize((900, 900), Image.Resampling.LANCZOS), (1450, 300))
    people = seen_in(image, detector)
    person = main_person(people, Box(0, 0, 2400, 1200))
    assert len(people) == 2
    assert person is not None
    assert person.box.right <= 1200


def test_somebody_in_the_dark_is_found(detector: PeopleDetector) -> None:
    people = seen_in(ImageEnhance.Brightness(in_landscape(1600, 1200, 900, 350, 300)).enhance(0.06), detector)
    assert len(people) == 1


@pytest.mark.parametrize(
    "name", ["coffee", "chelsea", "rocket", "brick", "gravel", "coins", "page", "hubble_deep_field"]
)
def test_where_nobody_is_nobody_is_seen(name: str, detector: PeopleDetector) -> None:
    pixels = getattr(skimage.data, name)()
    assert seen_in(Image.fromarray(pixels).convert("RGB"), detector) == ()


def test_a_portrait_printed_on_a_shirt_is_nobody(detector: PeopleDetector) -> None:
    """A dark shirt, lying on white paper, with the portrait on its chest."""
    image = Image.new("RGB", (900, 1200), "white")
    ImageDraw.Draw(image).polygon(A_SHIRT, fill=(70, 30, 120))
    image.paste(ASTRONAUT.resize((300, 300), Image.Resampling.LANCZOS), (300, 330))
    assert seen_in(image, detector) == ()


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (1, 400), (4000, 3)], ids=["dot", "speck", "column", "row"])
def test_photos_of_odd_sizes_hold_nobody(size: tuple[int, int], detector: PeopleDetector) -> None:
    assert seen_in(Image.new("RGB", size, (120, 90, 60)), detector) == ()


def test_what_was_seen_stays_the_same_when_the_detector_goes_on(detector: PeopleDetector) -> None:
    """MediaPipe's masks lie in memory that it uses again."""
    first = seen_in(ASTRONAUT, detector)
    seen_in(scenery(800, 600), detector)
    assert seen_in(ASTRONAUT, detector) == first


@pytest.mark.parametrize(
    ("turned", "turns"),
    [(Image.Transpose.ROTATE_90, 3), (Image.Transpose.ROTATE_180, 2), (Image.Transpose.ROTATE_270, 1)],
    ids=["left", "upside down", "right"],
)
@pytest.mark.parametrize("mirrored", [False, True], ids=["plain", "mirrored"])
def test_somebody_on_a_photo_that_lies_on_its_side_is_seen_where_they_are_and_told(
    turned: Image.Transpose, turns: int, mirrored: bool, detector: PeopleDetector
) -> None:
    upright = in_landscape(1500, 1200, 900, 250, 250)
    eyes_x, eyes_y = 250 + ASTRONAUTS_EYES[0] * 900 / 512, 250 + ASTRONAUTS_EYES[1] * 900 / 512
    if mirrored:
        upright, eyes_x = ImageOps.mirror(upright), 1500 - eyes_x
    seen = detector.detect(ImagingPhotoDecoder().open(as_png(upright.transpose(turned))))
    person = seen.main_person
    assert seen.turns == turns
    assert person is not None
    assert person.face is not None
    eyes = {1: (1200 - eyes_y, eyes_x), 2: (1500 - eyes_x, 1200 - eyes_y), 3: (eyes_y, 1500 - eyes_x)}
    assert person.face.holds(*eyes[turns])


def test_nobody_who_stands_upright_is_turned(detector: PeopleDetector) -> None:
    assert detector.detect(ImagingPhotoDecoder().open(as_png(in_landscape(1500, 1200, 900, 250, 250)))).turns == 0


def test_both_witnesses_make_somebody_surer(detector: PeopleDetector) -> None:
    two = in_landscape(2400, 1200, 1100, 100, 100)
    two.paste(ASTRONAUT.resize((900, 900), Image.Resampling.LANCZOS), (1450, 300))
    assert all(person.confidence > 0.9 for person in seen_in(two, detector))


@pytest.mark.parametrize("name", ["shirt", "mannequin", "statue"])
def test_things_in_the_shape_of_people_are_nobody(name: str, detector: PeopleDetector) -> None:
    """A flat garment, a tailor's dummy without a head, a gray column with a bust."""
    image = Image.new("RGB", (900, 1200), "#d8d4cc")
    draw = ImageDraw.Draw(image)
    if name == "shirt":
        draw.polygon(A_SHIRT, fill=(40, 90, 60))
    elif name == "mannequin":
        draw.polygon(
            [(330, 250), (570, 250), (640, 420), (560, 640), (610, 800), (290, 800), (340, 640), (260, 420)], "#c9a98a"
        )
        draw.rectangle((435, 800, 465, 1120), fill="#333333")
        draw.ellipse((420, 180, 480, 260), fill="#c9a98a")
    else:
        draw.rectangle((330, 600, 570, 1150), fill="#9a9a9a")
        draw.ellipse((380, 280, 520, 470), fill="#8d8d8d")
        draw.polygon([(300, 600), (340, 500), (560, 500), (600, 600)], fill="#949494")
    assert seen_in(image, detector) == ()
