"""Make a person out of what the models saw: a pose with its mask and face, or a face alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from adapters.vision.look import Look
from adapters.vision.mediapipe_models import Face, Pose
from adapters.vision.silhouette import Silhouette
from adapters.vision.ssd_detector import PersonBox
from domain.geometry import Box
from domain.person import LIKELY, BodyPart, Landmark, SeenPerson

SURE_FACE: Final = 0.6
"""Faces this sure were never wrong on 181 photos; faces imagined on bodies and prints had 0.42 and 0.52."""

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
HAIR_OR_HAT: Final = 1.2
_JAW: Final = 0.25
_CHIN: Final = 0.15
"""In units of the face's height and width. A head reaches 55 % above the face and 25 % beside it, unless the silhouette
around the face, searched up to 120 % away for high hair, a hat or the back of a turned head, tells better. Beside the
jaw (the lowest quarter) shoulders and collars begin; the face's box may end at the lower lip: the chin adds 15 %."""

Edges = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of a look."""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A person as one look shows them, with the face that belongs to the body and where the body lies in the look."""

    person: SeenPerson
    face: Face | None
    edges: Edges
    is_upright: bool

    @property
    def has_sure_face(self) -> bool:
        return self.face is not None and self.face.confidence >= SURE_FACE

    @property
    def rows(self) -> slice:
        return slice(max(0, int(self.edges[1])), max(0, int(self.edges[3])))

    @property
    def columns(self) -> slice:
        return slice(max(0, int(self.edges[0])), max(0, int(self.edges[2])))

    def overlap(self, box: PersonBox) -> float:
        """The shared area of this body and a box over that of both."""
        left, top, right, bottom = self.edges
        width = min(right, box.right) - max(left, box.left)
        height = min(bottom, box.bottom) - max(top, box.top)
        shared = max(0.0, width) * max(0.0, height)
        return shared / max(1.0, (right - left) * (bottom - top) + box.area - shared)

    def with_confidence(self, box_confidence: float) -> SeenPerson:
        """The person, as sure as both witnesses together: both would have to be wrong."""
        doubt = (1 - (self.face.confidence if self.face else 0.0)) * (1 - box_confidence)
        return replace(self.person, confidence=1 - doubt)

    def within(self, place: Box) -> Self:
        """Without what the mask and joints took from a neighbor: the head, and of the rest what lies in a box."""
        own = self.person.box.cut_to(place)
        if own is None:
            return self
        own = own.joined(self.person.head) if self.person.head else own
        share = min(1.0, own.area / self.person.box.area)
        return replace(self, person=replace(self.person, box=own, silhouette=self.person.silhouette * share))


def person_of(
    look: Look, pose: Pose, face: Face | None, everybody: NDArray[np.float32] | None = None
) -> Witnessed | None:
    """Somebody by pose, mask and face; None when the mask is empty or the body lies outside the photo.

    Args: everybody: how likely each pixel belongs to any person, for somebody close by who is alone: the pose's own
    mask may end at the forehead where a hood or big hair goes on.
    """
    silhouette = Silhouette.of(pose.mask)
    if silhouette is None:
        return None
    head = _head(pose, face, silhouette)
    wider = None if everybody is None else Silhouette.of(np.maximum(everybody, pose.mask))
    if head and wider and (second := _head(pose, face, wider)):
        head = (min(head[0], second[0]), min(head[1], second[1]), max(head[2], second[2]), head[3])
    marks = [mark for mark in pose.landmarks.values() if mark.confidence >= LIKELY and _is_inside(look, mark.x, mark.y)]
    corners = [
        (silhouette.left, silhouette.top, silhouette.right, silhouette.bottom),
        *((m.x, m.y, m.x, m.y) for m in marks),
        *([head] if head else []),
    ]
    edges = around(corners)
    body = look.box(*edges)
    if body is None:
        return None
    person = SeenPerson(
        box=body,
        head=look.box(*head) if head else None,
        face=look.box(*face.edges) if face else None,
        silhouette=silhouette.area * look.scale**2 / look.source.pixels,
        landmarks=look.landmarks(dict(pose.landmarks)),
        confidence=face.confidence if face else 0.0,
        outline=look.outline(pose.mask, body),
    )
    return Witnessed(person, face, edges, is_upright(pose.landmarks))


