"""Finds people: one look at the whole photo, then closer looks only where they can change who is framed."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import cv2
import numpy as np

from adapters.vision.mediapipe_models import Face, MediaPipeModels, Pixels, Pose
from adapters.vision.silhouette import Silhouette
from application.photo_ports import OpenPhoto, PersonDetector
from domain.geometry import Box, Size
from domain.person import LIKELY, BodyPart, Landmark, SeenPerson

_LOOK_EDGE: Final = 1024
"""Longest edge of the copy that is looked at; the models themselves work on 192 to 256 pixels of a part of it."""

_HEAD_PARTS: Final = (
    BodyPart.NOSE,
    BodyPart.LEFT_EYE,
    BodyPart.RIGHT_EYE,
    BodyPart.LEFT_EAR,
    BodyPart.RIGHT_EAR,
    BodyPart.LEFT_MOUTH,
    BodyPart.RIGHT_MOUTH,
)

_HAIR_ABOVE: Final = 0.55
_HAIR_BESIDE: Final = 0.25
_HAIR_OR_HAT: Final = 1.0
"""A head reaches 55 % of the face's height above the face and 25 % of its width beside it; up to a whole height above
it is searched in the silhouette for high hair or a hat."""

_SAME_PERSON: Final = 0.6
"""Two sightings are one person when this share of the smaller box lies in the other."""

_WORTH_A_LOOK: Final = 0.5
"""A face without a body is looked at closely when it is at least this large against the largest head: a smaller one
belongs to somebody with under a quarter of the area, who is not the main person."""


@dataclass(frozen=True, slots=True)
class _Look:
    """A window of the photo as pixels, and the way back from those pixels to the upright source."""

    pixels: Pixels
    window: Box
    source: Size

    @classmethod
    def at(cls, photo: OpenPhoto, window: Box | None) -> Self:
        view = photo.view(window, _LOOK_EDGE)
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

    def landmark(self, mark: Landmark) -> Landmark:
        return Landmark(mark.x * self.scale + self.window.x, mark.y * self.scale + self.window.y, mark.confidence)


class MediaPipeDetector(PersonDetector):
    """Pose landmarks with masks are the main signal; faces find heads, and people whose body a look missed."""

    def __init__(self, directory: Path) -> None:
        """Load the models and use each once, so that the first customer does not wait for that.

        Args: directory: where `models.install` put them.
        """
        cv2.setNumThreads(1)
        self._models = MediaPipeModels.load(directory)
        blank = np.zeros((256, 256, 3), np.uint8)
        self._models.poses(blank)
        self._models.faces(blank)

    def detect(self, photo: OpenPhoto) -> tuple[SeenPerson, ...]:
        look = _Look.at(photo, None)
        faces = self._models.faces(look.pixels)
        people = self._people(look, faces)
        people = self._with_missed_bodies(photo, look, faces, people)
        return tuple(people)

    def _people(self, look: _Look, faces: Iterable[Face]) -> list[SeenPerson]:
        seen = [_person(look, pose, faces) for pose in self._models.poses(look.pixels)]
        return _distinct(person for person in seen if person is not None)

    def _with_missed_bodies(
        self, photo: OpenPhoto, look: _Look, faces: Iterable[Face], people: list[SeenPerson]
    ) -> list[SeenPerson]:
        """Look closely around faces whose body was not seen, where they may belong to the main person."""
        largest = max((person.head.height for person in people if person.head), default=0)
        for face in faces:
            box = look.box(face.left, face.top, face.right, face.bottom)
            if box is None or box.height < _WORTH_A_LOOK * largest:
                continue
            if any(person.head and person.head.shared_area(box) > 0.3 * box.area for person in people):
                continue
            closer = _Look.at(photo, _around_body_of(box, look.source))
            found = self._people(closer, self._models.faces(closer.pixels))
            people = _distinct([*people, *found])
        return people


def _around_body_of(face: Box, source: Size) -> Box | None:
    """A square that holds a standing person of whom only the face is known: some eight faces high."""
    x, y = face.center
    side = 9 * face.height
    return Box.spanning(x - side / 2, y - 2 * face.height, x + side / 2, y - 2 * face.height + side, source)


def _distinct(people: Iterable[SeenPerson]) -> list[SeenPerson]:
    """The same people without those seen twice; the sighting with the larger silhouette stays."""
    kept: list[SeenPerson] = []
    for person in sorted(people, key=lambda seen: -seen.silhouette):
        if not any(_is_same(person, other) for other in kept):
            kept.append(person)
    return kept


def _is_same(one: SeenPerson, other: SeenPerson) -> bool:
    if one.head and other.head:
        smaller = min(one.head.area, other.head.area)
        return one.head.shared_area(other.head) >= 0.5 * smaller
    return one.box.shared_area(other.box) >= _SAME_PERSON * min(one.box.area, other.box.area)


def _person(look: _Look, pose: Pose, faces: Iterable[Face]) -> SeenPerson | None:
    silhouette = Silhouette.of(pose.mask)
    if silhouette is None:
        return None
    height, width = look.pixels.shape[:2]
    marks = [
        mark
        for mark in pose.landmarks.values()
        if mark.confidence >= LIKELY and 0 <= mark.x <= width and 0 <= mark.y <= height
    ]
    face = _face_of(pose, faces)
    head = _head(pose, face, silhouette)
    edges = [
        (silhouette.left, silhouette.top, silhouette.right, silhouette.bottom),
        *((m.x, m.y, m.x, m.y) for m in marks),
    ]
    if head:
        edges.append(head)
    body = look.box(
        min(e[0] for e in edges), min(e[1] for e in edges), max(e[2] for e in edges), max(e[3] for e in edges)
    )
    if body is None:
        return None
    return SeenPerson(
        box=body,
        head=look.box(*head) if head else None,
        face=look.box(face.left, face.top, face.right, face.bottom) if face else None,
        silhouette=silhouette.area * look.scale**2 / look.source.pixels,
        landmarks={part: look.landmark(mark) for part, mark in pose.landmarks.items()},
    )


def _face_of(pose: Pose, faces: Iterable[Face]) -> Face | None:
    """The face that sits where the pose has its nose, eyes and mouth."""
    marks = [pose.landmarks[part] for part in _HEAD_PARTS]
    x, y = sum(mark.x for mark in marks) / len(marks), sum(mark.y for mark in marks) / len(marks)
    return max(
        (face for face in faces if face.left <= x <= face.right and face.top <= y <= face.bottom),
        key=lambda face: face.confidence,
        default=None,
    )


def _head(pose: Pose, face: Face | None, silhouette: Silhouette) -> tuple[float, float, float, float] | None:
    """The head with hair and hat: the face widened, the head's landmarks, and what the silhouette has above them."""
    marks = [pose.landmarks[part] for part in _HEAD_PARTS]
    height, width = pose.mask.shape
    seen = [mark for mark in marks if mark.confidence >= LIKELY and 0 <= mark.x <= width and 0 <= mark.y <= height]
    if face:
        wide, high = face.right - face.left, face.bottom - face.top
        left, top, right, bottom = face.left, face.top, face.right, face.bottom
    elif seen:
        left, right = min(mark.x for mark in marks), max(mark.x for mark in marks)
        top, bottom = min(mark.y for mark in marks), max(mark.y for mark in marks)
        size = max(right - left, 1.6 * (bottom - top), 0.4 * _shoulder_width(pose))
        middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
        left, right, top, bottom = middle_x - size / 2, middle_x + size / 2, middle_y - size / 2, middle_y + size / 2
        wide = high = size
    else:
        return None
    left = min(left - _HAIR_BESIDE * wide, *(mark.x for mark in seen), left)
    right = max(right + _HAIR_BESIDE * wide, *(mark.x for mark in seen), right)
    above = silhouette.extent_within(left, top - _HAIR_OR_HAT * high, right, (top + bottom) / 2)
    top = above[1] if above else top - _HAIR_ABOVE * high
    return max(0, left), max(0, top), min(width, right), min(height, bottom)


def _shoulder_width(pose: Pose) -> float:
    left, right = pose.landmarks[BodyPart.LEFT_SHOULDER], pose.landmarks[BodyPart.RIGHT_SHOULDER]
    return float(np.hypot(left.x - right.x, left.y - right.y))
