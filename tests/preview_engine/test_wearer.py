import numpy as np
import pytest

from adapters.preview_engine.pictures import Points
from adapters.preview_engine.pose import Joint, Pose
from adapters.preview_engine.wearer import read_wearer
from domain.errors import PersonNotFacing, PersonNotFound, TorsoNotVisible

STANDING: dict[Joint, tuple[float, float]] = {
    Joint.NOSE: (400, 150),
    Joint.RIGHT_SHOULDER: (320, 300),
    Joint.LEFT_SHOULDER: (480, 300),
    Joint.RIGHT_ELBOW: (290, 420),
    Joint.LEFT_ELBOW: (510, 420),
    Joint.RIGHT_WRIST: (280, 520),
    Joint.LEFT_WRIST: (520, 520),
    Joint.RIGHT_INDEX: (280, 560),
    Joint.LEFT_INDEX: (520, 560),
    Joint.RIGHT_HIP: (360, 530),
    Joint.LEFT_HIP: (440, 530),
}


def a_pose(moved: dict[Joint, tuple[float, float]] | None = None, unseen: tuple[Joint, ...] = ()) -> Pose:
    """Somebody who stands upright and faces the camera in a photo of 800 x 1000 pixels; arms away from the torso."""
    points = np.zeros((33, 2), dtype=np.float32)
    for joint, place in (STANDING | (moved or {})).items():
        points[joint] = place
    visibility = np.ones(33, dtype=np.float32)
    visibility[list(unseen)] = 0.1
    body = np.zeros((1000, 800), dtype=np.float32)
    body[270:950, 310:490] = 1.0
    return Pose(points, visibility, body)


def turned(pose: dict[Joint, tuple[float, float]], about: float = 400) -> dict[Joint, tuple[float, float]]:
    """The same places seen from behind: left and right change sides."""
    return {joint: (2 * about - x, y) for joint, (x, y) in pose.items()}


def test_the_sides_end_where_the_body_ends() -> None:
    wearer = read_wearer(a_pose())
    assert wearer.side(0.5)[:, 0] == pytest.approx([310, 490], abs=4)


def test_the_first_of_each_pair_is_at_the_left_of_the_picture() -> None:
    wearer = read_wearer(a_pose())
    pairs: list[Points] = [wearer.joints, wearer.tips, wearer.neck, wearer.side(0.2)]
    assert all(pair[0, 0] < pair[1, 0] for pair in pairs)
    assert wearer.arms[0].bones[2, 0] < wearer.arms[1].bones[2, 0]


def test_an_arms_path_runs_from_shoulder_over_elbow_to_wrist() -> None:
    arm = read_wearer(a_pose()).arms[0]
    elbow = arm.upper_length / arm.length
    points, outward = arm.path(np.array([0.0, elbow, 1.0], dtype=np.float32))
    assert np.abs(points - arm.bones).max() < 6  # rounded at the elbow
    assert (outward[:, 0] < 0).all()


def test_nobody_is_refused() -> None:
    with pytest.raises(PersonNotFound):
        read_wearer(None)


def test_somebody_far_away_is_refused() -> None:
    far = {joint: (400 + (x - 400) * 0.15, 300 + (y - 300) * 0.15) for joint, (x, y) in STANDING.items()}
    with pytest.raises(PersonNotFound):
        read_wearer(a_pose(far))


def test_somebody_seen_from_behind_is_refused() -> None:
    with pytest.raises(PersonNotFacing):
        read_wearer(a_pose(turned(STANDING)))


def test_a_profile_is_refused() -> None:
    with pytest.raises(PersonNotFacing):
        read_wearer(a_pose({Joint.RIGHT_SHOULDER: (370, 300), Joint.LEFT_SHOULDER: (430, 300)}))


@pytest.mark.parametrize(
    "pose",
    [
        pytest.param(a_pose({Joint.RIGHT_HIP: (640, 420), Joint.LEFT_HIP: (680, 350)}), id="lying"),
        pytest.param(a_pose({Joint.NOSE: (400, 280)}), id="bent forward"),
        pytest.param(a_pose({Joint.RIGHT_SHOULDER: (-20, 300)}), id="a shoulder outside the picture"),
        pytest.param(a_pose(unseen=(Joint.LEFT_SHOULDER,)), id="a hidden shoulder"),
    ],
)
def test_a_torso_that_cannot_be_dressed_is_refused(pose: Pose) -> None:
    with pytest.raises(TorsoNotVisible):
        read_wearer(pose)


def test_a_torso_behind_something_is_refused() -> None:
    pose = a_pose()
    pose.body[330:480] = 0.0
    with pytest.raises(TorsoNotVisible):
        read_wearer(pose)
