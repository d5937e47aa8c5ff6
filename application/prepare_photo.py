"""Turn an uploaded photo into the picture that is kept: find the person, choose the window, encode it, warn."""

from dataclasses import dataclass

from application.ports.photos import OpenPhoto, PersonDetector, PhotoDecoder, PhotoMeter, PreparedPhoto, RgbPixels
from domain.cropping import choose_window
from domain.geometry import Box
from domain.person import PersonReport, SeenPerson, main_person
from domain.photo_quality import warnings_about

_EXPLAINED_EDGE = 1600
"""Longest edge of the view that an explanation is drawn on: sharp on a screen, small in a folder of hundreds."""


@dataclass(frozen=True, slots=True)
class ExplainedPhoto:
    """A prepared photo with everything its window was chosen from; boxes in upright-source pixels."""

    prepared: PreparedPhoto
    people: tuple[SeenPerson, ...]
    person: SeenPerson | None
    view: RgbPixels


@dataclass(frozen=True, slots=True)
class PreparePhoto:
    """The whole way from a stranger's file to the picture that is kept: CPU work, for where a crash does no harm."""

    decoder: PhotoDecoder
    detector: PersonDetector
    meter: PhotoMeter
    max_edge: int

    def execute(self, photo: bytes | memoryview, *, crop: bool) -> PreparedPhoto:
        """Raises: UnsupportedImageFormat, InvalidImage, ImageTooLarge."""
        opened = self.decoder.open(photo)
        people = self.detector.detect(opened) if crop else ()
        return self._prepare(opened, people, crop=crop)

    def explain(self, photo: bytes | memoryview) -> ExplainedPhoto:
        """Prepare a photo with the crop, and tell what was seen in it. Raises: as `execute`."""
        opened = self.decoder.open(photo)
        people = self.detector.detect(opened)
        return ExplainedPhoto(
            prepared=self._prepare(opened, people, crop=True),
            people=people,
            person=main_person(people, opened.upright_size),
            view=opened.view(None, _EXPLAINED_EDGE),
        )

    def _prepare(self, opened: OpenPhoto, people: tuple[SeenPerson, ...], *, crop: bool) -> PreparedPhoto:
        source = opened.upright_size
        person = main_person(people, source)
        window = choose_window(source, person) if crop else None
        encoded = opened.encode(window, self.max_edge)
        quality = warnings_about(
            kept=window or Box.covering(source),
            stored=encoded.size,
            looked_for_people=crop,
            people=people,
            person=person,
            appearance=self.meter.measure(opened, person.box if person else window),
        )
        return PreparedPhoto(
            jpeg=encoded.jpeg,
            size=encoded.size,
            source_format=opened.source_format,
            source_size=source,
            crop=window,
            person=PersonReport.about(person, len(people)) if person else None,
            warnings=(*encoded.warnings, *quality),
        )
