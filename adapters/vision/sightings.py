"""Make a person out of a pose with its mask and face, the head read from the silhouette; tell people from prints."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from adapters.vision.look import Look
from adapters.vision.networks import Detection, Edges, Mask, Pose
from domain.geometry import Box
from domain.person import ANKLES, EARS, EYES, HIPS, LIKELY, MOUTH, SHOULDERS, BodyPart, Landmark, SeenPerson, middle_of

SURE_FACE: Final = 0.6
"""Faces this sure were never wrong on 181 photos; faces imagined on bodies and prints had 0.42 and 0.52."""

_HEAD_PARTS: Final = (BodyPart.NOSE, *EYES, *EARS, *MOUTH)

_LEANS: Final = 0.3
_LOW: Final = 0.62
"""Who stands leans by less, hips beside shoulders over hips below them: of 40 who stand or sit nearly all had up to
0.22. In tall photos laid on their side the middle of a body was at 0.38 to 0.58 of the height; who lies is lower."""

_HAIR_ABOVE: Final = 0.55
_HAIR_BESIDE: Final = 0.25
HAIR_OR_HAT: Final = 1.2
_JAW: Final = 0.25
_CHIN: Final = 0.15
"""In units of the face's height and width. A head reaches 55 % above the face and 25 % beside it, unless the silhouette
around the face, searched up to 120 % away for high hair, a hat or the back of a turned head, tells better. Beside the
jaw (the lowest quarter) shoulders and collars begin; the face's box may end at the lower lip: the chin adds 15 %."""

_INSIDE: Final = 0.5
"""A pixel belongs to the person when that is more likely than not."""

_STEP: Final = 2
"""Every second pixel of a mask is enough: it was scaled up from 256 x 256 by MediaPipe."""

_LEAST_PART: Final = 0.1
"""A separate part of a mask counts from this share of the largest on: a leg behind a bench does, a speck does not."""

_LEAST_COLUMN: Final = 0.12
"""A column beside a face is hair when this share of it is covered: less is a fringe of the mask."""

_PLAIN: Final = 14
_MOST_BESIDE: Final = 0.05
"""A ground is plain when all of the photo's border but this share is within so many levels, of 255, of its median."""

_SURE_ANKLE: Final = 0.7
"""Of the three people who stand free on studio paper the surer ankle had 0.95 to 0.99; below three portraits that were
pasted on a shirt the model imagined ankles with up to 0.62."""

_AROUND: Final = 0.12
_COVERED: Final = 0.9
_COVERED_SIDES: Final = 3
"""So far beside a body, as a share of it, such a share of each line is not the ground, on so many sides."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A person as one look shows them, with the face that belongs to the body and where the body lies in the look."""

    person: SeenPerson
    face: Detection | None
    edges: Edges
    is_upright: bool

    @property
    def has_sure_face(self) -> bool:
        return self.face is not None and self.face.confidence >= SURE_FACE

    def with_confidence(self, box_confidence: float) -> SeenPerson:
        """The person, as sure as both witnesses together: both would have to be wrong."""
        doubt = (1 - (self.face.confidence if self.face else 0.0)) * (1 - box_confidence)
        return replace(self.person, confidence=1 - doubt)

    def within(self, place: Box) -> SeenPerson:
        """Without what the mask and joints took from a neighbor: the head, and of the rest what lies in a box."""
        own = self.person.box.cut_to(place)
        if own is None:
            return self.person
        own = own.joined(self.person.head) if self.person.head else own
        share = min(1.0, own.area / self.person.box.area)
        return replace(self.person, box=own, silhouette=self.person.silhouette * share)


@dataclass(frozen=True, slots=True)
class Silhouette:
    """The parts of a mask that count. All lengths are pixels of the mask that it was made from."""

    parts: NDArray[np.bool_]
    edges: Edges
    area: float

    @classmethod
    def of(cls, mask: Mask) -> Self | None:
        """Returns: None when the mask is empty."""
        labels, stats = _patches(mask)
        areas = stats[1:, cv2.CC_STAT_AREA]
        if not len(areas):
            return None
        parts = np.concatenate(([False], areas >= _LEAST_PART * areas.max()))[labels]
        x, y, width, height = cv2.boundingRect(parts.astype(np.uint8))
        right, bottom = min((x + width) * _STEP, mask.shape[1]), min((y + height) * _STEP, mask.shape[0])
        return cls(parts, Edges(x * _STEP, y * _STEP, right, bottom), float(np.count_nonzero(parts)) * _STEP * _STEP)

    def hair_around(self, face: Edges) -> tuple[float, float, float] | None:
        """Left, top and right of what reaches from the middle of a face without a gap: the head with hair or hat.

        Returns: None where the silhouette does not hold the face.
        """
        without_jaw = face._replace(bottom=face.bottom - _JAW * face.height)
        left, top, right, bottom = (round(edge / _STEP) for edge in without_jaw)
        beside, above = (round(HAIR_OR_HAT * length / _STEP) for length in (face.width, face.height))
        first_row, first_column = max(0, top - above), max(0, left - beside)
        part = self.parts[first_row : max(0, bottom), first_column : max(0, right + beside)]
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
        return (first_column + start) * _STEP, (first_row + len(rows) - crown) * _STEP, (first_column + end) * _STEP


