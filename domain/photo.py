"""A photo's format, and the warnings about it: thresholds with their reasons, in words for the customer who took it."""

from dataclasses import dataclass
from enum import StrEnum
from math import hypot
from typing import Final

from domain.geometry import Box, Size
from domain.person import EYES, HIPS, LIMBS, MOUTH, SHOULDERS, BodyPart, Framing, SeenPerson, SeenPhoto, middle_of


class SourceFormat(StrEnum):
    """The four families that are accepted, decided from the bytes and never from a name or a content type."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    HEIC = "HEIC"


class WarningCode(StrEnum):
    """Stable codes that an app can show its customer; once released a code never changes."""

    NO_PERSON_DETECTED = "NO_PERSON_DETECTED"
    MULTIPLE_PEOPLE = "MULTIPLE_PEOPLE"
    HEAD_CUT_OFF = "HEAD_CUT_OFF"
    BODY_CUT_OFF = "BODY_CUT_OFF"
    BODY_CUT_BY_CROP = "BODY_CUT_BY_CROP"
    PHOTO_SIDEWAYS = "PHOTO_SIDEWAYS"
    PERSON_TOO_SMALL = "PERSON_TOO_SMALL"
    LOW_RESOLUTION = "LOW_RESOLUTION"
    BLURRY = "BLURRY"
    TOO_DARK = "TOO_DARK"
    TOO_BRIGHT = "TOO_BRIGHT"
    NOT_FACING_CAMERA = "NOT_FACING_CAMERA"
    COLOR_PROFILE_IGNORED = "COLOR_PROFILE_IGNORED"
    HDR_TONE_MAPPED = "HDR_TONE_MAPPED"
    DEPRECATED_FIELD = "DEPRECATED_FIELD"
    UNKNOWN_FIELD = "UNKNOWN_FIELD"


@dataclass(frozen=True, slots=True)
class PhotoWarning:
    """Something that did not stop the upload but may spoil what is made of it."""

    code: WarningCode
    message: str


@dataclass(frozen=True, slots=True)
class Appearance:
    """What was measured of the pixels of a person, or of the whole picture when there is none.

    `shadows`, `midtone` and `highlights` are the 5th, 50th and 95th percentile of the luma, 0-1. `detail` is how steep
    the steepest edges are, as a share of the contrast, in the direction where they are least steep: crisp photos have
    0.2 and more, blurred and shaken ones next to nothing. `clipped` is the share of pixels that are as good as white.
    """

    shadows: float
    midtone: float
    highlights: float
    detail: float
    clipped: float = 0.0


SMALLEST_STORED_EDGE: Final = 1024
"""Try-on models work on pictures of about 1024 pixels (contract of `LOW_RESOLUTION`)."""

SMALLEST_PERSON: Final = 0.4
"""A person lower than this share of the stored picture is small, unless they are as wide as that by lying:
a window is not cut below 1000 pixels, so they have under 400, and a garment some 150, too few for seams and prints."""

DARKEST_MIDTONE: Final = 0.15
DARKEST_HIGHLIGHTS: Final = 0.3
"""Both below: no part of the person is lit. On 52 usable photos the highlights were 0.5 and more, by night with flash
too; somebody black against the sun has 0.24, and most photos darkened to a seventh of their light are below both."""

MOST_CLIPPED: Final = 0.1
"""Of the person's own pixels: white clothes in the sun had up to 0.06, an overexposed portrait 0.13."""

LEAST_DETAIL: Final = 0.07
"""Of 52 photos in use the least was 0.115 (by night, enlarged). Shaken along 3.5 % of the person's height in any
direction, or blurred with a radius of 0.5 % of it, where seams and prints are gone, nine in ten are below."""

_MOSTLY_IN: Final = 0.5
_PARTLY_IN: Final = 0.08
"""A rival counts when half of the head, or so much of the body, is in the stored picture."""

_FOREHEAD: Final = 0.8
"""From the eyes to the hairline, in units of the distance from the eyes to the mouth: a cut below it loses the face."""

