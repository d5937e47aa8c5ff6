import os
from pathlib import Path

import pytest

from adapters.vision import models
from adapters.vision.people_detector import PeopleDetector

MODEL_DIR = Path(os.environ.get("TRYON_MODEL_DIR", "~/.cache/tryon-images/models")).expanduser()


@pytest.fixture(scope="session")
def detector() -> PeopleDetector:
    """Loaded once for each test process, as in a worker."""
    if models.missing(MODEL_DIR):
        pytest.fail("The models are not installed: run `make setup` first.")
    return PeopleDetector(MODEL_DIR)
