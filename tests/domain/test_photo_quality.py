from collections.abc import Sequence
from dataclasses import replace

import pytest

from domain.geometry import Box, Size
from domain.person import BodyPart, SeenPerson
from domain.photo import WarningCode
from domain.photo_quality import Appearance, warnings_about
from tests.people import a_person, a_standing_body

KEPT = Box(0, 0, 1600, 2000)
STANDING = a_person(Box(600, 150, 500, 1700), face=Box(800, 180, 100, 120))
FINE = Appearance(shadows=0.1, midtone=0.5, highlights=0.9, detail=0.5)


def codes(
    people: Sequence[SeenPerson] = (STANDING,),
    *,
    kept: Box = KEPT,
    stored: Size = KEPT.size,
    looked_for_people: bool = True,
    appearance: Appearance = FINE,
) -> list[WarningCode]:
    found = warnings_about(
        kept=kept,
        stored=stored,
        looked_for_people=looked_for_people,
        people=people,
        person=people[0] if people else None,
        appearance=appearance,
    )
    assert all(warning.message.count(". ") == 1 for warning in found), "each says what is wrong, then what to do"
    return [warning.code for warning in found]


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
    cut_away = a_person(Box(1500, 300, 450, 1500), silhouette=0.15)
    assert codes([STANDING, passer_by, cut_away]) == []


@pytest.mark.parametrize(("border", "expected"), [(200, []), (220, [WarningCode.HEAD_CUT_OFF])])
def test_a_head_is_cut_off_when_the_border_runs_below_the_hairline(border: int, expected: list[WarningCode]) -> None:
    """The crown is at row 150, the eyes are at 252, the mouth is at 312, so the hairline is taken to be at 204."""
    assert codes(kept=Box(0, border, 1600, 2000)) == expected


def test_a_body_without_any_head_has_it_cut_off() -> None:
    assert codes([replace(STANDING, head=None)]) == [WarningCode.HEAD_CUT_OFF]


def test_a_half_body_photo_is_no_cut_body_but_a_missing_hip_is() -> None:
    """The shoulders are at row 473, the hips at 1017."""
    assert codes(kept=Box(0, 0, 1600, 1000)) == []
    assert codes(kept=Box(0, 0, 1600, 900)) == [WarningCode.BODY_CUT_OFF]
    assert codes(kept=Box(850, 0, 750, 2000)) == [WarningCode.BODY_CUT_OFF]


def test_somebody_who_fills_little_of_the_picture_is_too_small() -> None:
    assert codes([a_person(Box(700, 800, 200, 790))]) == [WarningCode.PERSON_TOO_SMALL]
    assert codes([a_person(Box(700, 800, 200, 810))]) == []


def test_a_picture_of_fewer_than_1024_pixels_has_a_low_resolution() -> None:
    assert codes(stored=Size(816, 1020)) == [WarningCode.LOW_RESOLUTION]
    assert codes(stored=Size(820, 1025)) == []


@pytest.mark.parametrize(
    ("appearance", "expected"),
    [
        (replace(FINE, detail=0.04), [WarningCode.BLURRY]),
        (Appearance(0.01, 0.08, 0.2, 0.5), [WarningCode.TOO_DARK]),
        (Appearance(0.01, 0.12, 0.68, 0.12), []),
        (Appearance(0.88, 1.0, 1.0, 0.2), [WarningCode.TOO_BRIGHT]),
        (Appearance(0.47, 0.96, 1.0, 0.6), []),
    ],
    ids=["blurred", "dark", "flash at night", "washed out", "white dress on white paper"],
)
def test_light_and_focus_are_judged_by_what_is_left_to_see(appearance: Appearance, expected: list[WarningCode]) -> None:
    assert codes(appearance=appearance) == expected


def test_a_back_does_not_face_the_camera_and_a_hidden_face_may() -> None:
    """From behind, the left shoulder is on the left of the photo."""
    back = replace(STANDING, face=None, landmarks=a_standing_body(STANDING.box, turned_away=True))
    masked = replace(STANDING, face=None)
    assert codes([back]) == [WarningCode.NOT_FACING_CAMERA]
    assert codes([masked]) == []


def test_a_person_of_whom_no_joint_is_known_has_a_cut_body() -> None:
    only_face = replace(STANDING, landmarks={BodyPart.NOSE: STANDING.landmarks[BodyPart.NOSE]})
    assert codes([only_face]) == [WarningCode.BODY_CUT_OFF]
