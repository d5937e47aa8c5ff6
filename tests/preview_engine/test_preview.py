import numpy as np
import pytest

from adapters.preview_engine.engine import PreviewEngine
from adapters.preview_engine.pictures import Rgb, decode
from domain.errors import GarmentNotSeparable, GarmentNotSupported, PersonNotFound, TorsoNotVisible
from domain.geometry import Size
from tests.preview_engine import garments
from tests.preview_engine.garments import as_jpeg

CHEST = np.s_[350:480, 170:270]
LEFT_CHEST = np.s_[290:340, 95:125]
FACE = np.s_[70:180, 185:265]
SKY_AND_ROCKET = np.s_[0:280, 380:512]
FLAG = np.s_[0:240, 0:60]
LEFT_UPPER_ARM = np.s_[265:320, 55:85]
LEFT_FOREARM = np.s_[385:430, 40:70]


def difference(one: Rgb, other: Rgb) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def share_of(color: str, part: Rgb) -> float:
    red, green, blue = (part[..., i].astype(int) for i in range(3))
    found = {
        "red": (red > 120) & (green < 80) & (blue < 90),
        "navy": (blue > red + 25) & (red < 90),
        "blue": blue > red + 60,
    }[color]
    return float(found.mean())


@pytest.fixture(scope="module")
def in_red_tee(engine: PreviewEngine, astronaut_jpeg: bytes) -> Rgb:
    return decode(engine.render(astronaut_jpeg, garments.a_tee().jpeg).jpeg)


def test_a_red_shirt_covers_the_chest(in_red_tee: Rgb) -> None:
    assert share_of("red", in_red_tee[CHEST]) > 0.97


def test_head_and_background_stay_as_they_are(in_red_tee: Rgb, astronaut_jpeg: bytes) -> None:
    for part in (FACE, SKY_AND_ROCKET, FLAG):
        assert difference(in_red_tee[part], decode(astronaut_jpeg)[part]) < 3  # it was compressed once more


def test_stripes_stay_stripes(engine: PreviewEngine, astronaut_jpeg: bytes) -> None:
    result = decode(engine.render(astronaut_jpeg, garments.a_tee(garments.NAVY, stripes=True).jpeg).jpeg)
    column = result[350:500, 215].mean(axis=1)
    dark = column < (column.min() + column.max()) / 2
    assert np.count_nonzero(dark[1:] != dark[:-1]) >= 6


def test_only_long_sleeves_reach_the_forearm(engine: PreviewEngine, astronaut_jpeg: bytes) -> None:
    short = decode(engine.render(astronaut_jpeg, garments.a_tee(garments.NAVY).jpeg).jpeg)
    long = decode(engine.render(astronaut_jpeg, garments.a_long_sleeve(garments.NAVY).jpeg).jpeg)
    assert share_of("navy", short[LEFT_UPPER_ARM]) > 0.9
    assert share_of("navy", long[LEFT_UPPER_ARM]) > 0.9
    assert share_of("navy", short[LEFT_FOREARM]) < 0.1
    assert share_of("navy", long[LEFT_FOREARM]) > 0.6


def test_a_tank_top_leaves_the_arms_free(engine: PreviewEngine, astronaut_jpeg: bytes) -> None:
    result = decode(engine.render(astronaut_jpeg, garments.a_tank_top(garments.NAVY).jpeg).jpeg)
    assert share_of("navy", result[CHEST]) > 0.97
    assert difference(result[LEFT_UPPER_ARM], decode(astronaut_jpeg)[LEFT_UPPER_ARM]) < 3


def test_the_neckline_leaves_the_neck_free(in_red_tee: Rgb, astronaut_jpeg: bytes) -> None:
    neck = np.s_[205:225, 205:245]
    assert difference(in_red_tee[neck], decode(astronaut_jpeg)[neck]) < 3


def test_the_garment_is_darker_in_a_darker_photo(engine: PreviewEngine, astronaut: Rgb, in_red_tee: Rgb) -> None:
    dim = (astronaut * 0.6).astype(np.uint8)
    in_dim_light = decode(engine.render(as_jpeg(dim), garments.a_tee().jpeg).jpeg)
    assert in_dim_light[CHEST].mean() < 0.9 * in_red_tee[CHEST].mean()


