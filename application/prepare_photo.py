"""Turn an uploaded photo into the picture that is kept: find the person, choose the window, encode it, warn."""

from dataclasses import dataclass, replace
from typing import Final

from application.ports.photos import OpenPhoto, PersonDetector, PhotoDecoder, PhotoMeter, PreparedPhoto, RgbPixels
from domain.cropping import Fit, Placement, place
from domain.errors import InvalidImage, UnsupportedImageFormat
from domain.foreign_file import described
from domain.geometry import NO_PADDING, Box
from domain.image import StoredPhoto
from domain.person import PersonReport, SeenPhoto
from domain.photo import warnings_about

NOTHING_CAME: Final = (
    "The file is empty: 0 bytes came. Send the photo's bytes; a stream that was read before has none left to send."
)
_EXPLAINED_EDGE = 1600
"""Longest edge of the view that an explanation is drawn on: sharp on a screen, small in a folder of hundreds."""


@dataclass(frozen=True, slots=True)
class ExplainedPhoto:
    """A prepared photo with everything its window was chosen from; boxes in upright-source pixels."""

    prepared: PreparedPhoto
    seen: SeenPhoto
    view: RgbPixels


@dataclass(frozen=True, slots=True)
class PreparePhoto:
    """The whole way from a stranger's file to the picture that is kept: CPU work, for where a crash does no harm."""

    decoder: PhotoDecoder
    detector: PersonDetector
    meter: PhotoMeter
    max_edge: int

    def execute(self, photo: bytes | memoryview, *, crop: bool, fit: Fit = Fit.CROP) -> PreparedPhoto:
        """Raises: UnsupportedImageFormat, InvalidImage, ImageTooLarge."""
        opened = self._open(photo)
        opened.decode(self.max_edge)
        if not crop:
            return self._prepare(opened, SeenPhoto.unseen(opened.upright_size), None)
        seen = self._look(opened)
        return self._prepare(opened, seen, place(seen, fit))

    def _open(self, photo: bytes | memoryview) -> OpenPhoto:
        """What is no photo is named, so that whoever sent it finds the mistake."""
        if not len(photo):
            raise InvalidImage(NOTHING_CAME)
        try:
            return self.decoder.open(photo)
        except UnsupportedImageFormat:
            raise UnsupportedImageFormat(described(photo)) from None

    def _look(self, opened: OpenPhoto) -> SeenPhoto:
        """Who is in the photo; one that lies on its side is turned first, unless its file says that it does not."""
        seen = self.detector.detect(opened)
        if seen.turns and opened.turn(seen.turns):
            return replace(self.detector.detect(opened), turns=0, was_turned=True)
        return seen

    def explain(self, photo: bytes | memoryview, *, fit: Fit = Fit.CROP) -> ExplainedPhoto:
        """Prepare a photo with the crop, and tell what was seen in it. Raises: as `execute`."""
        opened = self._open(photo)
        opened.decode(self.max_edge)
        seen, view = self._look(opened), opened.view(None, _EXPLAINED_EDGE)
        return ExplainedPhoto(self._prepare(opened, seen, place(seen, fit)), seen, view)

    def _prepare(self, opened: OpenPhoto, seen: SeenPhoto, placement: Placement | None) -> PreparedPhoto:
        """Encoding comes last: see `OpenPhoto.encode`."""
        person = seen.main_person
        window = None if placement is None else placement.window
        if person is None:
            appearance = self.meter.measure(opened, window)
        else:
            appearance = self.meter.measure(opened, person.box, person.outline)
        kept = placement.canvas if placement else Box.covering(seen.size)
        padding = placement.padding if placement else NO_PADDING
        encoded = opened.encode(window, self.max_edge, padding)
        quality = warnings_about(
            seen, kept=kept, stored=encoded.size, looked_for_people=placement is not None, appearance=appearance
        )
        facts = StoredPhoto(
            size=encoded.size,
            size_bytes=len(encoded.jpeg),
            source_format=opened.source_format,
            source_size=seen.size,
            crop=window,
            person=PersonReport.about(person, len(seen.people), kept) if person else None,
            warnings=(*encoded.warnings, *quality),
            pad=padding.scaled(window.size, encoded.size) if window and padding else None,
            content=seen.content if seen.content.size != seen.size else None,
        )
        return PreparedPhoto(encoded.jpeg, facts)
