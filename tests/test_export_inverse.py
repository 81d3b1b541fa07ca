"""Inverse kinematics: known rotations come back, limbs keep their lengths, twists do not jump, gaps are filled."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from nearfar import PoseSet, get_skeleton, skeleton_names
from nearfar.errors import InputError
from nearfar.export.armature import armature_nodes
from nearfar.export.inverse import solve
from nearfar.export.motion import motions
from nearfar.export.rest import fixed_lengths, rest_pose
from nearfar.skeleton import Skeleton
from nearfar.synthetic import synthetic_motion

HUMAN = get_skeleton("human19")
FPS = 30.0


def degrees_apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.rad2deg(Rotation.from_matrix(np.swapaxes(a, -1, -2).reshape(-1, 3, 3) @ b.reshape(-1, 3, 3)).magnitude())


def smooth_angles(rng: np.random.Generator, frames: int, low: float, high: float) -> np.ndarray:
    """(T,) degrees that wander slowly between two bounds."""
    t = np.arange(frames) / FPS
    wave = np.sin(2 * np.pi * (rng.uniform(0.2, 0.6) * t + rng.random()))
    return (low + high) / 2 + (high - low) / 2 * wave


def known_motion(seed: int, frames: int = 90) -> tuple[np.ndarray, np.ndarray, object]:
    """Joints (T, 19, 3) of human19 moved by known rotations (T, N, 3, 3) that the twist rule can tell from positions.

    Hips, shoulders, chest and root turn about all axes; knees and elbows about their hinges; the rest without twist.
    """
    rng = np.random.default_rng(seed)
    rest = rest_pose(HUMAN, np.zeros((1, 19, 3)))
    lengths = rng.uniform(150, 450, 19)
    for left, right in HUMAN.mirror_pairs:
        lengths[HUMAN.index(left)] = lengths[HUMAN.index(right)]
    armature = armature_nodes(HUMAN, rest.directions * lengths[:, None])
    rotations = np.broadcast_to(np.eye(3), (frames, len(armature), 3, 3)).copy()

    def angles(*bounds: Sequence[float]) -> np.ndarray:
        return np.stack([smooth_angles(rng, frames, *bound) for bound in bounds], axis=-1)

    def turn(node: str, order: str, *bounds: Sequence[float]) -> None:
        matrices = Rotation.from_euler(order, angles(*bounds), degrees=True).as_matrix()
        rotations[:, armature.names.index(node)] = matrices

    turn("mid_hip", "YXZ", (-170, 170), (-30, 30), (-20, 20))
    turn("mid_spine", "YXZ", (-30, 30), (-10, 20), (-10, 10))
    nod = np.deg2rad(np.insert(angles((-30, 30), (-15, 15)), 1, 0, axis=-1))  # without twist: no part about the limb
    rotations[:, armature.names.index("chin")] = Rotation.from_rotvec(nod).as_matrix()
    for side, sign in (("left", 1), ("right", -1)):
        turn(f"{side}_hip", "XZY", (-80, 10), (-10, 20), (-30, 30))
        turn(f"{side}_knee", "X", (25, 110))
        turn(f"{side}_shoulder", "ZYX", (-70, 40), (-50, 50), (-60, 60))
        turn(f"{side}_elbow", "Y", sorted((-sign * 25.0, -sign * 120.0)))
        turn(f"{side}_ankle", "X", (-20, 20))
    root = np.stack([smooth_angles(rng, frames, -900, 900) for _ in range(3)], axis=-1)
    position = armature.forward(rotations, root)[0]
    joints = np.empty((frames, 19, 3))
    joints[:, armature.joints] = position
    return joints, rotations, armature


@pytest.mark.parametrize("seed", range(4))
def test_known_rotations_come_back(seed: int) -> None:
    joints, rotations, armature = known_motion(seed)
    rest = rest_pose(HUMAN, joints)
    assert rest.source == "table"
    found, back = solve(HUMAN, joints, joints[:, HUMAN.root_index], rest, fixed_lengths(HUMAN, joints, rest), FPS)
    assert found.names == armature.names
    np.testing.assert_allclose(found.offsets, armature.offsets, atol=1e-6)
    apart = degrees_apart(back, rotations).reshape(back.shape[:2])
    assert apart.max() < 2
    assert apart.mean() < 0.02
    position = found.forward(back, joints[:, HUMAN.root_index])[0]
    assert np.abs(position - joints[:, found.joints]).max() < 1e-6


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000), noise=st.sampled_from([0.0, 5.0, 30.0]))
def test_limbs_are_fixed_and_joints_stay_close(seed: int, noise: float) -> None:
    joints, _, _ = known_motion(seed, frames=20)
    noisy = joints + np.random.default_rng(seed).normal(0, noise, joints.shape)
    rest = rest_pose(HUMAN, noisy)
    lengths = fixed_lengths(HUMAN, noisy, rest)
    armature, rotations = solve(HUMAN, noisy, noisy[:, HUMAN.root_index], rest, lengths, FPS)
    np.testing.assert_allclose(
        rotations @ np.swapaxes(rotations, -1, -2), np.broadcast_to(np.eye(3), rotations.shape), atol=1e-9
    )
    assert (np.linalg.det(rotations) > 0).all()
    position = armature.forward(rotations, noisy[:, HUMAN.root_index])[0]
    moved = np.linalg.norm(position[:, 1:] - position[:, armature.parents[1:]], axis=-1)
    np.testing.assert_allclose(
        moved, np.broadcast_to(np.linalg.norm(armature.offsets[1:], axis=-1), moved.shape), atol=1e-6
    )
    # A limb's end is off by what its length is off: errors do not add up along the chain.
    assert np.linalg.norm(position - noisy[:, armature.joints], axis=-1).mean() < 0.05 + 1.2 * noise


def test_synthetic_people_keep_their_places_and_their_knees_are_hinges() -> None:
    poses = synthetic_motion(300, seed=3, fps=30)
    poses = poses.select(poses.sequence.codes == 0)
    (motion,) = motions(poses)
    assert np.nanmean(motion.error) < 5
    for side in ("left", "right"):
        knee = Rotation.from_matrix(motion.rotations[:, motion.armature.names.index(f"{side}_knee")]).as_rotvec()
        bent = np.linalg.norm(knee, axis=-1) > np.deg2rad(30)
        aside = np.rad2deg(np.abs(knee[bent][:, 1:])).max() if bent.any() else 0
        assert aside < 2
        assert (knee[bent][:, 0] > 0).all()


def test_straight_joints_do_not_make_the_twist_jump() -> None:
    """A leg that swings with a knee straight within noise: the thigh keeps turning smoothly."""
    joints, rotations, armature = known_motion(1, frames=60)
    rng = np.random.default_rng(0)
    knee = armature.names.index("left_knee")
    bend = np.concatenate([np.linspace(60, 0, 20), np.zeros(20), np.linspace(0, 60, 20)]) + rng.normal(0, 1, 60)
    rotations[:, knee] = Rotation.from_euler("x", bend[:, None], degrees=True).as_matrix()
    moved = np.empty_like(joints)
    moved[:, armature.joints] = armature.forward(rotations, joints[:, HUMAN.root_index])[0]
    rest = rest_pose(HUMAN, moved)
    _, found = solve(HUMAN, moved, moved[:, HUMAN.root_index], rest, fixed_lengths(HUMAN, moved, rest), FPS)
    hip = armature.names.index("left_hip")
    true_steps = degrees_apart(rotations[:-1, hip], rotations[1:, hip])
    steps = degrees_apart(found[:-1, hip], found[1:, hip])
    assert steps.max() < true_steps.max() + 4


def test_a_knee_bent_the_wrong_way_does_not_spin_the_thigh() -> None:
    joints, rotations, armature = known_motion(1, frames=60)
    knee, hip = (armature.names.index(f"left_{joint}") for joint in ("knee", "hip"))
    bend = np.concatenate([np.linspace(60, 0, 25), np.full(10, -20.0), np.linspace(0, 60, 25)])
    rotations[:, knee] = Rotation.from_euler("x", bend[:, None], degrees=True).as_matrix()
    moved = np.empty_like(joints)
    moved[:, armature.joints] = armature.forward(rotations, joints[:, HUMAN.root_index])[0]
    rest = rest_pose(HUMAN, moved)
    _, found = solve(HUMAN, moved, moved[:, HUMAN.root_index], rest, fixed_lengths(HUMAN, moved, rest), FPS)
    assert degrees_apart(found[:, hip], rotations[:, hip]).max() < 30  # 180 if it did


def test_without_a_spine_the_pelvis_is_interpolated() -> None:
    """The line between the hips alone leaves open how far the pelvis is tipped."""
    joints, rotations, _ = known_motion(3, frames=60)
    joints[20:30, HUMAN.index("mid_spine")] = np.nan
    rest = rest_pose(HUMAN, joints)
    _, found = solve(HUMAN, joints, joints[:, HUMAN.root_index], rest, fixed_lengths(HUMAN, joints, rest), FPS)
    ends = Rotation.from_matrix(found[[19, 30], 0])
    expected = Slerp([19, 30], ends)(np.arange(20, 30)).as_matrix()
    np.testing.assert_allclose(found[20:30, 0], expected, atol=1e-9)
    assert degrees_apart(found[:, 0], rotations[:, 0]).max() < 15


def test_gaps_are_interpolated_by_slerp_and_named() -> None:
    joints, _, _ = known_motion(2, frames=60)
    gone = joints.copy()
    wrist, knee = HUMAN.index("left_wrist"), HUMAN.index("right_ankle")
    gone[10:20, wrist] = np.nan
    gone[30:36] = np.nan
    gone[50:, knee] = np.nan
    poses = PoseSet(skeleton=HUMAN, joints=gone[..., [0, 2, 1]] * [1, -1, 1], frame="world", time=np.arange(60) / FPS)
    (motion,) = motions(poses)
    said = "\n".join(motion.notes)
    assert "person0: nobody there in 6 of 60 frames (30-35): filled in" in said
    assert "left_wrist missing in 10 of 60 frames (10-19): filled in" in said
    assert "right_ankle, right_foot_tip" not in said  # each joint on its own: the foot's tip is there
    elbow = motion.armature.names.index("left_elbow")
    ends = Rotation.from_matrix(motion.rotations[[9, 20], elbow])
    expected = Slerp([9, 20], ends)(np.arange(10, 20)).as_matrix()
    np.testing.assert_allclose(motion.rotations[10:20, elbow], expected, atol=1e-9)
    shin = motion.armature.names.index("right_knee")
    np.testing.assert_allclose(
        motion.rotations[51:, shin], np.broadcast_to(motion.rotations[49, shin], (9, 3, 3)), atol=1e-9
    )
    np.testing.assert_allclose(motion.root[30:36], np.linspace(motion.root[29], motion.root[36], 8)[1:-1], atol=1e-6)
    assert np.isfinite(motion.positions()).all()


def test_joints_that_are_never_there_rest() -> None:
    joints, _, _ = known_motion(5, frames=10)
    joints[:, HUMAN.index("left_wrist")] = np.nan
    joints[:, [HUMAN.index("left_foot_tip"), HUMAN.index("right_foot_tip")]] = np.nan
    poses = PoseSet(skeleton=HUMAN, joints=joints[..., [0, 2, 1]] * [1, -1, 1], frame="world", time=np.arange(10) / FPS)
    (motion,) = motions(poses)
    names = motion.armature.names
    offsets = dict(zip(names, np.linalg.norm(motion.armature.offsets, axis=-1), strict=True))
    assert offsets["left_wrist"] == pytest.approx(offsets["right_wrist"])
    assert 100 < offsets["left_foot_tip"] < 400
    np.testing.assert_allclose(motion.rotations[:, names.index("left_elbow")], np.broadcast_to(np.eye(3), (10, 3, 3)))
    assert any(note.startswith("person0:") and "left_wrist" in note and "never there" in note for note in motion.notes)


@pytest.mark.parametrize("name", skeleton_names())
def test_every_skeleton_of_ours_can_be_animated(name: str) -> None:
    """A T-pose itself is no rotation at all, whatever the tree; turned as a whole, the root alone turns."""
    skeleton = get_skeleton(name)
    table = rest_pose(skeleton, np.zeros((1, skeleton.num_joints, 3)))
    assert table.source == "table"
    lengths = np.where(np.isfinite(table.lengths), table.lengths, 100.0)
    armature = armature_nodes(skeleton, table.directions * lengths[:, None])
    still = np.empty((4, skeleton.num_joints, 3))
    still[:, armature.joints] = armature.rest_positions()
    about = Rotation.from_euler("yx", [[0, 0], [40, 10], [90, -20], [170, 0]], degrees=True).as_matrix()
    turned = np.einsum("tab,tjb->tja", about, still)
    poses = PoseSet(
        skeleton=skeleton, joints=turned[..., [0, 2, 1]] * [1, -1, 1], frame="world", time=np.arange(4) / 30
    )
    (motion,) = motions(poses)
    assert np.nanmax(motion.error) < 1e-6
    assert degrees_apart(motion.rotations[:, 0], about).max() < 1e-3
    rest = np.broadcast_to(np.eye(3), (4, len(armature) - 1, 3, 3))
    assert degrees_apart(motion.rotations[:, 1:], rest).max() < 1e-3


def dog() -> Skeleton:
    parts = {"body": None, "head": "body", "tail": "body", "tail_tip": "tail", "paw": "head"}
    limbs = [{"parent": parent, "child": child} for child, parent in parts.items() if parent]
    return Skeleton.from_dict(
        {"name": "dog", "joints": list(parts), "root": "body", "mirror_pairs": [], "limbs": limbs}
    )


def test_a_skeleton_without_a_rest_pose_rests_as_in_its_first_whole_frame() -> None:
    rng = np.random.default_rng(0)
    rigid = rng.normal(0, 100, (5, 3))
    joints = np.einsum("tab,jb->tja", Rotation.random(6, rng=1).as_matrix(), rigid)
    joints[0, 2] = np.nan
    poses = PoseSet(skeleton=dog(), joints=joints, frame="camera", time=np.arange(6) / 10)
    (motion,) = motions(poses)
    assert any("no known rest pose; it rests as in frame 1" in note for note in motion.notes)
    assert np.nanmax(motion.error[1:]) < 1e-6
    np.testing.assert_allclose(motion.rotations[1], np.broadcast_to(np.eye(3), motion.rotations[1].shape), atol=1e-6)


def test_one_joint_and_one_frame() -> None:
    point = Skeleton.from_dict({"name": "point", "joints": ["it"], "root": "it", "mirror_pairs": [], "limbs": []})
    (motion,) = motions(PoseSet(skeleton=point, joints=np.ones((1, 1, 3)), frame="camera"))
    assert motion.rotations.shape == (1, 1, 3, 3)
    assert motion.rest_height == 0


def test_a_limb_that_nothing_gives_a_length_is_an_error() -> None:
    joints = np.random.default_rng(0).normal(0, 100, (3, 5, 3))
    joints[:, 4] = np.nan
    with pytest.raises(InputError, match="never there: paw"):
        motions(PoseSet(skeleton=dog(), joints=joints, frame="camera", time=np.arange(3) / 10))


def test_people_keep_their_distance_and_their_times() -> None:
    one = synthetic_motion(40, seed=1, fps=20)
    one = one.select(one.sequence.codes == 0)
    n = len(one)
    late = one.select(slice(5, n))
    both = PoseSet(
        skeleton=one.skeleton,
        joints=np.concatenate([one.joints, late.joints + np.float32([1000, 0, 0])]),
        frame="world",
        time=np.concatenate([one.time, late.time]) + 7,
        person=np.repeat([3, 8], [n, n - 5]),
    )
    first, second = motions(both)
    assert (first.name, second.name) == ("person3", "person8")
    assert second.start == pytest.approx(5 / 20)
    assert any("begins 0.250 s after the clip" in note for note in second.notes)
    np.testing.assert_allclose(second.root, first.root[5:] + [1000, 0, 0], atol=1e-2)
    (only,) = motions(both, person=8)
    np.testing.assert_array_equal(only.root, second.root)
    camera = dataclasses.replace(both, frame="camera")
    (seen,) = motions(camera, person=8)
    np.testing.assert_allclose(seen.root[0] - motions(camera)[0].root[5], [1000, 0, 0], atol=1e-2)
