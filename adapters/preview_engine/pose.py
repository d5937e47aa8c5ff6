"""Where a person's joints are and which pixels are body, by MediaPipe's pose landmarker."""

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import mediapipe
import numpy as np
import numpy.typing as npt
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import PoseLandmarker, PoseLandmarkerOptions

from adapters.preview_engine.pictures import Mask, Points, Rgb
from adapters.vision.models import POSE

MOST_PEOPLE = 4  # each costs another 20 ms


class Joint(IntEnum):
    """The landmarks that dressing needs, by MediaPipe's numbers; left and right are the person's own."""

    NOSE = 0
    LEFT_EYE = 2
    RIGHT_EYE = 5
    LEFT_EAR = 7
    RIGHT_EAR = 8
    MOUTH_LEFT = 9
    MOUTH_RIGHT = 10
    LEFT_SHOULDER = 11
    RIGHT_SHOULDER = 12
    LEFT_ELBOW = 13
    RIGHT_ELBOW = 14
    LEFT_WRIST = 15
    RIGHT_WRIST = 16
    LEFT_INDEX = 19
    RIGHT_INDEX = 20
    LEFT_HIP = 23
    RIGHT_HIP = 24


@dataclass(frozen=True, slots=True)
class Pose:
    """One person: `points` (33 x 2, pixels), `visibility` (33, 0 to 1) and the `body` mask of the whole picture."""

    points: Points
    visibility: npt.NDArray[np.float32]
    body: Mask

    def at(self, joint: Joint) -> Points:
        return np.asarray(self.points[joint], dtype=np.float32)

    def sees(self, *joints: Joint) -> float:
        """The visibility of the least visible of the joints."""
        return float(min(self.visibility[joint] for joint in joints))


class PoseReader:
    """Finds the main person of a picture; one per process, used by one thread."""

    def __init__(self, model_directory: Path) -> None:
        self._landmarker = PoseLandmarker.create_from_options(
            PoseLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(model_directory / POSE)),
                num_poses=MOST_PEOPLE,
                output_segmentation_masks=True,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._landmarker.close()

    def read(self, picture: Rgb) -> Pose | None:
        """The person who takes the most room in the picture, or None."""
        height, width = picture.shape[:2]
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
        found = self._landmarker.detect(image)
        if not found.pose_landmarks or not found.segmentation_masks:
            return None
        # numpy_view() looks into memory that goes away with the result
        bodies = [
            np.array(mask.numpy_view(), dtype=np.float32).reshape(height, width) for mask in found.segmentation_masks
        ]
        main = int(np.argmax([body.sum() for body in bodies]))
        landmarks = found.pose_landmarks[main]
        return Pose(
            points=np.array([(mark.x * width, mark.y * height) for mark in landmarks], dtype=np.float32),
            visibility=np.array([mark.visibility or 0.0 for mark in landmarks], dtype=np.float32),
            body=bodies[main],
        )
