"""Finds people: one look at the whole photo, then closer looks only where they can change who is framed."""

from collections.abc import Iterable, Sequence
from math import ceil
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from adapters.vision.look import Look
from adapters.vision.mediapipe_models import Face, MediaPipeModels, Pose
from adapters.vision.silhouette import Silhouette, largest_parts
from application.ports.photos import OpenPhoto, PersonDetector
from domain.geometry import Box, Size
from domain.person import LIKELY, BodyPart, SeenPerson

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
_HAIR_OR_HAT: Final = 1.2
_JAW: Final = 0.25
_CHIN: Final = 0.15
"""In units of the face's height and width. A head reaches 55 % above the face and 25 % beside it, unless the silhouette
around the face, searched up to 120 % away for high hair, a hat or the back of a turned head, tells better. Beside the
jaw (the lowest quarter) shoulders and collars begin; the face's box may end at the lower lip: the chin adds 15 %."""

Edges = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of a look."""

_SAME_PERSON: Final = 0.6
"""Two sightings are one person when this share of the smaller box lies in the other."""

_RIVAL_AREA: Final = 0.4
"""Somebody who was missed is looked for when they may cover this share of the largest known silhouette: being nearer
to the middle outweighs size by at most a factor of two."""

_RIVAL_FACE: Final = 0.35
"""The same for a face without a body, against the largest known head: about the root of that share, and a face is just
over half as high as its head."""

_LEAST_BLOB: Final = 0.01
"""With nobody known, a patch that looks like people is looked at from this share of the photo on."""

_SURE_ANKLE: Final = 0.7
"""Of the three people who stand free on studio paper the surer ankle had 0.95 to 0.99; below three portraits that were
pasted on a shirt the model imagined ankles with up to 0.62."""

_SURE_FACE: Final = 0.55
"""Thin evidence and no clean line: faces imagined on bodies had 0.42 (in 37 pictures without people) and 0.52 (a drawn
figure on a blurred shirt); real people whose bodies end in the middle of the photo had 0.41, 0.43, 0.56 and 0.91."""

_MOST_CLOSER_LOOKS: Final = 3
"""Closer looks at single places in one photo: they cost 45 ms each."""


class MediaPipeDetector(PersonDetector):
    """Pose landmarks with masks are the main signal; faces find heads, and people whose body a look missed."""

    def __init__(self, directory: Path) -> None:
        """Load the models; takes about two seconds, so that the first customer does not wait for that.

        Args: directory: where `models.install` put them.
        """
        cv2.setNumThreads(1)
        self._models = MediaPipeModels.load(directory)

    def detect(self, photo: OpenPhoto) -> tuple[SeenPerson, ...]:
        look = Look.at(photo, None)
        faces = self._models.faces(look.pixels)
        people = self._with_rivals(photo, look, faces, self._people(look, faces))
        people = people or self._people_by_searching(photo, look)
        if any(_floats(person, look.source) for person in people) and look.has_plain_border():
            people = [person for person in people if not _floats(person, look.source)]
        return tuple(people)

    def _with_rivals(
        self, photo: OpenPhoto, look: Look, faces: Sequence[Face], people: list[SeenPerson]
    ) -> list[SeenPerson]:
        """Look closely at places where somebody seems to be who was not seen and may matter more."""
        windows = [*_around_missed_faces(look, faces, people), *self._around_missed_bodies(look, people)]
        for window in windows[:_MOST_CLOSER_LOOKS]:
            people = _distinct([*people, *self._people_for_certain(Look.at(photo, window))])
        return people

    def _people_by_searching(self, photo: OpenPhoto, look: Look) -> list[SeenPerson]:
        """Nobody was seen: try again with more light when it is dark, then piece by piece for people far away."""
        brighter = look.brightened()
        if brighter is not None:
            people = self._people_for_certain(brighter)
            if people:
                return people
        people = []
        for window in _pieces(look.source):
            piece = Look.at(photo, window)
            people = _distinct([*people, *self._people_for_certain(piece.brightened() or piece)])
        return people

    def _people(self, look: Look, faces: Sequence[Face]) -> list[SeenPerson]:
        seen = [_person(look, pose, _face_of(pose, faces)) for pose in self._models.poses(look.pixels)]
        return _distinct(person for person in seen if person is not None)

    def _people_for_certain(self, look: Look) -> list[SeenPerson]:
        """People in a closer look: where one was led to expect somebody, the pose model sees bodies in anything."""
        faces = self._models.faces(look.pixels)
        certain: list[SeenPerson] = []
        for pose in self._models.poses(look.pixels):
            face = _face_of(pose, faces)
            person = _person(look, pose, face)
            if person and _is_credible(person, pose, face, look.source):
                certain.append(person)
        return _distinct(certain)

    def _around_missed_bodies(self, look: Look, people: Sequence[SeenPerson]) -> list[Box]:
        """Squares around patches that look like people but belong to nobody known, the largest first."""
        largest = max((person.silhouette for person in people), default=0.0)
        least = max(_RIVAL_AREA * largest, _LEAST_BLOB)
        taken = max((person.box.area for person in people), default=0) / look.source.pixels
        if 1 - taken < least:
            return []  # there is no room for anybody else who matters
        mask = self._models.people_mask(look.pixels)
        for person in people:
            left, top, right, bottom = look.pixel_edges(person.box)
            mask[top:bottom, left:right] = 0
        return [
            box
            for part in largest_parts(mask, least * mask.size)
            if (box := look.box(*_square_around(part.left, part.top, part.right, part.bottom))) is not None
        ]


def _around_missed_faces(look: Look, faces: Iterable[Face], people: Sequence[SeenPerson]) -> list[Box]:
    """Squares that hold the body of every face that belongs to nobody known, if it is large enough to matter."""
    largest = max((person.head.height for person in people if person.head), default=0)
    boxes = (look.box(face.left, face.top, face.right, face.bottom) for face in faces)
    missed = [
        box
        for box in boxes
        if box is not None
        and box.height >= _RIVAL_FACE * largest
        and not any(person.head and person.head.shared_area(box) > 0.3 * box.area for person in people)
    ]
    around = (_around_body_of(box, look.source) for box in sorted(missed, key=lambda box: -box.area))
    return [window for window in around if window is not None]


def _square_around(left: float, top: float, right: float, bottom: float) -> Edges:
    """With a quarter more on every side: a patch is often only part of somebody."""
    half = 0.75 * max(right - left, bottom - top)
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - half, y - half, x + half, y + half


def _pieces(source: Size) -> list[Box]:
    """At most ten overlapping pieces that cover a photo: two thirds of its shorter edge, a quarter of its longer one or
    more, so that people look twice as large in them, or four times in a wide photo."""
    side = max(1, round(source.longest_edge / 4), round(min(source.width, source.height) * 0.67))
    width, height = min(side, source.width), min(side, source.height)

    def starts(length: int, piece: int) -> list[int]:
        count = ceil((length - piece) / (0.75 * piece)) + 1
        return [round((length - piece) * step / max(1, count - 1)) for step in range(count)]

    return [Box(x, y, width, height) for y in starts(source.height, height) for x in starts(source.width, width)]


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


def _person(look: Look, pose: Pose, face: Face | None) -> SeenPerson | None:
    silhouette = Silhouette.of(pose.mask)
    if silhouette is None:
        return None
    height, width = look.pixels.shape[:2]
    marks = [
        mark
        for mark in pose.landmarks.values()
        if mark.confidence >= LIKELY and 0 <= mark.x <= width and 0 <= mark.y <= height
    ]
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


def _floats(person: SeenPerson, source: Size) -> bool:
    """Whether a body ends in the middle of the photo without feet: on a plain ground that is a print on a product."""
    box, edge = person.box, 0.01 * source.longest_edge
    touches = min(box.x, box.y, source.width - box.right, source.height - box.bottom) <= edge
    ankles = (person.landmarks[part].confidence for part in (BodyPart.LEFT_ANKLE, BodyPart.RIGHT_ANKLE))
    return not touches and max(ankles) < _SURE_ANKLE


def _is_credible(person: SeenPerson, pose: Pose, face: Face | None, source: Size) -> bool:
    """Whether a body is whole or comes with a face, and with a sure one if it ends in the middle of the photo."""
    if face is None:
        return _is_whole_body(pose)
    return face.confidence >= _SURE_FACE or not _floats(person, source)


def _is_whole_body(pose: Pose) -> bool:
    """Somebody upright who is surely seen from head to feet, as people far away are; a pose in mere texture is not."""
    marks = pose.landmarks
    shoulders, hips, ankles = (
        (marks[left].y + marks[right].y) / 2
        for left, right in (
            (BodyPart.LEFT_SHOULDER, BodyPart.RIGHT_SHOULDER),
            (BodyPart.LEFT_HIP, BodyPart.RIGHT_HIP),
            (BodyPart.LEFT_ANKLE, BodyPart.RIGHT_ANKLE),
        )
    )
    across = [mark.x for mark in marks.values()]
    is_upright = marks[BodyPart.NOSE].y < shoulders < hips < ankles
    is_slim = ankles - marks[BodyPart.NOSE].y > 1.2 * (max(across) - min(across))
    return is_upright and is_slim and min(mark.confidence for mark in marks.values()) >= LIKELY


def _face_of(pose: Pose, faces: Iterable[Face]) -> Face | None:
    """The face that sits where the pose has its nose, eyes and mouth."""
    marks = [pose.landmarks[part] for part in _HEAD_PARTS]
    x, y = sum(mark.x for mark in marks) / len(marks), sum(mark.y for mark in marks) / len(marks)
    return max(
        (face for face in faces if face.left <= x <= face.right and face.top <= y <= face.bottom),
        key=lambda face: face.confidence,
        default=None,
    )


def _head(pose: Pose, face: Face | None, silhouette: Silhouette) -> Edges | None:
    """The visible head with hair and hat, its sides and top read from the silhouette around the face."""
    face_edges = (face.left, face.top, face.right, face.bottom) if face else _face_by_landmarks(pose)
    if face_edges is None:
        return None
    left, top, right, bottom = face_edges
    wide, high = right - left, bottom - top
    around = (left - _HAIR_BESIDE * wide, top - _HAIR_ABOVE * high, right + _HAIR_BESIDE * wide, bottom)
    hair = silhouette.head_extent(
        (left, top, right, bottom - _JAW * high), beside=_HAIR_OR_HAT * wide, above=_HAIR_OR_HAT * high
    )
    if hair:
        around = (min(hair[0], left), min(hair[1], top), max(hair[2], right), bottom)
    height, width = pose.mask.shape
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
