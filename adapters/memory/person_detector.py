"""A person detector that sees whom it was told about: for tests, and wherever no model is wanted."""

from application.ports.photos import OpenPhoto, PersonDetector
from domain.geometry import Box
from domain.person import SeenPerson, SeenPhoto


class InMemoryPersonDetector(PersonDetector):
    """Sees the same people in every photo, as far as they are inside it."""

    def __init__(self, *people: SeenPerson) -> None:
        self._people = people

    def detect(self, photo: OpenPhoto) -> SeenPhoto:
        size = photo.upright_size
        return SeenPhoto(size, Box.covering(size), tuple(seen for seen in self._people if seen.box.is_inside(size)))
