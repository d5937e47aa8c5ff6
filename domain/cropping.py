"""Choose the 4:5 window of a photo: the whole head first, then torso, legs and feet, filled by the main person.

A window is `4k x 5k` pixels, so that it is exactly 4:5 and stays so when it is scaled to a stored height that is a
multiple of five. It lies inside the photo, and nothing is ever scaled up. Where no window holds the whole person, a
picture may be padded instead.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from domain.geometry import NO_PADDING, Box, Padding, Size
from domain.person import ANKLES, ELBOWS, HIPS, KNEES, SHOULDERS, WRISTS, Landmark, SeenPerson, SeenPhoto

MARGIN: Final = 0.08
"""Space kept around a person, as a share of the window: room for a hem or a hand that the detector missed."""

LARGEST_HEADROOM: Final = 0.2
"""With room to spare the head's top lies in the upper fifth, so that a small person does not sink in the frame."""

HEADROOM_OF_A_CUT: Final = 0.025
"""Space above the head, as a share of the window, when feet or arms have to be cut anyway: the hair shows whole."""

LEAST_HEADROOM: Final = 0.006
"""What that space shrinks to when it would be the very reason for cutting the feet: it covers the detector's error."""

HEADROOM_OF_A_HEAD: Final = 0.06
"""The same as a share of the head: in a close shot the crown, which is seen less surely than the face, is large."""

LEAST_HEIGHT: Final = 1025
"""A window is not cut lower than this many pixels: the next multiple of five to the 1024 that try-on models work with,
below which a picture has a low resolution (domain/photo.py). The crop must not be what causes that warning."""

_HALF: Final = 0.5
_RIVAL_COST: Final = 0.25
"""What may be given up of the main person, of a body share and a joint share of 1 each, to keep another head whole of
which half would show."""

_PART_WEIGHT: Final = (
    dict.fromkeys((*SHOULDERS, *HIPS), 3) | dict.fromkeys((*KNEES, *ELBOWS), 2) | dict.fromkeys((*ANKLES, *WRISTS), 1)
)
"""What is kept when not all fits: a try-on dresses the torso first, then thighs and upper arms, then the rest."""

_TOUCHES: Final = 0.01
"""A body that ends so near the border, as a share of the photo, goes on beyond it."""

_FADE: Final = 0.03
"""A joint this share of the window away from its edge counts in full, one on the edge not at all."""


_Joint = tuple[float, int]
"""Where a joint is in one direction, and its weight."""


