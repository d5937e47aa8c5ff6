from hypothesis import given
from hypothesis import strategies as st

from domain.cropping import LEAST_HEIGHT, Fit, choose_window, largest_window, place
from domain.geometry import NO_PADDING, Box, Padding, Size
from domain.person import SeenPhoto
from domain.photo import SMALLEST_STORED_EDGE
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


@given(st.data(), photos)
def test_the_zoom_is_never_what_causes_a_low_resolution(data: st.DataObject, source: Size) -> None:
    seen = SeenPhoto(source, Box.covering(source), (a_person(data.draw(boxes_in(source))),))
    if largest_window(source).height >= SMALLEST_STORED_EDGE:
        assert place(seen).canvas.size.limited_to(2000).longest_edge >= SMALLEST_STORED_EDGE


@given(st.data(), photos)
def test_a_body_that_fits_some_window_is_not_cut(data: st.DataObject, source: Size) -> None:
    """Without any margin, too: what its joints are worth must not move the window over its edge."""
    largest = largest_window(source)
    width, height = data.draw(st.integers(8, largest.width)), data.draw(st.integers(10, largest.height))
    body = Box(
        data.draw(st.integers(0, source.width - width)),
        data.draw(st.integers(0, source.height - height)),
        width,
        height,
    )
    window = choose_window(Box.covering(source), a_person(body, face=None))
    assert window.shared_area(body) == body.area


@given(st.data(), photos)
def test_with_padding_all_of_the_person_is_kept_in_a_four_by_five_picture(data: st.DataObject, source: Size) -> None:
    body = data.draw(boxes_in(source))
    seen = SeenPhoto(source, Box.covering(source), (a_person(body),))
    placement = place(seen, Fit.PAD)
    assert placement.window.is_inside(source)
    assert placement.window.shared_area(body) == body.area
    assert 5 * placement.canvas.width == 4 * placement.canvas.height


def test_padding_goes_where_the_photo_ends_and_not_where_it_cuts_the_person() -> None:
    standing = SeenPhoto(Size(1080, 1920), Box(0, 0, 1080, 1920), (a_person(Box(300, 100, 480, 1790)),))
    at_the_left = SeenPhoto(Size(1080, 1920), Box(0, 0, 1080, 1920), (a_person(Box(0, 100, 480, 1790)),))
    assert place(standing, Fit.PAD).padding == Padding(228, 0, 228, 0)
    assert place(at_the_left, Fit.PAD).padding == Padding(0, 0, 456, 0)
    assert place(standing).padding == NO_PADDING


def test_a_window_stays_inside_the_photos_frame_but_may_reach_over_blurred_borders() -> None:
    strip = Box(0, 656, 1080, 608)
    wide = a_person(Box(100, 700, 880, 500))
    plain = place(SeenPhoto(Size(1080, 1920), strip, (wide,)))
    filled = place(SeenPhoto(Size(1080, 1920), strip, (wide,), with_blur=Box(0, 0, 1080, 1920)))
    assert plain.window.cut_to(strip) == plain.window
    assert filled.window.shared_area(wide.box) == wide.box.area


def test_somebody_elses_head_that_would_be_cut_is_kept_whole_when_there_is_room() -> None:
    person, friend = a_person(Box(1200, 300, 500, 1600)), a_person(Box(1940, 350, 480, 1500), silhouette=0.15)
    assert friend.head is not None
    seen = SeenPhoto(Size(3000, 2200), Box(0, 0, 3000, 2200), (person, friend))
    alone = SeenPhoto(seen.size, seen.content, (person,))
    assert 0 < place(alone).window.shared_area(friend.head) < friend.head.area
    assert place(seen).window.shared_area(friend.head) == friend.head.area
