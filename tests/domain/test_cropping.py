from hypothesis import given
from hypothesis import strategies as st

from domain.cropping import LEAST_HEIGHT, choose_window, largest_window
from domain.geometry import Box, Size
from tests.people import a_person, a_standing_body

sources = st.builds(Size, st.integers(1, 9000), st.integers(1, 9000))
photos = st.builds(Size, st.integers(200, 6000), st.integers(200, 6000))


@st.composite
def boxes_in(draw: st.DrawFn, size: Size) -> Box:
    x, y = draw(st.integers(0, size.width - 1)), draw(st.integers(0, size.height - 1))
    return Box(x, y, draw(st.integers(1, size.width - x)), draw(st.integers(1, size.height - y)))


@given(sources)
def test_a_window_without_a_person_is_as_large_as_possible_inside_the_photo_and_four_by_five(source: Size) -> None:
    window = choose_window(Box.covering(source), None)
    assert window.is_inside(source)
    assert abs(window.width - 0.8 * window.height) <= 0.5
    assert window.width > source.width - 4 or window.height > source.height - 5


@given(sources)
def test_a_window_without_a_person_lies_in_the_middle(source: Size) -> None:
    window = choose_window(Box.covering(source), None)
    assert abs(window.x - (source.width - window.right)) <= 1
    assert abs(window.y - (source.height - window.bottom)) <= 1


@given(st.data(), sources)
def test_whoever_is_in_the_photo_the_window_is_inside_it_and_four_by_five(data: st.DataObject, source: Size) -> None:
    person = a_person(data.draw(boxes_in(source)), head=data.draw(boxes_in(source)))
    window = choose_window(Box.covering(source), person)
    assert window.is_inside(source)
    assert abs(window.width - 0.8 * window.height) <= 0.5


@given(st.data(), photos)
def test_windows_of_real_photos_are_exactly_four_by_five(data: st.DataObject, source: Size) -> None:
    window = choose_window(Box.covering(source), a_person(data.draw(boxes_in(source))))
    assert (5 * window.width, window.width % 4) == (4 * window.height, 0)


@given(st.data(), photos)
def test_a_head_that_fits_a_window_is_kept_whole(data: st.DataObject, source: Size) -> None:
    head = data.draw(boxes_in(source))
    largest = largest_window(source)
    if head.width > largest.width or head.height > largest.height:
        return
    window = choose_window(Box.covering(source), a_person(data.draw(boxes_in(source)), head=head))
    assert window.shared_area(head) == head.area


@given(st.data(), photos)
def test_a_window_is_never_cut_so_small_that_the_crop_causes_a_low_resolution(
    data: st.DataObject, source: Size
) -> None:
    window = choose_window(Box.covering(source), a_person(data.draw(boxes_in(source))))
    assert window.height >= min(LEAST_HEIGHT, largest_window(source).height)


@given(st.data(), photos)
def test_a_person_who_fits_with_margins_is_kept_whole(data: st.DataObject, source: Size) -> None:
    largest = largest_window(source)
    width = data.draw(st.integers(1, int(0.84 * largest.width)))
    height = data.draw(st.integers(1, int(0.84 * largest.height)))
    x, y = data.draw(st.integers(0, source.width - width)), data.draw(st.integers(0, source.height - height))
    body = Box(x, y, width, height)
    assert choose_window(Box.covering(source), a_person(body)).shared_area(body) == body.area


def test_somebody_small_in_a_wide_landscape_is_framed_closer_with_the_head_in_the_upper_part() -> None:
    window = choose_window(Box(0, 0, 4000, 3000), a_person(Box(3000, 1500, 200, 500)))
    assert window.size == Size(820, 1025)
    assert window.x <= 3000 - 200 < 3200 + 200 <= window.right
    assert 1500 - window.y == 205


def test_a_full_body_in_a_nine_by_sixteen_photo_keeps_the_head_and_loses_the_feet() -> None:
    window = choose_window(Box(0, 0, 1080, 1920), a_person(Box(300, 100, 480, 1790)))
    assert window.size == Size(1080, 1350)
    assert 15 <= 100 - window.y <= 40


def test_headroom_gives_way_before_the_feet_do() -> None:
    """The body is ten pixels higher than the largest window: with the usual headroom of a cut, 25 more would go."""
    window = choose_window(Box(0, 0, 1000, 1500), a_person(Box(300, 100, 400, 1260)))
    assert window.height == 1250
    assert 1360 - window.bottom <= 20


def test_a_window_is_as_tight_as_the_margins_allow() -> None:
    body = Box(1500, 800, 600, 2000)
    window = choose_window(Box(0, 0, 4000, 4000), a_person(body))
    assert 0.155 <= 1 - body.height / window.height <= 0.165
    assert abs((body.y - window.y) - (window.bottom - body.bottom)) <= 1


def test_somebody_with_stretched_arms_keeps_head_and_torso() -> None:
    """Wider than the largest window of a landscape photo; the head is left of the middle of the body."""
    body, head = Box(100, 100, 1500, 900), Box(500, 100, 160, 210)
    window = choose_window(Box(0, 0, 1800, 1000), a_person(body, head=head))
    assert window.shared_area(head) == head.area
    assert window.x <= 500
    assert window.size == Size(800, 1000)


def test_a_face_larger_than_any_window_is_kept_in_the_middle() -> None:
    head, face = Box(0, 0, 1900, 1000), Box(700, 100, 700, 800)
    window = choose_window(Box(0, 0, 2000, 1000), a_person(head, head=head, face=face))
    assert window.shared_area(face) == face.area


def test_a_body_photographed_from_the_neck_down_keeps_shoulders_and_hips() -> None:
    """The shoulders are at row 56, the hips at 824, the feet at 1952 of 2000; 1250 rows can be kept."""
    joints = a_standing_body(Box(200, -400, 600, 2400))
    window = choose_window(Box(0, 0, 1000, 2000), a_person(Box(200, 0, 600, 2000), headless=True, landmarks=joints))
    assert window.y < 56
    assert window.height == 1250
