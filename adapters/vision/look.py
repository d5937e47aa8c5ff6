"""A view of the photo as a detector sees it, and the way back from its pixels to the upright source."""

from dataclasses import dataclass, replace
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from adapters.vision.mediapipe_models import Pixels
from application.ports.photos import ViewablePhoto
from domain.geometry import Box, Size
from domain.person import BodyPart, Landmark, Outline

LOOK_EDGE: Final = 640
"""Longest edge of the copy that is looked at; the models themselves work on 192 to 300 pixels of a part of it. At 512
to 1024 the windows are equally good; the cost grows with the masks, which the models return in the copy's size."""

_OUTLINE_EDGE: Final = 96
"""Longest edge of an outline: enough to tell a person's pixels from the ground's, and a few kilobytes small."""

_ROTATION: Final = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}
"""OpenCV's names of quarter turns counterclockwise; it turns and mirrors ten times as fast as NumPy copies."""

_DARK: Final = 60
"""A photo in which nobody was seen is brightened for a second look when half of it is darker than this, of 255."""


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
        pixels = np.frombuffer(view.data, np.uint8).reshape(view.size.height, view.size.width, 3)
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

    def box(self, left: float, top: float, right: float, bottom: float) -> Box | None:
        """The part of an area of the look that lies inside the photo; None when there is none."""
        (x0, y0), (x1, y1) = self._in_source(left, top), self._in_source(right, bottom)
        box = Box.spanning(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1), self.source)
        return box and box.cut_to(self.window)

    def landmarks(self, marks: dict[BodyPart, Landmark]) -> dict[BodyPart, Landmark]:
        """Landmarks in pixels of the source; in a mirrored look the model takes left for right."""
        return {
            part.other_side if self.is_mirrored else part: Landmark(*self._in_source(mark.x, mark.y), mark.confidence)
            for part, mark in marks.items()
        }

    def outline(self, mask: NDArray[np.float32], box: Box) -> Outline | None:
        """The part of a mask (height x width of the look) that lies in a box of the source, small."""
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
