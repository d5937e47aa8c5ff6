"""Facts of a stored photo as a column's JSON, such that the version before can read what this one writes.

While an upgrade rolls, both serve from one database. The first version refuses a warning that it does not know, so the
codes of later versions have a place of their own; from there this version takes those that it knows.
"""

from dataclasses import replace
from typing import Any, Final

import msgspec

from domain.image import StoredPhoto
from domain.photo import PhotoWarning, WarningCode

LATER: Final = "later_warnings"
LATER_CODES: Final = frozenset(
    {
        WarningCode.BODY_CUT_BY_CROP,
        WarningCode.PHOTO_SIDEWAYS,
        WarningCode.HDR_TONE_MAPPED,
        WarningCode.UNKNOWN_FIELD,
    }
)
"""Those of after 0.1.0. A new code has to be here: a test compares."""
_FIRST: Final = msgspec.json.Decoder(StoredPhoto)
_LATER: Final = msgspec.json.Decoder(dict[str, Any])


def encode(photo: StoredPhoto) -> str:
    """The JSON of a photo."""
    later = tuple(warning for warning in photo.warnings if warning.code in LATER_CODES)
    if not later:
        return msgspec.json.encode(photo).decode()
    first = replace(photo, warnings=tuple(warning for warning in photo.warnings if warning not in later))
    return msgspec.json.encode(msgspec.to_builtins(first) | {LATER: msgspec.to_builtins(later)}).decode()


def decode(text: str) -> StoredPhoto:
    """The photo; warnings of a version that is newer than this one are left out."""
    photo = _FIRST.decode(text)
    if LATER not in text:
        return photo
    later = (warning for warning in _LATER.decode(text)[LATER] if warning["code"] in set(WarningCode))
    return replace(photo, warnings=photo.warnings + tuple(msgspec.convert(warning, PhotoWarning) for warning in later))
