"""What a wearer's pixels are: skin, hair, or the clothes worn in the photo; told apart by color and place."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from adapters.preview_engine.pictures import Flags, Mask, Points, Rgb, blurred, disk, to_lab
from adapters.preview_engine.pose import Joint
from adapters.preview_engine.wearer import Arm, Wearer

Colors = npt.NDArray[np.float32]

# Colors in CIE L*a*b*
LEAST_SKIN_SPREAD = np.array([14.0, 4.5, 5.5], dtype=np.float32)  # faces vary at least so much with light
SKIN_REACH = 2.6  # in spreads
LEAST_SAMPLES = 30  # pixels; fewer say nothing about a color
HAIR_CLOTH_DIFFERENCE = 14.0  # hair closer to the clothes' color cannot be told from them
CLOTH_REACH = 18.0  # from the clothes' main colors
SEEN = 0.4  # visibility of a wrist; an arm that is hidden is not in front
BARE_SHARE = 0.5  # of a forearm's bone that must look like skin
# Lengths in shoulder widths
FOREARM_HALF, WRIST_HALF, HAND_HALF = 0.15, 0.105, 0.17


@dataclass(frozen=True, slots=True)
class Complexion:
    """Flags for the whole photo, and the wearer's skin color (L*a*b*)."""

    skin: Flags
    hair: Flags
    head: Flags
    cloth: Flags
    skin_color: Colors
    bare_arms: tuple[bool, bool]


def read_complexion(photo: Rgb, wearer: Wearer) -> Complexion:
    """photo: at the size that the wearer was read at."""
    lab = to_lab(photo)
    smooth = np.asarray(cv2.bilateralFilter(lab, 5, 12, 3), dtype=np.float32)
    body = np.asarray(wearer.body > 0.5, dtype=np.bool_)
    face = _face(wearer, body.shape)
    color, spread = _skin_color(smooth[face & body])
    skin = body & (np.abs(smooth - color) / spread < np.array([3.0, SKIN_REACH, SKIN_REACH])).all(axis=-1)
    opened = cv2.morphologyEx(skin.astype(np.uint8), cv2.MORPH_OPEN, disk(1))
    skin = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, disk(2)) > 0
    head = body & _head(wearer, body.shape)
    worn = palette(smooth[body & _chest(wearer, body.shape)], 4)
    to_cloth = color_distance(smooth, worn, body)
    to_skin = np.linalg.norm((smooth - color) * np.array([0.5, 1, 1], dtype=np.float32), axis=-1)
    skin = skin & ((to_skin < 1.3 * to_cloth) | face)
    cloth = body & ~skin & (to_cloth < CLOTH_REACH)
    hair = _hair(smooth, head, skin | face, wearer)
    bare = (_is_bare(skin, wearer.arms[0]), _is_bare(skin, wearer.arms[1]))
    return Complexion(np.asarray(skin, dtype=np.bool_), hair, head, np.asarray(cloth & ~hair), color, bare)


def _face(wearer: Wearer, shape: tuple[int, ...]) -> Flags:
    """The middle of the face: between the eyes and the mouth."""
    eyes = np.stack([wearer.pose.at(Joint.LEFT_EYE), wearer.pose.at(Joint.RIGHT_EYE)])
    mouth = np.stack([wearer.pose.at(Joint.MOUTH_LEFT), wearer.pose.at(Joint.MOUTH_RIGHT)])
    found = np.zeros(shape, dtype=np.uint8)
    outline = np.concatenate([eyes, mouth]).astype(np.float32)
    outline = outline.mean(axis=0) + (outline - outline.mean(axis=0)) * 1.15
    cv2.fillConvexPoly(found, cv2.convexHull(np.rint(outline).astype(np.int32)), 1)
    return np.asarray(found > 0, dtype=np.bool_)


def _skin_color(samples: Colors) -> tuple[Colors, Colors]:
    if len(samples) < LEAST_SAMPLES:  # the head is cut off: a middle tone that most skin is near to
        return np.array([62.0, 15.0, 18.0], dtype=np.float32), LEAST_SKIN_SPREAD * 1.6
    color = np.median(samples, axis=0)
    spread = 1.4826 * np.median(np.abs(samples - color), axis=0)
    return color.astype(np.float32), np.maximum(spread, LEAST_SKIN_SPREAD).astype(np.float32)


