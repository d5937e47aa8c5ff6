"""The second witness and the model that is made for it."""

import numpy as np
import pytest
from PIL import Image

from adapters.vision.model_conversion import people_model
from adapters.vision.networks import Edges, Networks
from adapters.vision.people_detector import PeopleDetector
from tests.people import ASTRONAUT, scenery


@pytest.fixture
def witness(detector: PeopleDetector) -> Networks:
    return detector._networks


def test_somebody_in_a_meadow_is_boxed_where_they_are(witness: Networks) -> None:
    image = scenery(640, 480)
    image.paste(ASTRONAUT.resize((360, 360), Image.Resampling.LANCZOS), (200, 100))
    (surest, *_) = witness.people(np.asarray(image), 0.5)
    assert surest.confidence > 0.7
    assert surest.edges.holds_middle_of(Edges(200 + 100, 100 + 60, 200 + 220, 100 + 300))
    assert surest.edges.left >= 180
    assert surest.edges.right <= 580


def test_nobody_is_boxed_on_grass_and_on_pictures_of_a_few_pixels(witness: Networks) -> None:
    assert witness.people(np.asarray(scenery(640, 480)), 0.3) == ()
    assert witness.people(np.zeros((1, 1, 3), np.uint8), 0.3) == ()
    assert witness.people(np.zeros((400, 3, 3), np.uint8), 0.3) == ()


def test_a_graph_without_the_models_layers_is_no_model() -> None:
    with pytest.raises(KeyError):
        people_model(b"", 300)
