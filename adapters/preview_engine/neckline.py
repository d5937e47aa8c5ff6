"""Finds the front neckline in a garment's photo, so that the inside of its back does not cover the wearer's neck."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from adapters.preview_engine.garment_shape import GarmentShape
from adapters.preview_engine.pictures import Mask, Points, Rgb, blurred, to_lab

# Lengths in widths of the collar
SHALLOWEST, DEEPEST = 0.12, 1.25
OPEN_NECK = 0.3  # an outline that goes down so far is the front neckline itself
CURVES = (1.3, 2.0, 3.0)  # exponents: from a V over a round neckline to a U
WIDTHS = (1.0, 1.15, 1.3, 1.45)
SAMPLES = 61
CLEAR_EDGE = 0.5  # L*a*b* per pixel along the curve; folds are softer
CLEAR_SHARE = 0.8  # of the curve must show an edge
OUTSTANDING = 1.8  # times the cloth's own texture


@dataclass(frozen=True, slots=True)
class _Candidate:
    points: Points
    strength: float
    depth: float


def without_inside(photo: Rgb, shape: GarmentShape) -> Mask:
    """The torso's mask, less what lies above the front neckline, if one is clearly seen."""
    gradients = _gradients(photo)
    width = float(shape.collar[1, 0] - shape.collar[0, 0])
    if _dip(shape) > OPEN_NECK * width:
        return shape.torso
    texture = _texture(gradients, shape, width)
    clear = [found for found in _candidates(gradients, shape, width) if found.strength > OUTSTANDING * texture]
    if not clear:
        return shape.torso
    best = max(found.strength for found in clear)
    # collars have two seams; the upper one is the opening
    neckline = min((found for found in clear if found.strength > 0.92 * best), key=lambda found: found.depth)
    return _cut(shape.torso, neckline.points)


def _dip(shape: GarmentShape) -> float:
    """How far the outline's top goes down between the shoulders."""
    column = shape.torso[:, round(float(shape.collar[:, 0].mean()))] > 0.5
    return float(np.argmax(column)) - float(shape.collar[:, 1].min())


def _gradients(photo: Rgb) -> npt.NDArray[np.float32]:
    """Change of color down and across, L*a*b* per pixel (height x width x 2)."""
    smooth = cv2.GaussianBlur(to_lab(photo), (0, 0), 1.5)
    down, across = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=0.125), cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=0.125)
    return np.stack([np.linalg.norm(across, axis=-1), np.linalg.norm(down, axis=-1)], axis=-1).astype(np.float32)


def _texture(gradients: npt.NDArray[np.float32], shape: GarmentShape, width: float) -> float:
    """How much the cloth under the neckline changes color by itself: stripes, knit, prints."""
    left, right = int(shape.collar[0, 0]), int(shape.collar[1, 0])
    top = int(shape.collar[:, 1].mean() + 1.3 * width)
    part = gradients[top : top + max(8, int(width)), left:right]
    return float(np.percentile(np.linalg.norm(part, axis=-1), 70)) if part.size else 0.0


def _candidates(gradients: npt.NDArray[np.float32], shape: GarmentShape, width: float) -> list[_Candidate]:
    solid = shape.torso > 0.5
    contour = np.where(solid.any(axis=0), np.argmax(solid, axis=0), solid.shape[0]).astype(np.float32)
    middle, tip = float(shape.collar[:, 0].mean()), float(shape.collar[:, 1].mean())
    across = np.linspace(-1, 1, SAMPLES, dtype=np.float32)
    found = []
    for wide in WIDTHS:
        columns = middle + across * width * wide / 2
        if columns[0] < shape.shoulders[0, 0] or columns[-1] > shape.shoulders[1, 0]:
            continue
        back = contour[np.clip(np.rint(columns), 0, solid.shape[1] - 1).astype(int)]
        start = float(min(back[0], back[-1]))
        lowest = max(float(back[SAMPLES // 2]) - start, 0.0) + SHALLOWEST * width
        for depth in np.linspace(lowest, DEEPEST * width, 48):
            for curve in CURVES:
                rows = start + depth * (1 - np.abs(across) ** curve)
                points = np.stack([columns, rows], axis=1).astype(np.float32)
                strength = _strength(gradients, points)
                if strength is not None:
                    found.append(_Candidate(points, strength, float(depth + start - tip)))
    return found


def _strength(gradients: npt.NDArray[np.float32], points: Points) -> float | None:
    """The median color step across the curve; None where parts of it show none. Its ends merge with the shoulders."""
    inner = points[4:-4]
    place = np.rint(inner).astype(int)
    if place.min() < 0 or (place[:, 0] >= gradients.shape[1]).any() or (place[:, 1] >= gradients.shape[0]).any():
        return None
    tangent = np.gradient(inner, axis=0)
    normal = np.abs(np.stack([tangent[:, 1], tangent[:, 0]], axis=1))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    step = (gradients[place[:, 1], place[:, 0]] * normal).sum(axis=1)
    if (step > CLEAR_EDGE).mean() < CLEAR_SHARE:
        return None
    return float(np.median(step))


def _cut(torso: Mask, neckline: Points) -> Mask:
    top = np.array([[neckline[-1, 0], 0], [neckline[0, 0], 0]], dtype=np.float32)
    inside = np.zeros(torso.shape, dtype=np.uint8)
    cv2.fillPoly(inside, [np.rint(np.concatenate([neckline, top])).astype(np.int32)], 1)
    return torso * (1 - blurred(inside.astype(np.float32), 0.8))
