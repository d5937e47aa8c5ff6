"""Draws product photos: garments laid flat on paper, with soft shadows, shading and stripes."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

HEIGHT, WIDTH = 1000, 900
Picture = npt.NDArray[np.uint8]
Outline = Sequence[tuple[float, float]]

RED, NAVY, GREEN = (200, 30, 40), (30, 50, 110), (60, 120, 90)
WHITE_PAPER, GRAY_PAPER = (255, 255, 255), (214, 218, 222)


@dataclass(frozen=True)
class Drawing:
    """A product photo and where in it the garment is (0 to 1)."""

    picture: Picture
    mask: npt.NDArray[np.float32]

    @property
    def jpeg(self) -> bytes:
        return as_jpeg(self.picture)


def as_jpeg(picture: npt.NDArray[np.uint8]) -> bytes:
    jpeg: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=93, colorspace="RGB")
    return jpeg


def a_tee(
    color: tuple[int, int, int] = RED, *, stripes: bool = False, paper: tuple[int, int, int] = WHITE_PAPER
) -> Drawing:
    sleeve = [(225, 195), (85, 355), (180, 430), (250, 375)]
    return _drawn(_top(sleeve), _neckline(180), color, paper, stripes=stripes)


def a_long_sleeve(color: tuple[int, int, int] = NAVY, paper: tuple[int, int, int] = WHITE_PAPER) -> Drawing:
    sleeve = [(225, 195), (150, 340), (70, 760), (150, 775), (250, 375)]
    return _drawn(_top(sleeve), _neckline(180), color, paper)


def a_tank_top(color: tuple[int, int, int] = GREEN, paper: tuple[int, int, int] = WHITE_PAPER) -> Drawing:
    armhole = [(300, 152), *_curve((300, 152), (310, 330), (250, 380))]
    return _drawn(_top(armhole, neck_depth=220), None, color, paper)


def trousers() -> Drawing:
    left = [(330, 120), (290, 300), (270, 880), (420, 880), (450, 420)]
    return _drawn([*left, *_mirrored(left)], None, NAVY, WHITE_PAPER)


def a_skirt() -> Drawing:
    left = [(320, 200), (220, 800)]
    return _drawn([*left, *_mirrored(left)], None, RED, WHITE_PAPER)


def a_dress() -> Drawing:
    sleeve = [(345, 90), (300, 150), (340, 190)]
    left = [(400, 60), *sleeve, (370, 300), (290, 960)]
    return _drawn([*left, *_mirrored(left)], None, GREEN, WHITE_PAPER)


def a_pair_of_shoes() -> Drawing:
    left = [(150, 400), (140, 640), (330, 640), (330, 560), (260, 520), (240, 400)]
    one = _drawn(left, None, NAVY, WHITE_PAPER)
    other = _drawn(_mirrored(left), None, NAVY, WHITE_PAPER)
    mask = np.maximum(one.mask, other.mask)
    return Drawing(np.minimum(one.picture, other.picture), mask)


def noise() -> Picture:
    return np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def _top(side: Outline, neck_depth: float | None = None) -> Outline:
    """A torso with the given left side above the armpit; the neck is closed by the garment's back unless cut out."""
    left = [*side, *_curve((250, 375), (258, 600), (245, 800))]
    bottom = _curve((245, 800), (450, 814), (655, 800))
    back = _curve((545, 140), (450, 140 + (neck_depth or 30)), (355, 140))
    return [*left, *bottom, *_mirrored(left), *back]


def _neckline(depth: float) -> Outline:
    """The front neckline, below the back's."""
    return _curve((545, 140), (450, 140 + depth), (355, 140))


def _curve(start: tuple[float, float], pull: tuple[float, float], end: tuple[float, float]) -> Outline:
    places = np.linspace(0, 1, 20)[:, None]
    a, b, c = np.array(start), np.array(pull), np.array(end)
    return [(float(x), float(y)) for x, y in (1 - places) ** 2 * a + 2 * places * (1 - places) * b + places**2 * c]


def _mirrored(outline: Outline) -> Outline:
    return [(WIDTH - x, y) for x, y in outline][::-1]


def _filled(outline: Outline) -> npt.NDArray[np.float32]:
    large = np.zeros((HEIGHT * 4, WIDTH * 4), dtype=np.uint8)
    cv2.fillPoly(large, [(np.array(outline) * 4).astype(np.int32)], 255)
    small = cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(small / 255, dtype=np.float32)


def _drawn(
    outline: Outline,
    neckline: Outline | None,
    color: tuple[int, int, int],
    paper: tuple[int, int, int],
    *,
    stripes: bool = False,
) -> Drawing:
    mask = _filled(outline)
    shadow = cv2.GaussianBlur(np.roll(mask, (8, 5), (0, 1)), (0, 0), 14)
    picture = np.full((HEIGHT, WIDTH, 3), paper, dtype=np.float32) * (1 - 0.16 * shadow[..., None])
    cloth = np.full((HEIGHT, WIDTH, 3), color, dtype=np.float64)
    if stripes:
        cloth[(np.arange(HEIGHT) // 28) % 2 == 0] = (245, 245, 240)
    folds = cv2.GaussianBlur(np.random.default_rng(1).normal(size=(HEIGHT, WIDTH)), (0, 0), 28)
    cloth *= (1 + 0.035 * folds / folds.std())[..., None]
    edge = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    cloth *= (1 - 0.22 * np.exp(-edge / 9))[..., None]
    if neckline is not None:
        inside = _filled([*_curve((355, 140), (450, 170), (545, 140)), *neckline])[..., None]
        cloth = cloth * (1 - inside) + (np.array(color) * 0.62 + 15) * inside
    picture = picture * (1 - mask[..., None]) + cloth * mask[..., None]
    return Drawing(np.clip(picture, 0, 255).astype(np.uint8), mask)
