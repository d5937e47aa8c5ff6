"""Find the photo itself inside plain frames, letterbox bars, blurred story borders and the bars of a screenshot."""

from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from adapters.vision.look import Look, pixels_of
from adapters.vision.networks import Pixels
from application.ports.photos import ViewablePhoto
from domain.geometry import Box

_FLAT: Final = 8
"""A frame is drawn, not photographed: its pixels are within so many levels, of 255, of its color, JPEG included."""

_PLAIN_LINE: Final = 0.97
"""The outermost line of a frame has this share of its pixels in the frame's color."""

_STRAIGHT: Final = 0.6
_STRAIGHT_BESIDE_ANOTHER: Final = 0.2
"""A frame ends in a straight line: this share of the columns that meet the photo meet it within three pixels of each
other. Hair, shoulders and shoes on a studio's paper, which may be as plain, are met at many depths. Where another side
of the same color was sure, less is enough: a white frame around an overexposed photo shows here and there only."""

_LEAST_LINE: Final = 0.25
"""That line is as long as this share of the side: the soles of somebody who stands on white paper are straight, too."""

_WHOLE_SIDE: Final = 0.85
"""A single bar reaches over so much of its side; a garment's straight hem does not."""

_STRAY: Final = 0.03
"""Columns that may leave the frame before it ends: dust and JPEG's noise."""

_RINGING: Final = 8
"""Pixels before the line in which JPEG's blocks may carry the photo's colors over."""

_LOOK_SLACK: Final = 3
"""An edge is found to within so many pixels of the look."""

_MOST_LAYERS: Final = 4
"""A frame, the bars of a screenshot, and a story's borders."""

_STRIP: Final = 2000
"""So much of it, in the middle, is looked at again pixel by pixel."""

_MARKS: Final = 0.6
"""A bar with symbols or text still has this share of every line in its color, and the photo fills as much behind it."""

_LEAST_CONTENT: Final = 0.15
"""A photo takes at least this share of the picture's width and height; a smaller rectangle is part of a photo."""

_SHARP: Final = 8
_SHARP_SHARE: Final = 0.01
_MOST_SHARP: Final = 0.2
"""A row is sharp when more than this share of its pixels has a Laplacian of over so many levels. In blurred borders no
row had over 8, in photos half of them had 11 and more; text on a border makes some of its rows sharp."""

_STEP: Final = 4
_LEAST_STEP: Final = 0.25
_FULL_LINE: Final = 0.5
"""Where such borders meet the photo, the least and the average share of the two lines that differ by so many levels
from the next row: a studio's ground and its blurred copy are alike."""

_MOST_UNLIKE: Final = 0.5
"""The two lines differ by at most this share: a table all along and a shelf on a smooth wall are no borders."""


def look_at_content(photo: ViewablePhoto) -> tuple[Look, Box | None]:
    """A look at the picture itself, to the pixel, and the same with the blurred photo around it, if there is some.

    What was taken off once is looked at again: inside a frame a screenshot has its bars as it has without one.
    """
    look, with_blur = Look.at(photo, None), None
    for _ in range(_MOST_LAYERS):
        found, is_in_blur = content_in(look.pixels)
        content = _in_source(photo, look, found)
        if content == look.window:
            break
        with_blur = with_blur or (look.window if is_in_blur else None)
        look = Look.at(photo, content)
    return look, with_blur


def _in_source(photo: ViewablePhoto, look: Look, found: Box) -> Box:
    window, scale, (width, height) = look.window, look.scale, (look.width, look.height)
    left = _exact(photo, look, window.x + found.x * scale, across=True) if found.x else window.x
    right = _exact(photo, look, window.x + found.right * scale, across=True) if found.right < width else window.right
    top = _exact(photo, look, window.y + found.y * scale, across=False) if found.y else window.y
    low = _exact(photo, look, window.y + found.bottom * scale, across=False) if found.bottom < height else window.bottom
    return Box.spanning(left, top, right, low, window) or window


