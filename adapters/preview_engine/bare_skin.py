"""Takes off what the old garment shows outside the new one: bare skin where the body is, background beside it.

Only for wearers whose forearms are bare. Over long sleeves the new garment is shown as worn on top of the old one:
whole arms made up by a program would be a lie.
"""

import cv2
import numpy as np
import numpy.typing as npt

from adapters.preview_engine.complexion import Complexion, chin_height
from adapters.preview_engine.pictures import Flags, Mask, Rgb, blurred, disk, extended, to_lab, to_rgb
from adapters.preview_engine.pose import Joint
from adapters.preview_engine.wearer import Arm, Wearer

# Lengths in shoulder widths
SPREAD = 0.16  # how far the color of neck and arm is carried under the old garment
OLD_SLEEVE = 3.4  # in half widths of the arm: how far an old sleeve may stand off
ROUNDNESS = 0.16  # how much darker an arm's edge is than its middle
LEAST_SLEEVE = 0.015  # thinner is an arm's own edge
BACKGROUND_BLUR = 3.0  # pixels
NECK_OF_COLLAR = 0.62  # how wide the neck is where the collar lies
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
        half = arm.half_width
        distance = _from_bone(arm, garment.shape)
        arms |= distance < half
        sleeves |= distance < OLD_SLEEVE * arm.half_width
        edge = np.where(distance < half, 1 - ROUNDNESS * (distance / half) ** 3, edge).astype(np.float32)
    skin = shown & (bust | arms) & (wearer.body > 0.5)
    beside = shown & sleeves & ~skin
    result = _without(person, beside, wearer)
    return _painted(result, skin, edge, wearer, complexion)


def _bust(wearer: Wearer, shape: tuple[int, ...]) -> Flags:
    """Neck, shoulders and upper chest down to the armpits."""
    chin = chin_height(wearer)
    pits = wearer.side(0.42)
    base = wearer.neck.mean(axis=0)
    throat = base + (wearer.neck - base) * NECK_OF_COLLAR
    neck = np.array([(point[0], min(chin, point[1])) for point in throat], dtype=np.float32)
    tips = wearer.tips * 0.9 + wearer.tips.mean(axis=0) * 0.1
    outline = np.concatenate(
        [neck[:1], throat[:1], wearer.neck[:1], tips[:1], pits, tips[1:], wearer.neck[1:], throat[1:], neck[1:]]
    )
    found = np.zeros(shape, dtype=np.uint8)
    cv2.fillPoly(found, [np.rint(outline).astype(np.int32)], 1)
    return np.asarray(found > 0, dtype=np.bool_)


def _from_bone(arm: Arm, shape: tuple[int, ...]) -> Mask:
    """Each pixel's distance to the upper arm's bone."""
    bone = np.ones(shape, dtype=np.uint8)
    start, end = (tuple(int(v) for v in np.rint(point)) for point in arm.bones[:2])
    cv2.line(bone, start, end, 0, 1)
    return np.asarray(cv2.distanceTransform(bone, cv2.DIST_L2, 5), dtype=np.float32)


def _without(person: Rgb, beside: Flags, wearer: Wearer) -> Rgb:
    """The nearest background carried on over what is neither skin nor garment."""
    unit = wearer.shoulder_width
    sleeve = cv2.morphologyEx(beside.astype(np.uint8), cv2.MORPH_OPEN, disk(LEAST_SLEEVE * unit))
    if not sleeve.any():
        return person
    sleeve = cv2.dilate(sleeve, disk(0.05 * unit)) * beside
    sleeve = cv2.dilate(sleeve, disk(2)) * (beside | (wearer.body < 0.5))
    body = cv2.dilate((wearer.body > 0.1).astype(np.uint8), disk(0.02 * unit))
    behind = extended(person, 1 - body.astype(np.float32))
    smooth = cv2.GaussianBlur(behind, (0, 0), BACKGROUND_BLUR).astype(np.float32)
    alpha = blurred(sleeve.astype(np.float32), 0.8)[..., None]
    return np.asarray(np.rint(person * (1 - alpha) + smooth * alpha), dtype=np.uint8)


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
    # the old collar's shadow lies on the skin along it
    own = (complexion.skin | where) & ~complexion.head & (np.arange(where.shape[0])[:, None] > wearer.neck[:, 1].min())
    wide = cv2.dilate(where.astype(np.uint8), disk(0.03 * wearer.shoulder_width)) * own
    alpha = blurred(wide.astype(np.float32), 0.012 * wearer.shoulder_width)
    alpha = np.where(where, np.maximum(alpha, 0.98), alpha * own)[..., None]
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
