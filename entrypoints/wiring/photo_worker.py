"""What runs inside a photo worker. Importing this takes seconds: only the fork server and offline tools do."""

from pathlib import Path

import mediapipe  # noqa: F401 - imported once, in the fork server, instead of two seconds in every worker

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.telemetry.measured_ports import MeasuredPersonDetector
from adapters.vision.people_detector import PeopleDetector
from adapters.vision.pixel_meter import PixelMeter
from application.prepare_photo import PreparePhoto


def build_preparer(model_dir: Path, max_pixels: int, max_edge: int) -> PreparePhoto:
    """Load the models, once for each worker."""
    return PreparePhoto(
        decoder=ImagingPhotoDecoder(max_pixels),
        detector=MeasuredPersonDetector(PeopleDetector(model_dir)),
        meter=PixelMeter(),
        max_edge=max_edge,
    )