def _exact(photo: ViewablePhoto, look: Look, edge: float, *, across: bool) -> int:
    """Where the picture changes most near a vertical (across) or horizontal edge that a look has shown."""
    window, slack = look.window, max(1.0, _LOOK_SLACK * look.scale)
    first, last, side = (window.x, window.right, window.height) if across else (window.y, window.bottom, window.width)
    start, end, part = max(first, round(edge - slack)), min(last, round(edge + slack)), min(_STRIP, side)
    if end - start < 2:
        return min(max(first, round(edge)), last)
    before = (side - part) // 2
    if across:
        strip = Box(start, window.y + before, end - start, part)
    else:
        strip = Box(window.x + before, start, part, end - start)
    pixels = pixels_of(photo.view(strip, strip.size.longest_edge)).astype(np.int16)
    changes = np.abs(np.diff(pixels, axis=1 if across else 0)).max(axis=2).mean(axis=0 if across else 1)
    return start + round((int(np.argmax(changes)) + 1) * (end - start) / (len(changes) + 1))


def content_in(pixels: Pixels) -> tuple[Box, bool]:
    """Where the photo lies in a picture, and whether blurred photo is around it; all of it when it has no borders."""
    height, width = pixels.shape[:2]
    whole = Box(0, 0, width, height)
    first = _without_plain(pixels, whole)
    is_plain = first != whole  # then a letterboxed photo may have a frame around it all
    content = _without_plain(pixels, first) if is_plain else _without_blurred(pixels)
    if content.width < _LEAST_CONTENT * width or content.height < _LEAST_CONTENT * height:
        return whole, False
    return content, content != whole and not is_plain


def _without_plain(pixels: Pixels, outer: Box) -> Box:
    """Take off what is plain above and below, then what is plain beside the rest."""
    pixels = pixels[outer.y : outer.bottom, outer.x : outer.right]
    top, bottom = _plain_ends(pixels, may_have_marks=True)
    left, right = _plain_ends(cv2.transpose(pixels[top : outer.height - bottom]), may_have_marks=False)
    return Box(outer.x + left, outer.y + top, outer.width - left - right, outer.height - top - bottom)


def _plain_ends(pixels: Pixels, *, may_have_marks: bool) -> tuple[int, int]:
    """How many rows at the top and at the bottom are a frame or a bar; 0 when where it ends cannot be told."""
    ends = (_End.of(pixels), _End.of(pixels[::-1]))
    depths = [
        max(end.depth if _is_sure(end, other) else 0, _depth_of_bar(end) if may_have_marks else 0)
        for end, other in (ends, ends[::-1])
    ]
    return (depths[0], depths[1]) if sum(depths) < pixels.shape[0] else (0, 0)


def _is_sure(end: "_End", other: "_End") -> bool:
    """One bar alone goes across the whole side; the two halves of a frame bear each other out."""
    if end.straightness >= _STRAIGHT and end.line >= _WHOLE_SIDE:
        return True
    surest, less_sure = max(end.straightness, other.straightness), min(end.straightness, other.straightness)
    return surest >= _STRAIGHT and less_sure >= _STRAIGHT_BESIDE_ANOTHER


@dataclass(frozen=True, slots=True)
class _End:
    """The upper end of a picture: which pixels have the color of its first row, and where most columns leave it."""

    pixels: Pixels
    is_frame: NDArray[np.bool_]
    depth: int
    line: float
    straightness: float

    @classmethod
    def of(cls, pixels: Pixels) -> Self:
        color = np.median(pixels[:2].reshape(-1, 3), axis=0)
        if (cv2.inRange(pixels[:1], color - _FLAT, color + _FLAT) > 0).mean() < _PLAIN_LINE:
            return cls(pixels, np.zeros((1, 1), np.bool_), 0, 0.0, 0.0)
        is_frame = cv2.inRange(pixels, color - _FLAT, color + _FLAT) > 0
        depths = np.argmin(is_frame, axis=0)
        depths = depths[~is_frame[depths, np.arange(len(depths))]]
        counts = np.bincount(depths, minlength=len(is_frame))
        together = np.convolve(counts, (1, 1, 1), "same")
        depth = int(np.argmax(together)) + 1  # the resized edge itself is a mixture
        stray, line = counts[: max(0, depth - _RINGING)].sum(), together[depth - 1] / pixels.shape[1]
        is_line = depth > 1 and stray <= _STRAY * len(depths) and line >= _LEAST_LINE
        straightness = together[depth - 1] / len(depths) if is_line and _is_step(pixels, depth) else 0.0
        return cls(pixels, is_frame, depth, line, straightness)


