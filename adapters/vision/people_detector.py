"""Find people with two witnesses: poses with faces, and a general person detector where those are not sure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from adapters.vision import models
from adapters.vision.closer_looks import around_body_of, pieces, square_around
from adapters.vision.content_box import ContentEdges, content_edges
from adapters.vision.look import Look
from adapters.vision.mediapipe_models import Face, MediaPipeModels, Pose
from adapters.vision.printed import is_print
from adapters.vision.silhouette import largest_parts
from adapters.vision.ssd_detector import PersonBox, SsdDetector
from adapters.vision.witnessed import FILL, SURE_FACE, Witnessed, box_alone, face_alone, face_of, person_of
from application.ports.photos import OpenPhoto, PersonDetector
from domain.geometry import Box
from domain.person import SeenPerson, SeenPhoto

_SAME_PERSON: Final = 0.6
"""Two sightings are one person when this share of the smaller box lies in the other."""

_LIKELY_FACE: Final = 0.5
_IN_THE_MASK: Final = 0.9
"""Beside somebody sure, a likely face counts as well when so much of it is a person by the mask of all people."""

_LIKELY_BOX: Final = 0.35
_SURE_BOX: Final = 0.5
_BOX_OF_ANOTHER: Final = 0.7
_BOX_ALONE: Final = 0.88
"""What the general detector has to be sure of: to bear out a pose without a face; to be believed when nobody else was
seen, or beside somebody, if a closer look finds a body there; and to be believed alone."""

_BORNE_OUT: Final = 0.45
"""A box bears a pose out when it shares so much of the area of both."""

_NEVER: Final = 2.0
"""In a piece of the photo a box alone is not believed: a shadow on a field had 0.98 there."""

_RIVAL_AREA: Final = 0.25
"""Somebody who was missed is looked for when they may cover this share of the largest known silhouette: less would not
compete (domain/photo_quality.py), and boxes are not exact."""

_CLOSE_FACE: Final = 0.15
"""Somebody whose face is so high, as a share of the look, is close: a second mask says where the hair or hood ends."""

_RIVAL_FACE: Final = 0.4
"""The same for a face without a body, against the largest known face."""

_LEAST_BLOB: Final = 0.01
"""With nobody known, a patch that looks like people counts from this share of the photo on."""

_MOST_CLOSER_LOOKS: Final = 2
"""Closer looks at single places in one photo: they cost 45 ms each."""


class PeopleDetector(PersonDetector):
    """One look at the whole photo; more looks only where they can change who is framed or how many there are."""

    def __init__(self, directory: Path) -> None:
        """Load the models; takes about two seconds, so that the first customer does not wait for that.

        Args: directory: where `models.install` put them.
        """
        cv2.setNumThreads(1)
        self._models = MediaPipeModels.load(directory)
        self._boxes = SsdDetector(directory / models.PEOPLE)

    def detect(self, photo: OpenPhoto) -> SeenPhoto:
        look = Look.at(photo, None)
        edges = content_edges(look.pixels)
        content = _content(look, edges)
        if content != look.window:
            look = Look.at(photo, content)
        people, is_sideways = self._people(photo, look), False
        if not any(_has_sure_face(person) for person in people):
            turned = self._people_in_a_turned_look(photo, look)
            is_sideways = _surest(turned) > _surest(people)
            people = turned if is_sideways else people
        people = people or self._people_by_searching(photo, look)
        kept = tuple(person for person in people if not is_print(look, person))
        return SeenPhoto(photo.upright_size, content, kept, is_sideways, edges.is_filled)

    def _people(self, photo: OpenPhoto, look: Look) -> list[SeenPerson]:
        """Everybody in a look, those included who need a closer one."""
        faces, poses = self._models.faces(look.pixels), self._models.poses(look.pixels)
        is_close = len(poses) == 1 and any(face.height >= _CLOSE_FACE * look.height for face in faces)
        everybody = self._models.people_mask(look.pixels) if is_close else None
        seen = _distinct_sightings(_sightings(look, poses, faces, everybody))
        missed = _missed_faces(faces, seen)
        if len(seen) == 1 and not missed and seen[0].has_sure_face and not self._has_room(look, seen, everybody):
            return [seen[0].person]
        boxes = self._boxes.people(look.pixels, _LIKELY_BOX)
        credible = [borne_out for one in _apart(look, seen, boxes) if (borne_out := _borne_out(one, boxes)) is not None]
        people = _distinct(credible)
        people = self._with_missed_faces(photo, look, missed, boxes, people)
        return self._with_missed_boxes(photo, look, boxes, people)

    def _has_room(self, look: Look, seen: Sequence[Witnessed], everybody: NDArray[np.float32] | None) -> bool:
        """Whether something in the mask of `everybody`, large enough to matter, belongs to nobody known."""
        least = max(_RIVAL_AREA * max(one.person.silhouette for one in seen), _LEAST_BLOB)
        taken = np.zeros((look.height, look.width), np.bool_)
        for one in seen:
            taken[one.rows, one.columns] = True
        if 1 - taken.mean() < least:
            return False
        mask = self._models.people_mask(look.pixels) if everybody is None else everybody
        return bool(largest_parts(np.where(taken, 0, mask), least * mask.size))

    def _with_missed_faces(
        self,
        photo: OpenPhoto,
        look: Look,
        missed: Sequence[Face],
        boxes: Sequence[PersonBox],
        people: list[SeenPerson],
    ) -> list[SeenPerson]:
        """A sure face is a person: with the body that a closer look finds, or with what the other models tell of it."""
        mask: NDArray[np.float32] | None = None
        for looks, face in enumerate(missed):
            head = look.box(face.left, face.top, face.right, face.bottom)
            if head is None or any(person.face and _is_mostly_in(head, person.face) for person in people):
                continue
            mask = self._models.people_mask(look.pixels) if mask is None else mask
            if face.confidence < SURE_FACE and face.share_of(mask) < _IN_THE_MASK:
                continue
            alone = face_alone(look, face, boxes, mask)
            window = around_body_of(head, look.window) if looks < _MOST_CLOSER_LOOKS else None
            closer = self._bodies_around(photo, window, look, head) if alone and window else []
            bodies = (
                [
                    replace(body, confidence=max(body.confidence, alone.confidence))
                    for body in closer
                    if _agrees(body, alone)
                ]
                if alone
                else []
            )
            people = _distinct([*people, *(bodies or ([alone] if alone else []))])
        return people

    def _bodies_around(self, photo: OpenPhoto, window: Box, look: Look, head: Box) -> list[SeenPerson]:
        closer = Look.at(photo, window).turned(look.turns)
        sightings = _sightings(closer, self._models.poses(closer.pixels), self._models.faces(closer.pixels))
        return [
            one.person
            for one in sightings
            if one.has_sure_face and one.person.face and _is_mostly_in(head, one.person.face, 0.3)
        ]

    def _with_missed_boxes(
        self, photo: OpenPhoto, look: Look, boxes: Sequence[PersonBox], people: list[SeenPerson]
    ) -> list[SeenPerson]:
        """Somebody whom only the general detector sees, and who may matter."""
        largest = max((person.silhouette for person in people), default=0.0)
        least = _BOX_OF_ANOTHER if people else _SURE_BOX
        looks = 0
        for box in sorted(boxes, key=lambda one: -one.area):
            place = look.box(box.left, box.top, box.right, box.bottom)
            is_large = FILL * box.area / (look.width * look.height) >= _RIVAL_AREA * largest
            if place is None or box.confidence < least or not is_large or looks == _MOST_CLOSER_LOOKS:
                continue
            if any(_shares(place, person.box) >= 0.5 for person in people):
                continue
            looks += 1
            people = _distinct([*people, *self._person_in(photo, place, look, box.confidence)])
        return people

    def _person_in(
        self, photo: OpenPhoto, place: Box, look: Look, confidence: float, least_alone: float = _BOX_ALONE
    ) -> list[SeenPerson]:
        """The body in a box that the general detector drew, by a closer look, plain or mirrored; or the box alone."""
        window = square_around(place, look.window)
        closer = Look.at(photo, window).turned(look.turns)
        for view in (closer, closer.mirrored()):
            found = [
                one
                for one in _sightings(view, self._models.poses(view.pixels), self._models.faces(view.pixels))
                if _shares(place, one.person.box) >= 0.5 and one.person.head
            ]
            if found:
                best = max(found, key=lambda one: one.person.silhouette)
                return [best.with_confidence(confidence)]
        if confidence < least_alone:
            return []
        return [
            box_alone(
                closer, place, confidence, self._models.people_mask(closer.pixels), self._models.faces(closer.pixels)
            )
        ]

    def _people_in_a_turned_look(self, photo: OpenPhoto, look: Look) -> list[SeenPerson]:
        """People whose faces are upright only after a turn; nobody when none is sure."""
        faces = {turns: self._models.faces(look.turned(turns).pixels) for turns in (1, 3, 2)}
        best = max(faces, key=lambda turns: max((face.confidence for face in faces[turns]), default=0.0))
        if max((face.confidence for face in faces[best]), default=0.0) < SURE_FACE:
            return []
        people = self._people(photo, look.turned(best))
        return people if any(_has_sure_face(person) and person.landmarks for person in people) else []

    def _people_by_searching(self, photo: OpenPhoto, look: Look) -> list[SeenPerson]:
        """Nobody was seen: try more light when it is dark, a mirror, then piece by piece for people far away."""
        brighter = look.brightened()
        for view in (brighter, look.mirrored()):
            people = self._people_for_certain(view) if view else []
            if people:
                return people
        for window in pieces(look.window):
            piece = Look.at(photo, window)
            piece = piece.brightened() or piece
            for box in self._boxes.people(piece.pixels, _SURE_BOX)[:1]:
                place = piece.box(box.left, box.top, box.right, box.bottom)
                people = _distinct(
                    [*people, *(self._person_in(photo, place, look, box.confidence, _NEVER) if place else [])]
                )
            people = _distinct([*people, *self._faces_for_certain(photo, piece, look)])
        return people

    def _people_for_certain(self, look: Look) -> list[SeenPerson]:
        faces = self._models.faces(look.pixels)
        seen = _sightings(look, self._models.poses(look.pixels), faces)
        boxes = () if all(one.has_sure_face for one in seen) else self._boxes.people(look.pixels, _LIKELY_BOX)
        return _distinct(borne_out for one in seen if (borne_out := _borne_out(one, boxes)) is not None)

    def _faces_for_certain(self, photo: OpenPhoto, piece: Look, look: Look) -> list[SeenPerson]:
        faces = sorted(self._models.faces(piece.pixels), key=lambda face: -face.confidence)
        for face in faces[:1]:
            head = piece.box(face.left, face.top, face.right, face.bottom)
            window = around_body_of(head, look.window) if head and face.confidence >= SURE_FACE else None
            if head and window:
                return self._bodies_around(photo, window, look, head)
        return []


def _content(look: Look, edges: ContentEdges) -> Box:
    if (edges.right - edges.left, edges.bottom - edges.top) == (look.width, look.height):
        return look.window
    return look.box(edges.left, edges.top, edges.right, edges.bottom) or look.window


def _sightings(
    look: Look, poses: Iterable[Pose], faces: Sequence[Face], everybody: NDArray[np.float32] | None = None
) -> list[Witnessed]:
    seen = (person_of(look, pose, face_of(pose, faces), everybody) for pose in poses)
    return [one for one in seen if one is not None]


def _borne_out(one: Witnessed, boxes: Sequence[PersonBox]) -> SeenPerson | None:
    """A pose without a sure face counts when the general detector sees somebody there; poses are seen in anything."""
    matching = [box.confidence for box in boxes if one.overlap(box) >= _BORNE_OUT]
    if one.has_sure_face or matching:
        return one.with_confidence(max(matching, default=0.0))
    return None


def _apart(look: Look, seen: Sequence[Witnessed], boxes: Sequence[PersonBox]) -> list[Witnessed]:
    """Several people, each within the box that the general detector drew: masks run over into neighbors."""
    if len(seen) < 2:
        return list(seen)
    return [one.within(place) if (place := _own_box(look, one, boxes)) else one for one in seen]


def _own_box(look: Look, one: Witnessed, boxes: Sequence[PersonBox]) -> Box | None:
    """The sure box of a sighting with a tenth of room around it."""
    sure = [box for box in boxes if box.confidence >= _BOX_OF_ANOTHER and one.overlap(box) >= 0.4]
    if not sure:
        return None
    box = max(sure, key=one.overlap)
    across, down = 0.05 * (box.right - box.left), 0.05 * (box.bottom - box.top)
    return look.box(box.left - across, box.top - down, box.right + across, box.bottom + down)


def _missed_faces(faces: Sequence[Face], seen: Sequence[Witnessed]) -> list[Face]:
    """Sure faces that belong to nobody known and are large enough to matter, the largest first."""
    least = _LIKELY_FACE if any(one.has_sure_face for one in seen) else SURE_FACE
    sure = [face for face in faces if face.confidence >= least]
    largest = max((face.height for face in sure), default=0.0)
    taken = {one.face for one in seen}
    missed = [face for face in sure if face not in taken and face.height >= _RIVAL_FACE * largest]
    return sorted(missed, key=lambda face: -face.height)


def _surest(people: Sequence[SeenPerson]) -> float:
    return max((person.confidence for person in people), default=0.0)


def _has_sure_face(person: SeenPerson) -> bool:
    return person.face is not None and person.confidence >= SURE_FACE


def _shares(one: Box, other: Box) -> float:
    """The shared area of two boxes over that of both."""
    shared = one.shared_area(other)
    return shared / (one.area + other.area - shared)


def _is_mostly_in(box: Box, other: Box, share: float = 0.5) -> bool:
    return box.shared_area(other) >= share * box.area


def _distinct_sightings(seen: Iterable[Witnessed]) -> list[Witnessed]:
    kept: list[Witnessed] = []
    for one in sorted(seen, key=lambda one: -one.person.silhouette):
        if not any(_is_same(one.person, other.person) for other in kept):
            kept.append(one)
    return kept


def _distinct(people: Iterable[SeenPerson]) -> list[SeenPerson]:
    """The same people without those seen twice: one with a face stays, else the larger silhouette.

    A pose without a face may be one body made of two people whose faces are known.
    """
    kept: list[SeenPerson] = []
    for person in sorted(people, key=lambda seen: (seen.face is None, -seen.silhouette)):
        if not any(_is_same(person, other) for other in kept):
            kept.append(person)
    return kept


def _agrees(body: SeenPerson, alone: SeenPerson) -> bool:
    """Whether a closer look's body is that of the face: a mask may have taken in the neighbors."""
    return _shares(body.box, alone.box) >= 0.4


def _is_same(one: SeenPerson, other: SeenPerson) -> bool:
    if one.face and other.face:
        return one.face.shared_area(other.face) >= 0.4 * min(one.face.area, other.face.area)
    if _shares(one.box, other.box) >= 0.5:
        return True
    if one.head and other.head:
        smaller = min(one.head.area, other.head.area)
        return one.head.shared_area(other.head) >= 0.5 * smaller
    return one.box.shared_area(other.box) >= _SAME_PERSON * min(one.box.area, other.box.area)
