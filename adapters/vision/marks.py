"""Mark where somebody seems to be by a box of the general detector, a face, or both, and make a person out of that."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from adapters.vision.look import Look
from adapters.vision.networks import Detection, Edges, Mask
from adapters.vision.sightings import HAIR_OR_HAT, Silhouette, head_in
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
    """Somebody by a box, a face, or both; `edges` are the box, or where the body below the face may be."""

    edges: Edges
    box: Detection | None
    face: Detection | None

    @property
    def confidence(self) -> float:
        """As sure as both witnesses together: both would have to be wrong."""
        doubts = (1 - one.confidence for one in (self.box, self.face) if one)
        return 1 - float(np.prod(list(doubts)))

    @property
    def area(self) -> float:
        return self.box.edges.area if self.box else 0.0

    def share(self, look: Look) -> float:
        """About which share of the photo somebody in the box covers, 0-1."""
        return _FILL * self.area * look.scale**2 / look.source.pixels


def marks_of(boxes: Sequence[Detection], faces: Sequence[Detection]) -> list[Mark]:
    """Every box with the face that fits it best, every other box, and every other face."""
    inside = [(box, face) for box in boxes for face in faces if box.edges.holds_middle_of(face.edges)]
    pairs = [(_distance(box.edges, face.edges), box, face) for box, face in inside]
    own: dict[Detection, Detection] = {}
    for distance, box, face in sorted(pairs, key=lambda pair: pair[0] + _DOUBT * (1 - pair[1].confidence)):
        if distance <= _FARTHEST_FACE and box not in own and face not in own.values():
            own[box] = face
    alone = [face for face in faces if face not in own.values()]
    return [
        *(Mark(box.edges, box, own.get(box)) for box in boxes),
        *(Mark(_around_body(face.edges), None, face) for face in alone),
    ]


def _distance(box: Edges, face: Edges) -> float:
    """How far a face is from the middle of the box's upper end, in widths and heights of the box."""
    across = abs((face.left + face.right) - (box.left + box.right)) / 2 / box.width
    return across + max(0.0, face.top - box.top) / box.height


def person_at(look: Look, mark: Mark, mask: Mask) -> SeenPerson | None:
    """Somebody of whom no pose is known: the head by the face and the mask, the body by the box, or by the mask.

    Args: mask: how likely each pixel of the look belongs to any person.
    """
    own = np.zeros_like(mask)
    place = mark.edges.pixels
    own[place] = mask[place]
    silhouette = Silhouette.of(own)
    head = head_in(mark.face.edges, silhouette, look.height, look.width) if mark.face else None
    extent = mark.box.edges if mark.box else silhouette and silhouette.edges
    first, *others = [edges for edges in (head, extent) if edges]
    body = look.box(first.joined(*others))
    if body is None:
        return None
    area = silhouette.area if silhouette else 0.0
    return SeenPerson(
        box=body,
        head=(head and look.box(head)) or _upper_end(body),
        face=look.box(mark.face.edges) if mark.face else None,
        silhouette=mark.share(look) if mark.box else area * look.scale**2 / look.source.pixels,
        confidence=mark.confidence,
        outline=look.outline(own, body),
    )


def _around_body(face: Edges) -> Edges:
    return Edges(
        face.left - _BODY_BESIDE * face.width,
        face.top - HAIR_OR_HAT * face.height,
        face.right + _BODY_BESIDE * face.width,
        face.bottom + _BODY_BELOW * face.height,
    )


def _upper_end(place: Box) -> Box:
    """About where the head of somebody upright is: in the middle at the top, half as wide as the shoulders."""
    edge = max(1, round(0.45 * min(place.width, place.height / 1.3)))
    return Box(place.x + (place.width - edge) // 2, place.y, edge, edge)