def face_of(pose: Pose, faces: Iterable[Face]) -> Face | None:
    """The face that sits where the pose has its nose, eyes and mouth."""
    marks = [pose.landmarks[part] for part in _HEAD_PARTS]
    x, y = sum(mark.x for mark in marks) / len(marks), sum(mark.y for mark in marks) / len(marks)
    return max(
        (face for face in faces if face.left <= x <= face.right and face.top <= y <= face.bottom),
        key=lambda face: face.confidence,
        default=None,
    )


def is_upright(marks: Mapping[BodyPart, Landmark]) -> bool:
    """Whether the nose is above the shoulders, and the hips are more below them than beside them."""
    if not marks:
        return False
    left, right = marks[BodyPart.LEFT_SHOULDER], marks[BodyPart.RIGHT_SHOULDER]
    x, y = (left.x + right.x) / 2, (left.y + right.y) / 2
    hip_x = (marks[BodyPart.LEFT_HIP].x + marks[BodyPart.RIGHT_HIP].x) / 2
    hip_y = (marks[BodyPart.LEFT_HIP].y + marks[BodyPart.RIGHT_HIP].y) / 2
    return marks[BodyPart.NOSE].y < y and hip_y - y > abs(hip_x - x)


def _is_inside(look: Look, x: float, y: float) -> bool:
    return 0 <= x <= look.width and 0 <= y <= look.height


def around(corners: Sequence[Edges]) -> Edges:
    """The smallest rectangle that holds all of these."""
    return (
        min(edges[0] for edges in corners),
        min(edges[1] for edges in corners),
        max(edges[2] for edges in corners),
        max(edges[3] for edges in corners),
    )


def _head(pose: Pose, face: Face | None, silhouette: Silhouette) -> Edges | None:
    """The visible head with hair and hat, its sides and top read from the silhouette around the face."""
    edges = face.edges if face else _face_by_landmarks(pose)
    return None if edges is None else head_in(edges, silhouette, *pose.mask.shape)


def head_in(face: Edges, silhouette: Silhouette | None, height: int, width: int) -> Edges:
    """A face's head with hair or hat by a silhouette, in a look of this height and width."""
    left, top, right, bottom = face
    wide, high = right - left, bottom - top
    around = (left - _HAIR_BESIDE * wide, top - _HAIR_ABOVE * high, right + _HAIR_BESIDE * wide, bottom)
    hair = silhouette and silhouette.head_extent(
        (left, top, right, bottom - _JAW * high), beside=HAIR_OR_HAT * wide, above=HAIR_OR_HAT * high
    )
    if hair:
        around = (min(hair[0], left), min(hair[1], top), max(hair[2], right), bottom)
    return max(0, around[0]), max(0, around[1]), min(width, around[2]), min(height, around[3] + _CHIN * high)


def _face_by_landmarks(pose: Pose) -> Edges | None:
    """About where the face is when it is turned away: a square around eyes, ears and mouth, which span half of it."""
    height, width = pose.mask.shape
    marks = [pose.landmarks[part] for part in _HEAD_PARTS]
    if not any(mark.confidence >= LIKELY and 0 <= mark.x <= width and 0 <= mark.y <= height for mark in marks):
        return None
    left, right = min(mark.x for mark in marks), max(mark.x for mark in marks)
    top, bottom = min(mark.y for mark in marks), max(mark.y for mark in marks)
    half = max(right - left, 2 * (bottom - top), 0.4 * _shoulder_width(pose)) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - half, y - half, x + half, y + half


def _shoulder_width(pose: Pose) -> float:
    left, right = pose.landmarks[BodyPart.LEFT_SHOULDER], pose.landmarks[BodyPart.RIGHT_SHOULDER]
    return float(np.hypot(left.x - right.x, left.y - right.y))
