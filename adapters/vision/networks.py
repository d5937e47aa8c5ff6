"""Neural networks behind plain numbers: pixels in; poses, faces, boxes around people and masks in pixels out."""

import ctypes
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from adapters.vision import models
from domain.person import BodyPart, Landmark

Pixels = NDArray[np.uint8]
"""Height x width x 3, RGB."""

Mask = NDArray[np.float32]
"""Height x width: how likely each pixel belongs to somebody, 0-1."""

_MOST_POSES: Final = 2
"""People of whom one look finds the joints, each for another 20 ms; a second one, since the surest is not always meant.
Others are told apart by boxes and faces."""

_LEAST_POSE: Final = 0.4
_LEAST_FACE: Final = 0.4

_INDEXES: Final = (0, 2, 5, *range(7, 17), *range(23, 29), 31, 32)
"""MediaPipe's numbers of the pose landmarks that we use, in the order of `BodyPart`."""

_MAP_EDGES: Final = (19, 10, 5, 3, 2, 1)
_SCALES: Final = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
_VARIANCES: Final = np.array((10, 10, 5, 5), np.float32)
_SAME_BOX: Final = 0.6
"""Source of all four: ssd_mobilenet_v2_coco.config of the TensorFlow models."""


class Edges(NamedTuple):
    """A rectangle in pixels of the picture looked at."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def pixels(self) -> tuple[slice, slice]:
        """Rows and columns of what lies inside a picture."""
        left, top, right, bottom = (max(0, int(edge)) for edge in self)
        return slice(top, bottom), slice(left, right)

    def holds_middle_of(self, other: Self) -> bool:
        x, y = (other.left + other.right) / 2, (other.top + other.bottom) / 2
        return self.left <= x <= self.right and self.top <= y <= self.bottom

    def overlap(self, other: Self) -> float:
        """The shared area of two rectangles over that of both."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        shared = max(0.0, width) * max(0.0, height)
        return shared / max(1.0, self.area + other.area - shared)

    def joined(self, *others: Self) -> "Edges":
        """The smallest rectangle that holds all of these."""
        lefts, tops, rights, bottoms = zip(self, *others, strict=True)
        return Edges(min(lefts), min(tops), max(rights), max(bottoms))


@dataclass(frozen=True, slots=True)
class Detection:
    """A face (forehead to chin and cheek to cheek, without hair) or the box around a person, and how sure that is."""

    edges: Edges
    confidence: float


@dataclass(frozen=True, slots=True)
class Pose:
    """One body as the pose model sees it, in pixels of the picture looked at; the mask has that picture's size."""

    landmarks: Mapping[BodyPart, Landmark]
    mask: Mask


