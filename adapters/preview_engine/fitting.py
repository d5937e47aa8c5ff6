"""Decides where each part of a garment comes to lie on its wearer, as meshes for torso and sleeves."""

import numpy as np
import numpy.typing as npt

from adapters.preview_engine.garment_shape import GarmentShape, Sleeve
from adapters.preview_engine.mesh_warp import Mesh
from adapters.preview_engine.pictures import Points, blurred
from adapters.preview_engine.wearer import Wearer

# A garment laid flat shows half its girth; worn, the front view shows less, because bodies are round
WORN_WIDTH = 0.86
WORN_LENGTH = 0.9  # cloth that goes round chest and belly ends higher
LEAST_EASE, MOST_EASE = 1.03, 1.16  # a torso's width in widths of the body under it
ARMHOLE_ROWS = (-0.45, 0.0, 0.25, 0.5, 0.75)  # from above the shoulders (0) towards the armpits (1)
TIP_ROW, ARMPIT_ROW = 1, len(ARMHOLE_ROWS)
COLLAR_PLACES = np.array([-1.0, -0.8, -0.6, -0.42, -0.2, 0.0, 0.2, 0.42, 0.6, 0.8, 1.0], dtype=np.float32)
COLLAR = 0.42  # the column where the collar meets the shoulder
SIDE_MARGIN = 0.12  # the mesh reaches beyond the outline; the garment's own edge decides
SHOULDER_RAISE = 0.1  # shoulder widths
SHORTEST_HEM, LONGEST_HEM = 0.7, 1.35  # torso lengths below the shoulders
LONG_SLEEVE = 0.78  # of the arm's length: ends at the wrist
SHORTEST_SLEEVE = 0.22
SHORTEST_INSEAM = 0.05  # of the arm's length, from the armpit
# An old sleeve may be wider by so many half widths of the arm and still go under
COVERED_SLEEVE = 1.0
SLEEVE_MARGIN = 1.35


def fit_torso(shape: GarmentShape, wearer: Wearer) -> Mesh:
    """Shoulders on shoulders, collar round the neck, sides along the torso's sides, hem where the length ends."""
    scale = wearer_scale(shape, wearer)
    source_rows, target_rows = [], []
    source_top, target_top = (
        _top(shape.collar, shape.shoulders),
        _top(*_shoulders_on(shape, wearer, scale)),
    )
    sides = _sides_on(shape, wearer, scale)
    source_pit = _between(shape.sides[0, 0], shape.sides[1, 0])
    raised_top = _onto_shoulders(target_top, wearer)
    target_pit = _between(sides[0, 0], sides[1, 0])
    for share in ARMHOLE_ROWS:
        source_rows.append(source_top + share * (source_pit - source_top))
        top = target_top if share > 0 else raised_top  # the yoke follows the shoulders, stripes below stay straight
        target_rows.append(top + share * (target_pit - top))
    for row in range(shape.sides.shape[1]):
        source_rows.append(_between(shape.sides[0, row], shape.sides[1, row]))
        target_rows.append(_between(sides[0, row], sides[1, row]))
    source_rows.append(source_rows[-1] + 2 * (source_rows[-1] - source_rows[-2]))
    target_rows.append(target_rows[-1] + 2 * (target_rows[-1] - target_rows[-2]))
    return Mesh(_widened(np.stack(source_rows)), _widened(np.stack(target_rows)))


def wearer_scale(shape: GarmentShape, wearer: Wearer) -> float:
    """Pixels of the person photo for a pixel of the garment photo."""
    return float(np.linalg.norm(wearer.tips[1] - wearer.tips[0])) / max(shape.shoulder_width, 1.0)


def _top(collar: Points, tips: Points) -> Points:
    """The line from tip to tip over the shoulders and under the neck, one point for each column."""
    known = np.array([-1.0, -COLLAR, COLLAR, 1.0])
    points = np.stack([tips[0], collar[0], collar[1], tips[1]])
    return np.stack([np.interp(COLLAR_PLACES, known, points[:, axis]) for axis in (0, 1)], axis=1).astype(np.float32)


