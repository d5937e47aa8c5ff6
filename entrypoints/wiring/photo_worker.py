"""What runs inside a photo worker. Importing this takes seconds: only the fork server and offline tools do."""

from pathlib import Path

import mediapipe  # noqa: F401 - imported once, in the fork server, instead of two seconds in every worker

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.vision.people_detector import PeopleDetector
from adapters.vision.pixel_meter import PixelMeter
from application.ports.photos import OpenPhoto, PersonDetector
from application.prepare_photo import PreparePhoto
from application.request_trace import Stage
from domain.person import SeenPhoto


class MeasuredPersonDetector:
    """The stage `detect`. Here, because nothing else of the telemetry belongs into a photo worker."""

    def __init__(self, detector: PersonDetector) -> None:
        self._detector = detector

    def detect(self, photo: OpenPhoto) -> SeenPhoto:
        with Stage("detect"):
            return self._detector.detect(photo)


def build_preparer(model_dir: Path, max_pixels: int, max_edge: int) -> PreparePhoto:
    """Load the models, once for each worker."""
    return PreparePhoto(
        decoder=ImagingPhotoDecoder(max_pixels),
        detector=MeasuredPersonDetector(PeopleDetector(model_dir)),
        meter=PixelMeter(),
        max_edge=max_edge,
    )
