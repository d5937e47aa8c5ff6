"""What a person's mask tells: its extent, its area, and where the hair above a face ends."""

from dataclasses import dataclass
from typing import Any, Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

_INSIDE: Final = 0.5
"""Mask values are the likelihood that a pixel belongs to the person."""

_STEP: Final = 2
"""Every second pixel of a mask is enough: it was scaled up from 256 x 256 by MediaPipe."""

_LEAST_PART: Final = 0.1
"""A separate part of a mask counts from this share of the largest on: a leg behind a bench does, a speck does not."""


@dataclass(frozen=True, slots=True)
class Silhouette:
    """The parts of a mask that count. All lengths are pixels of the mask that it was made from."""

    parts: NDArray[np.bool_]
    left: int
    top: int
    right: int
    bottom: int
    area: float

    @classmethod
    def of(cls, mask: NDArray[np.float32]) -> Self | None:
        """Args: mask: height x width, likelihood 0-1. Returns: None when the mask is empty."""
        binary = (mask[::_STEP, ::_STEP] > _INSIDE).astype(np.uint8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=8)
        areas = stats[1:, cv2.CC_STAT_AREA]
        if not len(areas):
            return None
        kept = 1 + np.flatnonzero(areas >= _LEAST_PART * areas.max())
        x, y = stats[kept, cv2.CC_STAT_LEFT], stats[kept, cv2.CC_STAT_TOP]
        right, bottom = x + stats[kept, cv2.CC_STAT_WIDTH], y + stats[kept, cv2.CC_STAT_HEIGHT]
        return cls(
            parts=np.isin(labels, kept),
            left=int(x.min()) * _STEP,
            top=int(y.min()) * _STEP,
            right=min(int(right.max()) * _STEP, mask.shape[1]),
            bottom=min(int(bottom.max()) * _STEP, mask.shape[0]),
            area=float(areas[kept - 1].sum()) * _STEP * _STEP,
        )

    def extent_within(self, left: float, top: float, right: float, bottom: float) -> tuple[int, int, int, int] | None:
        """The smallest area (left, top, right, bottom) that holds what lies inside the given one."""
        x, y = max(0, int(left) // _STEP), max(0, int(top) // _STEP)
        part: Any = self.parts[y : max(y, int(bottom) // _STEP), x : max(x, int(right) // _STEP)]
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        if not len(rows):
            return None
        return (
            (x + int(columns[0])) * _STEP,
            (y + int(rows[0])) * _STEP,
            (x + int(columns[-1]) + 1) * _STEP,
            (y + int(rows[-1]) + 1) * _STEP,
        )
