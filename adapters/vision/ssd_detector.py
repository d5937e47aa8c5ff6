"""The second witness: SSD-MobileNet-V2's boxes around people, which need neither a face nor a known pose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from adapters.vision.mediapipe_models import Pixels

INPUT_EDGE: Final = 300
"""The model looks at a square of so many pixels."""

_MAP_EDGES: Final = (19, 10, 5, 3, 2, 1)
_SCALES: Final = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
_VARIANCES: Final = np.array((10, 10, 5, 5), np.float32)
_SAME_BOX: Final = 0.6
"""Source of all four: ssd_mobilenet_v2_coco.config of the TensorFlow models."""


@dataclass(frozen=True, slots=True)
class PersonBox:
    """Where a person seems to be, in pixels of the picture looked at."""

    left: float
    top: float
    right: float
    bottom: float
    confidence: float

    @property
    def edges(self) -> tuple[float, float, float, float]:
        return self.left, self.top, self.right, self.bottom

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.bottom - self.top)

    def holds(self, left: float, top: float, right: float, bottom: float) -> bool:
        """Whether the middle of an area lies inside."""
        return self.left <= (left + right) / 2 <= self.right and self.top <= (top + bottom) / 2 <= self.bottom


class SsdDetector:
    """Use it from one thread at a time. A look costs some 17 ms."""

    def __init__(self, network: Callable[[Pixels], Sequence[NDArray[np.float32]]]) -> None:
        """Args: network: what `ssd_conversion` made: a square picture to a row of numbers for each map."""
        self._network = network
        self._anchors = np.concatenate([_anchors(level) for level in range(len(_MAP_EDGES))])

    def people(self, pixels: Pixels, least: float) -> tuple[PersonBox, ...]:
        """Everybody of at least this confidence, the surest first."""
        height, width = pixels.shape[:2]
        edge = max(height, width)
        square = cv2.copyMakeBorder(pixels, 0, edge - height, 0, edge - width, cv2.BORDER_CONSTANT)
        scaled = cv2.resize(square, (INPUT_EDGE, INPUT_EDGE), interpolation=cv2.INTER_AREA)
        boxes, scores = _decoded(self._network(scaled), self._anchors)
        likely = scores >= least
        boxes, scores = boxes[likely] * edge, scores[likely]
        sides = [(left, top, right - left, bottom - top) for left, top, right, bottom in boxes.tolist()]
        kept = cv2.dnn.NMSBoxes(sides, scores.tolist(), least, _SAME_BOX) if sides else ()
        limits = np.array((width, height, width, height), np.float32)
        inside = np.clip(boxes, 0, limits)
        return tuple(
            PersonBox(left, top, right, bottom, float(scores[index]))
            for index in kept
            for left, top, right, bottom in [inside[index].tolist()]
        )


def _anchors(level: int) -> NDArray[np.float32]:
    """Center y and x, height and width of every box that one map starts from, as shares of the picture."""
    scale, next_scale = _SCALES[level], _SCALES[level + 1]
    shapes = [(scale, ratio) for ratio in (1, 2, 1 / 2, 3, 1 / 3)] + [((scale * next_scale) ** 0.5, 1.0)]
    if level == 0:
        shapes = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
    centers = (np.arange(_MAP_EDGES[level]) + 0.5) / _MAP_EDGES[level]
    return np.array(
        [(y, x, size / ratio**0.5, size * ratio**0.5) for y in centers for x in centers for size, ratio in shapes],
        np.float32,
    )


def _decoded(
    maps: Sequence[NDArray[np.float32]], anchors: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes (left, top, right, bottom, as shares of the picture) and scores of all anchors."""
    numbers, logits = [], []
    for row, edge in zip(maps, _MAP_EDGES, strict=True):
        places = row.reshape(edge * edge, -1)
        count = places.shape[1] // 5
        numbers.append(places[:, : 4 * count].reshape(-1, 4))
        logits.append(places[:, 4 * count :].reshape(-1))
    offsets = np.concatenate(numbers) / _VARIANCES
    center = anchors[:, :2] + offsets[:, :2] * anchors[:, 2:]
    half = anchors[:, 2:] * np.exp(offsets[:, 2:]) / 2
    boxes = np.concatenate([(center - half)[:, ::-1], (center + half)[:, ::-1]], axis=1)
    scores = (1 / (1 + np.exp(-np.concatenate(logits)))).astype(np.float32)
    return boxes, scores