_LEAST_TORSO: Final = 0.7
_FACES_TO_THE_HIPS: Final = 3.3
"""The photo shows at least so much of the way to the hips, or the torso is cut. From the chin they are 2.5 to 4.3
heights of the face away; the face is seen, while hips outside of the photo are guessed anew in each copy of it.
Portraits had up to 0.59, half bodies 0.85 and more."""

_TORSO_BESIDE: Final = 0.25
"""A shoulder or hip may lie this share of the torso's length beside the photo: there it is guessed, not seen."""

_SURELY_TURNED: Final = 0.15
"""From behind, the shoulders are so much of the torso's length apart the wrong way round; from the side they are less,
and which is left of which is a guess."""

_LEAST_HEAD: Final = 0.045
"""Of the photo's longer edge: in a smaller head the detector may miss the face, and front and back look alike to it."""

_LOST_HEIGHT: Final = 0.03
_LOST_LAP: Final = 0.05
"""A crop that takes this share of the person's height takes something that was to be seen: feet are some 4 %. Where no
feet are seen a body ends at a table, in a seat or at the border, and where exactly is a guess."""

_LOST_HEAD: Final = 0.06
"""The same for the head's area; its box reaches a little over the hair."""

_LIMB_SLACK: Final = 0.015
"""Landmarks are no more exact than this share of the person's height."""

_TORSO: Final = (*SHOULDERS, *HIPS)


def warnings_about(
    photo: SeenPhoto, *, kept: Box, stored: Size, looked_for_people: bool, appearance: Appearance
) -> tuple[PhotoWarning, ...]:
    """Everything a customer should know about a photo of which `kept` is stored at size `stored`.

    `kept` is the window, or all of a padded picture, in pixels of the upright source.
    """
    person = photo.main_person
    found = {
        WarningCode.NO_PERSON_DETECTED: looked_for_people and person is None,
        WarningCode.PHOTO_SIDEWAYS: photo.turns > 0,
        **(_about_person(photo, kept, person) if person else {}),
        WarningCode.LOW_RESOLUTION: stored.longest_edge < SMALLEST_STORED_EDGE,
        WarningCode.BLURRY: appearance.detail < LEAST_DETAIL,
        WarningCode.TOO_DARK: appearance.midtone < DARKEST_MIDTONE and appearance.highlights < DARKEST_HIGHLIGHTS,
        WarningCode.TOO_BRIGHT: person is not None and appearance.clipped > MOST_CLIPPED,
    }
    warnings = [PhotoWarning(code, _MESSAGE[code]) for code, is_so in found.items() if is_so]
    if photo.was_turned:
        warnings.append(PhotoWarning(WarningCode.PHOTO_SIDEWAYS, _TURNED))
    return (*warnings, *(_cut_by_crop(photo.content, kept, person) if person else ()))


def _about_person(photo: SeenPhoto, kept: Box, person: SeenPerson) -> dict[WarningCode, bool]:
    return {
        WarningCode.MULTIPLE_PEOPLE: any(_is_in(kept, rival) for rival in photo.rivals),
        WarningCode.HEAD_CUT_OFF: _head_is_cut(photo.content, person),
        WarningCode.BODY_CUT_OFF: _torso_is_cut(photo.content, person),
        WarningCode.PERSON_TOO_SMALL: _share_of(kept, person.box) < SMALLEST_PERSON,
        WarningCode.NOT_FACING_CAMERA: _turns_away(photo.content, person),
    }


def _share_of(kept: Box, body: Box) -> float:
    """Of the picture's height or width, whichever the body fills more."""
    return max(body.height / kept.height, body.width / kept.width)


def _is_in(kept: Box, rival: SeenPerson) -> bool:
    """Whether a try-on could take somebody else, or what the crop left of them, for the customer."""
    head = rival.face or rival.head
    shows_head = head is not None and head.shared_area(kept) >= _MOSTLY_IN * head.area
    return shows_head or rival.box.shared_area(kept) >= _PARTLY_IN * rival.box.area


