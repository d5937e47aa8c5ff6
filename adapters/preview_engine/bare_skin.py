"""Takes off what the old garment shows outside the new one: bare skin where the body is, background beside it.

Only for wearers whose forearms are bare. Over long sleeves the new garment is shown as worn on top of the old one:
whole arms made up by a program would be a lie.
"""

import cv2
import numpy as np
import numpy.typing as npt

from adapters.preview_engine.complexion import Complexion, chin_height
from adapters.preview_engine.pictures import Flags, Mask, Rgb, blurred, disk, to_lab, to_rgb
from adapters.preview_engine.pose import Joint
from adapters.preview_engine.wearer import Arm, Wearer

# Lengths in shoulder widths
SPREAD = 0.16  # how far the color of neck and arm is carried under the old garment
UPPER_ARM_SWELL = 1.2  # an upper arm against its forearm
ROUNDNESS = 0.16  # how much darker an arm's edge is than its middle
INPAINT_REACH = 3  # pixels
NECK_SHADE = 0.94


def take_off(person: Rgb, wearer: Wearer, complexion: Complexion, garment: Mask) -> Rgb:
    """person: at working size. garment: what the new garment will cover, same size."""
    if not any(complexion.bare_arms):
        return person
    body = cv2.dilate((wearer.body > 0.4).astype(np.uint8), disk(2)) > 0
    shown = body & ~complexion.skin & ~complexion.hair & ~complexion.head & (garment < 0.9)
    bust = _bust(wearer, garment.shape)
    arms = np.zeros_like(shown)
    sleeves = np.zeros_like(shown)
    edge = np.ones(garment.shape, dtype=np.float32)
    for side, arm in enumerate(wearer.arms):
        if not complexion.bare_arms[side]:
            continue
        half = _bare_half_width(wearer, arm)
        distance = _from_bone(arm, garment.shape)
        arms |= distance < half
        sleeves |= distance < 2.3 * arm.half_width
        edge = np.where(distance < half, 1 - ROUNDNESS * (distance / half) ** 3, edge).astype(np.float32)
    skin = shown & (bust | (arms & (wearer.body > 0.4)))
    beside = shown & sleeves & ~skin
    result = _without(person, beside, wearer)
    return _painted(result, skin, edge, wearer, complexion)


def _bust(wearer: Wearer, shape: tuple[int, ...]) -> Flags:
    """Neck, shoulders and upper chest down to the armpits."""
    chin = chin_height(wearer)
    pits = wearer.side(0.42)
    neck = np.array([(wearer.neck[i, 0], min(chin, wearer.neck[i, 1])) for i in (0, 1)], dtype=np.float32)
    tips = wearer.tips * 0.9 + wearer.tips.mean(axis=0) * 0.1
    outline = np.concatenate([neck[:1], wearer.neck[:1], tips[:1], pits, tips[1:], wearer.neck[1:], neck[1:]])
    found = np.zeros(shape, dtype=np.uint8)
    cv2.fillPoly(found, [np.rint(outline).astype(np.int32)], 1)
    return np.asarray(found > 0, dtype=np.bool_)


def _bare_half_width(wearer: Wearer, arm: Arm) -> float:
    """Of the upper arm, by the forearm, which no sleeve hides."""
    found = []
    for share in (0.2, 0.35, 0.5):
        start = arm.bones[1] + share * (arm.bones[2] - arm.bones[1])
        along = (arm.bones[2] - arm.bones[1]) / max(float(np.linalg.norm(arm.bones[2] - arm.bones[1])), 1.0)
        for sign in (-1, 1):
            across = sign * np.array([along[1], -along[0]])
            for step in np.arange(1.0, 0.25 * wearer.shoulder_width):
                x, y = np.rint(start + across * step).astype(int)
                if not (0 <= x < wearer.body.shape[1] and 0 <= y < wearer.body.shape[0]):
                    break
                if wearer.body[y, x] < 0.5:
                    found.append(step)
                    break
    forearm = float(np.median(found)) if found else 0.1 * wearer.shoulder_width
    unit = wearer.shoulder_width
    return float(np.clip(UPPER_ARM_SWELL * forearm, 0.09 * unit, 0.17 * unit))


def _from_bone(arm: Arm, shape: tuple[int, ...]) -> Mask:
    """Each pixel's distance to the upper arm's bone."""
    bone = np.ones(shape, dtype=np.uint8)
    start, end = (tuple(int(v) for v in np.rint(point)) for point in arm.bones[:2])
    cv2.line(bone, start, end, 0, 1)
    return np.asarray(cv2.distanceTransform(bone, cv2.DIST_L2, 5), dtype=np.float32)


def _without(person: Rgb, beside: Flags, wearer: Wearer) -> Rgb:
    """The background carried on over what is neither skin nor garment."""
    if not beside.any():
        return person
    wide = cv2.dilate(beside.astype(np.uint8), disk(2))
    wide[(wearer.body > 0.5) & ~beside] = 0
    return np.asarray(cv2.inpaint(person, wide, INPAINT_REACH, cv2.INPAINT_TELEA), dtype=np.uint8)


def _painted(person: Rgb, where: Flags, edge: Mask, wearer: Wearer, complexion: Complexion) -> Rgb:
    """Skin in the colors of the skin nearby; the face's own light and shade are not carried on."""
    if not where.any():
        return person
    lab = to_lab(person)
    below = np.arange(where.shape[0])[:, None] > float(wearer.pose.at(Joint.MOUTH_LEFT)[1])
    known = cv2.erode((complexion.skin & below).astype(np.uint8), disk(2)).astype(np.float32)
    fallback = complexion.skin_color * np.array([NECK_SHADE, 1, 1], dtype=np.float32)
    color = _carried(lab, known, fallback, SPREAD * wearer.shoulder_width)
    color[..., 0] *= edge
    alpha = blurred(where.astype(np.float32), 1.0)[..., None]
    paint = to_rgb(color.astype(np.float32))
    return np.asarray(np.rint(person * (1 - alpha) + paint * alpha), dtype=np.uint8)


def _carried(
    lab: npt.NDArray[np.float32], known: Mask, fallback: npt.NDArray[np.float32], sigma: float
) -> npt.NDArray[np.float32]:
    height, width = known.shape
    small = (max(1, width // 4), max(1, height // 4))
    weight = blurred(np.asarray(cv2.resize(known, small, interpolation=cv2.INTER_AREA), dtype=np.float32), sigma / 4)
    layers = []
    for channel in range(3):
        seen = np.asarray(cv2.resize(lab[..., channel] * known, small, interpolation=cv2.INTER_AREA), dtype=np.float32)
        mixed = (blurred(seen, sigma / 4) + 0.01 * fallback[channel]) / (weight + 0.01)
        layers.append(cv2.resize(mixed, (width, height), interpolation=cv2.INTER_LINEAR))
    return np.stack(layers, axis=-1).astype(np.float32)
