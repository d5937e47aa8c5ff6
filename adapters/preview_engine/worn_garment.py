"""Cuts a garment out of a product photo in which a model wears it."""

import cv2
import numpy as np

from adapters.preview_engine.complexion import CLOTH_REACH, Complexion, color_distance, palette, read_complexion
from adapters.preview_engine.garment_shape import SEAM_OVERLAP, SIDE_ROWS, GarmentShape, Sleeve
from adapters.preview_engine.pictures import Flags, Mask, Points, Rgb, blurred, disk, to_lab
from adapters.preview_engine.pose import Joint, Pose
from adapters.preview_engine.wearer import Arm, Wearer, read_wearer
from domain.errors import (
    GarmentNotSeparable,
    GarmentNotSupported,
    PersonNotFacing,
    PersonNotFound,
    TorsoNotVisible,
)

SEEN = 0.5  # visibility of a landmark, MediaPipe's own threshold
HEAD_UP = 0.55  # shoulder widths above the joints: the middle of a face, well above any collar
PRINTED_SHARE = 0.6  # of what stands out from the background; a printed person is less, a model is nearly all
LEAST_BODY = 0.08  # of the picture
OTHER_CLOTH = 26.0  # L*a*b*: below the waist, colors farther than this from the chest's are trousers or a skirt
GRABCUT_ROUNDS = 3
GRABCUT_EDGE = 500  # pixels; the outline is refined by the body mask
LEAST_CHEST = 0.9  # of the chest must be garment; hands and hair may hide the rest
LONGEST = 1.4  # torso lengths down; more is a dress, or trousers of the same color
SHORTEST = 0.5
CUT_OFF = 0.985  # of the picture's height: a garment that goes on below the picture
PIT_DOWN = 0.36  # shoulder widths from the joint to the armpit
SECTIONS = 12
LEAST_SLEEVE = 0.15  # of the arm's length


def is_worn(pose: Pose, silhouette: Mask | None) -> bool:
    """Whether the product photo shows a model, and not a print of a person on a garment.

    silhouette: what stands out from a plain background, None where the background is not plain.
    """
    if pose.sees(Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER) < SEEN or pose.body.mean() < LEAST_BODY:
        return False
    if silhouette is not None and float(pose.body.sum()) < PRINTED_SHARE * float(silhouette.sum()):
        return False
    return _has_head(pose, pose.body if silhouette is None else silhouette)


def _has_head(pose: Pose, figure: Mask) -> bool:
    """Whether a head, perhaps cut off by the picture's edge, stands out above the shoulders: a shirt can look like a
    person to the landmarker, but it has no head.
    """
    left, right = pose.at(Joint.LEFT_SHOULDER), pose.at(Joint.RIGHT_SHOULDER)
    up = HEAD_UP * float(np.linalg.norm(left - right))
    x, y = (left + right) / 2 - (0, up)
    columns = slice(max(0, int(x - 0.5 * up)), max(1, int(x + 0.5 * up)))
    part = figure[max(0, int(y)) : max(1, int(y) + 2), columns]
    return bool(part.size and part.mean() > 0.3)


def cut_from_model(photo: Rgb, pose: Pose) -> tuple[Mask, GarmentShape]:
    """The pixels that show the garment, and its parts, which go on where an arm lies before them.

    Raises: GarmentNotSeparable: the model is not seen from the front, or hands, hair, or other clothes of the same
    color hide the outline. GarmentNotSupported: a dress or a long coat.
    """
    try:
        model = read_wearer(pose)
    except (PersonNotFound, PersonNotFacing, TorsoNotVisible) as error:
        raise GarmentNotSeparable from error
    complexion = read_complexion(photo, model)
    found = _segmented(photo, model, complexion)
    hem = _hem(found, model)
    pit = PIT_DOWN * model.shoulder_width / model.torso_length
    sides = np.stack([model.side(float(down)) for down in np.linspace(pit, hem, SIDE_ROWS)], axis=1).astype(np.float32)
    whole = _with_torso_filled(found, model.tips, sides)
    collar = np.stack([_collar(found, model, side) for side in (0, 1)])
    outside = [_outside(found.shape, model.tips[side], sides[side], (-1, 1)[side]) for side in (0, 1)]
    sleeves = [_sleeve(found, outside[side], model.arms[side], model.tips[side], sides[side, 0]) for side in (0, 1)]
    torso = whole.copy()
    for part in outside:
        torso[part] = 0.0
    tips = np.stack([_tip(torso, model, side, sleeves[side]) for side in (0, 1)])
    return _soft(found), GarmentShape(collar, tips, sides, (sleeves[0], sleeves[1]), torso)


