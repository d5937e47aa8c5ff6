"""Which warnings a photo gets, with the thresholds and their reasons, in words for the customer who took it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from domain.geometry import Box, Size
from domain.person import BodyPart, SeenPerson
from domain.photo import PhotoWarning, WarningCode


@dataclass(frozen=True, slots=True)
class Appearance:
    """What was measured of the pixels of a person, or of the whole picture when there is none.

    `shadows`, `midtone` and `highlights` are the 5th, 50th and 95th percentile of the luma, 0-1. `detail` is how steep
    the steepest edges are, as a share of the contrast: crisp photos have 0.3 and more, blurred ones next to nothing.
    """

    shadows: float
    midtone: float
    highlights: float
    detail: float


SMALLEST_STORED_EDGE: Final = 1024
"""Try-on models work on pictures of about 1024 pixels (contract of `LOW_RESOLUTION`)."""

SMALLEST_PERSON: Final = 0.4
"""A person lower than this share of the stored picture is small: a window is not cut below 1000 pixels, so they have
under 400, and a garment some 150, too few for seams and prints."""

DARKEST_MIDTONE: Final = 0.15
DARKEST_HIGHLIGHTS: Final = 0.25
"""Both below: no part of the person is lit. On fifteen usable photos the highlights were 0.54 and more, by night with
flash too, where the midtone was 0.12; darkened to a seventh of their light, all fifteen are below both."""

BRIGHTEST_MIDTONE: Final = 0.95
BRIGHTEST_SHADOWS: Final = 0.6
"""Both above: even hair and folds are washed out. Of fifteen photos the highest midtone was 0.82 (on snow) and the
highest shadows 0.47 (a white dress on white paper). Cautious: at twice its light that dress exceeds both, somebody with
dark hair or trousers does not. A burnt-out background alone does no harm and is no warning."""

LEAST_DETAIL: Final = 0.05
"""Fifteen photos in use measured 0.12 (by night, enlarged) to 1.1; blurred with a radius of 0.5 % of the person's
height, where seams and prints are gone, 0.03 to 0.06."""

COMPARABLE_SHARE: Final = 0.3
"""Somebody else counts beside the main person from this share of their silhouette on; smaller ones are passers-by."""

_FOREHEAD: Final = 0.8
"""From the eyes to the hairline, in units of the distance from the eyes to the mouth: a cut below it loses the face."""

_TORSO_SLACK: Final = 0.15
"""A shoulder or hip may lie this share of the torso's length outside: landmarks there are guessed, not seen."""


def warnings_about(
    *,
    kept: Box,
    stored: Size,
    looked_for_people: bool,
    people: Sequence[SeenPerson],
    person: SeenPerson | None,
    appearance: Appearance,
) -> tuple[PhotoWarning, ...]:
    """Everything a customer should know about a photo of which the window `kept` is stored at size `stored`."""
    codes: list[WarningCode] = []
    if looked_for_people and person is None:
        codes.append(WarningCode.NO_PERSON_DETECTED)
    if person is not None:
        codes.extend(_about_person(kept, people, person))
    codes.extend(_about_picture(stored, appearance))
    return tuple(PhotoWarning(code, _MESSAGE[code]) for code in codes)


def _about_person(kept: Box, people: Sequence[SeenPerson], person: SeenPerson) -> list[WarningCode]:
    found = {
        WarningCode.MULTIPLE_PEOPLE: any(_competes(other, person, kept) for other in people if other is not person),
        WarningCode.HEAD_CUT_OFF: _head_is_cut(kept, person),
        WarningCode.BODY_CUT_OFF: _torso_is_cut(kept, person),
        WarningCode.PERSON_TOO_SMALL: person.box.height < SMALLEST_PERSON * kept.height,
        WarningCode.NOT_FACING_CAMERA: _turns_away(person),
    }
    return [code for code, is_so in found.items() if is_so]


