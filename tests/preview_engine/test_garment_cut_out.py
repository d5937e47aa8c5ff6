import numpy as np
import pytest

from adapters.preview_engine.background_removal import remove_background
from adapters.preview_engine.garment_shape import read_shape
from adapters.preview_engine.neckline import without_inside
from tests.preview_engine import garments
from tests.preview_engine.garments import Drawing

TOPS = [
    pytest.param(garments.a_tee(), id="red tee"),
    pytest.param(garments.a_tee((238, 238, 236)), id="white tee on white paper"),
    pytest.param(garments.a_tee(garments.NAVY, stripes=True), id="white stripes on white paper"),
    pytest.param(garments.a_tee(garments.GREEN, paper=garments.GRAY_PAPER), id="on gray paper"),
    pytest.param(garments.a_long_sleeve(), id="long sleeves"),
    pytest.param(garments.a_tank_top(), id="tank top"),
]


@pytest.mark.parametrize("drawing", TOPS)
def test_the_cut_out_is_the_garment_without_its_shadow(drawing: Drawing) -> None:
    found, drawn = remove_background(drawing.picture) > 0.5, drawing.mask > 0.5
    assert (found & drawn).sum() / (found | drawn).sum() > 0.975


@pytest.mark.parametrize("drawing", TOPS)
def test_armpits_and_hem_are_found_where_they_were_drawn(drawing: Drawing) -> None:
    shape = read_shape(drawing.mask)
    assert (
        np.abs(shape.armpits - [(250, 375), (650, 375)]).max() < 35
    )  # a tank top's armhole runs into its side without a corner
    assert shape.sides[:, -1, 1] == pytest.approx([807, 807], abs=8)
    assert shape.sides[:, -1, 0] == pytest.approx([245, 655], abs=12)


def test_sleeves_are_found_and_measured() -> None:
    short, long = read_shape(garments.a_tee().mask), read_shape(garments.a_long_sleeve().mask)
    assert all(short.sleeves)
    assert all(long.sleeves)
    assert [sleeve.length for sleeve in short.sleeves if sleeve] == pytest.approx([180, 180], abs=50)
    assert [sleeve.length for sleeve in long.sleeves if sleeve] == pytest.approx([500, 500], abs=50)


def test_a_tank_top_has_no_sleeves() -> None:
    assert read_shape(garments.a_tank_top().mask).sleeves == (None, None)


def test_the_inside_of_the_back_is_cut_away_above_the_front_neckline() -> None:
    drawing = garments.a_tee()
    shape = read_shape(drawing.mask)
    torso = without_inside(drawing.picture, shape)
    assert torso[200, 450] < 0.05  # the inside of the back
    assert torso[260, 450] > 0.95  # the front
    assert shape.torso[200, 450] > 0.95
