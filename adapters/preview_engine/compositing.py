"""Lays a fitted garment over the photo: shadow below, folds and light on it, head and hands above it."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from adapters.preview_engine.mesh_warp import SourceMap
from adapters.preview_engine.pictures import Mask, Rgb, blurred

SHADOW_REACH = 0.03  # in shoulder widths
SHADOW_DEPTH = 0.22
FAINTEST_SHADOW = 0.02
FULLY = 0.99


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
        covered = np.maximum(covered, _alpha(layer))
    return covered * scene.allowed * (1 - scene.front)


def _alpha(layer: Layer) -> Mask:
    alpha = cv2.remap(layer.mask, layer.places.x, layer.places.y, cv2.INTER_LINEAR) * layer.places.covered
    return np.asarray(alpha, dtype=np.float32)


def replaced(photo: Rgb, before: Rgb, after: Rgb) -> Rgb:
    """The full-size photo with the changes that were made to it at working size."""
    changed = np.clip(1.5 * blurred((before != after).any(axis=-1).astype(np.float32), 0.7), 0, 1)
    window = _Window.around(changed, photo, margin=2)
    if window is None:
        return photo
    result = photo.copy()
    alpha = window.enlarged(np.asarray(changed, dtype=np.float32))[..., None]
    new = window.enlarged(after.astype(np.float32))
    part = photo[window.large]
    result[window.large] = np.clip(np.rint(part + (new - part) * alpha), 0, 255).astype(np.uint8)
    return result


def composite(photo: Rgb, garment: Rgb, layers: list[Layer], scene: Scene) -> Rgb:
    """photo: full size. garment: colors extended beyond its outline. layers: from the lowest to the highest."""
    result = photo.copy()
    for layer in layers:
        cast = _shadow(_alpha(layer), scene) * SHADOW_DEPTH
        window = _Window.around(np.maximum(cast, layer.places.covered), photo, margin=2)
        if window is not None:
            result[window.large] = _laid(result[window.large], garment, layer, cast=cast, scene=scene, window=window)
    return result


def _shadow(alpha: Mask, scene: Scene) -> Mask:
    """Where the garment darkens the body around it, most of all below."""
    reach = SHADOW_REACH * scene.unit
    lower = max(1, round(0.6 * reach))
    moved = np.pad(alpha, ((lower, 0), (0, 0)))[:-lower]
    cast = blurred(moved, reach) * scene.allowed
    return np.where(cast > FAINTEST_SHADOW, cast, 0).astype(np.float32)


def _laid(below: Rgb, garment: Rgb, layer: Layer, *, cast: Mask, scene: Scene, window: "_Window") -> Rgb:
    x, y = window.enlarged(layer.places.x), window.enlarged(layer.places.y)
    inside = window.enlarged(layer.places.covered) > FULLY
    free = 1 - window.enlarged(scene.front)
    alpha = np.asarray(cv2.remap(layer.mask, x, y, cv2.INTER_LINEAR), dtype=np.float32)
    alpha *= window.enlarged(scene.allowed) * inside * free
    colors = cv2.remap(garment, x, y, cv2.INTER_CUBIC).astype(np.float32)
    colors *= window.enlarged(scene.folds)[..., None] * scene.tint
    np.clip(colors, 0, 255, out=colors)
    shaded = below * (1 - window.enlarged(cast) * free)[..., None]
    shaded += (colors - shaded) * alpha[..., None]
    return np.asarray(np.clip(np.rint(shaded), 0, 255), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class _Window:
    """The same rectangle in the working-size pictures and in the full-size photo."""

    small: tuple[slice, slice]
    large: tuple[slice, slice]

    @classmethod
    def around(cls, mask: Mask, photo: Rgb, margin: int) -> "_Window | None":
        """The rectangle in which the mask is not 0; None if there is none."""
        rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
        if rows.size == 0:
            return None
        small, large = [], []
        for found, length, full in ((rows, mask.shape[0], photo.shape[0]), (columns, mask.shape[1], photo.shape[1])):
            start, stop = max(0, int(found[0]) - margin), min(length, int(found[-1]) + 1 + margin)
            small.append(slice(start, stop))
            large.append(slice(round(start * full / length), round(stop * full / length)))
        return cls((small[0], small[1]), (large[0], large[1]))

    def enlarged(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The window of a working-size picture, at the photo's size."""
        size = (self.large[1].stop - self.large[1].start, self.large[0].stop - self.large[0].start)
        part = np.ascontiguousarray(values[self.small])
        if part.shape[:2] == (size[1], size[0]):
            return part
        return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)
