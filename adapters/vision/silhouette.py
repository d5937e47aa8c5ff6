"""Readings of a person's mask: its extent, its area, and the top of the hair above a face."""

from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

_INSIDE: Final = 0.5
"""Mask values are the likelihood that a pixel belongs to the person."""

_STEP: Final = 2
"""Every second pixel of a mask is enough: it was scaled up from 256 x 256 by MediaPipe."""

_LEAST_PART: Final = 0.1
"""A separate part of a mask counts from this share of the largest on: a leg behind a bench does, a speck does not."""

_LEAST_COLUMN: Final = 0.12
"""A column beside a face is hair when this share of it is covered: less is a fringe of the mask."""


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
        counts = np.concatenate(([False], areas >= _LEAST_PART * areas.max()))
        kept = np.flatnonzero(counts)
        x, y = stats[kept, cv2.CC_STAT_LEFT], stats[kept, cv2.CC_STAT_TOP]
        right, bottom = x + stats[kept, cv2.CC_STAT_WIDTH], y + stats[kept, cv2.CC_STAT_HEIGHT]
        return cls(
            parts=counts[labels],
            left=int(x.min()) * _STEP,
            top=int(y.min()) * _STEP,
            right=min(int(right.max()) * _STEP, mask.shape[1]),
            bottom=min(int(bottom.max()) * _STEP, mask.shape[0]),
            area=float(areas[kept - 1].sum()) * _STEP * _STEP,
        )

    def head_extent(
        self, face: tuple[float, float, float, float], *, beside: float, above: float
    ) -> tuple[float, float, float, float] | None:
        """How far the silhouette reaches from the middle of a face without a gap, at most so far beside and above it.

        Args: face: left, top, right, bottom of the face without its jaw. Returns: the same with hair or hat.
        """
        left, top, right, bottom = (round(edge / _STEP) for edge in face)
        first_row, first_column = max(0, top - round(above / _STEP)), max(0, left - round(beside / _STEP))
        part = self.parts[first_row : max(0, bottom), first_column : max(0, right + round(beside / _STEP))]
        above_face = part[:, max(0, left - first_column) : max(0, right - first_column)]
        rows: NDArray[np.bool_] = np.asarray(above_face.any(axis=1))
        middle = (left + right) // 2 - first_column
        if not rows.any() or not 0 <= middle < part.shape[1]:
            return None
        crown = _reach(rows[::-1], int(np.argmax(rows[::-1])))[1]
        columns: NDArray[np.bool_] = np.asarray(part[len(rows) - crown :].mean(axis=0) >= _LEAST_COLUMN)
        if not columns[middle]:
            return None
        start, end = _reach(columns, middle)
        return (
            (first_column + start) * _STEP,
            (first_row + len(rows) - crown) * _STEP,
            (first_column + end) * _STEP,
            face[3],
        )


@dataclass(frozen=True, slots=True)
class Part:
    """One connected patch of a mask: its edges and area in pixels of the mask."""

    left: int
    top: int
    right: int
    bottom: int
    area: float


def largest_parts(mask: NDArray[np.float32], least_area: float) -> list[Part]:
    """The connected patches of at least so many pixels, the largest first."""
    binary = (mask[::_STEP, ::_STEP] > _INSIDE).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=8)
    parts = [
        Part(x * _STEP, y * _STEP, (x + width) * _STEP, (y + height) * _STEP, float(area) * _STEP * _STEP)
        for x, y, width, height, area in stats[1:].tolist()
    ]
    return sorted((part for part in parts if part.area >= least_area), key=lambda part: -part.area)


def _reach(line: NDArray[np.bool_], middle: int) -> tuple[int, int]:
    """First and behind the last of the unbroken run of true values around `middle`."""
    gaps = np.flatnonzero(~line)
    before, after = gaps[gaps < middle], gaps[gaps > middle]
    return (int(before[-1]) + 1 if len(before) else 0), (int(after[0]) if len(after) else len(line))
