"""Scaling down is judged against Lanczos in floating point, and by what aliasing does to fine lines."""

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from skimage import data
from skimage.metrics import structural_similarity

from adapters.imaging.jpeg import decode_jpeg, scan_jpeg
from adapters.imaging.resampling import Area, resampled
from domain.errors import InvalidImage
from domain.geometry import Box, Size
from tests import photos
from tests.imaging.encoding import difference, encoded, looked_at, opened, read, shown

PICTURES = {"astronaut": data.astronaut(), "cat": data.chelsea(), "coffee": data.coffee()}


def scaled_down(picture: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
    return resampled(picture, Area(0, 0, picture.shape[1], picture.shape[0]), size, sharp=True)


def lanczos(picture: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.float32]:
    """Pillow's Lanczos on 32-bit floats, a channel at a time."""
    planes = [Image.fromarray(picture[..., channel].astype(np.float32)) for channel in range(3)]
    resized = [plane.resize((size.width, size.height), Image.Resampling.LANCZOS) for plane in planes]
    return np.asarray(np.clip(np.dstack([np.asarray(plane) for plane in resized]), 0, 255), np.float32)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("scale", [0.15, 0.25, 0.3, 0.45, 0.5, 0.53, 0.6, 0.75, 0.9, 0.98])
def test_a_smaller_picture_is_as_lanczos_leaves_it(name: str, scale: float) -> None:
    picture = PICTURES[name]
    size = Size(round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    similarity = structural_similarity(
        lanczos(picture, size), scaled_down(picture, size).astype(np.float32), data_range=255, channel_axis=2
    )
    assert similarity >= 0.985


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.55, 0.7])
def test_lines_too_fine_for_the_result_turn_gray_instead_of_moire(scale: float) -> None:
    """Cloth of threads one pixel wide: what Lanczos does not show, we do not show either."""
    x = np.arange(800)
    threads = np.where(x % 2, 200, 60).astype(np.uint8)
    cloth = np.dstack([np.broadcast_to(threads, (800, 800))] * 3)
    size = Size(round(800 * scale), round(800 * scale))
    inner = scaled_down(cloth, size)[20:-20, 20:-20, 0].astype(float)
    assert inner.std() < 4  # of 70 in the cloth
    assert abs(inner.mean() - 130) < 1


@pytest.mark.parametrize(("width", "height"), [(1_000_000, 1), (1, 1_000_000), (1_000_000, 40)])
def test_the_thinnest_strips_take_no_longer_than_others(width: int, height: int) -> None:
    photo = photos.raw_png(width, height, 1, 0, (b"\0" + b"\xff" * -(-width // 8)) * height)
    assert encoded(photo).size.longest_edge == 2000
    assert (looked_at(photo) == 255).all()


@pytest.mark.parametrize(("width", "height"), [(1_000_001, 1), (1, 40_000_000)])
def test_a_strip_of_more_than_a_million_pixels_is_refused(width: int, height: int) -> None:
    """As browsers do: that is libpng's own limit for an edge."""
    with pytest.raises(InvalidImage):
        encoded(photos.raw_png(width, height, 1, 0, (b"\0" + b"\xff" * -(-width // 8)) * height))


@pytest.mark.parametrize(("width", "height"), [(1, 3000), (5, 3000), (3000, 1), (3000, 5)])
def test_a_part_of_a_strip_is_the_same_after_the_whole_was_looked_at(width: int, height: int) -> None:
    """An overview one pixel wide stands for less than a pixel: its width says nothing of its height."""
    ramp = np.linspace(0, 255, max(width, height)).astype(np.uint8).reshape(height if height > width else 1, -1)
    photo = opened(photos.encoded(Image.fromarray(np.broadcast_to(ramp, (height, width))).convert("RGB"), "PNG"))
    part = (
        Box(0, height // 2, width, height - height // 2) if height > width else Box(width // 2, 0, width // 2, height)
    )
    photo.view(None, 640)
    view = photo.view(part, 320)
    levels = np.frombuffer(view.data, np.uint8)
    assert view.size.longest_edge == 320
    assert abs(int(levels.min()) - 127) <= 2
    assert levels.max() >= 253


def test_a_large_jpeg_is_halved_while_it_is_decoded_and_looks_the_same() -> None:
    """4,100 pixels are more than twice of what is kept. The same pixels as a PNG go the long way."""
    photo = photos.jpeg(photos.astronaut(3280, 4100), quality=92)
    the_long_way = shown(photos.encoded(read(photo), "PNG", compress_level=1))
    halved = decode_jpeg(scan_jpeg(photo), 2)
    assert ([plane.shape for plane in halved.planes], halved.reduction) == ([(2050, 1640)] * 3, 2)
    kept = shown(photo)
    assert kept.shape == (2000, 1600, 3)
    assert structural_similarity(the_long_way, kept, channel_axis=2) >= 0.985


def test_a_small_part_of_a_large_jpeg_keeps_its_detail() -> None:
    """Looked at in half size first, then a part is wanted that is smaller than what is kept."""
    picture = photos.astronaut(3280, 4100)
    photo = opened(photos.jpeg(picture, quality=92))
    window = Box(1000, 1000, 1600, 2000)
    photo.decode(2000)
    assert photo.view(None, 4100).size.longest_edge == 2050
    kept = read(photo.encode(window, 2000).jpeg)
    expected = np.asarray(picture)[1000:3000, 1000:2600]
    assert kept.shape == (2000, 1600, 3)
    assert difference(kept, expected).mean() < 2


def test_a_jpeg_of_a_phone_keeps_its_fine_lines_also_when_it_is_kept_whole() -> None:
    """Half of 4,032 pixels would do for all of it, but libjpeg leaves a false pattern of lines that fine."""
    lines = 128 + 100 * np.sin(2 * np.pi * np.arange(4032) / 2.5)
    picture = Image.fromarray(np.broadcast_to(lines[:, None], (4032, 3024)).astype(np.uint8))
    photo = opened(photos.jpeg(picture, quality=95))
    photo.decode(2000)
    kept = read(photo.encode(None, 2000).jpeg)[100:-100, 100:-100]
    assert np.ptp(kept) <= 12


@pytest.mark.parametrize(("longest_edge", "decoded"), [(1000, 1200), (1200, 1200), (1300, 2400)])
def test_a_jpeg_is_halved_for_as_large_a_picture_as_is_kept(longest_edge: int, decoded: int) -> None:
    photo = opened(photos.jpeg(photos.astronaut(2000, 2400)))
    photo.decode(longest_edge)
    assert photo.view(None, 2400).size.longest_edge == decoded
