"""A window of the photo as a detector sees it, and the way back from its pixels to the upright source."""

from dataclasses import dataclass, replace
from typing import Final, Self

import cv2
import numpy as np

from adapters.vision.mediapipe_models import Pixels
from application.ports.photos import OpenPhoto
from domain.geometry import Box, Size
from domain.person import Landmark

LOOK_EDGE: Final = 640
"""Longest edge of the copy that is looked at; the models themselves work on 192 to 256 pixels of a part of it. At 512
to 1024 the windows are equally good; the cost grows with the masks, which the models return in the copy's size."""

_PLAIN: Final = 14
"""A border is plain when 95 % of it is within so many levels, of 255, of its median color: paper and its shading."""

_DARK: Final = 60
"""A photo in which nobody was seen is brightened for a second look when half of it is darker than this, of 255."""


@dataclass(frozen=True, slots=True)
class Look:
    """A window of the photo as pixels, and the way back from those pixels to the upright source."""

    pixels: Pixels
    window: Box
    source: Size

    @classmethod
    def at(cls, photo: OpenPhoto, window: Box | None) -> Self:
        view = photo.view(window, LOOK_EDGE)
        pixels = np.frombuffer(view.data, np.uint8).reshape(view.size.height, view.size.width, 3)
        return cls(pixels, window or Box.covering(photo.upright_size), photo.upright_size)

    @property
    def scale(self) -> float:
        """Source pixels per pixel of the look."""
        width: int = self.pixels.shape[1]
        return self.window.width / width

    def box(self, left: float, top: float, right: float, bottom: float) -> Box | None:
        scale, x, y = self.scale, self.window.x, self.window.y
        return Box.spanning(left * scale + x, top * scale + y, right * scale + x, bottom * scale + y, self.source)

    def pixel_edges(self, box: Box) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of a box of the source in pixels of the look, inside it."""
        across, down = (box.x, box.right), (box.y, box.bottom)
        left, right = (max(0, round((x - self.window.x) / self.scale)) for x in across)
        top, bottom = (max(0, round((y - self.window.y) / self.scale)) for y in down)
        return left, top, right, bottom

    def brightened(self) -> Self | None:
        """The same look with the light turned up; None when it is not dark."""
        brightest = float(np.percentile(self.pixels, 99))
        middle = float(np.median(self.pixels))
        if middle > _DARK:
            return None
        curve = 255 * np.minimum(1, np.arange(256) / max(brightest, 16)) ** 0.5
        return replace(self, pixels=cv2.LUT(self.pixels, curve.astype(np.uint8)))

    def has_plain_border(self) -> bool:
        """Whether all four edges show the same plain color, as behind a product."""
        strip = max(1, min(self.pixels.shape[:2]) // 50)
        rows = (self.pixels[:strip], self.pixels[-strip:], self.pixels[:, :strip], self.pixels[:, -strip:])
        border = np.concatenate([edge.reshape(-1, 3) for edge in rows]).astype(np.int16)
        distance = np.abs(border - np.median(border, axis=0)).max(axis=1)
        return bool(np.mean(distance <= _PLAIN) >= 0.95)

    def landmark(self, mark: Landmark) -> Landmark:
        return Landmark(mark.x * self.scale + self.window.x, mark.y * self.scale + self.window.y, mark.confidence)
