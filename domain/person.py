"""People in a photo: what was seen of them, which one matters, and what is reported of that one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import hypot
from typing import Final, Self

from domain.geometry import Box, Size

LIKELY: Final = 0.5
"""A landmark counts as visible when the detector finds that more likely than not."""


BELOW_A_JOINT: Final = 0.02
"""A visible ankle has at least this share of the visible body below it: the foot is some 4 % of a person's height."""


COMPARABLE_SHARE: Final = 0.3
COMPARABLE_WITHOUT_A_FACE: Final = 0.45
"""Somebody else counts beside the main person from this share of their silhouette on; smaller ones, and those who are
farther away and show no face, are passers-by."""


class Framing(StrEnum):
    """How much of the main person the stored picture shows."""

    FULL_BODY = "full-body"
    THREE_QUARTER = "three-quarter"
    HALF_BODY = "half-body"
    CLOSE_UP = "close-up"


HEADS_DOWN_TO: Final = {Framing.FULL_BODY: 6.3, Framing.THREE_QUARTER: 4.7, Framing.HALF_BODY: 3.2}
"""Somebody who stands is seven to eight heads high; ankles, knees and hips come after so many."""


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

    @property
    def other_side(self) -> "BodyPart":
        """The same part of the other side, as a mirror shows it."""
        other = {"left": self.replace("left", "right"), "right": self.replace("right", "left")}
        return BodyPart(other.get(self.split(" ", maxsplit=1)[0], self.value))


EYES: Final = (BodyPart.LEFT_EYE, BodyPart.RIGHT_EYE)
EARS: Final = (BodyPart.LEFT_EAR, BodyPart.RIGHT_EAR)
MOUTH: Final = (BodyPart.LEFT_MOUTH, BodyPart.RIGHT_MOUTH)
SHOULDERS: Final = (BodyPart.LEFT_SHOULDER, BodyPart.RIGHT_SHOULDER)
HIPS: Final = (BodyPart.LEFT_HIP, BodyPart.RIGHT_HIP)
ELBOWS: Final = (BodyPart.LEFT_ELBOW, BodyPart.RIGHT_ELBOW)
WRISTS: Final = (BodyPart.LEFT_WRIST, BodyPart.RIGHT_WRIST)
KNEES: Final = (BodyPart.LEFT_KNEE, BodyPart.RIGHT_KNEE)
ANKLES: Final = (BodyPart.LEFT_ANKLE, BodyPart.RIGHT_ANKLE)
FEET: Final = (BodyPart.LEFT_FOOT, BodyPart.RIGHT_FOOT)
LIMBS: Final = {"feet": (*FEET, *ANKLES), "knees": KNEES, "hands": WRISTS}

HEADS_BELOW_THE_CROWN: Final = dict.fromkeys(KNEES, 2.0) | dict.fromkeys((*ANKLES, *FEET), 2.3)
"""How many heads a leg's joint is away from the crown at least, even when somebody squats."""


@dataclass(frozen=True, slots=True)
class Landmark:
    """Where a body part is, in pixels of the upright source (outside it too), and how surely it is seen there, 0-1."""

    x: float
    y: float
    confidence: float


def middle_of(marks: Mapping[BodyPart, Landmark], pair: tuple[BodyPart, BodyPart]) -> tuple[float, float]:
    """The point between two joints that are known."""
    left, right = (marks[part] for part in pair)
    return (left.x + right.x) / 2, (left.y + right.y) / 2


@dataclass(frozen=True, slots=True)
class Outline:
    """Which pixels of a box belong to a person: `data` holds height x width values, 0 (none) to 255 (surely)."""

    box: Box
    size: Size
    data: bytes