def largest_window(source: Size) -> Size:
    """The largest 4:5 window of a photo. A photo under 4 x 5 pixels gets the nearest thing that is possible."""
    unit = min(source.width // 4, source.height // 5)
    if unit:
        return Size(4 * unit, 5 * unit)
    height = next(h for h in range(min(source.height, 5), 0, -1) if max(1, round(0.8 * h)) <= source.width)
    return Size(max(1, round(0.8 * height)), height)


class Fit(StrEnum):
    """What to do when no 4:5 window holds the whole person."""

    CROP = "crop"
    PAD = "pad"


@dataclass(frozen=True, slots=True)
class Placement:
    """The window of the photo that is kept, in pixels of the upright source, and what is added around it."""

    window: Box
    padding: Padding = NO_PADDING

    @property
    def canvas(self) -> Box:
        """The whole picture, which may reach over the borders of the photo."""
        size = self.padding.around(self.window.size)
        return Box(self.window.x - self.padding.left, self.window.y - self.padding.top, size.width, size.height)


def place(photo: SeenPhoto, fit: Fit = Fit.CROP) -> Placement:
    """The 4:5 picture of a photo and its main person.

    Frames and bars do not belong to it. Only blurred borders, which continue the photo, may be taken along: that is
    better than to cut the person.
    """
    person, others = photo.main_person, photo.rivals
    body = None if person is None else _body(person)
    contents = [photo.content, photo.with_blur] if photo.with_blur else [photo.content]
    windows = [choose_window(content, person, others) for content in contents]
    whole = [window for window in windows if body is None or window.shared_area(body) == body.area]
    if whole or body is None:
        return Placement((whole or windows)[0])
    if fit is Fit.PAD:
        return _padded(photo.content, body)
    return Placement(max(windows, key=lambda window: window.shared_area(body)))


def _padded(content: Box, body: Box) -> Placement:
    """The smallest picture that holds a body with margins wherever the photo has that much, extended where it ends."""
    unit = max(-(-content.width // 4), -(-content.height // 5))
    inside = body.moved(-content.x, -content.y)
    floor = min(LEAST_HEIGHT, largest_window(content.size).height)  # what is added are no pixels that count
    canvas = _smallest_holding(inside, content.size, Size(4 * unit, 5 * unit), floor) or Size(4 * unit, 5 * unit)
    across, down = _spans(inside, content.size)
    (x, width, left, right), (y, height, top, bottom) = across.extended(canvas.width), down.extended(canvas.height)
    return Placement(Box(content.x + x, content.y + y, width, height), Padding(left, top, right, bottom))


def choose_window(content: Box, person: SeenPerson | None, others: Sequence[SeenPerson] = ()) -> Box:
    """The 4:5 window inside `content` that shows its main person best, and the heads of others if that costs little."""
    source = content.size
    largest = largest_window(source)
    if person is None:
        window = _at(largest, (source.width - largest.width) / 2, (source.height - largest.height) / 2, source)
        return window.moved(content.x, content.y)
    person = person.moved(-content.x, -content.y)
    body = _body(person)
    heads = [other.head.moved(-content.x, -content.y) for other in others if other.head]
    size = _smallest_holding(body, source, largest) or largest
    window = _place(person, body, source, size)
    for head in heads:
        window = _with_head(head, window, person, body, (source, largest))
    return window.moved(content.x, content.y)


def _body(person: SeenPerson) -> Box:
    return person.box.joined(person.head) if person.head else person.box


def _smallest_holding(body: Box, source: Size, largest: Size, floor: int = LEAST_HEIGHT) -> Size | None:
    """The smallest window, not lower than `floor`, that holds a body with margins wherever the photo has so much."""
    most = largest.height // 5
    units, (across, down) = range(max(1, min(floor // 5, most)), most + 1), _spans(body, source)
    at = bisect_left(units, True, key=lambda unit: across.fits(4 * unit) and down.fits(5 * unit))
    return Size(4 * units[at], 5 * units[at]) if most and at < len(units) else None


@dataclass(frozen=True, slots=True)
class _Span:
    """One direction of a body in a photo: where it starts and ends, and how long the photo is."""

    start: int
    end: int
    total: int

    def fits(self, window: int) -> bool:
        """Whether a window holds the body with its margins, or with all the space that the photo has instead."""
        return self.end - self.start + self._before(window) + self._after(window) <= window

    def centered(self, window: int) -> float:
        """Where a window that fits starts, with the body as near to its middle as the photo allows."""
        middle = (self.start + self.end - window) / 2
        first, last = self.end + self._after(window) - window, self.start - self._before(window)
        return min(max(middle, first, 0), last, self.total - window)

    def extended(self, length: int) -> tuple[int, int, int, int]:
        """Start and length of what the photo gives to a picture of `length`, and what is added before and behind it.

        The body comes to the middle, unless the photo cuts it on one side: nothing is added there.
        """
        missing = length - self.total
        if missing <= 0:
            start = min(max(0, round(self.centered(length))), self.total - length)
            return start, length, 0, 0
        is_cut_before, is_cut_behind = (gap <= _TOUCHES * self.total for gap in (self.start, self.total - self.end))
        before = min(max(0, round((length - self.start - self.end) / 2)), missing)
        if is_cut_before != is_cut_behind:
            before = 0 if is_cut_before else missing
        return 0, self.total, before, missing - before

    def _before(self, window: int) -> float:
        return min(self.start, MARGIN * window)

    def _after(self, window: int) -> float:
        return min(self.total - self.end, MARGIN * window)


def _spans(body: Box, source: Size) -> tuple[_Span, _Span]:
    return _Span(body.x, body.right, source.width), _Span(body.y, body.bottom, source.height)


def _with_head(head: Box, window: Box, person: SeenPerson, body: Box, size: tuple[Size, Size]) -> Box:
    """The window, or one near it that holds somebody else's head whole which it cuts, if that costs the person little.

    Args: size: of the photo, and of the largest window.
    """
    source, largest = size
    if not _HALF * head.area <= window.shared_area(head) < head.area:
        return window
    joined = body.joined(head)
    larger = _smallest_holding(joined, source, largest)
    if larger:
        return _place(person, joined, source, larger)
    x = min(max(window.x, head.right - window.width), head.x)
    y = min(max(window.y, head.bottom - window.height), head.y)
    moved = _at(window.size, x, y, source)
    own = person.head or person.face
    holds_both = moved.shared_area(head) == head.area and (own is None or moved.shared_area(own) == own.area)
    return moved if holds_both and _worth(moved, person) >= _worth(window, person) - _RIVAL_COST else window


def _worth(window: Box, person: SeenPerson) -> float:
    """The share of the body's box and of its joints' weight that a window keeps, 0-2."""
    joints = _joints(person)
    kept = sum(weight for mark, weight in joints if window.holds(mark.x, mark.y))
    total = sum(weight for _, weight in joints)
    return window.shared_area(person.box) / person.box.area + (kept / total if total else 0)


def _place(person: SeenPerson, body: Box, source: Size, window: Size) -> Box:
    """Put a window over a body: in its middle where it fits, where most of it is kept where it does not."""
    (across, down), head, joints = _spans(body, source), _head_to_keep(person, window), _joints(person)
    if across.fits(window.width):
        x = across.centered(window.width)
    else:
        marks = [(mark.x, weight) for mark, weight in joints]
        x = _best_start(across, (head.x, head.right) if head else None, marks, window.width)
    if down.fits(window.height):
        y = max(down.centered(window.height), body.y - LARGEST_HEADROOM * window.height)
    else:
        marks = [(mark.y, weight) for mark, weight in joints]
        y = _best_start(down, (head.y, head.bottom) if head else None, marks, window.height)
    return _at(window, x, y, source)


def _joints(person: SeenPerson) -> list[tuple[Landmark, int]]:
    """Where the joints are that are seen, with their weights."""
    return [(mark, _PART_WEIGHT[part]) for part, mark in person.visible_landmarks().items() if part in _PART_WEIGHT]


def _head_to_keep(person: SeenPerson, window: Size) -> Box | None:
    """The head, or only the face when the whole head fits no window."""
    if person.head and (person.head.width > window.width or person.head.height > window.height):
        return person.face or person.head
    return person.head or person.face


def _best_start(body: _Span, head: tuple[int, int] | None, joints: list[_Joint], window: int) -> float:
    """Where a window starts that keeps as much as possible in one direction.

    What it keeps grows and falls in straight lines as it moves, so the best place is an end of one of them.
    """
    first, last = _starts(body, head, window)
    first, last = _holding_all(body, window, first, last)
    bends = (start for start in _bends(body, joints, window) if first < start < last)
    return max((first, *bends, last), key=_kept(body, joints, window))


def _starts(body: _Span, head: tuple[int, int] | None, window: int) -> tuple[float, float]:
    """The first and the last place where a window may start so that it holds the head with some room around it."""
    first, last = 0.0, float(body.total - window)
    if head:
        start, end = head
        missing = body.end - body.start - window
        usual = max(HEADROOM_OF_A_CUT * window, HEADROOM_OF_A_HEAD * (end - start))
        room = min(max(missing, LEAST_HEADROOM * window), usual, max(0.0, (window - end + start) / 2))
        if missing <= 0:  # all of the body fits: no room around the head may cost a part of it
            room = min(room, -missing)
        first, last = max(first, end + min(room, body.total - end) - window), min(last, start - min(room, start))
        if first > last:
            first = last = min(max((start + end - window) / 2, 0.0), float(body.total - window))
    return first, last


def _holding_all(body: _Span, window: int, first: float, last: float) -> tuple[float, float]:
    """The starts from which a window holds all of a body, where it is long enough for that; else all there are."""
    if body.end - body.start > window:
        return first, last
    whole = max(first, body.end - window), min(last, body.start)
    return whole if whole[0] <= whole[1] else (first, last)


def _bends(body: _Span, joints: list[_Joint], window: int) -> Iterator[float]:
    """Where a window starts when one of its edges, or its middle, comes to what `_kept` looks at."""
    fade = _FADE * window
    yield from (body.start, (body.start + body.end - window) / 2, body.end - window)
    for at, _ in joints:
        yield from (at - window, at - window + fade, at - fade, at)


def _kept(body: _Span, joints: list[_Joint], window: int) -> Callable[[float], float]:
    """How good a start is: the share of the body and of its joints inside; between equals, the body in the middle."""
    fade = _FADE * window
    total = sum(weight for _, weight in joints)

    def value(start: float) -> float:
        share = (min(start + window, body.end) - max(start, body.start)) / (body.end - body.start)
        off_center = abs(start + window / 2 - (body.start + body.end) / 2) / window
        inside = sum(weight * min(1, max(0, min(at - start, start + window - at) / fade)) for at, weight in joints)
        return share + (inside / total if total else 0) - 0.01 * off_center

    return value


def _at(window: Size, x: float, y: float, source: Size) -> Box:
    """The window at the nearest whole pixel inside the photo."""
    return Box(
        min(max(0, round(x)), source.width - window.width),
        min(max(0, round(y)), source.height - window.height),
        window.width,
        window.height,
    )