def chin_height(wearer: Wearer) -> float:
    """The chin lies below the mouth 1.4 times as far as the mouth below the nose."""
    mouth = (wearer.pose.at(Joint.MOUTH_LEFT) + wearer.pose.at(Joint.MOUTH_RIGHT)) / 2
    nose = wearer.pose.at(Joint.NOSE)
    return float(mouth[1] + 1.4 * max(mouth[1] - nose[1], 0.06 * wearer.shoulder_width))


def _head(wearer: Wearer, shape: tuple[int, ...]) -> Flags:
    """The skull's ellipse down to the chin, and all that is above it."""
    ears = np.stack([wearer.pose.at(Joint.RIGHT_EAR), wearer.pose.at(Joint.LEFT_EAR)])
    half = max(float(np.linalg.norm(ears[1] - ears[0])) * 0.62, 0.22 * wearer.shoulder_width)
    center = ears.mean(axis=0)
    chin = chin_height(wearer)
    found = np.zeros(shape, dtype=np.uint8)
    tall = max(chin - float(center[1]), half)
    middle = (round(float(center[0])), round(float(center[1])))
    cv2.ellipse(found, middle, (round(half), round(tall)), 0, 0, 360, 1, -1)
    above = (np.arange(shape[0]) < center[1])[:, None] & (np.abs(np.arange(shape[1]) - center[0]) < 2.2 * half)[None]
    return np.asarray((found > 0) | above, dtype=np.bool_)


def _hair(smooth: Colors, head: Flags, skin: Flags, wearer: Wearer) -> Flags:
    """Hair on the head and what hangs down from it over shoulders and chest."""
    body = wearer.body > 0.5
    nothing = np.zeros_like(head)
    eyes = float((wearer.pose.at(Joint.LEFT_EYE) + wearer.pose.at(Joint.RIGHT_EYE))[1] / 2)
    rows = np.arange(body.shape[0])[:, None]
    on_head = head & ~skin & (rows < eyes + 0.1 * wearer.shoulder_width)
    clothes = body & ~skin & _chest(wearer, body.shape)
    if min(int(on_head.sum()), int(clothes.sum())) < LEAST_SAMPLES:
        return nothing
    hair_colors, cloth_colors = palette(smooth[on_head], 3), palette(smooth[clothes], 4)
    apart = np.linalg.norm(hair_colors[:, None] - cloth_colors[None], axis=-1).min(axis=1)
    hair_colors = hair_colors[apart > HAIR_CLOTH_DIFFERENCE]
    if not len(hair_colors):
        return nothing
    low = float(wearer.joints[:, 1].mean()) + 0.6 * wearer.torso_length
    near = np.abs(np.arange(body.shape[1]) - wearer.neck.mean(axis=0)[0])[None] < 0.62 * wearer.shoulder_width
    region = body & ~skin & (rows < low) & near
    to_hair = color_distance(smooth, hair_colors, region)
    to_cloth = color_distance(smooth, cloth_colors, region)
    looks = (region & (to_hair < 0.8 * to_cloth) & (to_hair < 22)) | on_head
    looks = cv2.morphologyEx(looks.astype(np.uint8), cv2.MORPH_OPEN, disk(2))
    _, labels = cv2.connectedComponents(looks, connectivity=8)
    rooted = np.unique(labels[on_head & (looks > 0)])
    return np.asarray(np.isin(labels, rooted[rooted > 0]), dtype=np.bool_)


def _chest(wearer: Wearer, shape: tuple[int, ...]) -> Flags:
    upper, lower = wearer.side(0.35), wearer.side(0.9)
    corners = [upper[0], upper[1], lower[1], lower[0]]
    middle = np.mean(corners, axis=0)
    found = np.zeros(shape, dtype=np.uint8)
    outline = np.rint([middle + (corner - middle) * (0.7, 0.95) for corner in corners]).astype(np.int32)
    cv2.fillConvexPoly(found, outline, 1)
    return np.asarray(found > 0, dtype=np.bool_)


