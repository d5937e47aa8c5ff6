import pytest

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.memory.surroundings import InMemoryPersonDetector
from adapters.vision.look import PixelMeter
from application.prepare_photo import PreparePhoto
from domain.cropping import Fit
from domain.errors import InvalidImage, UnsupportedImageFormat
from domain.geometry import Box, Padding, Size
from domain.person import Framing, PersonReport, SeenPerson
from domain.photo import SourceFormat, WarningCode
from tests.people import a_person, as_png, scenery

LANDSCAPE = as_png(scenery(1800, 1200))
WALKER = a_person(Box(200, 300, 200, 600), face=Box(280, 305, 40, 50))


def prepare_photo(*people: SeenPerson, max_edge: int = 2000) -> PreparePhoto:
    return PreparePhoto(ImagingPhotoDecoder(), InMemoryPersonDetector(*people), PixelMeter(), max_edge)


def test_a_photo_is_cut_to_four_by_five_around_its_main_person() -> None:
    prepared = prepare_photo(WALKER).execute(LANDSCAPE, crop=True)
    assert prepared.facts.crop == Box(0, 95, 820, 1025)
    assert prepared.facts.size == Size(820, 1025)
    assert (prepared.facts.source_format, prepared.facts.source_size) == (SourceFormat.PNG, Size(1800, 1200))
    assert prepared.facts.person == PersonReport(1, WALKER.box, WALKER.face, Framing.FULL_BODY, 1.0)
    assert prepared.facts.warnings == ()


def test_without_a_person_the_largest_window_in_the_middle_is_kept_and_said_so() -> None:
    prepared = prepare_photo().execute(LANDSCAPE, crop=True)
    assert prepared.facts.crop == Box(420, 0, 960, 1200)
    assert prepared.facts.person is None
    assert [warning.code for warning in prepared.facts.warnings] == [WarningCode.NO_PERSON_DETECTED]


def test_without_the_crop_nobody_is_looked_for_and_the_framing_stays() -> None:
    prepared = prepare_photo(WALKER).execute(LANDSCAPE, crop=False)
    assert (prepared.facts.crop, prepared.facts.person, prepared.facts.warnings) == (None, None, ())
    assert prepared.facts.size == Size(1800, 1200)


def test_a_photo_without_the_crop_is_still_judged_by_its_pixels() -> None:
    prepared = prepare_photo().execute(as_png(scenery(600, 400).point(lambda level: level // 8)), crop=False)
    assert [warning.code for warning in prepared.facts.warnings] == [WarningCode.LOW_RESOLUTION, WarningCode.TOO_DARK]


def test_what_is_stored_is_at_most_as_large_as_allowed_and_exactly_four_by_five() -> None:
    prepared = prepare_photo(max_edge=500).execute(LANDSCAPE, crop=True)
    assert prepared.facts.size == Size(400, 500)


def test_an_explanation_tells_what_the_window_was_chosen_from() -> None:
    bystander = a_person(Box(1500, 500, 60, 200), silhouette=0.01)
    explained = prepare_photo(bystander, WALKER).explain(LANDSCAPE)
    assert explained.seen.people == (bystander, WALKER)
    assert explained.seen.main_person is WALKER
    assert explained.prepared == prepare_photo(bystander, WALKER).execute(LANDSCAPE, crop=True)
    assert explained.view.size == Size(1600, 1067)


@pytest.mark.parametrize(
    ("photo", "error"), [(b"a text", UnsupportedImageFormat), (LANDSCAPE[:5000], InvalidImage)], ids=["text", "cut off"]
)
def test_what_cannot_be_read_is_refused(photo: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        prepare_photo(WALKER).execute(photo, crop=True)


def test_with_padding_the_whole_person_is_kept_and_the_answer_says_what_was_added() -> None:
    """In a photo of 9:16 somebody stands from top to bottom."""
    photo = as_png(scenery(720, 1280))
    walker = a_person(Box(200, 20, 320, 1240))
    cropped = prepare_photo(walker).execute(photo, crop=True).facts
    padded = prepare_photo(walker).execute(photo, crop=True, fit=Fit.PAD).facts
    assert cropped.pad is None
    assert cropped.person is not None
    assert cropped.person.framing is not Framing.FULL_BODY
    assert WarningCode.BODY_CUT_BY_CROP in [warning.code for warning in cropped.warnings]
    assert (padded.crop, padded.size) == (Box(0, 0, 720, 1280), Size(1024, 1280))
    assert padded.pad == Padding(152, 0, 152, 0)
    assert padded.person is not None
    assert padded.person.framing is Framing.FULL_BODY
    assert padded.warnings == ()
