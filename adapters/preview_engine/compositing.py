"""Lays a fitted garment over the photo: shadow below, folds and light on it, head and hands above it."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from adapters.preview_engine.mesh_warp import SourceMap
from adapters.preview_engine.pictures import Mask, Rgb, blurred

SHADOW_REACH = 0.03  # in shoulder widths
SHADOW_DEPTH = 0.28
SEAM_DEPTH = 0.16  # a sleeve's shadow on the torso


@dataclass(frozen=True, slots=True)
class Layer:
    """One part of the garment: where its pixels come from, and its own mask in the garment photo."""

    places: SourceMap
    mask: Mask


@dataclass(frozen=True, slots=True)
class Scene:
    """What is around the garment, at working size: allowed area, pixels in front, light; all 0 to 1 but `folds`."""

    allowed: Mask
    front: Mask
    folds: Mask
    tint: npt.NDArray[np.float32]
    unit: float


def coverage(layers: list[Layer], scene: Scene) -> Mask:
    """What the garment covers, at working size."""
    covered = np.zeros_like(scene.allowed)
    for layer in layers:
        alpha = cv2.remap(layer.mask, layer.places.x, layer.places.y, cv2.INTER_LINEAR) * layer.places.covered
        covered = np.maximum(covered, np.asarray(alpha, dtype=np.float32))
    return covered * scene.allowed * (1 - scene.front)


def replaced(photo: Rgb, before: Rgb, after: Rgb) -> Rgb:
    """The full-size photo with the changes that were made to it at working size."""
    changed = blurred((before != after).any(axis=-1).astype(np.float32), 0.7)
    if not changed.any():
        return photo
    height, width = photo.shape[:2]
    alpha = _enlarged(np.asarray(np.clip(changed * 1.5, 0, 1), dtype=np.float32), width, height)[..., None]
    new = cv2.resize(after, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return np.asarray(np.rint(photo * (1 - alpha) + new * alpha), dtype=np.uint8)


def composite(photo: Rgb, garment: Rgb, layers: list[Layer], scene: Scene) -> Rgb:
    """photo: full size. garment: colors extended beyond its outline. layers: from the lowest to the highest."""
    height, width = photo.shape[:2]
    ratio = width / scene.allowed.shape[1]
    result = photo.astype(np.float32)
    allowed, front = _enlarged(scene.allowed, width, height), _enlarged(scene.front, width, height)
    light = _enlarged(scene.folds, width, height)[..., None] * scene.tint
    for number, layer in enumerate(layers):
        x, y = _enlarged(layer.places.x, width, height), _enlarged(layer.places.y, width, height)
        covered = _enlarged(layer.places.covered, width, height)
        alpha = np.asarray(cv2.remap(layer.mask, x, y, cv2.INTER_LINEAR), dtype=np.float32) * allowed * (covered > 0.99)
        colors = cv2.remap(garment, x, y, cv2.INTER_CUBIC).astype(np.float32)
        reach = SHADOW_REACH * scene.unit * ratio
        shadow = blurred(np.roll(alpha, round(0.6 * reach), axis=0), reach) * (SHADOW_DEPTH, SEAM_DEPTH)[number > 0]
        result *= 1 - (shadow * allowed * (1 - front))[..., None]
        alpha = (alpha * (1 - front))[..., None]
        result = result * (1 - alpha) + np.clip(colors * light, 0, 255) * alpha
    untouched = (front > 0.999)[..., None]
    return np.where(untouched, photo, np.clip(np.rint(result), 0, 255).astype(np.uint8))


def _enlarged(values: npt.NDArray[np.float32], width: int, height: int) -> npt.NDArray[np.float32]:
    if values.shape == (height, width):
        return values
    return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