def _segmented(photo: Rgb, model: Wearer, complexion: Complexion) -> Flags:
    """GrabCut, seeded with the chest as garment and with skin, hair, thighs and surroundings as not garment."""
    height, width = photo.shape[:2]
    body = model.body > 0.5
    chest = _polygon([*model.side(0.4), *model.side(0.75)[::-1]], photo.shape)
    rows = np.arange(height)[:, None]
    low = float(model.joints[:, 1].mean()) + 1.3 * model.torso_length
    other = ~body | complexion.skin | complexion.hair | complexion.head | (rows > low)
    hidden = (complexion.skin | complexion.hair) & chest
    if hidden.sum() > (1 - LEAST_CHEST) * chest.sum():
        raise GarmentNotSeparable
    labels = np.full((height, width), cv2.GC_PR_BGD, dtype=np.uint8)
    lab = to_lab(photo)
    to_cloth = color_distance(lab, palette(lab[chest & ~other], 4), body)
    labels[to_cloth < CLOTH_REACH] = cv2.GC_PR_FGD
    waist = float(model.joints[:, 1].mean()) + 0.75 * model.torso_length
    labels[(to_cloth > OTHER_CLOTH) & (rows > waist)] = cv2.GC_BGD
    labels[chest & ~other] = cv2.GC_FGD
    labels[other] = cv2.GC_BGD
    scale = min(1.0, GRABCUT_EDGE / max(height, width))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    tiny = cv2.resize(photo, small, interpolation=cv2.INTER_AREA)
    seeds = cv2.resize(labels, small, interpolation=cv2.INTER_NEAREST)
    cv2.setRNGSeed(1)  # GrabCut's clusters start at random
    cv2.grabCut(tiny, seeds, None, np.zeros((1, 65)), np.zeros((1, 65)), GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    likely = np.isin(seeds, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    found = (cv2.resize(likely, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5) & ~other
    clean = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, disk(0.004 * max(height, width)))
    clean = cv2.morphologyEx(clean, cv2.MORPH_CLOSE, disk(0.006 * max(height, width)))
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(clean, connectivity=4)
    if count == 1:
        raise GarmentNotSeparable
    garment = _without_holes(pieces == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))
    if garment[chest].mean() < LEAST_CHEST:
        raise GarmentNotSeparable
    return np.asarray(garment, dtype=np.bool_)


def _without_holes(garment: Flags) -> Flags:
    """Prints and buttons inside the outline belong to it; what is not reached from the picture's border."""
    around = np.pad(~garment, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(around, connectivity=4)
    return np.asarray(labels[1:-1, 1:-1] != labels[0, 0], dtype=np.bool_)


def _polygon(corners: list[Points], shape: tuple[int, ...]) -> Flags:
    found = np.zeros(shape[:2], dtype=np.uint8)
    cv2.fillPoly(found, [np.rint(np.stack(corners)).astype(np.int32)], 1)
    return np.asarray(found > 0, dtype=np.bool_)


def _hem(found: Flags, model: Wearer) -> float:
    """Torso lengths from the shoulders down to the garment's lower edge in the middle."""
    middle = model.sides.mean(axis=0)
    reach = 0.25 * model.shoulder_width
    columns = slice(max(0, int(middle[:, 0].mean() - reach)), int(middle[:, 0].mean() + reach))
    part = found[:, columns]
    lowest = np.nonzero(2 * part.sum(axis=1) > part.shape[1])[0]
    if lowest.size == 0:
        raise GarmentNotSeparable
    down = (float(lowest[-1]) - float(model.joints[:, 1].mean())) / model.torso_length
    if lowest[-1] > CUT_OFF * found.shape[0]:
        raise GarmentNotSeparable
    if down > LONGEST - 0.12:
        raise GarmentNotSupported
    if down < SHORTEST:
        raise GarmentNotSeparable
    return down


def _with_torso_filled(found: Flags, tips: Points, sides: Points) -> Mask:
    """Where an arm or a hand lies before the garment's side, the garment goes on under it."""
    outline = _polygon([*sides[0], *sides[1][::-1]], found.shape)
    solid = (found | outline).astype(np.float32)
    below = np.arange(found.shape[0])[:, None] > sides[:, -1, 1].mean() + 0.03 * float(np.ptp(tips[:, 0]))
    solid[np.broadcast_to(below, solid.shape)] *= found[np.broadcast_to(below, solid.shape)]
    return _soft(solid > 0)


def _soft(solid: Flags) -> Mask:
    inner = cv2.erode(solid.astype(np.float32), disk(1), borderType=cv2.BORDER_REPLICATE)
    return blurred(np.asarray(inner, dtype=np.float32), 1.0)


def _collar(found: Flags, model: Wearer, side: int) -> Points:
    """From the neck outwards, the first column in which the garment reaches up to the shoulder."""
    neck, tip = model.neck[side], model.tips[side]
    for share in np.linspace(0.0, 0.8, 24):
        point = neck + (tip - neck) * share
        x = int(np.clip(round(float(point[0])), 0, found.shape[1] - 1))
        above = np.nonzero(found[:, x])[0]
        if above.size and above[0] < point[1] + 0.15 * model.shoulder_width:
            return np.array([x, above[0]], dtype=np.float32)
    raise GarmentNotSeparable


def _tip(torso: Mask, model: Wearer, side: int, sleeve: Sleeve | None) -> Points:
    """The point of the shoulder, or the outer end of a strap."""
    if sleeve is not None:
        return np.asarray(model.tips[side], dtype=np.float32)
    near = torso[: int(model.tips[side, 1] + 0.12 * model.shoulder_width)] > 0.5
    half = near[:, : int(model.neck[:, 0].mean())] if side == 0 else near[:, int(model.neck[:, 0].mean()) :]
    columns = np.nonzero(half.any(axis=0))[0]
    if columns.size == 0:
        raise GarmentNotSeparable
    x = columns[0] if side == 0 else columns[-1] + int(model.neck[:, 0].mean())
    return np.array([x, np.argmax(near[:, x])], dtype=np.float32)


def _outside(shape: tuple[int, ...], tip: Points, side: Points, outward: int) -> Flags:
    rows = np.arange(shape[0], dtype=np.float32)
    edge = np.interp(rows, [tip[1], *side[:, 1]], [tip[0], *side[:, 0]])
    return np.asarray((np.arange(shape[1])[None] - edge[:, None]) * outward > 0, dtype=np.bool_)


def _sleeve(found: Flags, outside: Flags, arm: Arm, tip: Points, pit: Points) -> Sleeve | None:
    """The part of the garment along the arm, as far as it goes without a gap."""
    places = np.linspace(0.08, 1.0, 40, dtype=np.float32)
    centers, normals = arm.path(places)
    covered = [
        _is_inside(found, center + normal * 0.3 * arm.half_width)
        for center, normal in zip(centers, normals, strict=True)
    ]
    end = float(places[np.argmin(covered) - 1]) if not all(covered) else 1.0
    if not covered[0] or end < LEAST_SLEEVE:
        return None
    bone_line = arm.bones[1] - arm.bones[0]
    start = float((pit - arm.bones[0]) @ bone_line / (bone_line @ bone_line)) * arm.upper_length / arm.length
    if end < start + 0.04:  # a cap sleeve: part of the shoulder
        return None
    places = np.linspace(start + 0.02, end, SECTIONS, dtype=np.float32)
    centers, normals = arm.path(places)
    reach = [
        (_reach(found, center, normal, arm.half_width, 3.0), _reach(found, center, -normal, arm.half_width, 1.0))
        for center, normal in zip(centers, normals, strict=True)
    ]
    outer = np.stack(
        [tip, *(center + normal * out for center, normal, (out, _) in zip(centers, normals, reach, strict=True))]
    )
    inner = np.stack(
        [pit, *(center - normal * into for center, normal, (_, into) in zip(centers, normals, reach, strict=True))]
    )
    overlap = cv2.dilate(outside.astype(np.float32), disk(SEAM_OVERLAP * max(found.shape)))
    overlap[int(pit[1]) :] = outside[int(pit[1]) :]
    # inside the arm's own width sleeve and torso are both drawn: an arm may hang further out on the wearer
    bone = np.ones(found.shape, dtype=np.uint8)
    cv2.polylines(bone, [np.rint(centers).astype(np.int32)], False, 0, 1)
    along = cv2.distanceTransform(bone, cv2.DIST_L2, 5) < arm.half_width
    mask = _soft(np.asarray(found & ((overlap > 0) | along), dtype=np.bool_))
    return Sleeve(outer.astype(np.float32), inner.astype(np.float32), mask)


def _is_inside(found: Flags, point: Points) -> bool:
    x, y = np.rint(point).astype(int)
    return bool(0 <= x < found.shape[1] and 0 <= y < found.shape[0] and found[y, x])


def _reach(found: Flags, center: Points, direction: Points, half: float, widest: float) -> float:
    """How far the sleeve goes to one side of the bone: between half and `widest` times half an arm's width."""
    for step in np.arange(0.5 * half, widest * half, 1.0):
        if not _is_inside(found, center + direction * step):
            return float(step)
    return widest * half
