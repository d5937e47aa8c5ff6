"""MediaPipe's detectors behind plain numbers: pixels in, landmarks, masks and faces in pixels out."""

import ctypes
import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from adapters.vision import models
from domain.person import BodyPart, Landmark

Pixels = NDArray[np.uint8]
"""Height x width x 3, RGB."""

_MOST_POSES: Final = 2
"""People of whom one look finds the joints, each for another 20 ms; a second one, since the surest is not always meant.
Others are told apart by boxes and faces."""

_LEAST_POSE: Final = 0.4
_LEAST_FACE: Final = 0.4

_PART_OF_INDEX: Final = {
    0: BodyPart.NOSE,
    2: BodyPart.LEFT_EYE,
    5: BodyPart.RIGHT_EYE,
    7: BodyPart.LEFT_EAR,
    8: BodyPart.RIGHT_EAR,
    9: BodyPart.LEFT_MOUTH,
    10: BodyPart.RIGHT_MOUTH,
    11: BodyPart.LEFT_SHOULDER,
    12: BodyPart.RIGHT_SHOULDER,
    13: BodyPart.LEFT_ELBOW,
    14: BodyPart.RIGHT_ELBOW,
    15: BodyPart.LEFT_WRIST,
    16: BodyPart.RIGHT_WRIST,
    23: BodyPart.LEFT_HIP,
    24: BodyPart.RIGHT_HIP,
    25: BodyPart.LEFT_KNEE,
    26: BodyPart.RIGHT_KNEE,
    27: BodyPart.LEFT_ANKLE,
    28: BodyPart.RIGHT_ANKLE,
    31: BodyPart.LEFT_FOOT,
    32: BodyPart.RIGHT_FOOT,
}
"""MediaPipe's numbers of the pose landmarks that we use."""


@dataclass(frozen=True, slots=True)
class Pose:
    """One body as the pose model sees it, in pixels of the picture looked at; the mask has that picture's size."""

    landmarks: Mapping[BodyPart, Landmark]
    mask: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Face:
    """Forehead to chin and cheek to cheek, without hair, in pixels of the picture looked at."""

    left: float
    top: float
    right: float
    bottom: float
    confidence: float

    @property
    def edges(self) -> tuple[float, float, float, float]:
        return self.left, self.top, self.right, self.bottom

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def share_of(self, mask: NDArray[np.float32]) -> float:
        """How likely the face belongs to what a mask of the same picture shows, 0-1."""
        part = mask[max(0, int(self.top)) : int(self.bottom), max(0, int(self.left)) : int(self.right)]
        return float(part.mean()) if part.size else 0.0


class MediaPipeModels:
    """The models, loaded once; use them from one thread at a time."""

    def __init__(self, poses: Any, faces: Any, segmenter: Any, people: Any, picture: Any) -> None:
        for model in (poses, faces, segmenter, people):
            # They live as long as the process: closing them while the interpreter shuts down fails loudly, since
            # MediaPipe's executor is gone by then, and its finalizers would try.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(model))
        self._poses = poses
        self._faces = faces
        self._segmenter = segmenter
        self._people = people
        self._picture = picture
        self._answers: list[tuple[Callable[[Any], Any], Pixels, Any]] = []

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Load the models that `models.install` put there and use each once, which is what makes the first use slow.

        Takes about two seconds and 200 MB.
        """
        with _quiet_standard_error():
            loaded = cls._loaded(directory)
            blank = np.zeros((256, 256, 3), np.uint8)
            loaded.poses(blank)
            loaded.faces(blank)
            loaded.people_mask(blank)
            loaded.people_maps(blank)
            loaded.forget()
        return loaded

    @classmethod
    def _loaded(cls, directory: Path) -> Self:
        import mediapipe as mp  # noqa: PLC0415 - two seconds that only a process which detects should pay
        from mediapipe.tasks.python import BaseOptions, vision  # noqa: PLC0415

        def options(name: str) -> Any:
            return BaseOptions(model_asset_path=str(directory / name))

        poses = vision.PoseLandmarker.create_from_options(
            vision.PoseLandmarkerOptions(
                base_options=options(models.POSE),
                num_poses=_MOST_POSES,
                min_pose_detection_confidence=_LEAST_POSE,
                min_pose_presence_confidence=_LEAST_POSE,
                output_segmentation_masks=True,
            )
        )
        faces = vision.FaceDetector.create_from_options(
            vision.FaceDetectorOptions(base_options=options(models.FACE), min_detection_confidence=_LEAST_FACE)
        )
        segmenter = vision.ImageSegmenter.create_from_options(
            vision.ImageSegmenterOptions(
                base_options=options(models.SEGMENTATION), output_confidence_masks=True, output_category_mask=False
            )
        )
        people = vision.ImageEmbedder.create_from_options(
            vision.ImageEmbedderOptions(base_options=options(models.PEOPLE), l2_normalize=False, quantize=False)
        )
        picture = functools.partial(mp.Image, mp.ImageFormat.SRGB)
        return cls(poses, faces, segmenter, people, picture)

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
                    for index, part in _PART_OF_INDEX.items()
                },
                mask=_copied(mask),
            )
            for marks, mask in zip(seen.pose_landmarks, seen.segmentation_masks or (), strict=True)
        )

    def faces(self, pixels: Pixels) -> tuple[Face, ...]:
        return tuple(
            Face(
                left=seen.bounding_box.origin_x,
                top=seen.bounding_box.origin_y,
                right=seen.bounding_box.origin_x + seen.bounding_box.width,
                bottom=seen.bounding_box.origin_y + seen.bounding_box.height,
                confidence=seen.categories[0].score,
            )
            for seen in self._ask(self._faces.detect, pixels).detections
        )

    def people_mask(self, pixels: Pixels) -> NDArray[np.float32]:
        """How likely each pixel belongs to a person, height x width, 0-1."""
        return _copied(self._ask(self._segmenter.segment, pixels).confidence_masks[0])

    def people_maps(self, pixels: Pixels) -> tuple[NDArray[np.float32], ...]:
        """What the general detector says of a square picture, map by map: see `ssd_conversion.people_model`.

        An image embedder runs any network and hands out its numbers, here in less than half of the time of OpenCV.
        """
        answer = self._ask(self._people.embed, pixels)
        return tuple(np.asarray(row.embedding, np.float32) for row in answer.embeddings)


def _copied(mask: Any) -> NDArray[np.float32]:
    """A mask's values, height x width; MediaPipe's own view of them is into memory that goes with its image."""
    return np.array(mask.numpy_view()[..., 0], dtype=np.float32, copy=True)


@contextmanager
def _quiet_standard_error() -> Iterator[None]:
    """MediaPipe, TFLite and XNNPACK write some fifty lines while they load, past every switch: they get no file to."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