def _about_picture(stored: Size, appearance: Appearance) -> list[WarningCode]:
    found = {
        WarningCode.LOW_RESOLUTION: stored.longest_edge < SMALLEST_STORED_EDGE,
        WarningCode.BLURRY: appearance.detail < LEAST_DETAIL,
        WarningCode.TOO_DARK: appearance.midtone < DARKEST_MIDTONE and appearance.highlights < DARKEST_HIGHLIGHTS,
        WarningCode.TOO_BRIGHT: appearance.midtone > BRIGHTEST_MIDTONE and appearance.shadows > BRIGHTEST_SHADOWS,
    }
    return [code for code, is_so in found.items() if is_so]


def _competes(other: SeenPerson, person: SeenPerson, kept: Box) -> bool:
    """Whether a try-on could take somebody else for the customer: large, and mostly inside the stored picture."""
    is_large = other.silhouette >= COMPARABLE_SHARE * person.silhouette
    return is_large and other.box.shared_area(kept) >= 0.5 * other.box.area


def _head_is_cut(kept: Box, person: SeenPerson) -> bool:
    """Whether the border of what is kept runs below the hairline, or leaves no head at all."""
    if person.head is None:
        return True
    eyes = [person.landmarks[part] for part in (BodyPart.LEFT_EYE, BodyPart.RIGHT_EYE) if part in person.landmarks]
    mouth = [person.landmarks[part] for part in (BodyPart.LEFT_MOUTH, BodyPart.RIGHT_MOUTH) if part in person.landmarks]
    if not eyes or not mouth:
        return False
    eye_line = sum(mark.y for mark in eyes) / len(eyes)
    mouth_line = sum(mark.y for mark in mouth) / len(mouth)
    return eye_line - kept.y < _FOREHEAD * max(0.0, mouth_line - eye_line)


def _torso_is_cut(kept: Box, person: SeenPerson) -> bool:
    corners = (BodyPart.LEFT_SHOULDER, BodyPart.RIGHT_SHOULDER, BodyPart.LEFT_HIP, BodyPart.RIGHT_HIP)
    marks = [person.landmarks[part] for part in corners if part in person.landmarks]
    if len(marks) < len(corners):
        return True
    length = abs(marks[2].y + marks[3].y - marks[0].y - marks[1].y) / 2
    slack = _TORSO_SLACK * length
    return any(mark.x < kept.x - slack or mark.x > kept.right + slack or mark.y > kept.bottom + slack for mark in marks)


def _turns_away(person: SeenPerson) -> bool:
    """Whether the back is seen: no face, and the left shoulder on the left, where a front shows the right one."""
    left, right = person.landmarks.get(BodyPart.LEFT_SHOULDER), person.landmarks.get(BodyPart.RIGHT_SHOULDER)
    return person.face is None and left is not None and right is not None and left.x < right.x


_MESSAGE: Final = {
    WarningCode.NO_PERSON_DETECTED: (
        "We could not find a person in this photo. Use a photo that shows you clearly, from head to knees or more."
    ),
    WarningCode.MULTIPLE_PEOPLE: ("There is somebody else in this photo. Use a photo that shows only you."),
    WarningCode.HEAD_CUT_OFF: (
        "Your head is cut off in this photo. Step back a little and leave some space above your head."
    ),
    WarningCode.BODY_CUT_OFF: (
        "Part of your upper body is outside this photo. Step back until shoulders and hips are in the picture."
    ),
    WarningCode.PERSON_TOO_SMALL: (
        "You are very small in this photo. Come closer to the camera, or use a photo taken from nearer."
    ),
    WarningCode.LOW_RESOLUTION: (
        "This photo has few pixels, so the result will lack detail. "
        "Use the original photo, not a screenshot or a preview."
    ),
    WarningCode.BLURRY: ("This photo is blurry. Hold the camera still, clean the lens, and focus on yourself."),
    WarningCode.TOO_DARK: ("This photo is very dark. Take it in daylight, or turn on more light in front of you."),
    WarningCode.TOO_BRIGHT: ("This photo is overexposed. Avoid strong light from behind, and turn off the flash."),
    WarningCode.NOT_FACING_CAMERA: (
        "You are turned away from the camera in this photo. Face the camera for the best result."
    ),
}
