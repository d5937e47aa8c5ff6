"""Places to look closer: around a box, below a face, and piece by piece through a whole photo."""

from typing import Final

from domain.geometry import Box, Size

_MOST_PIECES: Final = 4


def square_around(place: Box, within: Box) -> Box:
    """With a quarter more on every side: the pose model wants to see some ground around a body."""
    half = 0.75 * max(place.width, place.height)
    x, y = place.center
    square = Box.spanning(x - half, y - half, x + half, y + half, Size(within.right, within.bottom))
    return (square and square.cut_to(within)) or within


def around_body_of(face: Box, within: Box) -> Box | None:
    """A square that holds a standing person of whom only the face is known: some eight faces high."""
    x, y = face.center
    side = 9 * face.height
    top = y - 2 * face.height
    square = Box.spanning(x - side / 2, top, x + side / 2, top + side, Size(within.right, within.bottom))
    return square and square.cut_to(within)


def pieces(whole: Box) -> list[Box]:
    """At most four overlapping pieces in a row along the longer edge."""
    long, short = max(whole.width, whole.height), min(whole.width, whole.height)
    count = min(_MOST_PIECES, max(2, -(-long // short)))
    side = max(round(0.8 * short), round(1.3 * long / count)) if long > short else round(0.8 * short)
    side = min(side, long)
    starts = [round((long - side) * step / (count - 1)) for step in range(count)]
    if whole.width >= whole.height:
        return [Box(whole.x + start, whole.y, side, whole.height) for start in starts]
    return [Box(whole.x, whole.y + start, whole.width, side) for start in starts]
