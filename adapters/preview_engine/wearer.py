"""The person to dress: shoulders, torso sides and arms in pixels, read from pose landmarks and the body mask."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adapters.preview_engine.pictures import Mask, Points, blurred
from adapters.preview_engine.pose import Joint, Pose
from domain.errors import PersonNotFacing, PersonNotFound, TorsoNotVisible

Line = npt.NDArray[np.float32]

LEAST_SHOULDER_WIDTH = 0.06  # of the photo's longest edge; smaller people have too few pixels to show a garment
LEAST_VISIBILITY = 0.5  # of a landmark that must be in the picture; MediaPipe's own threshold
LEAST_TURN = 0.42  # shoulder width to torso height: 0.65-0.8 from the front, below this nearly a profile
LEAST_HEAD_UP = 0.35  # shoulder widths from the shoulders up to the nose: 0.7-0.9 in somebody upright
MOST_LEAN = 0.5  # of the torso's axis, sideways over down: about 27 degrees
LEAST_BODY = 0.75  # share of the torso's middle that the body mask confirms

# Body proportions in shoulder widths (distance of the two shoulder joints), from anthropometric tables and by eye
SHOULDER_TIP_OUT, SHOULDER_TIP_UP = 0.14, 0.10  # from the joint to the point of the shoulder
NECK_BASE_UP = 0.27  # collar above the joints
CHEST_HALF, HIP_HALF = 0.52, 0.95  # half widths; hips in distances of the hip joints
ARM_HALF = 0.13  # an upper arm
UPPER_ARM_SWELL = 1.3  # an upper arm against its forearm
TORSO_ROWS = 24
TORSO_REACH = 1.6  # rows go down to here, in torso lengths: a long shirt's hem


@dataclass(frozen=True, slots=True)
class Arm:
    """From shoulder over elbow to wrist (3 x 2), the finger tips, half the upper arm's width; outward: -1 or 1."""

    bones: Points
    fingers: Points
    half_width: float
    outward: int

    @property
    def upper_length(self) -> float:
        return float(np.linalg.norm(self.bones[1] - self.bones[0]))

    @property
    def length(self) -> float:
        return self.upper_length + float(np.linalg.norm(self.bones[2] - self.bones[1]))

    def path(self, places: Line) -> tuple[Points, Points]:
        """Points on the bones (rounded at the elbow) at shares of the length, and the directions away from the body."""
        joints = np.array([0.0, self.upper_length / self.length, 1.0])
        fine = np.linspace(-0.1, 1.1, 121)
        first = (self.bones[1] - self.bones[0]) / max(joints[1], 1e-3)
        last = (self.bones[2] - self.bones[1]) / max(1 - joints[1], 1e-3)
        path = np.where(
            (fine < joints[1])[:, None],
            self.bones[0] + first * fine[:, None],
            self.bones[1] + last * (fine - joints[1])[:, None],
        )
        kernel = np.hanning(15)
        kernel /= kernel.sum()
        padded = np.pad(path, ((7, 7), (0, 0)), mode="reflect", reflect_type="odd")
        path = np.stack([np.convolve(padded[:, axis], kernel, mode="valid") for axis in (0, 1)], axis=1)
        tangent = np.gradient(path, axis=0)
        tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-6)
        across = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1) * self.outward
        pick = [
            np.stack([np.interp(places, fine, line[:, axis]) for axis in (0, 1)], axis=1) for line in (path, across)
        ]
        return pick[0].astype(np.float32), pick[1].astype(np.float32)


@dataclass(frozen=True, slots=True)
class Wearer:
    """Of each pair, the first is at the left of the picture, which is the person's right.

    `sides` (2 x n x 2) are the torso's edges from shoulder height (row 0) to `TORSO_REACH` torso lengths down.
    """

    pose: Pose
    joints: Points
    tips: Points
    neck: Points
    sides: Points
    arms: tuple[Arm, Arm]
    shoulder_width: float
    torso_length: float

    @property
    def body(self) -> Mask:
        return self.pose.body

    def side(self, down: float) -> Points:
        """The torso's two edge points (2 x 2), `down` torso lengths below the shoulders."""
        position = down / TORSO_REACH * (TORSO_ROWS - 1)
        rows = np.arange(TORSO_ROWS)
        return np.array(
            [[np.interp(position, rows, edge[:, axis]) for axis in (0, 1)] for edge in self.sides], dtype=np.float32
        )

    def crosses_torso(self, side: int) -> bool:
        """Whether a forearm lies before the torso."""
        arm = self.arms[side]
        point = (arm.bones[1] + arm.bones[2]) / 2
        rows = self.sides[:, :, 1].mean(axis=0)
        edges = [np.interp(point[1], rows, edge[:, 0]) for edge in self.sides]
        margin = 0.1 * self.shoulder_width
        return bool(rows[0] < point[1] < rows[-1] and edges[0] + margin < point[0] < edges[1] - margin)


