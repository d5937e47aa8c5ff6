"""No plane drifts: what is kept is held against a scene of sines that is known at every point, in double precision."""

import io
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adapters.imaging.native import libturbojpeg
from domain.geometry import Box, Padding, Size
from tests import photos
from tests.imaging.encoding import opened

Floats = npt.NDArray[np.floating[Any]]
MOST_DRIFT = 0.1  # of a kept pixel, at any place
MOST_BIAS = 1.0  # of a level
SUBSAMPLINGS = {"444": 0, "422": 1, "420": 2, "440": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
                "411": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """Three components, each a plane of waves; lengths are in pixels of an upright picture of this size."""

    size: Size
    wave: float

    def at(self, component: int, x: Floats, y: Floats, cell: tuple[float, float]) -> Floats:
        """The mean over cells of this size around points (x along columns, y along rows)."""
        across, down = (2 * math.pi / self.wave * turn for turn in (1 + 0.13 * component, 1.2 - 0.1 * component))
        blur = np.sinc(across * cell[0] / (2 * math.pi)) * np.sinc(down * cell[1] / (2 * math.pi))
        wavy = np.sin(across * x + component)[None, :] * np.cos(down * y + component)[:, None]
        return np.asarray(128 + 36 * blur * wavy)

    def stored(self, orientation: int) -> npt.NDArray[np.uint8]:
        x, y = np.arange(self.size.width) + 0.5, np.arange(self.size.height) + 0.5
        upright = np.dstack([self.at(component, x, y, (1, 1)) for component in range(3)])
        return np.rint(photos.stored_for(upright, orientation)).astype(np.uint8)


def as_jpeg(scene: Scene, orientation: int, subsampling: str) -> bytes:
    stored = scene.stored(orientation)
    if subsampling in {"440", "411"}:
        options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SUBSAMPLINGS[subsampling], cv2.IMWRITE_JPEG_QUALITY, 99]
        bgr = cv2.cvtColor(np.ascontiguousarray(stored[..., [0, 2, 1]]), cv2.COLOR_YCrCb2BGR)
        photo = cv2.imencode(".jpg", bgr, options)[1].tobytes()
    else:
        out = io.BytesIO()
        Image.fromarray(stored, "YCbCr").save(out, "JPEG", quality=99, subsampling=SUBSAMPLINGS[subsampling])
        photo = out.getvalue()
    return photos.with_segments(photo, photos.exif_segment(orientation))


def as_png(scene: Scene, orientation: int) -> bytes:
    rgb = cv2.cvtColor(np.ascontiguousarray(scene.stored(orientation)[..., [0, 2, 1]]), cv2.COLOR_YCrCb2RGB)
    return photos.with_chunks(photos.encoded(rgb, "PNG"), photos.chunk(b"eXIf", photos.exif(orientation)))


