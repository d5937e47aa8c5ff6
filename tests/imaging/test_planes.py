"""Pictures that are worked on as luma and chroma: the same as by way of RGB, only sooner."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from adapters.imaging.libturbojpeg import decode_planes
from adapters.imaging.raster import PlanarRaster
from domain.geometry import Box, Size
from tests import photos
from tests.imaging.conftest import needs_library
from tests.imaging.encoding import difference, looked_at, shown

SIZE = Size(601, 757)
PICTURE = photos.astronaut(SIZE.width, SIZE.height)
SUBSAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
WINDOWS = {"everything": None, "a part": Box(33, 101, 320, 400), "in the corner": Box(201, 257, 400, 500)}


def photo_with(subsampling: str) -> bytes:
    return photos.jpeg(PICTURE, quality=95, subsampling=SUBSAMPLINGS[subsampling])


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("longest_edge", "most"), [(2000, 1.2), (300, 2)])
def test_a_jpeg_looks_as_if_it_had_gone_through_rgb(
    subsampling: str, window: str, longest_edge: int, most: float, request: pytest.FixtureRequest
) -> None:
    photo = photo_with(subsampling)
    by_planes = shown(photo, WINDOWS[window], longest_edge)
    request.getfixturevalue("without_library")
    assert difference(by_planes, shown(photo, WINDOWS[window], longest_edge)).mean() < most


@pytest.mark.parametrize("reduced", [False, True], ids=["whole", "halved while decoding"])
@pytest.mark.parametrize("offset", range(32, 36))
def test_colors_stay_where_they_are_in_windows_that_begin_between_two_samples(offset: int, reduced: bool) -> None:
    """A red stripe in the middle of a gray window: the middle of its redness is the window's."""
    colors = np.full((480, 480, 3), 120, np.uint8)
    colors[:, offset + 180 : offset + 220] = (200, 60, 60)
    colors[offset + 180 : offset + 220] = (200, 60, 60)
    photo = photos.jpeg(Image.fromarray(colors), quality=98, subsampling=2)
    seen = shown(photo, Box(offset, offset, 400, 400), 200 if reduced else 400).astype(float)
    redness = seen[..., 0] - seen[..., 1]
    middle = (seen.shape[0] - 1) / 2
    for profile in (redness[:40].mean(axis=0), redness[:, :40].mean(axis=1)):
        assert abs(np.average(np.arange(len(profile)), weights=profile.clip(0)) - middle) < 0.15


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 1), (2, 5), (17, 1)], ids=str)
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_the_smallest_pictures_have_planes_too(size: tuple[int, int], subsampling: str) -> None:
    photo = photos.jpeg(PICTURE.resize(size), quality=98, subsampling=SUBSAMPLINGS[subsampling])
    for x in range(size[0]):
        for y in range(size[1]):
            assert shown(photo, Box(x, y, size[0] - x, size[1] - y)).shape == (size[1] - y, size[0] - x, 3)


@needs_library
def test_440_has_planes_too() -> None:
    """As a camera's 4:2:2 becomes when it is turned without loss."""
    factors = cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440
    _, photo = cv2.imencode(".jpg", np.asarray(PICTURE)[:, :, ::-1], [*factors, cv2.IMWRITE_JPEG_QUALITY, 95])
    raster = decode_planes(photo.tobytes(), SIZE, 1)
    assert raster is not None
    assert raster.chroma_step == (1, 2)
    assert difference(shown(photo.tobytes()), np.asarray(PICTURE)).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_planes_are_turned_upright(orientation: int) -> None:
    stored = photos.stored_for(np.asarray(PICTURE), orientation)
    photo = photos.with_segments(photos.jpeg(stored, quality=95, subsampling=2), photos.exif_segment(orientation))
    assert difference(looked_at(photo), np.asarray(PICTURE)).mean() < 3


@needs_library
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


@needs_library
def test_stray_bytes_behind_the_last_pixel_are_no_complaint() -> None:
    photo = photo_with("4:2:0")
    stray, clean = decode_planes(photo[:-2] + bytes(3) + photo[-2:], SIZE, 1), decode_planes(photo, SIZE, 1)
    assert stray is not None
    assert clean is not None
    assert (stray.luma == clean.luma).all()


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
