"""What runs inside a photo worker, and the pool of them that the rest of the service sees."""

from collections.abc import Callable
from pathlib import Path

from adapters.memory.photo_processor import InProcessPhotoProcessor
from adapters.vision.models import ModelInstallationFailed, install, missing
from adapters.vision.system_libraries import missing_library_advice
from application.prepare_photo import PreparePhoto
from entrypoints.settings import Settings

__all__ = ["ModelInstallationFailed", "build_processor", "install_models", "missing_models", "missing_system_libraries"]


def build_preparer(model_dir: Path, max_pixels: int, max_edge: int) -> PreparePhoto:
    """Load the models, once: takes seconds and a hundred megabytes."""
    # Only where photos are worked on: MediaPipe alone takes two seconds to import.
    from adapters.imaging.photo_decoder import ImagingPhotoDecoder  # noqa: PLC0415
    from adapters.vision.mediapipe_detector import MediaPipeDetector  # noqa: PLC0415
    from adapters.vision.pixel_meter import PixelMeter  # noqa: PLC0415

    return PreparePhoto(
        decoder=ImagingPhotoDecoder(max_pixels),
        detector=MediaPipeDetector(model_dir),
        meter=PixelMeter(),
        max_edge=max_edge,
    )


def build_processor(settings: Settings) -> InProcessPhotoProcessor:
    """The pool."""
    return InProcessPhotoProcessor(
        build_preparer(settings.model_dir.expanduser(), settings.max_pixels, settings.max_edge)
    )


def install_models(settings: Settings, progress: Callable[[str], None]) -> None:
    """Raises: ModelInstallationFailed."""
    install(settings.model_dir.expanduser(), progress)


def missing_models(settings: Settings) -> tuple[str, ...]:
    """Names of model files that are absent or damaged."""
    return missing(settings.model_dir.expanduser())


def missing_system_libraries() -> str | None:
    """One line that says what to install; None when everything is there."""
    return missing_library_advice()


def sandbox_problem() -> str | None:
    return None
