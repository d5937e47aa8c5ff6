import os
from pathlib import Path

import pytest

from adapters.vision import models
from adapters.vision.mediapipe_detector import MediaPipeDetector

MODEL_DIR = Path(os.environ.get("TRYON_MODEL_DIR", "~/.cache/tryon-images/models")).expanduser()


@pytest.fixture(scope="session")
def detector() -> MediaPipeDetector:
    """Loaded once for each test process, as in a worker."""
    if models.missing(MODEL_DIR):
        pytest.fail("The models are not installed: run `make setup` first.")
    return MediaPipeDetector(MODEL_DIR)
