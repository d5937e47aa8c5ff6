"""Facts about a photo besides its pixels: its origin and what its owner should know."""

from dataclasses import dataclass
from enum import StrEnum


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
