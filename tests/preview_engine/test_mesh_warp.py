import numpy as np
import pytest

from adapters.preview_engine.mesh_warp import Mesh, source_map


def grid(rows: int, columns: int, step: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    down, across = np.meshgrid(np.arange(rows) * step, np.arange(columns) * step, indexing="ij")
    return np.stack([across, down], axis=-1).astype(np.float32)


def test_a_moved_and_stretched_mesh_maps_back_to_its_source() -> None:
    source = grid(4, 5, 10)
    mapped = source_map(Mesh(source, source * (2, 3) + np.array([7, 5], dtype=np.float32)), 120, 110)
    assert mapped.x[5 + 45, 7 + 30] == pytest.approx(15, abs=1e-3)
    assert mapped.y[5 + 45, 7 + 30] == pytest.approx(15, abs=1e-3)


def test_only_what_the_mesh_reaches_is_covered() -> None:
    source = grid(3, 3, 10)
    covered = source_map(Mesh(source, source + np.float32(30)), 80, 80).covered
    assert covered[30:51, 30:51].all()
    assert covered.sum() < 23 * 23


def test_what_lies_outside_the_picture_is_left_out() -> None:
    source = grid(3, 3, 10)
    mapped = source_map(Mesh(source, source - np.float32(100)), 50, 50)
    assert not mapped.covered.any()