def test_the_same_photos_give_the_same_bytes(engine: PreviewEngine, astronaut_jpeg: bytes) -> None:
    garment = garments.a_tee(stripes=True).jpeg
    assert engine.render(astronaut_jpeg, garment) == engine.render(astronaut_jpeg, garment)


def test_the_result_is_a_baseline_jpeg_without_metadata_in_the_size_of_the_person_photo(
    engine: PreviewEngine, astronaut: Rgb
) -> None:
    wide = np.pad(astronaut, ((0, 0), (0, 88), (0, 0)), mode="edge")
    result = engine.render(as_jpeg(wide), garments.a_tee().jpeg)
    assert result.size == Size(600, 512)
    assert decode(result.jpeg).shape == (512, 600, 3)
    markers = segment_markers(result.jpeg)
    assert 0xC0 in markers
    assert not set(markers) & {0xC2, 0xE1, 0xE2, 0xED, 0xEE, 0xFE}  # progressive, EXIF, ICC, IPTC, Adobe, comment


def segment_markers(jpeg: bytes) -> list[int]:
    markers, position = [], 2
    while jpeg[position + 1] != 0xDA:
        markers.append(jpeg[position + 1])
        position += 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
    return markers


def test_a_large_photo_keeps_its_size(engine: PreviewEngine, astronaut: Rgb) -> None:
    large = np.repeat(np.repeat(astronaut, 3, axis=0), 3, axis=1)
    result = engine.render(as_jpeg(large), garments.a_tee().jpeg)
    assert result.size == Size(1536, 1536)
    assert share_of("red", decode(result.jpeg)[1050:1440, 510:810]) > 0.97


def test_nobody_in_the_photo_is_refused(engine: PreviewEngine) -> None:
    with pytest.raises(PersonNotFound):
        engine.render(garments.a_skirt().jpeg, garments.a_tee().jpeg)


def test_a_person_without_visible_torso_is_refused(engine: PreviewEngine, astronaut: Rgb) -> None:
    with pytest.raises(TorsoNotVisible):
        engine.render(as_jpeg(astronaut[:290, 100:350]), garments.a_tee().jpeg)


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(garments.noise(), id="noise"),
        pytest.param(np.full((800, 800, 3), 240, dtype=np.uint8), id="empty paper"),
        pytest.param(np.ascontiguousarray(garments.a_tee().picture[::25, ::25]), id="a stamp of a garment"),
        pytest.param(np.indices((600, 600)).sum(axis=0).astype(np.uint8)[..., None].repeat(3, axis=2), id="pattern"),
    ],
)
def test_a_product_photo_without_a_garment_on_plain_ground_is_refused(
    engine: PreviewEngine, astronaut_jpeg: bytes, picture: Rgb
) -> None:
    with pytest.raises(GarmentNotSeparable):
        engine.render(astronaut_jpeg, as_jpeg(picture))


def test_a_model_who_shows_only_a_part_of_the_garment_is_refused(
    engine: PreviewEngine, astronaut: Rgb, astronaut_jpeg: bytes
) -> None:
    with pytest.raises(GarmentNotSeparable):
        engine.render(astronaut_jpeg, as_jpeg(astronaut[:290, 40:400]))


def test_a_garment_can_be_taken_from_a_model(engine: PreviewEngine, astronaut: Rgb, astronaut_jpeg: bytes) -> None:
    blue_suit = astronaut[..., ::-1]
    result = decode(engine.render(astronaut_jpeg, as_jpeg(blue_suit)).jpeg)
    assert share_of("blue", result[LEFT_CHEST]) > 0.5
    assert difference(result[FACE], decode(astronaut_jpeg)[FACE]) < 3


@pytest.mark.parametrize(
    "drawing",
    [
        pytest.param(garments.trousers(), id="trousers"),
        pytest.param(garments.a_skirt(), id="skirt"),
        pytest.param(garments.a_dress(), id="dress"),
        pytest.param(garments.a_pair_of_shoes(), id="shoes"),
    ],
)
def test_what_is_not_for_the_upper_body_is_refused(
    engine: PreviewEngine, astronaut_jpeg: bytes, drawing: garments.Drawing
) -> None:
    with pytest.raises(GarmentNotSupported):
        engine.render(astronaut_jpeg, drawing.jpeg)
