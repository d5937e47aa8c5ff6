"""Reads a garment's parts from its outline: collar, shoulders, armpits, sides, hem and sleeves."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from adapters.preview_engine.pictures import Flags, Mask, Points, disk
from domain.errors import GarmentNotSeparable, GarmentNotSupported

Line = npt.NDArray[np.float32]

SLEEVE_SECTIONS = 14  # cross-sections; enough for a bent sleeve
SIDE_ROWS = 16
LEAST_HEIGHT = 60  # pixels of the cut-out; parts cannot be told in fewer

# Proportions of tops, in widths of the torso below the armpits; measured on patterns of tops from tank to coat
SHORTEST, LONGEST = 0.55, 2.0  # shoulder to hem: crop top, long shirt; beyond are bags and dresses
DEEPEST_ARMHOLE = 0.5  # a sleeve that lies against the torso hides where the seam ends
LEAST_SHOULDER_DROP = 0.035  # collar to shoulder tip; a skirt, a towel or trousers have a flat top
LEAST_NECK_DIP = 0.06
LEAST_SYMMETRY = 0.72  # overlap of the outline with its mirror image
LEAST_SLEEVE = 0.02  # of the torso's area; less is an edge, not a sleeve
SHOULDERS_OF_CHEST = 0.88  # shoulder width of a fitted shirt in widths of its chest
SEAM_OVERLAP = 0.006  # of the photo's longest edge: sleeves lie a little over the torso, so that no seam opens
SIDE_TOLERANCE = 0.05  # a side that leaves its straight line by more has reached the armpit


@dataclass(frozen=True, slots=True)
class Sleeve:
    """`outer` and `inner` edge (n x 2 pixels each), from the armhole to the cuff, and the pixels between them."""

    outer: Points
    inner: Points
    mask: Mask

    @property
    def length(self) -> float:
        center = (self.outer + self.inner) / 2
        return float(np.linalg.norm(np.diff(center, axis=0), axis=1).sum())

    @property
    def half_widths(self) -> Line:
        return np.asarray(np.linalg.norm(self.outer - self.inner, axis=1) / 2, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class GarmentShape:
    """The parts of a garment in pixels of its photo; of each pair, the first is at the left of the picture.

    `sides` holds the left and the right edge (2 x n x 2) from the armpits to the hem; `torso` the pixels between them.
    """

    collar: Points
    shoulders: Points
    sides: Points
    sleeves: tuple[Sleeve | None, Sleeve | None]
    torso: Mask

    @property
    def armpits(self) -> Points:
        return np.asarray(self.sides[:, 0], dtype=np.float32)

    @property
    def shoulder_width(self) -> float:
        """What lies on the wearer's whole shoulders: of a garment with narrow straps, more than these."""
        straps = float(np.linalg.norm(self.shoulders[1] - self.shoulders[0]))
        chest = float(np.linalg.norm(self.armpits[1] - self.armpits[0]))
        return straps if any(self.sleeves) else max(straps, SHOULDERS_OF_CHEST * chest)

    @property
    def shoulder_cover(self) -> float:
        """The share of the wearer's shoulders that the garment covers: 1, or less for straps."""
        return float(np.linalg.norm(self.shoulders[1] - self.shoulders[0])) / self.shoulder_width

    @property
    def length(self) -> float:
        """From the shoulders to the hem."""
        return float(self.sides[:, -1, 1].mean() - self.shoulders[:, 1].mean())


def read_shape(garment: Mask) -> GarmentShape:
    """The parts of a garment laid flat.

    Raises: GarmentNotSupported: the outline is not that of one upright garment for the upper body.
    GarmentNotSeparable: it has too few pixels to tell.
    """
    solid = np.asarray(garment > 0.5, dtype=np.bool_)
    rows = np.nonzero(solid.any(axis=1))[0]
    top, bottom = int(rows[0]), int(rows[-1])
    if bottom - top < LEAST_HEIGHT:
        raise GarmentNotSeparable
    axis = _axis(solid, top, bottom)
    _check_symmetry(solid, axis)
    hem = _hem(solid, axis, top, bottom)
    left = _Half.read(solid, axis, top, hem)
    right = _Half.read(solid[:, ::-1], solid.shape[1] - 1 - axis, top, hem)
    shape = _assemble(garment, left, right, hem)
    _check_proportions(shape, left, right, top)
    return shape


