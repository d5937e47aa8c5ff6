"""People in a photo: what was seen of them, which one matters, and what is reported of that one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import hypot
from typing import Final, Self

from domain.geometry import Box, Size

LIKELY: Final = 0.5
"""A landmark counts as visible when the detector finds that more likely than not."""


BELOW_A_JOINT: Final = 0.02
"""A visible ankle has at least this share of the visible body below it: the foot is some 4 % of a person's height."""


class Framing(StrEnum):
    """How much of the main person the photo shows."""

    FULL_BODY = "full-body"
    THREE_QUARTER = "three-quarter"
    HALF_BODY = "half-body"
    CLOSE_UP = "close-up"


class BodyPart(StrEnum):
    """Points of a body that can be told from a photo; left and right are the person's own."""

    NOSE = "nose"
    LEFT_EYE = "left eye"
    RIGHT_EYE = "right eye"
    LEFT_EAR = "left ear"
    RIGHT_EAR = "right ear"
    LEFT_MOUTH = "left corner of the mouth"
    RIGHT_MOUTH = "right corner of the mouth"
    LEFT_SHOULDER = "left shoulder"
    RIGHT_SHOULDER = "right shoulder"
    LEFT_ELBOW = "left elbow"
    RIGHT_ELBOW = "right elbow"
    LEFT_WRIST = "left wrist"
    RIGHT_WRIST = "right wrist"
    LEFT_HIP = "left hip"
    RIGHT_HIP = "right hip"
    LEFT_KNEE = "left knee"
    RIGHT_KNEE = "right knee"
    LEFT_ANKLE = "left ankle"
    RIGHT_ANKLE = "right ankle"
    LEFT_FOOT = "left foot"
    RIGHT_FOOT = "right foot"


@dataclass(frozen=True, slots=True)
class Landmark:
    """Where a body part is, in pixels of the upright source (outside it too), and how surely it is seen there, 0-1."""

    x: float
    y: float
    confidence: float


@dataclass(frozen=True, slots=True)
class SeenPerson:
    """What a detector saw of one person; boxes in pixels of the upright source and inside it.

    `box` holds all that is visible of the body; `head` is the visible head with hair and hat; `face` is there when the
    face itself was recognised. `silhouette` is the share of the photo's pixels that the person covers, 0-1.
    """

    box: Box
    head: Box | None
    face: Box | None
    silhouette: float
    landmarks: Mapping[BodyPart, Landmark] = field(default_factory=dict)

    def visible_landmarks(self) -> dict[BodyPart, Landmark]:
        return {part: mark for part, mark in self.landmarks.items() if self._is_visible(part)}

    def _is_visible(self, part: BodyPart) -> bool:
        mark = self.landmarks.get(part)
        return (
            mark is not None
            and mark.confidence >= LIKELY
            and self.box.x <= mark.x <= self.box.right
            and self.box.y <= mark.y <= self.box.bottom
        )

    @property
    def framing(self) -> Framing:
        """The lowest joint that the photo shows; a seated person whose ankles show counts as full-body."""
        if self._shows_below(BodyPart.LEFT_ANKLE, BodyPart.RIGHT_ANKLE):
            return Framing.FULL_BODY
        if self._shows_below(BodyPart.LEFT_KNEE, BodyPart.RIGHT_KNEE):
            return Framing.THREE_QUARTER
        if self._shows_below(BodyPart.LEFT_HIP, BodyPart.RIGHT_HIP):
            return Framing.HALF_BODY
        return Framing.CLOSE_UP

    def _shows_below(self, *joints: BodyPart) -> bool:
        """Whether a joint is seen with some of the body under it: at the very edge its place is a guess."""
        lowest = self.box.bottom - BELOW_A_JOINT * self.box.height
        return any(mark.y <= lowest for part, mark in self.visible_landmarks().items() if part in joints)


def main_person(people: Sequence[SeenPerson], source: Size) -> SeenPerson | None:
    """The person a human would name: large, near the middle, and with a head.

    Size counts in full; standing at a corner of the frame instead of its middle costs half; a body whose head the photo
    does not show (an arm at the border, somebody walking out of the frame) counts half as well.
    """
    return max(people, key=lambda person: _prominence(person, source), default=None)


def _prominence(person: SeenPerson, source: Size) -> float:
    x, y = person.box.center
    off_center = hypot(x - source.width / 2, y - source.height / 2) / hypot(source.width / 2, source.height / 2)
    return person.silhouette * (1 - 0.5 * off_center) * (1.0 if person.head else 0.5)


@dataclass(frozen=True, slots=True)
class PersonReport:
    """The main person and how many people there are; boxes in pixels of the upright source."""

    count: int
    box: Box
    face: Box | None
    framing: Framing

    @classmethod
    def about(cls, person: SeenPerson, count: int) -> Self:
        return cls(count=count, box=person.box, face=person.face, framing=person.framing)
