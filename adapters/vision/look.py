"""Views of a photo as pixels: a look as a detector sees it, with the way back to the source, and its light and blur."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from adapters.vision.networks import Edges, Mask, Pixels
from application.ports.photos import PhotoMeter, RgbPixels, ViewablePhoto
from domain.geometry import Box, Size
from domain.person import BodyPart, Landmark, Outline
from domain.photo import Appearance

LOOK_EDGE: Final = 640
"""Longest edge of the copy that is looked at; the models themselves work on 192 to 300 pixels of a part of it. At 512
to 1024 the windows are equally good; the cost grows with the masks, which the models return in the copy's size."""

_OUTLINE_EDGE: Final = 96
"""Longest edge of an outline: enough to tell a person's pixels from the ground's, and a few kilobytes small."""

_ROTATION: Final = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}
"""OpenCV's names of quarter turns counterclockwise; it turns and mirrors ten times as fast as NumPy copies."""

_MOST_PIECES: Final = 4

_DARK: Final = 60
"""A photo in which nobody was seen is brightened for a second look when half of it is darker than this, of 255."""

_METER_EDGE: Final = 512
"""The person is measured at this size: blur that does not show at it does not harm, and noise is averaged out."""

_LEAST_CONTRAST: Final = 0.1
"""Of a surface without any contrast nothing can be said; this keeps noise on it from counting as detail."""

_OWN: Final = 128
"""A pixel is the person's when that is more likely than not."""

_LEAST_OWN: Final = 0.05
"""An outline with less than this share of its box tells nothing: all of the box is measured."""

_CLIPPED: Final = 250
"""Luma, of 255, from which on a camera has lost what was there."""

_ALONG: Final = (
    np.array([[0, 0, 0], [-1, 2, -1], [0, 0, 0]], np.float32),
    np.array([[0, -1, 0], [0, 2, 0], [0, -1, 0]], np.float32),
    np.array([[-1, 0, 0], [0, 2, 0], [0, 0, -1]], np.float32) / 1.5,
    np.array([[0, 0, -1], [0, 2, 0], [-1, 0, 0]], np.float32) / 1.5,
)
"""Second differences across, down and along both diagonals; the latter span 1.4 pixels and are weighed down for it."""


@dataclass(frozen=True, slots=True)
class Look:
    """A window of the photo as pixels, `LOOK_EDGE` long: upright, or after `turns` quarter turns counterclockwise.

    A mirrored look was mirrored first and turned then.
    """

    pixels: Pixels
    window: Box
    source: Size
    turns: int = 0
    is_mirrored: bool = False

    @classmethod
    def at(cls, photo: ViewablePhoto, window: Box | None) -> Self:
        """A small photo is enlarged: what is seen in a photo must not depend on how many pixels it has."""
        view = photo.view(window, LOOK_EDGE)
        pixels = pixels_of(view)
        if view.size.longest_edge < LOOK_EDGE:
            scale = LOOK_EDGE / view.size.longest_edge
            size = (max(1, round(view.size.width * scale)), max(1, round(view.size.height * scale)))
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
        return cls(pixels, window or Box.covering(photo.upright_size), photo.upright_size)

    def closer(self, photo: ViewablePhoto, window: Box) -> Self:
        """A look at a window of the same photo, turned and mirrored as this one is."""
        plain = type(self).at(photo, window)
        return (plain.mirrored() if self.is_mirrored else plain).turned(self.turns)

    def turned(self, turns: int) -> Self:
        """The same look after so many quarter turns counterclockwise."""
        pixels = cv2.rotate(self.pixels, _ROTATION[turns % 4]) if turns % 4 else self.pixels
        return replace(self, pixels=pixels, turns=(self.turns + turns) % 4)

    @property
    def turns_of_photo(self) -> int:
        """How many quarter turns counterclockwise bring the photo itself, not its mirror image, to how this look is."""
        return -self.turns % 4 if self.is_mirrored else self.turns

    def mirrored(self) -> Self:
        """The same look from left to right, upright or turned."""
        return replace(self, pixels=cv2.flip(self.pixels, 1), turns=-self.turns % 4, is_mirrored=not self.is_mirrored)

    def heavier_on_the_left(self) -> Self:
        """The look or its mirror image, whichever has more light on its left: a photo and its mirror look the same."""
        light = cv2.reduce(self.pixels, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0].sum(axis=1)
        from_the_middle = 2 * np.arange(len(light)) - (len(light) - 1)
        return self.mirrored() if int(light @ from_the_middle) > 0 else self

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def scale(self) -> float:
        """Source pixels per pixel of the look."""
        return self.window.width / (self.height if self.turns % 2 else self.width)

    def _in_source(self, x: float, y: float) -> tuple[float, float]:
        width, height = self.width, self.height
        for _ in range(self.turns):
            x, y, width, height = height - y, x, height, width
        if self.is_mirrored:
            x = width - x
        return x * self.scale + self.window.x, y * self.scale + self.window.y

    def box(self, edges: Edges) -> Box | None:
        """The part of an area of the look that lies inside the photo; None when there is none."""
        (x0, y0), (x1, y1) = self._in_source(*edges[:2]), self._in_source(*edges[2:])
        return Box.spanning(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1), self.window)

    def landmarks(self, marks: Mapping[BodyPart, Landmark]) -> dict[BodyPart, Landmark]:
        """Landmarks in pixels of the source; in a mirrored look the model takes left for right."""
        return {
            part.other_side if self.is_mirrored else part: Landmark(*self._in_source(mark.x, mark.y), mark.confidence)
            for part, mark in marks.items()
        }

    def outline(self, mask: Mask, box: Box) -> Outline | None:
        """The part of a mask of the look that lies in a box of the source, small."""
        unturned = np.rot90(mask, -self.turns)
        upright = unturned[:, ::-1] if self.is_mirrored else unturned
        left, right = (round((x - self.window.x) / self.scale) for x in (box.x, box.right))
        top, bottom = (round((y - self.window.y) / self.scale) for y in (box.y, box.bottom))
        part = np.ascontiguousarray(upright[max(0, top) : bottom, max(0, left) : right])
        if not part.size:
            return None
        size = Size(part.shape[1], part.shape[0]).limited_to(_OUTLINE_EDGE)
        small = cv2.resize(part, (size.width, size.height), interpolation=cv2.INTER_AREA)
        return Outline(box, size, (small * 255).astype(np.uint8).tobytes())

    def brightened(self) -> Self | None:
        """The same look with the light turned up; None when it is not dark."""
        brightest = float(np.percentile(self.pixels, 99))
        middle = float(np.median(self.pixels))
        if middle > _DARK:
            return None
        curve = 255 * np.minimum(1, np.arange(256) / max(brightest, 16)) ** 0.5
        return replace(self, pixels=cv2.LUT(self.pixels, curve.astype(np.uint8)))


