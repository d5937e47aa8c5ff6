"""Moves pixels by meshes: a grid of points in the source, the same grid where the points go to."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from adapters.preview_engine.pictures import Points


@dataclass(frozen=True, slots=True)
class Mesh:
    """Two grids of rows x columns x 2: vertices in the source picture and their places in the target picture."""

    source: Points
    target: Points


@dataclass(frozen=True, slots=True)
class SourceMap:
    """For each target pixel, the place in the source (x, y; float32), and whether the mesh covers it."""

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]
    covered: npt.NDArray[np.float32]


def source_map(mesh: Mesh, height: int, width: int) -> SourceMap:
    """Piecewise affine: each cell is two triangles; later rows lie over earlier ones where the mesh folds."""
    x = np.zeros((height, width), dtype=np.float32)
    y = np.zeros((height, width), dtype=np.float32)
    covered = np.zeros((height, width), dtype=np.float32)
    rows, columns = mesh.source.shape[:2]
    for row in range(rows - 1):
        for column in range(columns - 1):
            a, b = (row, column), (row, column + 1)
            c, d = (row + 1, column), (row + 1, column + 1)
            for corners in ((a, b, c), (b, d, c)):
                source = np.array([mesh.source[corner] for corner in corners], dtype=np.float32)
                target = np.array([mesh.target[corner] for corner in corners], dtype=np.float32)
                _fill(source, target, x, y, covered)
    return SourceMap(x, y, covered)


def _fill(
    source: Points,
    target: Points,
    x: npt.NDArray[np.float32],
    y: npt.NDArray[np.float32],
    covered: npt.NDArray[np.float32],
) -> None:
    height, width = x.shape
    left, top = np.maximum(np.floor(target.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(target.max(axis=0)).astype(int) + 2, (width, height))
    area = _area(target)
    if right <= left or bottom <= top or abs(area) < 1e-3:
        return
    affine = cv2.getAffineTransform(target, source)
    px, py = np.meshgrid(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
    inside = np.zeros(px.shape, dtype=np.uint8)
    cv2.fillConvexPoly(inside, np.rint((target - (left, top)) * 16).astype(np.int32), 1, shift=4)
    here = inside > 0
    window = np.s_[top:bottom, left:right]
    x[window][here] = (affine[0, 0] * px + affine[0, 1] * py + affine[0, 2])[here]
    y[window][here] = (affine[1, 0] * px + affine[1, 1] * py + affine[1, 2])[here]
    covered[window][here] = 1.0


def _area(triangle: Points) -> float:
    first, second = triangle[1] - triangle[0], triangle[2] - triangle[0]
    return float(first[0] * second[1] - first[1] * second[0])
