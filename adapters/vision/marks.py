"""Mark where somebody seems to be by a box of the general detector, a face, or both, and make a person out of that."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adapters.vision.look import Look
from adapters.vision.mediapipe_models import Face
from adapters.vision.silhouette import Silhouette
from adapters.vision.ssd_detector import PersonBox
from adapters.vision.witnessed import HAIR_OR_HAT, Edges, around, head_in
from domain.geometry import Box
from domain.person import SeenPerson

_FILL: Final = 0.45
"""A body covers about this share of its box."""

_FARTHEST_FACE: Final = 0.6
"""A face that is the box's own is no farther from the middle of its top than so many of its heights and widths."""

_DOUBT: Final = 0.5
"""A box that was seen less surely is farther by so much of the doubt: one around two people takes nobody's face."""

_BODY_BESIDE: Final = 1.3
_BODY_BELOW: Final = 4.0
"""Where the body of a face alone is looked for: so many face widths beside it and face heights below."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Somebody by a box, a face, or both."""

    box: PersonBox | None
    face: Face | None

    @property
    def confidence(self) -> float:
        """As sure as both witnesses together: both would have to be wrong."""
        doubts = (1 - one.confidence for one in (self.box, self.face) if one)
        return 1 - float(np.prod(list(doubts)))

    @property
    def edges(self) -> Edges:
        """Of the box, or of where the body below the face may be."""
        if self.box:
            return self.box.edges
        return _around_body(self.face) if self.face else (0, 0, 0, 0)

    @property
    def area(self) -> float:
        return self.box.area if self.box else 0.0

    def share(self, look: Look) -> float:
        """About which share of the photo somebody in the box covers, 0-1."""
        return _FILL * self.area * look.scale**2 / look.source.pixels


def marks_of(boxes: Sequence[PersonBox], faces: Sequence[Face]) -> list[Mark]:
    """Every box with the face that fits it best, every other box, and every other face."""
    pairs = [(_distance(box, face), box, face) for box in boxes for face in faces if box.holds(*face.edges)]
    own: dict[PersonBox, Face] = {}
    for distance, box, face in sorted(pairs, key=lambda pair: pair[0] + _DOUBT * (1 - pair[1].confidence)):
        if distance <= _FARTHEST_FACE and box not in own and face not in own.values():
            own[box] = face
    alone = [face for face in faces if face not in own.values()]
    return [*(Mark(box, own.get(box)) for box in boxes), *(Mark(None, face) for face in alone)]


def _distance(box: PersonBox, face: Face) -> float:
    """How far a face is from the middle of the box's upper end, in widths and heights of the box."""
    across = abs((face.left + face.right) - (box.left + box.right)) / 2 / (box.right - box.left)
    return across + max(0.0, face.top - box.top) / (box.bottom - box.top)


def person_at(look: Look, mark: Mark, mask: NDArray[np.float32]) -> SeenPerson | None:
    """Somebody of whom no pose is known: the head by the face and the mask, the body by the box, or by the mask.

    Args: mask: how likely each pixel of the look belongs to any person.
    """
    left, top, right, bottom = mark.edges
    own = np.zeros_like(mask)
    rows, columns = slice(max(0, int(top)), int(bottom)), slice(max(0, int(left)), int(right))
    own[rows, columns] = mask[rows, columns]
    silhouette = Silhouette.of(own)
    corners = [head_in(mark.face.edges, silhouette, look.height, look.width)] if mark.face else []
    head = look.box(*corners[0]) if mark.face else None
    if mark.box:
        corners.append(mark.box.edges)
    elif silhouette:
        corners.append((silhouette.left, silhouette.top, silhouette.right, silhouette.bottom))
    body = look.box(*around(corners))
    if body is None:
        return None
    area = silhouette.area if silhouette else 0.0
    return SeenPerson(
        box=body,
        head=head or _upper_end(body),
        face=look.box(*mark.face.edges) if mark.face else None,
        silhouette=mark.share(look) if mark.box else area * look.scale**2 / look.source.pixels,
        confidence=mark.confidence,
        outline=look.outline(own, body),
    )


def _around_body(face: Face) -> Edges:
    wide, high = face.right - face.left, face.height
    return (
        face.left - _BODY_BESIDE * wide,
        face.top - HAIR_OR_HAT * high,
        face.right + _BODY_BESIDE * wide,
        face.bottom + _BODY_BELOW * high,
    )


def _upper_end(place: Box) -> Box:
    """About where the head of somebody upright is: in the middle at the top, half as wide as the shoulders."""
    edge = max(1, round(0.45 * min(place.width, place.height / 1.3)))
    return Box(place.x + (place.width - edge) // 2, place.y, edge, edge)
