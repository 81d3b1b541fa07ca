"""The embedded data set: reproducible, anatomically possible, on the floor, rightly seen, and without a favourite side."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.camera import camera_to_world, project
from nearfar.errors import InputError
from nearfar.geometry import limb_lengths
from nearfar.poses import PoseSet
from nearfar.skeleton import get_skeleton
from nearfar.synthetic import ACTIONS, synthetic_poses
from nearfar.synthetic.body import (
    COLUMNS,
    FULL,
    LIMITS,
    Bodies,
    clamp,
    forward_kinematics,
    mirror_pose,
    sample_bodies,
)
from nearfar.synthetic.cameras import DISTANCE, FIELD_OF_VIEW, HEIGHT, sample_cameras
from nearfar.synthetic.draw import neutral
from nearfar.synthetic.motion import Timeline, clip_lengths, move, perform
from nearfar.synthetic.stance import CLEARANCE, place_in_world, plant_legs
from nearfar.synthetic.tasks import TASKS, Task

FPS = 15.0


@pytest.fixture(scope="module")
def poses() -> PoseSet:
    return synthetic_poses(12_000, seed=4, views=2)


@pytest.fixture(scope="module")
def motion() -> tuple[np.ndarray, Bodies, Timeline]:
    """Poses of some clips, with the legs planted, one body a row."""
    rng = np.random.default_rng(7)
    timeline = Timeline.sample(rng, clip_lengths(rng, 12_000, FPS), FPS)
    body = sample_bodies(rng, len(timeline.starts) - 1).take(timeline.clip)
    return plant_legs(move(rng, timeline), body), body, timeline


def stand(**values: float | list[float]) -> np.ndarray:
    """One pose (1, D): hanging arms, straight legs that hang free, and what is given."""
    pose = np.zeros((1, LIMITS.shape[1]))
    for name, value in values.items():
        pose[:, COLUMNS[name]] = value
    return pose


def one_body() -> Bodies:
    """A body without resting curvature."""
    body = sample_bodies(np.random.default_rng(0), 1)
    return Bodies(**{k: v * (0 if k.endswith("rest") else 1) for k, v in vars(body).items()})


def joint(joints: np.ndarray, name: str) -> np.ndarray:
    return joints[..., FULL.index(name), :]


def test_same_seed_same_set_other_seed_another(poses: PoseSet) -> None:
    again = synthetic_poses(12_000, seed=4, views=2)
    for name in ("joints", "keypoints", "intrinsics", "image_size", "time", "frame_index"):
        np.testing.assert_array_equal(getattr(poses, name), getattr(again, name))
    np.testing.assert_array_equal(poses.action.codes, again.action.codes)
    other = synthetic_poses(12_000, seed=5, views=2)
    assert np.abs(other.joints - poses.joints).mean() > 100


def test_every_row_is_whole(poses: PoseSet) -> None:
    assert len(poses) == 24_000
    for array in (poses.joints, poses.keypoints, poses.intrinsics, poses.image_size, poses.time):
        assert np.isfinite(array).all()
    assert poses.joints[..., 2].min() > 300, "in front of the camera"
    json.dumps(poses.provenance)


def test_keypoints_are_the_projected_joints(poses: PoseSet) -> None:
    assert np.abs(project(poses.joints, poses.intrinsics) - poses.keypoints).max() < 1e-2


def test_people_are_mostly_in_the_picture(poses: PoseSet) -> None:
    inside = ((poses.keypoints >= 0) & (poses.keypoints <= poses.image_size[:, None])).all(axis=-1)
    assert inside.mean() > 0.9


def test_every_task_is_there_and_most_people_are_upright(poses: PoseSet) -> None:
    share = np.bincount(poses.action.codes, minlength=len(ACTIONS)) / len(poses)
    assert share.min() > 0.005
    assert {"walk", "run", "reach", "crouch", "sit", "turn", "wave", "kick", "bend", "lie", "free"} <= set(ACTIONS)
    up = poses.joints[:, poses.skeleton.index("mid_hip"), 1] - poses.joints[:, poses.skeleton.index("neck"), 1]
    assert 0.85 < (up > 200).mean() < 0.99


def test_clips_are_long_enough_to_play_and_in_order(poses: PoseSet) -> None:
    change = np.flatnonzero(np.diff(poses.sequence.codes)) + 1
    starts = np.concatenate([[0], change, [len(poses)]])
    lengths = np.diff(starts)
    assert len(lengths) == len(poses.sequence.names), "each clip and view stands in one piece"
    assert (lengths[:-2] >= 4 * FPS).all()
    assert (lengths <= 20 * FPS).all()
    np.testing.assert_array_equal(poses.frame_index, np.arange(len(poses)) - np.repeat(starts[:-1], lengths))
    np.testing.assert_allclose(poses.time, poses.frame_index / FPS)
    for rows in np.split(np.arange(len(poses)), change):
        assert len(np.unique(poses.intrinsics[rows], axis=0)) == 1, "a clip keeps its camera"
        assert len(np.unique(poses.subject.codes[rows])) == 1


def test_views_show_the_same_motion(poses: PoseSet) -> None:
    first = np.flatnonzero(poses.sequence.codes == 0)
    second = np.flatnonzero(poses.sequence.codes == 1)
    between = [np.linalg.norm(poses.joints[r][:, :, None] - poses.joints[r][:, None], axis=-1) for r in (first, second)]
    np.testing.assert_allclose(between[0], between[1], atol=0.01)


def test_limbs_keep_their_lengths_and_differ_between_people(poses: PoseSet) -> None:
    lengths = limb_lengths(poses.joints, poses.skeleton)
    person = poses.subject.codes
    first = np.array([lengths[person == i][0] for i in np.unique(person)])
    assert np.abs(lengths - first[person]).max() < 0.05
    assert (first.std(axis=0) / first.mean(axis=0) > 0.03).all()
    np.testing.assert_allclose(poses.mean_limb_lengths, lengths.mean(axis=0), rtol=1e-5)
    left_right = [(1, 4), (2, 5), (3, 6), (11, 14), (12, 15), (13, 16)]  # limbs of h36m17 by their outer joint
    outer = [child for _, child in poses.skeleton.limb_joints]
    for right, left in left_right:
        np.testing.assert_allclose(first[:, outer.index(right)], first[:, outer.index(left)], rtol=1e-4)


def test_motion_is_smooth(poses: PoseSet) -> None:
    same = np.diff(poses.sequence.codes) == 0
    speed = np.linalg.norm(np.diff(poses.joints, axis=0), axis=-1)[same] * FPS / 1000  # m/s
    assert np.percentile(speed, 99.9) < 12
    assert speed.max() < 25
    assert np.median(speed) > 0.05, "they move"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_no_task_prefers_a_side(task: Task) -> None:
    n = 2000
    pose = perform(np.random.default_rng(0), task, np.arange(n), np.full(n, 1.5), n)
    difference = pose - mirror_pose(pose)
    error = difference.std(axis=0) / np.sqrt(n)
    assert (np.abs(difference.mean(axis=0)) <= 5 * error + 1e-9).all()


def test_people_face_everywhere() -> None:
    joints = synthetic_poses(20_000, seed=8, fps=1.5).joints  # a slow clock: many clips
    facing = np.cross(joints[:, 1] - joints[:, 4], joints[:, 8] - joints[:, 0])
    angle = np.arctan2(facing[:, 2], facing[:, 0])
    assert np.abs(np.exp(1j * angle).mean()) < 0.1


def test_joint_limits_hold_at_every_moment(motion: tuple[np.ndarray, Bodies, Timeline]) -> None:
    pose, _, _ = motion
    assert (pose >= LIMITS[0] - 1e-6).all()
    assert (pose <= LIMITS[1] + 1e-6).all()
    elevation = np.hypot(pose[:, COLUMNS["shoulder_flexion"]], pose[:, COLUMNS["shoulder_abduction"]])
    assert elevation.max() <= 175 + 1e-6


def test_the_wander_covers_the_range_of_motion(motion: tuple[np.ndarray, Bodies, Timeline]) -> None:
    pose, _, _ = motion
    for name in ("shoulder_flexion", "shoulder_abduction", "shoulder_rotation", "elbow_flexion", "knee_flexion"):
        column = COLUMNS[name].start
        low, high = np.percentile(pose[:, column], [0.5, 99.5])
        assert high - low > 0.6 * (LIMITS[1, column] - LIMITS[0, column]), name


def test_nobody_sinks_into_the_floor_and_somebody_touches_it(motion: tuple[np.ndarray, Bodies, Timeline]) -> None:
    pose, body, timeline = motion
    lift = pose[:, COLUMNS["lift"].start] * body.leg
    reach = np.full(len(timeline.starts) - 1, 500.0)
    world = place_in_world(forward_kinematics(pose, body), lift, 0 * lift, timeline.starts, reach, FPS)
    lowest = (world[..., 2] - CLEARANCE).min(axis=1)
    np.testing.assert_allclose(lowest, lift, atol=1e-6)
    assert (lift < 1).mean() > 0.85
    assert np.linalg.norm(world[:, FULL.root_index, :2], axis=-1).max() <= 500 + 1e-6


def test_standing_feet_reach_their_places_and_carry_the_weight() -> None:
    body = sample_bodies(np.random.default_rng(1), 200)
    pose = np.repeat(neutral(1, 1)[0], 200, axis=0)
    rng = np.random.default_rng(2)
    pose[:, COLUMNS["pelvis_height"]] = rng.uniform(0.5, 0.95, (200, 1))
    pose[:, COLUMNS["foot_forward"]] = rng.uniform(-0.1, 0.1, (200, 2))
    pose[:, COLUMNS["pelvis_tilt"]] = rng.uniform(0, 40, (200, 1))
    joints = forward_kinematics(plant_legs(pose, body), body)
    feet = np.stack([joint(joints, "left_ankle"), joint(joints, "right_ankle")], axis=1)
    assert np.abs(feet[:, 0, 2] - feet[:, 1, 2]).max() < 15, "both on the floor"
    stagger = pose[:, COLUMNS["foot_forward"]] * body.leg[:, None]
    np.testing.assert_allclose(feet[:, 0, 0] - feet[:, 1, 0], stagger[:, 0] - stagger[:, 1], atol=15)
    trunk = joint(joints, "mid_spine")[:, 0] - feet[..., 0].mean(axis=1)
    assert np.abs(trunk).max() < 300, "over the feet"


@pytest.mark.parametrize(
    ("values", "name", "from_joint", "direction"),
    [
        ({"hip_flexion": 90}, "left_knee", "left_hip", (1, 0, 0)),
        ({"hip_abduction": 40}, "left_knee", "left_hip", (0, np.sin(np.deg2rad(40)), -np.cos(np.deg2rad(40)))),
        ({"hip_abduction": 40}, "right_knee", "right_hip", (0, -np.sin(np.deg2rad(40)), -np.cos(np.deg2rad(40)))),
        ({"knee_flexion": 90}, "right_ankle", "right_knee", (-1, 0, 0)),
        ({"shoulder_flexion": 90}, "right_elbow", "right_shoulder", (1, 0, 0)),
        ({"shoulder_abduction": 90}, "right_elbow", "right_shoulder", (0, -1, 0)),
        ({"elbow_flexion": 90}, "left_wrist", "left_elbow", (1, 0, 0)),
        ({"elbow_flexion": 90, "shoulder_rotation": 80}, "left_wrist", "left_elbow", None),
        ({"lumbar_flexion": 60, "thorax_flexion": 30}, "neck", "mid_spine", (1, 0, 0)),
        ({"pelvis_tilt": -90}, "mid_spine", "mid_hip", (-1, 0, 0)),
    ],
)
def test_joints_bend_the_right_way(
    values: dict[str, float], name: str, from_joint: str, direction: tuple | None
) -> None:
    joints = forward_kinematics(stand(**values), one_body())
    limb = (joint(joints, name) - joint(joints, from_joint))[0]
    limb /= np.linalg.norm(limb)
    if direction is None:  # the inward-turned left forearm points to the right
        assert limb[1] < -0.9
    else:
        np.testing.assert_allclose(limb, direction, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_mirrored_pose_is_the_mirrored_body(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pose = clamp(rng.uniform(*LIMITS, (5, LIMITS.shape[1])))
    body = sample_bodies(rng, 5)
    expected = (forward_kinematics(pose, body) * [1, -1, 1])[:, FULL.mirror_permutation]
    np.testing.assert_allclose(forward_kinematics(mirror_pose(pose), body), expected, atol=1e-6)
    np.testing.assert_array_equal(mirror_pose(mirror_pose(pose)), pose)
    expected = mirror_pose(plant_legs(pose, body))
    np.testing.assert_allclose(plant_legs(mirror_pose(pose), body), expected, atol=1e-5)


def test_cameras_cover_what_the_page_says() -> None:
    cameras = sample_cameras(np.random.default_rng(0), 5000, 2, np.full(5000, 900.0))
    distance = np.linalg.norm(cameras.centre[:, :2], axis=-1)
    view = 2 * np.rad2deg(np.arctan(cameras.image_size.max(axis=-1) / 2 / cameras.intrinsics[:, 0]))
    for values, (low, high) in ((distance, DISTANCE), (cameras.centre[:, 2], HEIGHT), (view, FIELD_OF_VIEW)):
        assert low - 1e-6 <= values.min() < low + 0.1 * (high - low)
        assert high + 1e-6 >= values.max() > high - 0.1 * (high - low)
    np.testing.assert_allclose(
        cameras.rotation @ np.swapaxes(cameras.rotation, 1, 2), np.broadcast_to(np.eye(3), (10_000, 3, 3)), atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(cameras.rotation), 1)
    up = camera_to_world(np.array([[[0.0, -1, 0]]]), cameras.rotation, 0 * cameras.centre)[:, 0, 2]
    assert up.min() > 0.7, "upright pictures"


@pytest.mark.parametrize("skeleton", ["human19", "h36m16", "lsp14", "openpose17"])
def test_other_skeletons_are_derived(skeleton: str) -> None:
    derived = synthetic_poses(200, seed=1, skeleton=skeleton)
    full = synthetic_poses(200, seed=1, skeleton="human19")
    assert derived.skeleton == get_skeleton(skeleton)
    np.testing.assert_allclose(derived.joints, full.remap(skeleton).joints, atol=0.05)


@pytest.mark.parametrize("frames", [1, 7, 61, 301])
@pytest.mark.parametrize("views", [1, 3])
def test_exactly_as_many_rows_as_asked_for(frames: int, views: int) -> None:
    poses = synthetic_poses(frames, views=views)
    assert len(poses) == frames * views
    assert np.isfinite(poses.keypoints).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "frames: expected a whole number of at least 1, got 0"),
        ({"frames": 2.5}, "frames: expected a whole number"),
        ({"frames": 10, "views": 0}, "views"),
        ({"frames": 10, "seed": -1}, "seed"),
        ({"frames": 10, "fps": float("nan")}, "fps"),
        ({"frames": 10, "fps": "15"}, "fps"),
        ({"frames": 10, "skeleton": "coco17"}, "gives no skeleton 'coco17'"),
        ({"frames": 10, "skeleton": "h36m18"}, "no skeleton 'h36m18'"),
    ],
)
def test_bad_arguments_are_one_clear_line(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        synthetic_poses(**arguments)
    assert "\n" not in str(caught.value)


def test_round_trip_through_a_file(tmp_path) -> None:
    poses = synthetic_poses(100, seed=3)
    poses.save(tmp_path / "synthetic.npz")
    loaded = PoseSet.load(tmp_path / "synthetic.npz")
    np.testing.assert_array_equal(loaded.joints, poses.joints)
    assert loaded.provenance == poses.provenance
    assert list(loaded.action.values()) == list(poses.action.values())
