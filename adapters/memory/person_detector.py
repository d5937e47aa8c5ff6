"""A person detector that sees whom it was told about: for tests, and wherever no model is wanted."""

from application.ports.photos import OpenPhoto, PersonDetector
from domain.person import SeenPerson


class InMemoryPersonDetector(PersonDetector):
    """Sees the same people in every photo, as far as they are inside it."""

    def __init__(self, *people: SeenPerson) -> None:
        self._people = people

    def detect(self, photo: OpenPhoto) -> tuple[SeenPerson, ...]:
        return tuple(person for person in self._people if person.box.is_inside(photo.upright_size))