def palette(samples: Colors, size: int) -> Colors:
    """The main colors, `size` at most; seeded by lightness, so that the same photo gives the same palette."""
    few = samples[:: max(1, len(samples) // 1500)]
    seeds = np.argsort(few[:, 0])[np.linspace(0, len(few) - 1, size).astype(int)]
    centers = few[seeds].copy()
    for _ in range(8):
        nearest = np.linalg.norm(few[:, None] - centers[None], axis=-1).argmin(axis=1)
        for index in range(size):
            if (nearest == index).any():
                centers[index] = few[nearest == index].mean(axis=0)
    shares = np.bincount(nearest, minlength=size) / len(few)
    return np.asarray(centers[shares > 0.08], dtype=np.float32)


def color_distance(smooth: Colors, colors: Colors, region: Flags) -> Mask:
    """Each pixel's distance to the nearest of the colors; infinite outside the region."""
    distance = np.full(region.shape, np.inf, dtype=np.float32)
    pixels = smooth[region]
    distance[region] = np.min([np.linalg.norm(pixels - color, axis=1) for color in colors], axis=0)
    return distance


def _is_bare(skin: Flags, arm: Arm) -> bool:
    """Whether skin is seen along the forearm; an arm outside the picture tells nothing and counts as bare."""
    points = np.rint(arm.bones[1] + np.linspace(0.3, 0.95, 12)[:, None] * (arm.bones[2] - arm.bones[1])).astype(int)
    inside = (points >= 0).all(axis=1) & (points[:, 0] < skin.shape[1]) & (points[:, 1] < skin.shape[0])
    points = points[inside]
    return len(points) == 0 or bool(skin[points[:, 1], points[:, 0]].mean() >= BARE_SHARE)


def arm_in_front(wearer: Wearer, side: int, start: float, shape: tuple[int, ...]) -> Mask:
    """The arm from `start` (share of its length, from the shoulder) to the finger tips, as far as it is body."""
    arm, unit = wearer.arms[side], wearer.shoulder_width
    elbow = arm.upper_length / arm.length
    found = np.zeros(shape, dtype=np.uint8)
    for share in np.linspace(max(start, elbow * 0.75), 1.0, 40):
        if share < elbow:
            point = arm.bones[0] + (arm.bones[1] - arm.bones[0]) * share / elbow
        else:
            point = arm.bones[1] + (arm.bones[2] - arm.bones[1]) * (share - elbow) / (1 - elbow)
        half = float(np.interp(share, [elbow, 1.0], [FOREARM_HALF, WRIST_HALF])) * unit
        _dot(found, point, half)
    for share in np.linspace(0.0, 1.3, 20):
        _dot(found, arm.bones[2] + (arm.fingers - arm.bones[2]) * share, HAND_HALF * unit * (1 - 0.25 * share))
    return np.asarray(found * (wearer.body > 0.5), dtype=np.float32)


def _dot(found: npt.NDArray[np.uint8], point: Points, radius: float) -> None:
    cv2.circle(found, (round(float(point[0])), round(float(point[1]))), max(1, round(radius)), 1, -1)


def kept_in_front(wearer: Wearer, complexion: Complexion, sleeve_ends: tuple[float, float]) -> Mask:
    """Head, hair, forearms and hands: what a garment never covers.

    sleeve_ends: where the new sleeves end, as a share of each arm's length.
    """
    front = (complexion.head | complexion.hair).astype(np.float32)
    for side, wrist in ((0, Joint.RIGHT_WRIST), (1, Joint.LEFT_WRIST)):
        if wearer.pose.sees(wrist) < SEEN:
            continue
        arm = arm_in_front(wearer, side, sleeve_ends[side], front.shape)
        if complexion.bare_arms[side] or not wearer.crosses_torso(side):
            arm *= complexion.skin
        arm = np.asarray(cv2.morphologyEx(arm, cv2.MORPH_OPEN, disk(0.02 * wearer.shoulder_width)), dtype=np.float32)
        front = np.maximum(front, arm)
    solid = cv2.morphologyEx(front, cv2.MORPH_CLOSE, disk(2))
    return blurred(np.asarray(solid, dtype=np.float32), 0.9)