def _shoulders_on(shape: GarmentShape, wearer: Wearer, scale: float) -> tuple[Points, Points]:
    """Collar and shoulder tips on the wearer; a strap ends before the shoulder does."""
    collar = _collar_on(shape, wearer, scale)
    cover = shape.shoulder_cover
    tips = wearer.tips.mean(axis=0) + (wearer.tips - wearer.tips.mean(axis=0)) * cover
    if cover < 1:  # on the line from the neck's base to the shoulder's tip
        for side in (0, 1):
            span = wearer.tips[side] - wearer.neck[side]
            share = float(np.clip((tips[side] - wearer.neck[side]) @ span / (span @ span), 0.3, 1.0))
            tips[side] = wearer.neck[side] + span * share
    return collar, tips.astype(np.float32)


def _onto_shoulders(top: Points, wearer: Wearer) -> Points:
    """The line between collar and tips raised to where the body ends, unless hair or the neck goes on above."""
    raised = top.copy()
    reach = SHOULDER_RAISE * wearer.shoulder_width
    height, width = wearer.body.shape
    for index, place in enumerate(COLLAR_PLACES):
        if abs(place) <= COLLAR:
            continue
        for step in np.arange(0.0, reach):
            x, y = round(float(top[index, 0])), round(float(top[index, 1] - step))
            if not (0 <= x < width and 0 <= y < height):
                break
            if wearer.body[y, x] < 0.5:
                raised[index, 1] = y
                break
    return raised


def _collar_on(shape: GarmentShape, wearer: Wearer, scale: float) -> Points:
    """As wide as the garment's own collar, but never inside the neck and never off the shoulders."""
    half = float(np.linalg.norm(shape.collar[1] - shape.collar[0])) * scale / 2
    half = float(np.clip(half, 0.2 * wearer.shoulder_width, 0.46 * wearer.shoulder_width))
    middle = wearer.neck.mean(axis=0)
    across = (wearer.neck[1] - wearer.neck[0]) / np.linalg.norm(wearer.neck[1] - wearer.neck[0])
    tip_height = wearer.tips.mean(axis=0)
    slope = 1.0 - np.clip((half / wearer.shoulder_width - 0.22) / (0.62 - 0.22), 0, 1)  # lower on the shoulder's slope
    center = tip_height + (middle - tip_height) * slope
    return np.stack([center - across * half, center + across * half]).astype(np.float32)


def _sides_on(shape: GarmentShape, wearer: Wearer, scale: float) -> Points:
    """The torso's edges on the wearer from armpit to hem: the garment's cut, kept between tight and loose."""
    depth = float((shape.armpits - shape.shoulders)[:, 1].mean()) * scale
    pit = float(np.clip(depth, 0.3 * wearer.shoulder_width, 0.62 * wearer.shoulder_width))
    pit = (pit - 0.1 * wearer.shoulder_width) / wearer.torso_length
    hem = float(np.clip(WORN_LENGTH * shape.length * scale / wearer.torso_length, SHORTEST_HEM, LONGEST_HEM))
    rows = shape.sides.shape[1]
    edges = np.empty((2, rows, 2), dtype=np.float32)
    for row, down in enumerate(np.linspace(pit, hem, rows)):
        body = wearer.side(float(down))
        middle, half = body.mean(axis=0), (body[1] - body[0]) / 2
        garment_half = float(np.linalg.norm(shape.sides[1, row] - shape.sides[0, row])) / 2 * scale * WORN_WIDTH
        body_half = float(np.linalg.norm(half))
        ease = float(np.clip(garment_half / body_half, LEAST_EASE, MOST_EASE))
        if row == 0:
            ease = min(ease, 1.08)  # under the arm a garment cannot stand off
        edges[0, row], edges[1, row] = middle - half * ease, middle + half * ease
    for row in range(1, 4):  # ease grows from the armpit down, without a step
        share = row / 4
        target = edges[:, row].copy()
        body = wearer.side(pit + (hem - pit) * row / (rows - 1))
        tight = body.mean(axis=0) + (body - body.mean(axis=0)) * 1.08
        edges[:, row] = share * target + (1 - share) * tight
    return edges


def _between(left: Points, right: Points) -> Points:
    share = (COLLAR_PLACES[:, None] + 1) / 2
    return np.asarray(left * (1 - share) + right * share, dtype=np.float32)


def _widened(grid: Points) -> Points:
    """One more column at each side, beyond the outline."""
    left = grid[:, :1] + (grid[:, :1] - grid[:, -1:]) * SIDE_MARGIN
    right = grid[:, -1:] + (grid[:, -1:] - grid[:, :1]) * SIDE_MARGIN
    return np.concatenate([left, grid, right], axis=1).astype(np.float32)