class Networks:
    """The models, loaded once; use them from one thread at a time."""

    def __init__(self, directory: Path) -> None:
        """Load the models that `models.install` put there and use each once, which is what makes the first use slow.

        Takes about two seconds and 200 MB.
        """
        import mediapipe as mp  # noqa: PLC0415 - two seconds that only a process which detects should pay
        from mediapipe.tasks.python import BaseOptions, vision  # noqa: PLC0415

        pose, face, segmentation, people = (
            BaseOptions(model_asset_path=str(directory / name))
            for name in (models.POSE, models.FACE, models.SEGMENTATION, models.PEOPLE)
        )
        self._poses = vision.PoseLandmarker.create_from_options(
            vision.PoseLandmarkerOptions(
                base_options=pose,
                num_poses=_MOST_POSES,
                min_pose_detection_confidence=_LEAST_POSE,
                min_pose_presence_confidence=_LEAST_POSE,
                output_segmentation_masks=True,
            )
        )
        self._faces = vision.FaceDetector.create_from_options(
            vision.FaceDetectorOptions(base_options=face, min_detection_confidence=_LEAST_FACE)
        )
        self._segmenter = vision.ImageSegmenter.create_from_options(
            vision.ImageSegmenterOptions(
                base_options=segmentation, output_confidence_masks=True, output_category_mask=False
            )
        )
        self._people = vision.ImageEmbedder.create_from_options(
            vision.ImageEmbedderOptions(base_options=people, l2_normalize=False, quantize=False)
        )
        self._picture = functools.partial(mp.Image, mp.ImageFormat.SRGB)
        self._anchors = np.concatenate([_anchors(level) for level in range(len(_MAP_EDGES))])
        self._answers: list[tuple[Callable[[Any], Any], Pixels, Any]] = []
        self._keep_for_ever()
        self._use_each_once()

    def _keep_for_ever(self) -> None:
        """Closing them while the interpreter shuts down fails loudly: MediaPipe's executor is gone by then."""
        for model in (self._poses, self._faces, self._segmenter, self._people):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(model))

    def _use_each_once(self) -> None:
        blank = np.zeros((256, 256, 3), np.uint8)
        self.poses(blank)
        self.faces(blank)
        self.people_mask(blank)
        self.people(blank, 1.0)
        self.forget()

    def forget(self) -> None:
        """The photo is done. Until then no network sees the same pixels twice: many a closer look shows them again."""
        self._answers.clear()

    def _ask(self, network: Callable[[Any], Any], pixels: Pixels) -> Any:
        for asked, known, answer in self._answers:
            if asked == network and np.array_equal(known, pixels):
                return answer
        answer = network(self._picture(pixels))
        self._answers.append((network, pixels, answer))
        return answer

    def poses(self, pixels: Pixels) -> tuple[Pose, ...]:
        height, width = pixels.shape[:2]
        seen = self._ask(self._poses.detect, pixels)
        return tuple(
            Pose(
                landmarks={
                    part: Landmark(marks[index].x * width, marks[index].y * height, marks[index].visibility)
                    for index, part in zip(_INDEXES, BodyPart, strict=True)
                },
                mask=_copied(mask),
            )
            for marks, mask in zip(seen.pose_landmarks, seen.segmentation_masks or (), strict=True)
        )

    def faces(self, pixels: Pixels) -> tuple[Detection, ...]:
        found = ((seen.bounding_box, seen.categories[0]) for seen in self._ask(self._faces.detect, pixels).detections)
        return tuple(
            Detection(Edges(box.origin_x, box.origin_y, box.origin_x + box.width, box.origin_y + box.height), one.score)
            for box, one in found
        )

    def people_mask(self, pixels: Pixels) -> Mask:
        """Of all people together."""
        return _copied(self._ask(self._segmenter.segment, pixels).confidence_masks[0])

    def people(self, pixels: Pixels, least: float) -> tuple[Detection, ...]:
        """Boxes around everybody of at least this confidence, the surest first: SSD-MobileNet-V2, for some 17 ms.

        An image embedder runs any network and hands out its numbers, here in less than half of the time of OpenCV.
        """
        height, width = pixels.shape[:2]
        edge = max(height, width)
        square = cv2.copyMakeBorder(pixels, 0, edge - height, 0, edge - width, cv2.BORDER_CONSTANT)
        scaled = cv2.resize(square, (models.PEOPLE_EDGE, models.PEOPLE_EDGE), interpolation=cv2.INTER_AREA)
        maps = [np.asarray(row.embedding, np.float32) for row in self._ask(self._people.embed, scaled).embeddings]
        boxes, scores = _decoded(maps, self._anchors)
        likely = scores >= least
        boxes, scores = boxes[likely] * edge, scores[likely]
        sides = [(left, top, right - left, bottom - top) for left, top, right, bottom in boxes.tolist()]
        kept = cv2.dnn.NMSBoxes(sides, scores.tolist(), least, _SAME_BOX) if sides else ()
        inside = np.clip(boxes, 0, np.array((width, height, width, height), np.float32))
        return tuple(Detection(Edges(*inside[index].tolist()), float(scores[index])) for index in kept)


def _copied(mask: Any) -> Mask:
    """A mask's values, height x width; MediaPipe's own view of them is into memory that goes with its image."""
    return np.array(mask.numpy_view()[..., 0], dtype=np.float32, copy=True)


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
