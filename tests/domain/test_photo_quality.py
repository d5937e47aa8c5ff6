from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.cropping import Fit, largest_window, place
from domain.geometry import Box, Size
from domain.person import BodyPart, SeenPerson, SeenPhoto
from domain.photo import Appearance, WarningCode, warnings_about
from tests.people import a_head_of, a_person, a_standing_body

PHOTO = KEPT = Box(0, 0, 1600, 2000)
STANDING = a_person(Box(600, 150, 500, 1700), face=Box(780, 200, 140, 170))
FINE = Appearance(shadows=0.1, midtone=0.5, highlights=0.9, detail=0.5)


def codes(
    people: Sequence[SeenPerson] = (STANDING,),
    *,
    content: Box = PHOTO,
    kept: Box = KEPT,
    stored: Size = KEPT.size,
    looked_for_people: bool = True,
    appearance: Appearance = FINE,
) -> list[WarningCode]:
    seen = SeenPhoto(PHOTO.size, content, tuple(people))
    found = warnings_about(seen, kept=kept, stored=stored, looked_for_people=looked_for_people, appearance=appearance)
    assert all(warning.message.count(". ") == 1 for warning in found), "each says what is wrong, then what to do"
    return [warning.code for warning in found]


@st.composite
def photos_of_somebody(draw: st.DrawFn) -> SeenPhoto:
    size = Size(draw(st.integers(200, 6000)), draw(st.integers(200, 6000)))
    x, y = draw(st.integers(0, size.width - 100)), draw(st.integers(0, size.height - 100))
    body = Box(x, y, draw(st.integers(40, size.width - x)), draw(st.integers(40, size.height - y)))
    return SeenPhoto(size, Box.covering(size), (a_person(body),))


@given(photos_of_somebody(), st.sampled_from(Fit))
def test_zooming_in_and_padding_cause_no_warning(photo: SeenPhoto, fit: Fit) -> None:
    """Compared with the largest window, which is what the shape alone takes; but a window may cut, and says so."""
    largest = largest_window(photo.size)
    kept = place(photo, fit).canvas
    unzoomed = codes(photo.people, content=photo.content, kept=Box.covering(largest), stored=largest)
    ours = codes(photo.people, content=photo.content, kept=kept, stored=kept.size.limited_to(2000))
    assert set(ours) - set(unzoomed) <= {WarningCode.BODY_CUT_BY_CROP}


def test_somebody_who_lies_across_the_picture_is_not_small() -> None:
    lying = a_person(Box(100, 900, 1400, 400), head=Box(100, 950, 250, 250), landmarks={})
    assert WarningCode.PERSON_TOO_SMALL not in codes([lying])


def test_a_good_photo_gets_no_warning() -> None:
    assert codes() == []


def test_nobody_is_missed_where_nobody_was_looked_for() -> None:
    assert codes([], looked_for_people=False) == []
    assert codes([]) == [WarningCode.NO_PERSON_DETECTED]


def test_somebody_nearly_as_large_in_the_picture_is_one_too_many() -> None:
    friend = a_person(Box(1100, 300, 450, 1500), silhouette=0.15)
    assert codes([STANDING, friend]) == [WarningCode.MULTIPLE_PEOPLE]


def test_passers_by_and_people_outside_the_window_are_no_matter() -> None:
    passer_by = a_person(Box(1300, 900, 100, 300), silhouette=0.02)
    from_behind = a_person(Box(1100, 500, 300, 900), silhouette=0.08)
    cut_away = a_person(Box(1620, 300, 450, 1500), silhouette=0.15)
    assert codes([STANDING, passer_by, from_behind, cut_away]) == []


@pytest.mark.parametrize(("border", "expected"), [(200, []), (220, [WarningCode.HEAD_CUT_OFF])])
def test_a_head_is_cut_off_when_the_photo_ends_below_the_hairline(border: int, expected: list[WarningCode]) -> None:
    """The crown is at row 150, the eyes are at 252, the mouth is at 312, so the hairline is taken to be at 204."""
    assert codes(content=Box(0, border, 1600, 2000 - border)) == expected


def test_somebody_turned_sideways_in_the_photo_is_told_to_turn_it() -> None:
    seen = SeenPhoto(PHOTO.size, PHOTO, (STANDING,), turns=1)
    found = warnings_about(seen, kept=KEPT, stored=KEPT.size, looked_for_people=True, appearance=FINE)
    assert [warning.code for warning in found] == [WarningCode.PHOTO_SIDEWAYS]


def test_what_the_crop_takes_is_named_and_measured_and_is_not_called_the_shoppers_fault() -> None:
    """The ankles are at row 1731, the knees at 1391, the wrists at 1000."""
    seen = SeenPhoto(PHOTO.size, PHOTO, (STANDING,))
    kept = Box(0, 100, 1600, 1300)
    (warning,) = warnings_about(seen, kept=kept, stored=KEPT.size, looked_for_people=True, appearance=FINE)
    assert warning.code == WarningCode.BODY_CUT_BY_CROP
    assert "cut off your feet (26 % of your height)" in warning.message


