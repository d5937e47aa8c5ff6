from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from adapters.preview_engine.engine import PreviewEngine
from adapters.preview_engine.pictures import Rgb
from entrypoints.wiring.settings import Settings
from tests.preview_engine.garments import as_jpeg


@pytest.fixture(scope="session")
def model_directory() -> Path:
    return Settings().model_dir.expanduser()


@pytest.fixture(scope="session")
def engine(model_directory: Path) -> Iterator[PreviewEngine]:
    engine = PreviewEngine(model_directory)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def astronaut() -> Rgb:
    """Eileen Collins in her pressure suit, facing the camera, from the hips up. NASA, public domain."""
    return np.asarray(skimage.data.astronaut(), dtype=np.uint8)


@pytest.fixture(scope="session")
def astronaut_jpeg(astronaut: Rgb) -> bytes:
    return as_jpeg(astronaut)