def _is_step(pixels: Pixels, row: int) -> bool:
    """Whether the picture changes at once there: on shaded paper the same color ends in a straight line, too."""
    above, below = pixels[max(0, row - 3)], pixels[min(row + 3, len(pixels) - 1)]
    change = np.abs(above.astype(np.int16) - below).max(axis=1)
    return float(np.mean(change > _FLAT)) >= _STRAIGHT_BESIDE_ANOTHER


def _depth_of_bar(end: _End) -> int:
    """The rows of a bar with symbols on it: where the photo begins, most columns leave the bar's color at once.

    Where that color comes back behind such a place, it was a line of text or a button as wide as the bar.
    """
    shares = end.is_frame.mean(axis=1)
    leaves = (end.is_frame[:-3] & ~end.is_frame[3:]).mean(axis=1)
    depth = last = 0
    for place in (np.flatnonzero(leaves >= _MARKS) + 2).tolist():
        is_first, last = place > last + 1, place
        has_gap = is_first and place > 6 and shares[place - 6 : place - 2].min() >= _PLAIN_LINE
        if has_gap and np.median(shares[depth:place]) >= _MARKS and _is_step(end.pixels, place):
            depth = place
    return depth


def _without_blurred(pixels: Pixels) -> Box:
    """Take off two blurred borders of about the same size, above and below or on both sides."""
    height, width = pixels.shape[:2]
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    top, bottom = _blurred_depths(gray)
    left, right = (0, 0) if top else _blurred_depths(cv2.transpose(gray))
    return Box(left, top, width - left - right, height - top - bottom)


def _blurred_depths(gray: NDArray[np.uint8]) -> tuple[int, int]:
    """Rows of the borders at both ends; (0, 0) when there are none."""
    height, width = gray.shape
    if height < 16:
        return 0, 0
    is_sharp = np.count_nonzero(np.abs(cv2.Laplacian(gray, cv2.CV_16S)) > _SHARP, axis=1) > _SHARP_SHARE * width
    steps = np.count_nonzero(cv2.absdiff(gray[1:], gray[:-1]) >= _STEP, axis=1) / width
    top, above = _first_line(is_sharp, steps)
    bottom, below = _first_line(is_sharp[::-1], steps[::-1])
    is_even = min(top, bottom) > 0 and abs(top - bottom) <= 0.1 * height
    is_line = above + below >= 2 * _FULL_LINE and abs(above - below) <= _MOST_UNLIKE
    if not (is_even and is_line) or is_sharp[top : height - bottom].mean() < 0.5:
        return 0, 0
    return (0, 0) if _is_drawn(gray[:top]) and _is_drawn(gray[height - bottom :]) else (top, bottom)


def _first_line(is_sharp: NDArray[np.bool_], steps: NDArray[np.float64]) -> tuple[int, float]:
    """The row behind a blurred upper end, and which share of the line is a step; (0, 0) when there is none."""
    rows = np.arange(1, len(is_sharp))
    is_blurred = np.cumsum(is_sharp)[:-1] <= 1 + _MOST_SHARP * rows
    is_step = is_sharp[1:] & is_sharp[:-1] & (steps >= _LEAST_STEP)
    is_line = is_blurred & is_step & (rows >= 0.04 * len(is_sharp)) & (rows <= 0.45 * len(is_sharp))
    if not is_line.any():
        return 0, 0.0
    first = int(np.argmax(is_line))
    best = first + int(np.argmax(steps[first : first + 3]))
    return best + 1, float(steps[best])


def _is_drawn(border: NDArray[np.uint8]) -> bool:
    """Whether most of it has just one color: a bar with text, or overexposed sky, not a blurred photo."""
    return float(np.mean(cv2.absdiff(border, np.full_like(border, np.median(border))) <= 1)) >= _MARKS
