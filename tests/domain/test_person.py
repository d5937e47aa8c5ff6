import pytest

from domain.geometry import Box
from domain.person import Framing, PersonReport, main_person
from tests.people import a_person, a_standing_body

PHOTO = Box(0, 0, 2000, 2000)


@pytest.mark.parametrize(
    ("lowest_row", "framing"),
    [
        (1900, Framing.FULL_BODY),
        (1650, Framing.THREE_QUARTER),
        (1250, Framing.HALF_BODY),
        (800, Framing.CLOSE_UP),
    ],
)
def test_framing_is_named_for_the_lowest_joint_that_shows(lowest_row: int, framing: Framing) -> None:
    whole = Box(700, 100, 600, 1800)
    seen = a_person(Box(700, 100, 600, lowest_row - 100), landmarks=a_standing_body(whole))
    assert PersonReport.about(seen, 3, PHOTO) == PersonReport(3, seen.box, None, framing, 1.0)


def test_the_larger_of_two_people_is_the_main_one() -> None:
    mother = a_person(Box(400, 200, 500, 1700), silhouette=0.2)
    child = a_person(Box(1100, 1000, 300, 900), silhouette=0.07)
    assert main_person([child, mother], PHOTO) is mother


def test_of_people_of_equal_size_the_one_in_the_middle_is_the_main_one() -> None:
    left, middle, right = (a_person(Box(x, 300, 400, 1500)) for x in (50, 800, 1550))
    assert main_person([left, middle, right], PHOTO) is middle


def test_somebody_whose_head_is_not_in_the_photo_yields_to_somebody_smaller() -> None:
    passing = a_person(Box(0, 0, 500, 2000), headless=True, silhouette=0.2)
    posing = a_person(Box(800, 400, 500, 1400), silhouette=0.15)
    assert main_person([passing, posing], PHOTO) is posing


def test_nobody_is_the_main_person_of_an_empty_photo() -> None:
    assert main_person([], PHOTO) is None
