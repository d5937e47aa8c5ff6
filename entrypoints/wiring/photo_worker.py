"""The code that runs inside the sandboxed processes and in offline tools; each imports only what it needs."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from application.ports.photos import PersonDetector, PhotoDecoder, PhotoMeter, ViewablePhoto
from application.prepare_photo import PreparePhoto
from domain.geometry import Box
from domain.person import Outline, SeenPhoto
from domain.photo import Appearance

if TYPE_CHECKING:
    from adapters.sandbox.trades import Observer

_NEVER_USED: Final = ("matplotlib", "matplotlib.pyplot", "sounddevice")
"""MediaPipe imports them to draw and to listen. They take a second, and matplotlib wants a folder to write to."""

_LOADED_LATE: Final = ("numpy.ma", "numpy.fft", "numpy.linalg", "numpy.random")
"""NumPy imports them when they are first needed, and then a detector may open no file any more."""


def decoder(max_pixels: int) -> PhotoDecoder:
    """For a decoder: no MediaPipe."""
    from adapters.imaging.photo_decoder import ImagingPhotoDecoder  # noqa: PLC0415 - only who decodes loads the codecs

    return ImagingPhotoDecoder(max_pixels)


def observer(model_dir: Path) -> "Callable[[], Observer]":
    """For a detector: imports MediaPipe now, and loads the models when the result is called."""
    _import_mediapipe()
    for part in _LOADED_LATE:
        importlib.import_module(part)
    return lambda: _Eyes(model_dir)


def build_preparer(model_dir: Path, max_pixels: int, max_edge: int) -> PreparePhoto:
    """The very same pipeline in one process, for an operator's own photos."""
    eyes = observer(model_dir)()
    return PreparePhoto(decoder=decoder(max_pixels), detector=eyes, meter=eyes, max_edge=max_edge)


class _Eyes(PersonDetector, PhotoMeter):
    """Models and meter of one process."""

    def __init__(self, model_dir: Path) -> None:
        from adapters.vision.look import PixelMeter  # noqa: PLC0415
        from adapters.vision.people_detector import PeopleDetector  # noqa: PLC0415 - see above

        self._detector, self._meter = PeopleDetector(model_dir), PixelMeter()

    def detect(self, photo: ViewablePhoto) -> SeenPhoto:
        return self._detector.detect(photo)

    def measure(self, photo: ViewablePhoto, region: Box | None, outline: Outline | None = None) -> Appearance:
        return self._meter.measure(photo, region, outline)


def _import_mediapipe() -> None:
    stand_ins = [name for name in _NEVER_USED if name not in sys.modules]
    sys.modules.update((name, ModuleType(name)) for name in stand_ins)
    import mediapipe  # noqa: F401, PLC0415 - once in a parent, instead of a second in each of its children
    from mediapipe.tasks.python import vision  # noqa: F401, PLC0415

    for name in stand_ins:
        del sys.modules[name]