def fit_sleeve(sleeve: Sleeve, shape: GarmentShape, wearer: Wearer, side: int, torso: Mesh) -> Mesh:
    """The sleeve's cross-sections along the wearer's arm: short ones end on the upper arm, long ones at the wrist.

    torso: the fitted torso; both meshes share the armhole.
    """
    scale = wearer_scale(shape, wearer)
    arm = wearer.arms[side]
    end = sleeve_end(shape, wearer, side)
    source_steps = np.concatenate([[0.0], np.cumsum(_steps(sleeve))])
    places = source_steps / source_steps[-1] * end
    half = np.maximum(sleeve.half_widths * scale * WORN_WIDTH, 0.0)
    tip, armpit = torso.target[TIP_ROW, (1, -2)[side]], torso.target[ARMPIT_ROW, (1, -2)[side]]
    center, normal = arm.path(places)
    taper = np.interp(places, [0, 0.5, 1.0], [1.0, 0.92, 0.62])
    half = np.clip(half, arm.half_width * taper * 1.06, arm.half_width * taper * 1.6)
    ease_in = np.clip(places / max(0.56 * arm.upper_length / arm.length, 1e-3), 0, 1)[:, None]
    ease_in = ease_in * ease_in * (3 - 2 * ease_in)
    outer = center + normal * half[:, None]
    outer += (1 - ease_in) * (tip - outer[0])
    bone = arm.bones[1] - arm.bones[0]
    pit = float(np.clip((armpit - arm.bones[0]) @ bone / (bone @ bone), 0.05, 0.8)) * arm.upper_length / arm.length
    lower = pit + (max(end, pit + SHORTEST_INSEAM) - pit) * places / end
    center, normal_inside = arm.path(lower.astype(np.float32))
    inner = center - normal_inside * half[:, None]
    inner += (1 - ease_in) * (armpit - inner[0])
    outer += normal * _uncovered(wearer, outer, normal, arm.half_width)[:, None] * np.minimum(4 * ease_in, 1)
    return Mesh(
        _with_margins(sleeve.outer, sleeve.inner),
        _with_margins(outer.astype(np.float32), inner.astype(np.float32)),
    )


def sleeve_end(shape: GarmentShape, wearer: Wearer, side: int) -> float:
    """Where the sleeve ends, as a share of the arm's length; 0 without a sleeve."""
    sleeve = shape.sleeves[side]
    if sleeve is None:
        return 0.0
    share = sleeve.length * wearer_scale(shape, wearer) / wearer.arms[side].length
    return 1.0 if share > LONG_SLEEVE else max(share, SHORTEST_SLEEVE)


def _steps(sleeve: Sleeve) -> npt.NDArray[np.float32]:
    center = (sleeve.outer + sleeve.inner) / 2
    return np.asarray(np.linalg.norm(np.diff(center, axis=0), axis=1), dtype=np.float32)


def _uncovered(wearer: Wearer, outer: Points, normal: Points, half: float) -> npt.NDArray[np.float32]:
    """How far the body goes on outside the sleeve: a wide sleeve worn in the photo has to go under the new one."""
    height, width = wearer.body.shape
    reach = np.zeros(len(outer), dtype=np.float32)
    for index in range(len(outer)):
        for step in np.arange(0.0, COVERED_SLEEVE * half, 1.0):
            x, y = np.rint(outer[index] + normal[index] * step).astype(int)
            if not (0 <= x < width and 0 <= y < height):
                break
            if wearer.body[y, x] < 0.5:
                reach[index] = step
                break
    widest = np.max([np.roll(np.pad(reach, 1, mode="edge"), shift)[1:-1] for shift in (-1, 0, 1)], axis=0)
    return np.asarray(blurred(widest.astype(np.float32).reshape(-1, 1), 1.0)[:, 0], dtype=np.float32)


def _with_margins(outer: Points, inner: Points) -> Points:
    """Columns across the sleeve with room beyond both edges, and a row before the armhole and after the cuff."""
    center, half = (outer + inner) / 2, (outer - inner) / 2
    columns = np.array([SLEEVE_MARGIN, 1.0, 0.5, 0.0, -0.5, -1.0, -SLEEVE_MARGIN], dtype=np.float32)
    grid = center[:, None] + half[:, None] * columns[None, :, None]
    before = grid[:1] - 0.25 * (grid[1:2] - grid[:1])
    after = grid[-1:] + (grid[-1:] - grid[-2:-1])
    return np.concatenate([before, grid, after]).astype(np.float32)
