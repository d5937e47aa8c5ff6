"""Photos that one version writes and another reads, side by side on one database."""

import json
from dataclasses import replace

import pytest

from adapters.sql.image_rows import LATER, photo_as_json, photo_of_json
from domain.photo import PhotoWarning, WarningCode
from tests.builders import a_stored_photo

CODES_OF_0_1_0 = {
    *("NO_PERSON_DETECTED", "MULTIPLE_PEOPLE", "HEAD_CUT_OFF", "BODY_CUT_OFF", "PERSON_TOO_SMALL", "LOW_RESOLUTION"),
    *("BLURRY", "TOO_DARK", "TOO_BRIGHT", "NOT_FACING_CAMERA", "COLOR_PROFILE_IGNORED", "DEPRECATED_FIELD"),
}


def test_the_first_version_is_never_shown_a_code_that_it_refuses() -> None:
    photo = replace(a_stored_photo(), warnings=tuple(PhotoWarning(code, "Look.") for code in WarningCode))
    seen = {warning["code"] for warning in json.loads(photo_as_json(photo))["warnings"]}
    assert seen == CODES_OF_0_1_0


@pytest.mark.parametrize("codes", [(), tuple(WarningCode), (WarningCode.BLURRY,), (WarningCode.PHOTO_SIDEWAYS,)])
def test_every_warning_comes_back(codes: tuple[WarningCode, ...]) -> None:
    photo = replace(a_stored_photo(), warnings=tuple(PhotoWarning(code, f"Look: {code}") for code in codes))
    read = photo_of_json(photo_as_json(photo))
    assert set(read.warnings) == set(photo.warnings)
    assert replace(read, warnings=()) == replace(photo, warnings=())


def test_a_warning_of_a_later_version_is_left_out() -> None:
    stored = json.loads(photo_as_json(a_stored_photo()))
    stored[LATER] = [{"code": "OF_ANOTHER_AGE", "message": ""}, {"code": "PHOTO_SIDEWAYS", "message": ""}]
    stored["a_field_of_later"] = {"x": 1}
    assert photo_of_json(json.dumps(stored)).warnings[-1].code is WarningCode.PHOTO_SIDEWAYS
