"""Find people with two witnesses: poses with faces, and a general person detector where those are not sure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from adapters.vision.content_box import look_at_content
from adapters.vision.look import Look, around_body_of, pieces, square_around
from adapters.vision.marks import Mark, marks_of, person_at
from adapters.vision.networks import Detection, Mask, Networks
from adapters.vision.sightings import SURE_FACE, Sighting, is_print, is_upright, largest_patch, may_lie, sightings
from application.ports.photos import PersonDetector, ViewablePhoto
from domain.geometry import Box
from domain.person import SeenPerson, SeenPhoto, main_person

_SAME_PERSON: Final = 0.6
"""Two sightings are one person when this share of the smaller box lies in the other."""

_LIKELY_FACE: Final = 0.5
_IN_THE_MASK: Final = 0.9
_FACE_ALONE: Final = 0.75
"""Without a pose and a box of its own, a face has to be surer (among stars one had 0.63, on a camera in somebody's hand
0.63, too), or to lie so far in the mask of all people: likely outside of all boxes, sure inside one, since faces are
imagined on bodies."""

_LIKELY_BOX: Final = 0.35
_SURE_BOX: Final = 0.5
_BOX_OF_ANOTHER: Final = 0.7
_BOX_ALONE: Final = 0.88
"""What the general detector has to be sure of: to bear out a pose without a face; to be believed when nobody larger was
seen, or beside somebody, if a closer look finds a body there; and to be believed alone, or together with its face."""

_ROOM: Final = 0.05
"""A body may reach out of its box by this share of it."""

_BORNE_OUT: Final = 0.45
"""A box bears a pose out when it shares so much of the area of both."""

_RIVAL_AREA: Final = 0.2
_RIVAL_FACE: Final = 0.4
"""Somebody who covers less than this share of what the largest person covers, or has a smaller face, would not compete
(domain/photo.py): nobody looks for them, and they are not counted."""

_CLOSE_FACE: Final = 0.15
"""Somebody whose face is so high, as a share of the look, is close: a second mask says where the hair or hood ends."""

_LEAST_BLOB: Final = 0.01
"""A patch that looks like people counts from this share of the photo on."""

_MOST_CLOSER_LOOKS: Final = 2
"""Closer looks at places that may hold somebody: they cost 45 ms each."""


class PeopleDetector(PersonDetector):
    """One look at the whole photo; more looks only where they can change who is framed or how many there are."""

    def __init__(self, directory: Path) -> None:
        """Args: directory: where `models.install` put the models; to load them takes about two seconds."""
        cv2.setNumThreads(1)
        self._networks = Networks(directory)

    def detect(self, photo: ViewablePhoto) -> SeenPhoto:
        try:
            return self._seen_in(photo)
        finally:
            self._networks.forget()

    def _seen_in(self, photo: ViewablePhoto) -> SeenPhoto:
        look, with_blur = look_at_content(photo)
        look = look.heavier_on_the_left()
        people, turns = self._people(photo, look), 0
        if not any(_has_sure_face(person) and is_upright(person.landmarks) for person in people):
            turned = self._turned_upright(look)
            people, turns = (self._people(photo, turned), turned.turns_of_photo) if turned else (people, 0)
        people = people or self._people_by_searching(photo, look)
        kept = tuple(person for person in people if not is_print(look, person))
        return SeenPhoto(photo.upright_size, look.window, kept, with_blur, turns)

    def _people(self, photo: ViewablePhoto, look: Look) -> list[SeenPerson]:
        """Everybody in a look who matters, those included who need a closer one."""
        faces, poses = self._networks.faces(look.pixels), self._networks.poses(look.pixels)
        is_close = any(face.edges.height >= _CLOSE_FACE * look.height for face in faces)
        everybody = self._networks.people_mask(look.pixels) if poses and is_close else None
        one = next(iter(sightings(look, poses, faces, everybody)), None)
        if one and one.has_sure_face and not _others(faces, one) and not self._has_room(look, one):
            return [one.person]
        boxes = self._networks.people(look.pixels, _LIKELY_BOX)
        first = one and _borne_out(one, boxes)
        people = self._group(photo, look, boxes, faces)
        if first and len(people) < 2 and (first.face or not any(person.face for person in people)):
            people = [first, *(person for person in people if not _is_same(first, person))]
        return self._with_body_of_main_person(photo, look, people, one)

    def _has_room(self, look: Look, one: Sighting) -> bool:
        """Whether something that looks like people, large enough to matter, does not belong to this one."""
        least = max(_RIVAL_AREA * one.person.silhouette, _LEAST_BLOB)
        beside = np.ones((look.height, look.width), np.bool_)
        beside[one.edges.pixels] = False
        if beside.mean() < least:
            return False
        return largest_patch(self._networks.people_mask(look.pixels) * beside) >= least * beside.size

    def _group(
        self, photo: ViewablePhoto, look: Look, boxes: Sequence[Detection], faces: Sequence[Detection]
    ) -> list[SeenPerson]:
        """Everybody by boxes and faces, which hardly change when the same photo comes again; poses of several do."""
        marks = marks_of(boxes, faces)
        if not marks:
            return []
        mask = self._networks.people_mask(look.pixels)
        sure = [mark for mark in marks if _is_credible(mark, boxes, mask)]
        people = _distinct(person for mark in _large(sure) if (person := person_at(look, mark, mask)) is not None)
        unsure = [mark for mark in marks if mark.box and mark not in sure]
        return self._with_unsure_boxes(photo, look, unsure, people)

    def _with_unsure_boxes(
        self, photo: ViewablePhoto, look: Look, marks: Sequence[Mark], people: list[SeenPerson]
    ) -> list[SeenPerson]:
        """Boxes that need a closer look, which has to find a body there."""
        largest, looks = max((person.silhouette for person in people), default=0.0), 0
        for mark in sorted(marks, key=lambda one: -one.area):
            place = look.box(mark.edges)
            is_large = mark.share(look) >= _RIVAL_AREA * largest
            least = _BOX_OF_ANOTHER if mark.share(look) <= largest else _SURE_BOX
            if place is None or mark.confidence < least or not is_large or looks == _MOST_CLOSER_LOOKS:
                continue
            if any(place.overlap(person.box) >= 0.5 for person in people):
                continue
            looks += 1
            if one := self._body_in(photo, look, place):
                person = replace(one.with_confidence(mark.confidence), silhouette=mark.share(look))
                people = _distinct([*people, person])
        return people

    def _with_body_of_main_person(
        self, photo: ViewablePhoto, look: Look, people: list[SeenPerson], first: Sighting | None
    ) -> list[SeenPerson]:
        """The same people, and of the one who is meant the joints and the outline, by a closer look or the first."""
        person = main_person(people, look.window)
        if person is None or person.landmarks:
            return people
        one = self._body_in(photo, look, person.box, person.face)
        if one is None and first and len(people) == 1 and first.person.box.overlap(person.box) >= 0.5:
            one = first
        if one is None:
            return people
        confidence = max(one.with_confidence(person.confidence).confidence, person.confidence)
        if len(people) == 1:  # the mask of all people is theirs alone: the pose's own may end at a forehead
            head = one.person.head and person.head and one.person.head.joined(person.head)
            body = replace(one.person, box=one.person.box.joined(person.box), head=head or person.head)
        else:
            body = one.within(person.box.widened(_ROOM).cut_to(look.window) or person.box)
        body = replace(body, silhouette=person.silhouette, confidence=confidence)
        return [body if other is person else other for other in people]

    def _body_in(self, photo: ViewablePhoto, look: Look, place: Box | None, face: Box | None = None) -> Sighting | None:
        """The body in a place or around a face, by a closer look, plain or mirrored."""
        window = square_around(place, look.window) if place else face and around_body_of(face, look.window)
        if not window:
            return None
        closer = look.closer(photo, window)
        for view in (closer, closer.mirrored()):
            for one in self._sightings(view):
                if one.person.head and _is_body_of(one.person, place, face):
                    return one
        return None

    def _sightings(self, look: Look) -> list[Sighting]:
        return sightings(look, self._networks.poses(look.pixels), self._networks.faces(look.pixels))

    def _turned_upright(self, look: Look) -> Look | None:
        """The look after the turn that makes a sure face upright, if both witnesses see a body stand below it then."""
        turned = {turns: look.turned(turns) for turns in (0, 1, 3, 2)}
        faces = {turns: self._networks.faces(view.pixels) for turns, view in turned.items()}
        best = max(faces, key=lambda turns: max((face.confidence for face in faces[turns]), default=0.0))
        if best == 0 or max((face.confidence for face in faces[best]), default=0.0) < SURE_FACE:
            return None
        view = turned[best]
        standing = [
            one
            for one in sightings(view, self._networks.poses(view.pixels), faces[best])
            if one.has_sure_face and one.is_upright and not (best % 2 and may_lie(one.person, look.window))
        ]
        boxes = self._networks.people(view.pixels, _SURE_BOX) if standing else ()
        return view if any(one.edges.overlap(box.edges) >= _BORNE_OUT for one in standing for box in boxes) else None

    def _people_by_searching(self, photo: ViewablePhoto, look: Look) -> list[SeenPerson]:
        """Nobody was seen: try more light when it is dark, a mirror, then piece by piece for people far away."""
        brighter = look.brightened()
        for view in (brighter, look.mirrored()):
            people = self._people_for_certain(view) if view else []
            if people:
                return people
        for window in pieces(look.window):
            piece = look.closer(photo, window)
            people = _distinct([*people, *self._people_in_a_piece(photo, look, piece.brightened() or piece)])
        return people

    def _people_for_certain(self, look: Look) -> list[SeenPerson]:
        seen = self._sightings(look)
        boxes = () if all(one.has_sure_face for one in seen) else self._networks.people(look.pixels, _LIKELY_BOX)
        return _distinct(borne_out for one in seen if (borne_out := _borne_out(one, boxes)) is not None)

    def _people_in_a_piece(self, photo: ViewablePhoto, look: Look, piece: Look) -> Iterator[SeenPerson]:
        """Somebody with a body: in a piece neither a box nor a face is believed alone (a shadow had 0.98 there)."""
        for box in self._networks.people(piece.pixels, _SURE_BOX)[:1]:
            place = piece.box(box.edges)
            if place and (one := self._body_in(photo, look, place)):
                yield one.with_confidence(box.confidence)
        for face in sorted(self._networks.faces(piece.pixels), key=lambda one: -one.confidence)[:1]:
            head = piece.box(face.edges)
            if head and face.confidence >= SURE_FACE and (one := self._body_in(photo, look, None, head)):
                yield one.person


def _borne_out(one: Sighting, boxes: Sequence[Detection]) -> SeenPerson | None:
    """A pose without a sure face counts when the general detector sees somebody there; poses are seen in anything."""
    matching = [box.confidence for box in boxes if one.edges.overlap(box.edges) >= _BORNE_OUT]
    if one.has_sure_face or matching:
        return one.with_confidence(max(matching, default=0.0))
    return None


def _is_credible(mark: Mark, boxes: Sequence[Detection], mask: Mask) -> bool:
    """Whether a box, a face or both are surely somebody."""
    face = mark.face
    if mark.box and (mark.confidence >= _BOX_ALONE or (face and face.confidence >= SURE_FACE)):
        return True
    if mark.box or face is None:
        return False
    least = SURE_FACE if any(box.edges.holds_middle_of(face.edges) for box in boxes) else _LIKELY_FACE
    return face.confidence >= _FACE_ALONE or (face.confidence >= least and _share_of(mask, face) >= _IN_THE_MASK)


def _share_of(mask: Mask, face: Detection) -> float:
    """How likely a face belongs to what a mask shows, 0-1."""
    part = mask[face.edges.pixels]
    return float(part.mean()) if part.size else 0.0


def _large(marks: Sequence[Mark]) -> list[Mark]:
    """Those that are large enough to matter beside the largest."""
    area = max((mark.area for mark in marks if mark.box), default=0.0)
    height = max((mark.face.edges.height for mark in marks if mark.face), default=0.0)
    return [
        mark
        for mark in marks
        if (mark.box and mark.area >= _RIVAL_AREA * area)
        or (mark.box is None and mark.face and mark.face.edges.height >= _RIVAL_FACE * height)
    ]


def _others(faces: Sequence[Detection], one: Sighting) -> bool:
    """Whether there is another face that may matter."""
    likely = [face for face in faces if face.confidence >= _LIKELY_FACE and face is not one.face]
    return any(one.face is None or face.edges.height >= _RIVAL_FACE * one.face.edges.height for face in likely)


def _is_body_of(person: SeenPerson, place: Box | None, face: Box | None) -> bool:
    """Whether a closer look shows who is meant: by the face if there is one, else by the place."""
    if face:
        return person.face is not None and face.shared_area(person.face) >= 0.3 * face.area
    return place is not None and place.overlap(person.box) >= 0.5


def _has_sure_face(person: SeenPerson) -> bool:
    return person.face is not None and person.confidence >= SURE_FACE


def _distinct(people: Iterable[SeenPerson]) -> list[SeenPerson]:
    """The same people without those seen twice: one with a face stays, else the larger silhouette.

    A pose without a face may be one body made of two people whose faces are known.
    """
    kept: list[SeenPerson] = []
    for person in sorted(people, key=lambda seen: (seen.face is None, -seen.silhouette)):
        if not any(_is_same(person, other) for other in kept):
            kept.append(person)
    return kept


def _is_same(one: SeenPerson, other: SeenPerson) -> bool:
    if one.face and other.face:
        return one.face.shared_area(other.face) >= 0.4 * min(one.face.area, other.face.area)
    if one.box.overlap(other.box) >= 0.5:
        return True
    if one.head and other.head:
        smaller = min(one.head.area, other.head.area)
        return one.head.shared_area(other.head) >= 0.5 * smaller
    return one.box.shared_area(other.box) >= _SAME_PERSON * min(one.box.area, other.box.area)