def largest_patch(mask: Mask) -> float:
    """The area of the largest connected patch of a mask, in pixels."""
    _, stats = _patches(mask)
    return float(stats[1:, cv2.CC_STAT_AREA].max(initial=0)) * _STEP * _STEP


def _patches(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """OpenCV's labels and statistics of the connected patches; the first is the ground."""
    binary = (mask[::_STEP, ::_STEP] > _INSIDE).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=8)
    return labels, stats


def _reach(line: NDArray[np.bool_], middle: int) -> tuple[int, int]:
    """First and behind the last of the unbroken run of true values around `middle`."""
    gaps = np.flatnonzero(~line)
    before, after = gaps[gaps < middle], gaps[gaps > middle]
    return (int(before[-1]) + 1 if len(before) else 0), (int(after[0]) if len(after) else len(line))


def sightings(
    look: Look, poses: Iterable[Pose], faces: Iterable[Detection], everybody: Mask | None = None
) -> list[Sighting]:
    """Everybody of whom there is a pose: those with a sure face first, the largest first.

    Args: everybody: the mask of all people, for somebody close by who is alone: the pose's own mask may end at the
    forehead where a hood or big hair goes on.
    """
    found = [one for pose in poses if (one := _sighting(look, pose, _face_of(pose, faces), everybody)) is not None]
    return sorted(found, key=lambda one: (not one.has_sure_face, -one.person.silhouette))


def _sighting(look: Look, pose: Pose, face: Detection | None, everybody: Mask | None) -> Sighting | None:
    """Somebody by pose, mask and face; None when the mask is empty or the body lies outside the photo."""
    silhouette = Silhouette.of(pose.mask)
    if silhouette is None:
        return None
    head = _head(pose, face, silhouette)
    wider = None if everybody is None else Silhouette.of(np.maximum(everybody, pose.mask))
    if head and wider and (second := _head(pose, face, wider)):
        head = head.joined(second)._replace(bottom=head.bottom)
    marks = [mark for mark in pose.landmarks.values() if _is_seen(mark, look.width, look.height)]
    joints = [Edges(mark.x, mark.y, mark.x, mark.y) for mark in marks]
    edges = silhouette.edges.joined(*joints, *([head] if head else []))
    body = look.box(edges)
    if body is None:
        return None
    person = SeenPerson(
        box=body,
        head=look.box(head) if head else None,
        face=look.box(face.edges) if face else None,
        silhouette=silhouette.area * look.scale**2 / look.source.pixels,
        landmarks=look.landmarks(pose.landmarks),
        confidence=face.confidence if face else 0.0,
        outline=look.outline(pose.mask, body),
    )
    return Sighting(person, face, edges, is_upright(pose.landmarks))


def _face_of(pose: Pose, faces: Iterable[Detection]) -> Detection | None:
    """The surest face that sits where the pose has its nose, eyes and mouth."""
    marks = [pose.landmarks[part] for part in _HEAD_PARTS]
    x, y = sum(mark.x for mark in marks) / len(marks), sum(mark.y for mark in marks) / len(marks)
    own = (face for face in faces if face.edges.holds_middle_of(Edges(x, y, x, y)))
    return max(own, key=lambda face: face.confidence, default=None)


def is_upright(marks: Mapping[BodyPart, Landmark]) -> bool:
    """Whether the nose is above the shoulders, and the hips are more below them than beside them."""
    if not marks:
        return False
    (x, y), (hip_x, hip_y) = middle_of(marks, SHOULDERS), middle_of(marks, HIPS)
    return marks[BodyPart.NOSE].y < y and hip_y - y > abs(hip_x - x)