@dataclass(frozen=True, slots=True)
class SeenPerson:
    """What a detector saw of one person; boxes in pixels of the upright source and inside it.

    `box` holds all that is visible of the body; `head` is the visible head with hair and hat; `face` is there when the
    face itself was recognised. `silhouette` is the share of the photo's pixels that the person covers, 0-1;
    `confidence`, 0-1, is how sure it is that this is a person. Somebody may be seen without landmarks or an outline.
    """

    box: Box
    head: Box | None
    face: Box | None
    silhouette: float
    landmarks: Mapping[BodyPart, Landmark] = field(default_factory=dict)
    confidence: float = 1.0
    outline: Outline | None = None

    def competes_with(self, main: Self) -> bool:
        """Whether somebody could take this person for the one who is meant."""
        least = COMPARABLE_SHARE if self.face else COMPARABLE_WITHOUT_A_FACE
        return self.silhouette >= least * main.silhouette

    @property
    def torso(self) -> tuple[float, float]:
        """The way from the middle of the shoulders to that of the hips, across and down, in pixels."""
        (x, y), (hip_x, hip_y) = middle_of(self.landmarks, SHOULDERS), middle_of(self.landmarks, HIPS)
        return hip_x - x, hip_y - y

    def visible_landmarks(self) -> dict[BodyPart, Landmark]:
        return {part: mark for part, mark in self.landmarks.items() if self._is_visible(part)}

    def _is_visible(self, part: BodyPart) -> bool:
        mark = self.landmarks.get(part)
        return (
            mark is not None
            and mark.confidence >= LIKELY
            and self.box.holds(mark.x, mark.y)
            and self._is_plausible(part, mark)
        )

    def _is_plausible(self, part: BodyPart, mark: Landmark) -> bool:
        """Whether a leg's joint is as far from the crown as legs are: close by, models imagine knees in sleeves."""
        if part not in HEADS_BELOW_THE_CROWN or self.head is None:
            return True
        crown, _ = self.head.center
        return hypot(mark.x - crown, mark.y - self.head.y) >= HEADS_BELOW_THE_CROWN[part] * self.head.height

    def framing(self, kept: Box) -> Framing:
        """The lowest joint that a picture of `kept` shows; a seated person whose ankles show counts as full-body."""
        if not self.landmarks:
            return self._framing_by_heads(kept)
        lowest = {Framing.FULL_BODY: ANKLES, Framing.THREE_QUARTER: KNEES, Framing.HALF_BODY: HIPS}
        shown = (framing for framing, joints in lowest.items() if self._shows_below(kept, joints))
        return next(shown, Framing.CLOSE_UP)

    def _shows_below(self, kept: Box, joints: tuple[BodyPart, BodyPart]) -> bool:
        """Whether a joint is seen with some of the body under it: at the very edge its place is a guess."""
        lowest = min(self.box.bottom, kept.bottom) - BELOW_A_JOINT * self.box.height
        return any(
            mark.y <= lowest and kept.x <= mark.x <= kept.right
            for part, mark in self.visible_landmarks().items()
            if part in joints
        )

    def _framing_by_heads(self, kept: Box) -> Framing:
        """The same for somebody of whom no joint is known, by how many heads high what shows of them is."""
        heads = (min(self.box.bottom, kept.bottom) - self.box.y) / self.head.height if self.head else 0.0
        lowest = (least for least in HEADS_DOWN_TO if heads >= HEADS_DOWN_TO[least])
        return next(lowest, Framing.CLOSE_UP)

    def moved(self, across: int, down: int) -> Self:
        """The same person in a picture that begins elsewhere; without the outline."""
        return replace(
            self,
            box=self.box.moved(across, down),
            head=self.head and self.head.moved(across, down),
            face=self.face and self.face.moved(across, down),
            landmarks={
                part: replace(mark, x=mark.x + across, y=mark.y + down) for part, mark in self.landmarks.items()
            },
            outline=None,
        )


@dataclass(frozen=True, slots=True)
class SeenPhoto:
    """What a detector saw of a photo: where the picture itself is, and everybody that can be told apart, in no order.

    `content` leaves out frames, letterbox bars, blurred story borders and the bars of a screenshot; `with_blur`
    is the picture with borders of the blurred kind, which continue the photo, if there are some. People stand upright
    after `turns` quarter turns counterclockwise; when `was_turned`, that was done. All in pixels of the upright source.
    """

    size: Size
    content: Box
    people: tuple[SeenPerson, ...]
    with_blur: Box | None = None
    turns: int = 0
    was_turned: bool = False

    @classmethod
    def unseen(cls, size: Size) -> Self:
        """A photo that nobody looked at."""
        return cls(size, Box.covering(size), ())

    @property
    def main_person(self) -> SeenPerson | None:
        return main_person(self.people, self.content)

    @property
    def rivals(self) -> tuple[SeenPerson, ...]:
        """Everybody beside the main person whom somebody could take for the one who is meant."""
        person = self.main_person
        return tuple(other for other in self.people if person and other is not person and other.competes_with(person))


def main_person(people: Sequence[SeenPerson], content: Box) -> SeenPerson | None:
    """The person a human would name: large, near the middle, and with a head.

    Size counts in full; standing at a corner of the frame instead of its middle costs half; a body whose head the photo
    does not show (an arm at the border, somebody walking out of the frame) counts half as well, and one whose face was
    not recognised a little less than another.
    """
    return max(people, key=lambda person: _prominence(person, content), default=None)


def _prominence(person: SeenPerson, content: Box) -> float:
    (x, y), (middle_x, middle_y) = person.box.center, content.center
    off_center = hypot(x - middle_x, y - middle_y) / hypot(content.width / 2, content.height / 2)
    known = 1.0 if person.face else 0.85 if person.head else 0.5
    return person.silhouette * (1 - 0.5 * off_center) * known


@dataclass(frozen=True, slots=True)
class PersonReport:
    """The main person and how many people there are; boxes in pixels of the upright source.

    `framing` says how much of the person the stored picture shows; `confidence`, 0-1, how sure it is that this is one.
    """

    count: int
    box: Box
    face: Box | None
    framing: Framing
    confidence: float | None = None

    @classmethod
    def about(cls, person: SeenPerson, count: int, kept: Box) -> Self:
        return cls(count, person.box, person.face, person.framing(kept), round(person.confidence, 2))
