"""People in a photo: what was seen of them, and what is reported of the one that matters."""

from dataclasses import dataclass
from enum import StrEnum

from domain.geometry import Box


class Framing(StrEnum):
    """How much of the main person the photo shows."""

    FULL_BODY = "full-body"
    THREE_QUARTER = "three-quarter"
    HALF_BODY = "half-body"
    CLOSE_UP = "close-up"


@dataclass(frozen=True, slots=True)
class PersonReport:
    """The main person and how many people there are; boxes in pixels of the upright source."""

    count: int
    box: Box
    face: Box | None
    framing: Framing