def read_wearer(pose: Pose | None) -> Wearer:
    """Raises: PersonNotFound, PersonNotFacing, TorsoNotVisible."""
    if pose is None:
        raise PersonNotFound
    joints = np.stack([pose.at(Joint.RIGHT_SHOULDER), pose.at(Joint.LEFT_SHOULDER)])
    hips = np.stack([pose.at(Joint.RIGHT_HIP), pose.at(Joint.LEFT_HIP)])
    _check_view(pose, joints, hips)
    width = float(np.linalg.norm(joints[1] - joints[0]))
    length = float(np.linalg.norm(hips.mean(axis=0) - joints.mean(axis=0)))
    across = (joints[1] - joints[0]) / width
    up = np.array([across[1], -across[0]], dtype=np.float32)
    tips = np.stack([_tip(pose.body, joints[i], outward, up, width) for i, outward in enumerate((-across, across))])
    neck = joints.mean(axis=0) + up * NECK_BASE_UP * width + np.stack([-across, across]) * 0.25 * width
    arms = (_arm(pose, 0, width), _arm(pose, 1, width))
    sides = _sides(pose.body, joints, hips, arms)
    wearer = Wearer(pose, joints, tips.astype(np.float32), neck.astype(np.float32), sides, arms, width, length)
    _check_torso(wearer)
    return wearer


def _tip(body: Mask, joint: Points, outward: Points, up: Points, width: float) -> Points:
    """The point of the shoulder: up and outwards from the joint to where the body ends."""
    expected = outward * SHOULDER_TIP_OUT * width + up * SHOULDER_TIP_UP * width
    for reach in np.arange(0.6, 1.5, 0.05):
        x, y = np.rint(joint + expected * reach).astype(int)
        if 0 <= x < body.shape[1] and 0 <= y < body.shape[0] and body[y, x] < 0.5:
            return np.asarray(joint + expected * reach, dtype=np.float32)
    return np.asarray(joint + expected, dtype=np.float32)


def _check_view(pose: Pose, joints: Points, hips: Points) -> None:
    longest = max(pose.body.shape)
    spread = float(joints[1, 0] - joints[0, 0])
    down = hips.mean(axis=0) - joints.mean(axis=0)
    if np.linalg.norm(down) < LEAST_SHOULDER_WIDTH * longest:
        raise PersonNotFound
    if down[1] <= 0 or abs(down[0]) > MOST_LEAN * down[1]:
        raise TorsoNotVisible
    if spread < LEAST_TURN * float(np.linalg.norm(down)):
        raise PersonNotFacing
    if spread < LEAST_SHOULDER_WIDTH * longest:
        raise PersonNotFound
    if pose.sees(Joint.NOSE) < LEAST_VISIBILITY:
        raise PersonNotFacing
    if joints[:, 1].mean() - pose.at(Joint.NOSE)[1] < LEAST_HEAD_UP * spread:
        raise TorsoNotVisible  # bent forward: the head is before the chest
    height, width = pose.body.shape
    inside = (joints >= 0).all() and (joints[:, 0] < width).all() and (joints[:, 1] < height).all()
    if not inside or pose.sees(Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER) < LEAST_VISIBILITY:
        raise TorsoNotVisible


def _check_torso(wearer: Wearer) -> None:
    """The chest is in the picture, and where the landmarks put it the mask sees body."""
    height, width = wearer.body.shape
    if wearer.joints[:, 1].mean() + 0.55 * wearer.torso_length > height:
        raise TorsoNotVisible
    middle = wearer.sides.mean(axis=0)
    seen = []
    for row in range(1, round(TORSO_ROWS / TORSO_REACH)):
        for share in (-0.6, -0.3, 0.0, 0.3, 0.6):
            x, y = middle[row] + share * (wearer.sides[1, row] - middle[row])
            if 0 <= x < width and 0 <= y < height:
                seen.append(wearer.body[int(y), int(x)] > 0.5)
    if not seen or np.mean(seen) < LEAST_BODY:
        raise TorsoNotVisible


