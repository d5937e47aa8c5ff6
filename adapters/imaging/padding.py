"""Canvas around a picture: its own edges, stretched outwards and more and more blurred, so that a ground goes on."""

from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from adapters.imaging.picture import Picture, halved_size
from adapters.imaging.resampling import Pixels
from domain.geometry import Padding

_EDGE_SAMPLES: Final = 3  # their mean goes on: one alone carries too much noise
_SPREAD: Final = 0.3  # standard deviation of the blur along the edge, as a share of the distance from it
_BLURS: Final = 8  # each twice as wide as the one before; what is between two of them is mixed


def extended(picture: Picture, padding: Padding) -> Picture:
    """A 4:2:0 or gray picture with a canvas around it; `padding` is even on the left and at the top."""
    if not padding:
        return picture
    luma, *chroma = picture.planes
    whole = halved_size(padding.around(picture.size))
    planes = [_plane(luma, padding, 1)]
    for plane in chroma:
        left, top = padding.left // 2, padding.top // 2
        rest = Padding(left, top, whole.width - plane.shape[1] - left, whole.height - plane.shape[0] - top)
        planes.append(_plane(plane, rest, 2))
    return replace(picture, planes=tuple(planes))


def _plane(plane: Pixels, padding: Padding, step: int) -> Pixels:
    """First to both sides, then that up and down."""
    wide = _sideways(plane, padding.left, padding.right, step)
    return np.ascontiguousarray(_sideways(wide.T, padding.top, padding.bottom, step).T)


def _sideways(plane: Pixels, left: int, right: int, step: int) -> Pixels:
    before = _stretched(plane[:, :_EDGE_SAMPLES], left, step)[:, ::-1]
    return np.hstack([before, plane, _stretched(plane[:, -_EDGE_SAMPLES:], right, step)])


def _stretched(edge: Pixels, length: int, step: int) -> Pixels:
    """An edge (height x samples) going on for `length` samples; one of them stands for `step` pixels."""
    column = edge.mean(axis=1, dtype=np.float32, keepdims=True)
    blurred = [column] + [
        cv2.GaussianBlur(column, (0, 0), sigmaX=0.1, sigmaY=2.0**power / step, borderType=cv2.BORDER_REPLICATE)
        for power in range(_BLURS)
    ]
    spread = _SPREAD * step * np.arange(1, length + 1)
    level = np.clip(np.log2(np.maximum(spread, 1e-3)) + 1, 0, _BLURS)
    lower = np.minimum(level.astype(int), _BLURS - 1)
    stack = np.hstack(blurred)
    mixed = stack[:, lower] + (stack[:, lower + 1] - stack[:, lower]) * (level - lower).astype(np.float32)
    stretched: Pixels = np.rint(mixed).astype(np.uint8)
    return stretched