def _head_is_cut(content: Box, person: SeenPerson) -> bool:
    """Whether the border of the photo runs below the hairline, or leaves no head at all."""
    if person.head is None:
        return True
    if any(part not in person.landmarks for part in (*EYES, *MOUTH)):
        return False
    (_, eye_line), (_, mouth_line) = middle_of(person.landmarks, EYES), middle_of(person.landmarks, MOUTH)
    return eye_line - content.y < _FOREHEAD * max(0.0, mouth_line - eye_line)


def _torso_is_cut(content: Box, person: SeenPerson) -> bool:
    """Whether the border of the photo takes a part of the torso: below it by the face, else by the joints."""
    face, is_known = person.face, all(part in person.landmarks for part in _TORSO)
    if not is_known and not face:
        return person.framing(content) is Framing.CLOSE_UP
    marks, length = ([person.landmarks[part] for part in _TORSO], hypot(*person.torso)) if is_known else ([], 0.0)
    if any(max(content.x - mark.x, mark.x - content.right) > _TORSO_BESIDE * length for mark in marks):
        return True
    if face and not (marks and _lies(person)):
        return content.bottom - face.bottom < _LEAST_TORSO * _FACES_TO_THE_HIPS * face.height
    outside = max(max(content.y - mark.y, mark.y - content.bottom) for mark in marks)
    return outside > (1 - _LEAST_TORSO) * length


def _lies(person: SeenPerson) -> bool:
    """Whether the hips are more beside the shoulders than below them, and the body is wider than high."""
    across, down = person.torso
    return down < abs(across) and person.box.width > person.box.height


def _turns_away(content: Box, person: SeenPerson) -> bool:
    """Whether the back is seen: no face, and the left shoulder on the left, where a front shows the right one."""
    if person.face is not None or not person.landmarks:
        return False
    if person.head and person.head.height < _LEAST_HEAD * content.size.longest_edge:
        return False
    left, right = (person.landmarks[part] for part in SHOULDERS)
    return right.x - left.x > _SURELY_TURNED * hypot(*person.torso)


def _cut_by_crop(content: Box, kept: Box, person: SeenPerson) -> tuple[PhotoWarning, ...]:
    """What of the person was in the photo and is not in the stored picture, and how much of their height that is."""
    lost = max(0, kept.y - person.box.y) + max(0, person.box.bottom - kept.bottom)
    share = lost / person.box.height
    parts = [name for name, marks in LIMBS.items() if any(_is_lost(person, part, kept) for part in marks)]
    head = person.head
    if head and not _head_is_cut(content, person) and head.shared_area(kept) < (1 - _LOST_HEAD) * head.area:
        parts.insert(0, "head")
    least = _LOST_HEIGHT if not person.landmarks or person.framing(content) is Framing.FULL_BODY else _LOST_LAP
    if not parts and share < least:
        return ()
    what = " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:]))) or "part of your body"
    text = f"To fit the picture's shape, we had to cut off {'your ' if parts else ''}{what}"
    how_much = f" ({round(100 * share)} % of your height)" if share >= _LOST_HEIGHT else ""
    advice = "Use a photo with more space around you, or one that is less tall or wide."
    return (PhotoWarning(WarningCode.BODY_CUT_BY_CROP, f"{text}{how_much}. {advice}"),)


def _is_lost(person: SeenPerson, part: BodyPart, kept: Box) -> bool:
    mark = person.visible_landmarks().get(part)
    slack = _LIMB_SLACK * person.box.height
    return mark is not None and not (
        kept.x - slack <= mark.x <= kept.right + slack and kept.y - slack <= mark.y <= kept.bottom + slack
    )


_TURNED: Final = (
    "This photo lay on its side or upside down, so we turned it. If you stand upright now, all is well; "
    "otherwise use another photo."
)

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
    WarningCode.PHOTO_SIDEWAYS: (
        "This photo lies on its side or upside down. Turn it until you stand upright in it, then send it again."
    ),
}