def _sides(body: Mask, joints: Points, hips: Points, arms: tuple[Arm, Arm]) -> Points:
    """The torso's edges: where the mask ends if arms leave it free, otherwise by proportions."""
    top, bottom = joints.mean(axis=0), hips.mean(axis=0)
    width = float(np.linalg.norm(joints[1] - joints[0]))
    hip_width = float(np.linalg.norm(hips[1] - hips[0]))
    down = np.linspace(0, TORSO_REACH, TORSO_ROWS, dtype=np.float32)
    chest = CHEST_HALF * width
    hip = float(np.clip(HIP_HALF * hip_width, 0.75 * chest, 1.25 * chest))
    model = np.interp(down, [0, 0.25, 0.65, 1.0, TORSO_REACH], [chest, chest, 0.5 * (chest + hip) * 0.97, hip, hip])
    blend = np.clip(down, 0, 1)[:, None]
    across = (1 - blend) * (joints[1] - joints[0]) / width + blend * (hips[1] - hips[0]) / max(hip_width, 1.0)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    center = top + down[:, None] * (bottom - top)
    edges = []
    for outward, arm in zip((-1.0, 1.0), arms, strict=True):
        seen = np.array(
            [_edge(body, center[i], outward * across[i], float(model[i]), arm) for i in range(TORSO_ROWS)],
            dtype=np.float32,
        )
        smooth = blurred(seen.reshape(-1, 1), 1.4)[:, 0]
        edges.append(center + outward * across * smooth[:, None])
    return np.stack(edges).astype(np.float32)


def _edge(body: Mask, center: Points, direction: Points, expected: float, arm: Arm) -> float:
    """How far the body reaches from the torso's middle, if that is near to what is expected."""
    steps = np.arange(0.6 * expected, 1.4 * expected, 0.5)
    points = np.rint(center + steps[:, None] * direction).astype(int)
    height, width = body.shape
    inside = (points[:, 0] >= 0) & (points[:, 0] < width) & (points[:, 1] >= 0) & (points[:, 1] < height)
    if not inside.all():
        return expected
    off = np.nonzero(body[points[:, 1], points[:, 0]] < 0.5)[0]
    if off.size == 0 or steps[off[0]] < 0.72 * expected:
        return expected
    edge = float(steps[off[0]])
    bone = _arm_crossing(center, direction, arm)
    if bone is not None and bone < edge:  # the edge is the arm's: nothing shows between it and the torso
        return min(expected, max(bone - 0.6 * arm.half_width, 0.85 * expected))
    return edge


def _arm_crossing(center: Points, direction: Points, arm: Arm) -> float | None:
    """How far from the torso's middle a row meets the arm's or the hand's bone."""
    bones = np.concatenate([arm.bones, arm.fingers[None]]) - center
    along = bones @ direction
    across = bones @ np.array([-direction[1], direction[0]], dtype=np.float32)
    for i in range(len(bones) - 1):
        if across[i] * across[i + 1] <= 0 and across[i] != across[i + 1]:
            share = across[i] / (across[i] - across[i + 1])
            return float(along[i] + share * (along[i + 1] - along[i]))
    return None


def _arm(pose: Pose, side: int, width: float) -> Arm:
    right = (Joint.RIGHT_SHOULDER, Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST, Joint.RIGHT_INDEX)
    left = (Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW, Joint.LEFT_WRIST, Joint.LEFT_INDEX)
    points = np.stack([pose.at(joint) for joint in (right, left)[side]])
    upper = _half_width(pose.body, points[0], points[1], (-1, 1)[side], 0.3 * width)
    fore = [_half_width(pose.body, points[1], points[2], sign, 0.25 * width) for sign in (-1, 1)]
    seen = [half for half in fore if half is not None]
    half = upper if upper is not None else ARM_HALF * width
    if seen:  # a short, wide sleeve hides how wide the upper arm is; the forearm tells
        half = min(half, UPPER_ARM_SWELL * float(np.mean(seen)))
    return Arm(points[:3], points[3], float(np.clip(half, 0.09 * width, 0.2 * width)), (-1, 1)[side])


def _half_width(body: Mask, start: Points, end: Points, sign: int, reach: float) -> float | None:
    """From a bone to the end of the body, to one side; None where the arm touches something."""
    along = (end - start) / max(float(np.linalg.norm(end - start)), 1.0)
    across = np.array([along[1], -along[0]], dtype=np.float32) * sign
    found = []
    for share in (0.3, 0.45, 0.6):
        for step in np.arange(1.0, reach):
            x, y = np.rint(start + share * (end - start) + step * across).astype(int)
            if not (0 <= x < body.shape[1] and 0 <= y < body.shape[0]):
                break
            if body[y, x] < 0.5:
                found.append(step)
                break
    return float(np.median(found)) if found else None