def square_around(place: Box, within: Box) -> Box | None:
    """With a quarter more on every side: the pose model wants to see some ground around a body."""
    half = 0.75 * max(place.width, place.height)
    x, y = place.center
    return Box.spanning(x - half, y - half, x + half, y + half, within)


def around_body_of(face: Box, within: Box) -> Box | None:
    """A square that holds a standing person of whom only the face is known: some eight faces high."""
    x, y = face.center
    side = 9 * face.height
    top = y - 2 * face.height
    return Box.spanning(x - side / 2, top, x + side / 2, top + side, within)


def pieces(whole: Box) -> list[Box]:
    """At most four overlapping pieces in a row along the longer edge."""
    long, short = max(whole.width, whole.height), min(whole.width, whole.height)
    count = min(_MOST_PIECES, max(2, -(-long // short)))
    side = min(max(round(0.8 * short), round(1.3 * long / count)), long)
    starts = [round((long - side) * step / (count - 1)) for step in range(count)]
    if whole.width >= whole.height:
        return [Box(whole.x + start, whole.y, side, whole.height) for start in starts]
    return [Box(whole.x, whole.y + start, whole.width, side) for start in starts]


def pixels_of(view: RgbPixels) -> Pixels:
    """Height x width x 3, not copied."""
    return np.frombuffer(view.data, np.uint8).reshape(view.size.height, view.size.width, 3)


class PixelMeter(PhotoMeter):
    """Luma percentiles, and how steep the steepest edges are where they are least steep, for the contrast there is."""

    def measure(self, photo: ViewablePhoto, region: Box | None, outline: Outline | None = None) -> Appearance:
        luma = cv2.cvtColor(pixels_of(photo.view(region, _METER_EDGE)), cv2.COLOR_RGB2GRAY)
        own = _own_pixels(outline, luma.shape)
        shadows, midtone, highlights = (level / 255 for level in percentiles(luma, (5, 50, 95), own))
        near = cv2.dilate(own, np.ones((5, 5), np.uint8)) if own is not None else None
        edges = min(percentiles(cv2.convertScaleAbs(cv2.filter2D(luma, cv2.CV_16S, k)), (99,), near)[0] for k in _ALONG)
        brightest = luma[own > 0] if own is not None else luma
        return Appearance(
            shadows,
            midtone,
            highlights,
            detail=edges / 255 / max(highlights - shadows, _LEAST_CONTRAST),
            clipped=float(np.mean(brightest >= _CLIPPED)),
        )


def _own_pixels(outline: Outline | None, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """255 where the person is, in the size of the view; None when nothing tells."""
    if outline is None:
        return None
    small = np.frombuffer(outline.data, np.uint8).reshape(outline.size.height, outline.size.width)
    own = (cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR) >= _OWN).astype(np.uint8) * 255
    return own if np.mean(own > 0) >= _LEAST_OWN else None


def percentiles(
    levels: NDArray[np.uint8], percents: Sequence[float], own: NDArray[np.uint8] | None = None
) -> list[float]:
    """The least levels that so many percent of all do not exceed, from a histogram: sorting takes ten times as long."""
    counts = np.cumsum(cv2.calcHist([levels], [0], own, [256], [0, 256]).astype(np.int64))
    return [float(np.searchsorted(counts, percent / 100 * counts[-1])) for percent in percents]