def assert_nothing_drifts(scene: Scene, photo: bytes, window: Box | None, longest_edge: int) -> None:
    kept = opened(photo).encode(window, longest_edge)
    shown = window or Box.covering(scene.size)
    planes, _ = libturbojpeg.decode(kept.jpeg, kept.size, 1)
    across, down = shown.width / kept.size.width, shown.height / kept.size.height
    for component, plane in enumerate(planes):
        step = 2 if component else 1
        rows, columns = plane.shape
        x, y = (np.arange(columns) + 0.5) * step, (np.arange(rows) + 0.5) * step
        cell = step * across, step * down

        def expected(dx: float = 0, dy: float = 0, c: int = component) -> Floats:
            return scene.at(c, shown.x + (x + dx) * across, shown.y + (y + dy) * down, cell)  # noqa: B023

        right = np.minimum(x, kept.size.width) / kept.size.width
        below = np.minimum(y, kept.size.height)[:, None] / kept.size.height
        inside = np.s_[: max(1, kept.size.height // step), : max(1, kept.size.width // step)]
        error = (plane - expected())[inside]
        slope_x = (expected(dx=0.5) - expected(dx=-0.5))[inside]
        slope_y = (expected(dy=0.5) - expected(dy=-0.5))[inside]
        if min(error.shape) < 8:
            continue  # 4:1:1 has one sample of chroma for all of it
        assert abs(error.mean()) < MOST_BIAS
        if min(error.shape) < 24:
            continue  # too few samples to tell a drift from rounding
        right, below = np.broadcast_to(right, plane.shape)[inside], np.broadcast_to(below, plane.shape)[inside]
        terms = [np.ones_like(error), slope_x, slope_x * right, slope_y, slope_y * below, error]
        *columns, target = (term[2:-2, 2:-2].ravel() for term in terms)  # what is beyond the border is nobody's to say
        bias, *drift = np.linalg.lstsq(np.stack(columns, axis=1), target, rcond=None)[0]
        assert abs(bias) < MOST_BIAS
        for start, growth in (drift[:2], drift[2:]):
            assert max(abs(start), abs(start + growth)) < MOST_DRIFT, (component, drift)


EDGES = st.integers(1, 70)


@st.composite
def windows(draw: st.DrawFn, size: Size) -> Box:
    left, top = draw(st.integers(0, size.width - 1)), draw(st.integers(0, size.height - 1))
    right, bottom = draw(st.integers(left + 1, size.width)), draw(st.integers(top + 1, size.height))
    return Box(left, top, right - left, bottom - top)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data(), EDGES, EDGES, st.integers(1, 8), st.sampled_from(list(SUBSAMPLINGS)), st.integers(1, 90))
def test_nothing_drifts_in_a_small_picture(
    data: st.DataObject, width: int, height: int, orientation: int, subsampling: str, longest_edge: int
) -> None:
    scene = Scene(Size(width, height), wave=30)
    photo = as_jpeg(scene, orientation, subsampling)
    assert_nothing_drifts(scene, photo, data.draw(windows(scene.size)), longest_edge)


REAL = [
    (Size(601, 757), Box(33, 101, 319, 401), 2000),
    (Size(600, 756), None, 2000),
    (Size(601, 757), Box(1, 1, 599, 755), 375),
    (Size(601, 757), Box(0, 3, 600, 751), 188),
    (Size(401, 505), None, 2000),
    (Size(400, 505), None, 2000),
    (Size(801, 1001), None, 500),
    (Size(803, 1007), Box(5, 7, 797, 993), 249),
    (Size(803, 1007), Box(5, 7, 797, 993), 497),
    (Size(803, 1007), Box(5, 7, 797, 993), 989),
]


def scene_for(size: Size, window: Box | None, longest_edge: int) -> Scene:
    """With waves of 40 kept pixels: steep enough to tell a drift from what quantizing does to them."""
    shown = window.size if window else size
    return Scene(size, 40 * max(1, shown.longest_edge / longest_edge))


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize(("size", "window", "longest_edge"), REAL, ids=str)
def test_nothing_drifts_in_a_real_picture(
    size: Size, window: Box | None, longest_edge: int, subsampling: str, orientation: int
) -> None:
    scene = scene_for(size, window, longest_edge)
    assert_nothing_drifts(scene, as_jpeg(scene, orientation, subsampling), window, longest_edge)


@pytest.mark.parametrize("orientation", [2, 7])
@pytest.mark.parametrize(("size", "window", "longest_edge"), REAL, ids=str)
def test_nothing_drifts_in_a_picture_that_was_rgb(
    size: Size, window: Box | None, longest_edge: int, orientation: int
) -> None:
    scene = scene_for(size, window, longest_edge)
    assert_nothing_drifts(scene, as_png(scene, orientation), window, longest_edge)


def test_a_picture_looked_at_is_where_the_kept_one_is() -> None:
    scene = Scene(Size(803, 1007), wave=160)
    photo = opened(as_jpeg(scene, 6, "420"))
    for window in (None, Box(5, 7, 797, 993), Box(200, 300, 401, 503)):
        view = photo.view(window, 301)
        shown = window or Box.covering(scene.size)
        rgb = np.frombuffer(view.data, np.uint8).reshape(view.size.height, view.size.width, 3)
        across, down = shown.width / view.size.width, shown.height / view.size.height
        x = shown.x + (np.arange(view.size.width) + 0.5) * across
        y = shown.y + (np.arange(view.size.height) + 0.5) * down
        error = rgb @ np.array([0.299, 0.587, 0.114]) - scene.at(0, x, y, (across, down))
        assert abs(error.mean()) < MOST_BIAS
        assert np.abs(error)[4:-4, 4:-4].max() < 4


class TestPadding:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("longest_edge", [2000, 333])
    @pytest.mark.parametrize(
        "padding", [Padding(40, 0, 41, 0), Padding(0, 33, 0, 0), Padding(7, 5, 3, 1), Padding(0, 0, 0, 90)], ids=str
    )
    def test_the_picture_stays_what_it_was_inside_of_its_canvas(
        self, padding: Padding, longest_edge: int, orientation: int
    ) -> None:
        scene = Scene(Size(301, 405), wave=60)
        photo = as_jpeg(scene, orientation, "420")
        window = Box(11, 21, 281, 351)
        kept = opened(photo).encode(window, longest_edge, padding)
        assert kept.size == padding.around(window.size).limited_to(longest_edge)
        around = padding.scaled(window.size, kept.size)
        (luma, *_), _ = libturbojpeg.decode(kept.jpeg, kept.size, 1)
        inner = luma[around.top : kept.size.height - around.bottom, around.left : kept.size.width - around.right]
        across, down = window.width / inner.shape[1], window.height / inner.shape[0]
        x, y = np.arange(inner.shape[1]) + 0.5, np.arange(inner.shape[0]) + 0.5
        expected = scene.at(0, window.x + x * across, window.y + y * down, (across, down))
        assert np.abs(inner - expected).mean() < 1.5
        scale = kept.size.width / padding.around(window.size).width
        for kept_side, wanted in zip(
            (around.left, around.top, around.right, around.bottom),
            (padding.left, padding.top, padding.right, padding.bottom),
            strict=True,
        ):
            assert abs(kept_side - wanted * scale) <= 1
            assert wanted or not kept_side

    def test_a_plain_ground_goes_on_as_it_is(self) -> None:
        ground = np.full((300, 200, 3), (210, 205, 200), np.uint8)
        ground[100:200, 60:140] = (90, 40, 40)
        kept = opened(photos.encoded(ground, "PNG")).encode(None, 2000, Padding(60, 30, 60, 30))
        shown = np.asarray(Image.open(io.BytesIO(kept.jpeg))).astype(int)
        assert shown.shape == (360, 320, 3)
        outside = np.ones(shown.shape[:2], bool)
        outside[120:240, 110:210] = False
        assert np.abs(shown - (210, 205, 200))[outside].max() <= 3

    def test_what_touches_the_edge_fades(self) -> None:
        """An arm that the photo cuts off becomes a shade of the ground, not another arm."""
        ground = np.full((300, 200, 3), 200, np.uint8)
        ground[140:160, :100] = (90, 50, 40)
        kept = opened(photos.encoded(ground, "PNG")).encode(None, 2000, Padding(200, 0, 0, 0))
        shown = np.asarray(Image.open(io.BytesIO(kept.jpeg))).astype(int)
        assert shown[150, 198, 0] < 120
        assert (np.diff(shown[150, 20:190:10, 1]) <= 1).all()
        assert shown[150, 5, 1] > 160

    def test_a_gray_photo_is_padded_too(self) -> None:
        kept = opened(photos.encoded(np.full((50, 30), 77, np.uint8), "PNG")).encode(None, 2000, Padding(5, 0, 6, 0))
        assert (np.asarray(Image.open(io.BytesIO(kept.jpeg))) == 77).all()

    @pytest.mark.parametrize("size", [Size(1, 1), Size(2, 1), Size(1, 3)], ids=str)
    def test_the_smallest_pictures_can_be_padded(self, size: Size) -> None:
        photo = photos.encoded(np.full((size.height, size.width, 3), 99, np.uint8), "PNG")
        kept = opened(photo).encode(None, 2000, Padding(3, 2, 1, 5))
        assert kept.size == Size(size.width + 4, size.height + 7)
        assert (np.asarray(Image.open(io.BytesIO(kept.jpeg))) == 99).all()