def _axis(solid: Flags, top: int, bottom: int) -> int:
    """The column of the garment's middle, from the outline's middle at torso height."""
    middle = solid[top + (bottom - top) // 4 : bottom - (bottom - top) // 10]
    first = np.argmax(middle, axis=1)
    last = middle.shape[1] - 1 - np.argmax(middle[:, ::-1], axis=1)
    axis = int(np.median((first + last) / 2))
    legs = solid[bottom - (bottom - top) // 3 : bottom - (bottom - top) // 20, axis]
    if legs.mean() < 0.6:  # nothing in the middle, something at both sides: legs, a pair of shoes
        raise GarmentNotSupported
    return axis


def _check_symmetry(solid: Flags, axis: int) -> None:
    reach = min(axis, solid.shape[1] - 1 - axis)
    left = solid[:, axis - reach : axis + 1][:, ::-1]
    right = solid[:, axis : axis + reach + 1]
    both, either = int((left & right).sum()), int((left | right).sum())
    outside = int(solid.sum()) - int(left.sum()) - int(right.sum())
    if both < LEAST_SYMMETRY * (either + outside / 2):
        raise GarmentNotSupported


def _hem(solid: Flags, axis: int, top: int, bottom: int) -> int:
    reach = max(2, int(0.15 * (bottom - top)))
    middle = solid[:, max(0, axis - reach) : axis + reach]
    lowest = middle.shape[0] - 1 - np.argmax(middle[::-1], axis=0)
    return int(np.median(lowest))


@dataclass(frozen=True, slots=True)
class _Half:
    """The left half of an outline; the right half is read as its mirror image."""

    collar: tuple[float, float]
    shoulder: tuple[float, float]
    armpit_row: int
    width: float
    slope: float
    foot: float
    neck_dip: float

    def side_at(self, row: npt.NDArray[np.float32]) -> Line:
        return np.asarray(self.foot + self.slope * row, dtype=np.float32)

    @classmethod
    def read(cls, solid: Flags, axis: int, top: int, hem: int) -> "_Half":
        reach = _reach(solid, axis)
        low, high = top + int(0.45 * (hem - top)), hem - max(1, int(0.04 * (hem - top)))
        rows = np.arange(low, high)
        if rows.size < 12:
            raise GarmentNotSupported
        width = float(np.percentile(reach[rows], 30))  # sleeves that touch the torso widen some rows, none narrows it
        near = np.abs(reach[rows] - width) < 0.12 * width
        if near.sum() < 8:
            raise GarmentNotSupported
        slope, foot = np.polyfit(rows[near], axis - reach[rows[near]], 1)
        slope = float(np.clip(slope, -0.35, 0.35))
        foot = float(np.median(axis - reach[rows[near]] - slope * rows[near]))
        off = np.abs(axis - reach - (foot + slope * np.arange(len(reach)))) > SIDE_TOLERANCE * width
        armpit = _armpit_row(np.asarray(off, dtype=np.bool_), top, hem)
        collar, shoulder, dip = _top_points(solid, axis, axis - (foot + slope * armpit), top, armpit)
        armpit = min(armpit, round(shoulder[1] + DEEPEST_ARMHOLE * 2 * width))
        side = foot + slope * armpit
        return cls(collar, shoulder, armpit, float(axis - side), slope, foot, dip)


def _reach(solid: Flags, axis: int) -> npt.NDArray[np.int64]:
    """In each row, how far the outline reaches left of the axis without a gap."""
    leftwards = solid[:, axis::-1]
    gap = np.argmin(leftwards, axis=1)
    return np.asarray(np.where(leftwards.all(axis=1), leftwards.shape[1], gap), dtype=np.int64)


def _armpit_row(off: npt.NDArray[np.bool_], top: int, hem: int) -> int:
    """Going up the side, the first row from which the outline has left the side's straight line.

    off: for each row of the photo, whether the outline is off that line.
    """
    for row in range(top + int(0.55 * (hem - top)), top, -1):
        if off[row] and off[max(top, row - 6)]:
            return row
    raise GarmentNotSupported


def _top_points(
    solid: Flags, axis: int, width: float, top: int, armpit: int
) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Where the collar meets the shoulder, the shoulder's tip, and how deep the neckline is cut, in torso widths."""
    columns = np.arange(max(0, int(axis - 1.02 * width)), axis)
    part = solid[top : armpit + 1, columns]
    filled = part.any(axis=0)
    contour = np.where(filled, np.argmax(part, axis=0) + top, armpit).astype(np.float32)
    away = axis - columns
    shoulderish = (away > 0.3 * width) & (away < 0.8 * width)
    highest = contour[shoulderish].min()
    level = contour <= highest + 0.03 * width
    collar_x = float(columns[level & shoulderish].max())  # the innermost column of the shoulder's top
    outer = columns[filled & (contour < highest + 0.55 * width)]
    tip_x = max(float(axis - 0.94 * width), float(outer.min()))
    strap = columns[level & (away < 1.0 * width)]
    if axis - strap.min() < 0.8 * width and contour[columns <= axis - 0.94 * width].mean() > highest + 0.5 * width:
        tip_x = float(strap.min())  # a strap: its outer end
    tip_x = min(tip_x, collar_x - 0.04 * width)
    dip = float(np.median(contour[away < 0.12 * width]) - highest) / width
    return (
        (collar_x, float(contour[columns == int(collar_x)][0])),
        (tip_x, float(np.interp(tip_x, columns, contour))),
        dip,
    )


def _assemble(garment: Mask, left: _Half, right: _Half, hem: int) -> GarmentShape:
    last = garment.shape[1] - 1
    rows_left = np.linspace(left.armpit_row, hem, SIDE_ROWS, dtype=np.float32)
    rows_right = np.linspace(right.armpit_row, hem, SIDE_ROWS, dtype=np.float32)
    sides = np.stack(
        [
            np.stack([left.side_at(rows_left), rows_left], axis=1),
            np.stack([last - right.side_at(rows_right), rows_right], axis=1),
        ]
    ).astype(np.float32)
    collar = np.array([left.collar, (last - right.collar[0], right.collar[1])], dtype=np.float32)
    shoulders = np.array([left.shoulder, (last - right.shoulder[0], right.shoulder[1])], dtype=np.float32)
    outside = [_beyond(garment.shape, shoulders[i], sides[i], outward=(-1, 1)[i]) for i in (0, 1)]
    torso_area = float(garment[~(outside[0] | outside[1])].sum())
    sleeves = tuple(_sleeve(garment, outside[i], shoulders[i], sides[i, 0], torso_area) for i in (0, 1))
    torso = garment.copy()
    for part, sleeve in zip(outside, sleeves, strict=True):
        if sleeve is not None:
            torso[part] = 0.0
    return GarmentShape(collar, shoulders, sides, (sleeves[0], sleeves[1]), torso)


def _beyond(shape: tuple[int, ...], shoulder: Points, side: Points, outward: int) -> Flags:
    """The pixels outside the armhole and, below it, outside the torso's side."""
    rows = np.arange(shape[0], dtype=np.float32)
    edge = np.interp(rows, [shoulder[1], *side[:, 1]], [shoulder[0], *side[:, 0]])
    columns = np.arange(shape[1], dtype=np.float32)
    return np.asarray((columns[None, :] - edge[:, None]) * outward > 0, dtype=np.bool_)


def _sleeve(garment: Mask, outside: Flags, shoulder: Points, armpit: Points, torso_area: float) -> Sleeve | None:
    points = np.argwhere(_largest_piece((garment > 0.5) & outside))[:, ::-1].astype(np.float32)
    if len(points) < LEAST_SLEEVE * torso_area:
        return None
    armhole = (shoulder + armpit) / 2
    direction = points.mean(axis=0) - armhole
    far = points[(points - armhole) @ direction > np.percentile((points - armhole) @ direction, 80)]
    direction = far.mean(axis=0) - armhole
    direction /= max(float(np.linalg.norm(direction)), 1e-6)
    outwards = np.array([direction[1], -direction[0]], dtype=np.float32)
    if outwards @ (shoulder - armpit) < 0:
        outwards = -outwards
    along, across = (points - armhole) @ direction, (points - armhole) @ outwards
    start = max(float((shoulder - armhole) @ direction), float((armpit - armhole) @ direction), 0.0)
    end = float(np.percentile(along, 98.5))
    if end - start < 0.15 * float(np.linalg.norm(shoulder - armpit)):
        return None
    bins = np.linspace(start, end, SLEEVE_SECTIONS + 1)
    outer, inner = [shoulder], [armpit]
    for low, high in pairwise(bins):
        here = across[(along >= low) & (along <= high)]
        if here.size:
            center = armhole + direction * (low + high) / 2
            outer.append(center + outwards * np.percentile(here, 98))
            inner.append(center + outwards * np.percentile(here, 2))
    overlap = cv2.dilate(outside.astype(np.float32), disk(SEAM_OVERLAP * max(outside.shape)))
    overlap[int(armpit[1]) :] = outside[int(armpit[1]) :]
    return Sleeve(np.array(outer, dtype=np.float32), np.array(inner, dtype=np.float32), garment * overlap)


def _largest_piece(found: Flags) -> Flags:
    opened = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, disk(0.008 * max(found.shape)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if count == 1:
        return np.zeros_like(found)
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), dtype=np.bool_)


def _check_proportions(shape: GarmentShape, left: _Half, right: _Half, top: int) -> None:
    width = left.width + right.width
    drop = float(shape.shoulders[:, 1].mean() - top) / width
    dip = max(left.neck_dip, right.neck_dip)
    if not SHORTEST < shape.length / width < LONGEST or (drop < LEAST_SHOULDER_DROP and dip < LEAST_NECK_DIP):
        raise GarmentNotSupported