def test_a_crop_that_keeps_everybody_whole_is_no_cut() -> None:
    assert codes(kept=Box(500, 100, 700, 1780)) == []
    assert codes(kept=Box(660, 100, 400, 1780)) == [WarningCode.BODY_CUT_BY_CROP], "the wrists lie outside"


def test_a_body_without_any_head_has_it_cut_off() -> None:
    assert codes([replace(STANDING, head=None)]) == [WarningCode.HEAD_CUT_OFF]


def test_a_half_body_photo_is_no_cut_body_but_a_missing_hip_is() -> None:
    """The chin is at row 370, the shoulders are at 473, the hips at 1017."""
    for content, expected in (
        (Box(0, 0, 1600, 1000), []),
        (Box(0, 0, 1600, 740), [WarningCode.BODY_CUT_OFF]),
        (Box(850, 0, 750, 2000), [WarningCode.BODY_CUT_OFF]),
    ):
        visible = replace(
            STANDING, box=STANDING.box.cut_to(content) or content, head=a_head_of(STANDING.box).cut_to(content)
        )
        assert codes([visible], content=content, kept=content) == expected


@pytest.mark.parametrize("hips", [500, 1017, 3000])
def test_where_hips_outside_of_the_photo_are_guessed_counts_for_nothing_while_the_face_is_seen(hips: float) -> None:
    """By the face, the hips are at about row 930."""
    guessed = {part: replace(STANDING.landmarks[part], y=hips) for part in (BodyPart.LEFT_HIP, BodyPart.RIGHT_HIP)}
    person = replace(STANDING, landmarks={**STANDING.landmarks, **guessed})
    for bottom, expected in ((740, [WarningCode.BODY_CUT_OFF]), (800, [])):
        content = Box(0, 0, 1600, bottom)
        visible = replace(person, box=STANDING.box.cut_to(content) or content)
        assert codes([visible], content=content, kept=content) == expected


def test_somebody_who_fills_little_of_the_picture_is_too_small() -> None:
    assert codes([a_person(Box(700, 800, 200, 790))]) == [WarningCode.PERSON_TOO_SMALL]
    assert codes([a_person(Box(700, 800, 200, 810))]) == []


def test_two_who_are_cut_in_half_are_two() -> None:
    """Less than half of the other body is in the picture, and the head is not."""
    neighbor = a_person(Box(1480, 300, 450, 1500), silhouette=0.15)
    assert codes([STANDING, neighbor]) == [WarningCode.MULTIPLE_PEOPLE]


def test_a_picture_of_fewer_than_1024_pixels_has_a_low_resolution() -> None:
    assert codes(stored=Size(816, 1020)) == [WarningCode.LOW_RESOLUTION]
    assert codes(stored=Size(820, 1025)) == []


@pytest.mark.parametrize(
    ("appearance", "expected"),
    [
        (replace(FINE, detail=0.04), [WarningCode.BLURRY]),
        (Appearance(0.01, 0.08, 0.2, 0.5), [WarningCode.TOO_DARK]),
        (Appearance(0.01, 0.12, 0.68, 0.12), []),
        (Appearance(0.06, 0.43, 1.0, 0.4, clipped=0.13), [WarningCode.TOO_BRIGHT]),
        (Appearance(0.47, 0.96, 1.0, 0.6, clipped=0.06), []),
    ],
    ids=["blurred", "dark", "flash at night", "washed out", "white dress on white paper"],
)
def test_light_and_focus_are_judged_by_what_is_left_to_see(appearance: Appearance, expected: list[WarningCode]) -> None:
    assert codes(appearance=appearance) == expected


def test_a_back_does_not_face_the_camera_and_a_hidden_face_may() -> None:
    """From behind, the left shoulder is on the left of the photo."""
    back = replace(STANDING, face=None, landmarks=a_standing_body(STANDING.box, turned_away=True))
    masked = replace(STANDING, face=None)
    from_the_side = replace(back, landmarks=a_standing_body(replace(STANDING.box, width=30), turned_away=True))
    assert codes([back]) == [WarningCode.NOT_FACING_CAMERA]
    assert codes([masked]) == []
    assert codes([from_the_side]) == [], "a few pixels between the shoulders do not tell which is left"


def test_a_garment_on_white_paper_is_not_overexposed() -> None:
    assert codes([], appearance=Appearance(0.8, 0.97, 1.0, 0.5, clipped=0.9)) == [WarningCode.NO_PERSON_DETECTED]


def test_a_person_of_whom_no_joint_is_known_has_a_cut_body() -> None:
    only_face = replace(
        STANDING,
        box=Box(700, 150, 300, 590),
        head=Box(700, 150, 300, 340),
        landmarks={BodyPart.NOSE: STANDING.landmarks[BodyPart.NOSE]},
    )
    photo = Box(0, 0, 1600, 740)
    assert codes([only_face], content=photo, kept=photo) == [WarningCode.BODY_CUT_OFF]