def may_lie(person: SeenPerson, photo: Box) -> bool:
    """Whether a body that is seen on its side in a photo may lie in it: aslant, or low in a wide photo."""
    across, down = person.torso
    is_low = person.box.center[1] > photo.y + _LOW * photo.height
    return abs(down) > _LEANS * abs(across) or (photo.width > photo.height and is_low)


def _head(pose: Pose, face: Detection | None, silhouette: Silhouette) -> Edges | None:
    """The visible head with hair and hat, its sides and top read from the silhouette around the face."""
    edges = face.edges if face else _face_by_landmarks(pose)
    return None if edges is None else head_in(edges, silhouette, *pose.mask.shape)


def head_in(face: Edges, silhouette: Silhouette | None, height: int, width: int) -> Edges:
    """A face's head with hair or hat by a silhouette, in a look of this height and width."""
    beside, above = _HAIR_BESIDE * face.width, _HAIR_ABOVE * face.height
    left, top, right = face.left - beside, face.top - above, face.right + beside
    if hair := silhouette and silhouette.hair_around(face):
        left, top, right = min(hair[0], face.left), min(hair[1], face.top), max(hair[2], face.right)
    return Edges(max(0, left), max(0, top), min(width, right), min(height, face.bottom + _CHIN * face.height))


def _face_by_landmarks(pose: Pose) -> Edges | None:
    """About where the face is when it is turned away: a square around eyes, ears and mouth, which span half of it."""
    height, width = pose.mask.shape
    marks = [pose.landmarks[part] for part in _HEAD_PARTS]
    if not any(_is_seen(mark, width, height) for mark in marks):
        return None
    left, right = min(mark.x for mark in marks), max(mark.x for mark in marks)
    top, bottom = min(mark.y for mark in marks), max(mark.y for mark in marks)
    half = max(right - left, 2 * (bottom - top), 0.4 * _shoulder_width(pose)) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return Edges(x - half, y - half, x + half, y + half)


def _is_seen(mark: Landmark, width: int, height: int) -> bool:
    return mark.confidence >= LIKELY and 0 <= mark.x <= width and 0 <= mark.y <= height


def _shoulder_width(pose: Pose) -> float:
    left, right = pose.landmarks[BodyPart.LEFT_SHOULDER], pose.landmarks[BodyPart.RIGHT_SHOULDER]
    return float(np.hypot(left.x - right.x, left.y - right.y))


def is_print(look: Look, person: SeenPerson) -> bool:
    """Whether a body ends in the middle of a plain ground, without feet, and something that is not the ground goes
    around it on three sides: that is a picture on a product. Around a real person on paper the paper shows."""
    if not _floats(person, look.window):
        return False
    pixels, strip = look.pixels.astype(np.int16), max(1, min(look.width, look.height) // 50)
    ends = (pixels[:strip], pixels[-strip:], pixels[:, :strip], pixels[:, -strip:])
    border = np.concatenate([end.reshape(-1, 3) for end in ends])
    ground = np.median(border, axis=0)
    if _share_beside(ground, border) > _MOST_BESIDE:
        return False
    x, y, scale, box = look.window.x, look.window.y, look.scale, person.box
    across, down = max(2.0, _AROUND * box.width / scale), max(2.0, _AROUND * box.height / scale)
    left, right = int(max(0, (box.x - x) / scale - across)), int((box.right - x) / scale + across)
    top, bottom = int(max(0, (box.y - y) / scale - down)), int((box.bottom - y) / scale + down)
    part = pixels[top : bottom + 1, left : right + 1]
    sides = (part[0], part[-1], part[:, 0], part[:, -1])
    return sum(_share_beside(ground, side) >= _COVERED for side in sides) >= _COVERED_SIDES


def _share_beside(ground: NDArray[np.float64], pixels: NDArray[np.int16]) -> float:
    """Of pixels that do not have the color of the ground."""
    return float(np.mean(np.abs(pixels - ground).max(axis=1) > _PLAIN))


def _floats(person: SeenPerson, window: Box) -> bool:
    """Whether a body ends inside the photo and no feet are seen."""
    box, edge = person.box, 0.01 * max(window.width, window.height)
    touches = min(box.x - window.x, box.y - window.y, window.right - box.right, window.bottom - box.bottom) <= edge
    ankles = [person.landmarks[part].confidence for part in ANKLES if part in person.landmarks]
    return not touches and max(ankles, default=0.0) < _SURE_ANKLE
