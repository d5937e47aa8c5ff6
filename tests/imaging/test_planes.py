"""Pictures that are worked on as luma and chroma: the same as by way of RGB, only sooner."""

import io

import numpy as np
import pytest
from PIL import Image

from adapters.imaging import libturbojpeg
from adapters.imaging.libturbojpeg import decode_planes
from adapters.imaging.raster import PlanarRaster
from domain.geometry import Box, Size
from tests import photos
from tests.imaging.developing import difference, looked_at, shown

SIZE = Size(601, 757)
PICTURE = photos.astronaut(SIZE.width, SIZE.height)
SUBSAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
WINDOWS = {"everything": None, "a part": Box(33, 101, 320, 400), "in the corner": Box(201, 257, 400, 500)}


def photo_with(subsampling: str) -> bytes:
    return photos.jpeg(PICTURE, quality=95, subsampling=SUBSAMPLINGS[subsampling])


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libturbojpeg, "_library", lambda: None)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("longest_edge", "most"), [(2000, 1), (300, 2)])
def test_a_jpeg_looks_as_if_it_had_gone_through_rgb(
    subsampling: str, window: str, longest_edge: int, most: float, request: pytest.FixtureRequest
) -> None:
    photo = photo_with(subsampling)
    by_planes = shown(photo, WINDOWS[window], longest_edge)
    request.getfixturevalue("without_library")
    assert difference(by_planes, shown(photo, WINDOWS[window], longest_edge)).mean() < most


@pytest.mark.parametrize("orientation", range(1, 9))
def test_planes_are_turned_upright(orientation: int) -> None:
    stored = photos.stored_for(np.asarray(PICTURE), orientation)
    photo = photos.with_segments(photos.jpeg(stored, quality=95, subsampling=2), photos.exif_segment(orientation))
    assert difference(looked_at(photo), np.asarray(PICTURE)).mean() < 3


def test_samples_are_those_that_are_stored() -> None:
    """Pillow hands luma out as it is when it is asked for gray."""
    photo = photo_with("4:2:0")
    raster = decode_planes(photo, SIZE, 1)
    gray = Image.open(io.BytesIO(photo))
    gray.draft("L", gray.size)
    assert isinstance(raster, PlanarRaster)
    assert (raster.luma == np.asarray(gray)).all()
    assert (raster.blue.shape, raster.red.shape, raster.chroma_step) == ((379, 301), (379, 301), (2, 2))


def test_a_cut_file_is_left_to_others() -> None:
    photo = photo_with("4:2:0")
    assert decode_planes(photo[: len(photo) // 2] + b"\xff\xd9", SIZE, 1) is None


def test_colors_that_are_stored_in_another_way_are_left_to_others() -> None:
    out = io.BytesIO()
    PICTURE.save(out, "JPEG", quality=95, keep_rgb=True)
    assert decode_planes(out.getvalue(), SIZE, 1) is None
    assert decode_planes(photos.jpeg(PICTURE.convert("L"), quality=95), SIZE, 1) is None
    assert decode_planes(photo_with("4:2:0"), Size(757, 601), 1) is None


def test_a_lossy_webp_looks_as_other_readers_show_it() -> None:
    photo = photos.encoded(PICTURE, "WEBP", quality=95)
    assert difference(looked_at(photo), np.asarray(Image.open(io.BytesIO(photo)))).mean() < 1


def test_full_black_and_white_of_a_lossy_webp_stay_so() -> None:
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 255
    seen = looked_at(photos.encoded(Image.fromarray(halves), "WEBP", quality=100))
    assert seen[:, :24].max() <= 1
    assert seen[:, 40:].min() >= 254
