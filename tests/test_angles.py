"""Joint angles: known poses, invariances, mirror, missing joints, and the kinematics of the synthetic people as oracle."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from motion_files import AcclaimMotion
from roma import random_rotmat

from nearfar import PoseSet, get_skeleton, skeleton_names
from nearfar.angles import angle_definitions, joint_angles, pose_angles, segment_frames
from nearfar.datasets.asf_amc import load_amc
from nearfar.errors import InputError
from nearfar.poses import Category
from nearfar.skeleton import mirror
from nearfar.synthetic.body import COLUMNS, LIMITS, forward_kinematics, sample_bodies

HUMAN19, H36M17 = get_skeleton("human19"), get_skeleton("h36m17")
UP, AHEAD = (0, 0, 1), (1, 0, 0)
DIRECTIONS = {"pelvis_obliquity", "pelvis_rotation", "trunk_lateral_flexion", "trunk_rotation"}
"""Angles that say to which side: they change sign in the mirror."""


def standing(arms: str = "down") -> dict[str, np.ndarray]:
    """A person upright in the world's axes who faces along x (left is +y), mm."""
    reach = {"down": (0, 0, -1), "side": (0, 1, 0), "ahead": (1, 0, 0), "up": (0, 0, 1)}[arms]
    place = {"mid_hip": (0, 0, 900), "mid_spine": (0, 0, 1150), "neck": (0, 0, 1400), "chin": (0, 0, 1480),
             "head_top": (0, 0, 1600)}  # fmt: skip
    for side, sign in (("left", 1), ("right", -1)):
        out = np.array([reach[0], sign * reach[1], reach[2]])
        for name, at in (("hip", (0, 100, 900)), ("knee", (0, 100, 480)), ("ankle", (0, 100, 60)),
                         ("foot_tip", (150, 100, 60)), ("shoulder", (0, 180, 1400))):  # fmt: skip
            place[f"{side}_{name}"] = (at[0], sign * at[1], at[2])
        place[f"{side}_elbow"] = place[f"{side}_shoulder"] + 280 * out
        place[f"{side}_wrist"] = place[f"{side}_shoulder"] + 530 * out
    return {name: np.array(at, dtype=float) for name, at in place.items()}


def measured(place: dict[str, np.ndarray], skeleton=HUMAN19, **options) -> dict[str, float]:
    joints = np.array([place[name] for name in skeleton.joints])
    found = joint_angles(joints, skeleton, **{"up": UP, "forward": AHEAD, **options})
    return {name: float(value) for name, value in found.items()}


def both(angles: dict[str, float], name: str) -> list[float]:
    return [angles[f"left_{name}"], angles[f"right_{name}"]]


def some_people(count: int, seed: int) -> np.ndarray:
    """(count, 19, 3) synthetic people in any posture."""
    rng = np.random.default_rng(seed)
    return forward_kinematics(rng.uniform(*LIMITS, (count, LIMITS.shape[1])), sample_bodies(rng, count))


def test_standing_is_zero() -> None:
    angles = measured(standing())
    undetermined = {name for name, value in angles.items() if np.isnan(value)}
    assert undetermined == {
        f"{side}_{name}"
        for side in ("left", "right")
        for name in ("hip_rotation", "shoulder_rotation", "shoulder_elevation_plane")  # straight limbs, hanging arms
    }
    assert np.allclose([value for value in angles.values() if not np.isnan(value)], 0, atol=1e-9)


def test_t_pose() -> None:
    angles = measured(standing("side"))
    assert both(angles, "shoulder_elevation") == pytest.approx([90, 90])
    assert both(angles, "shoulder_abduction") == pytest.approx([90, 90])
    assert both(angles, "shoulder_elevation_plane") == pytest.approx([0, 0], abs=1e-9)
    assert np.isnan(both(angles, "shoulder_flexion")).all()  # an arm along the axis of flexion


def test_arms_ahead_and_up() -> None:
    angles = measured(standing("ahead"))
    assert both(angles, "shoulder_flexion") == pytest.approx([90, 90])
    assert both(angles, "shoulder_abduction") == pytest.approx([0, 0], abs=1e-9)
    assert both(angles, "shoulder_elevation_plane") == pytest.approx([90, 90])
    angles = measured(standing("up"))
    assert both(angles, "shoulder_flexion") == pytest.approx([180, 180])
    assert both(angles, "shoulder_elevation") == pytest.approx([180, 180])


def test_seated() -> None:
    """Hips and knees at right angles, feet on the floor, elbows bent forward."""
    place = standing()
    for side in ("left", "right"):
        for name in ("knee", "ankle", "foot_tip"):
            place[f"{side}_{name}"] += [420, 0, 420]
        place[f"{side}_wrist"] = place[f"{side}_elbow"] + [250, 0, 0]
    angles = measured(place)
    for name in ("hip_flexion", "knee_flexion", "elbow_flexion"):
        assert both(angles, name) == pytest.approx([90, 90])
    for name in ("hip_rotation", "hip_adduction", "shoulder_rotation", "ankle_dorsiflexion"):
        assert both(angles, name) == pytest.approx([0, 0], abs=1e-9)
    place["right_ankle"] = place["right_knee"] + [0, -420, 0]  # the foot swings outwards: internal rotation
    place["left_wrist"] = place["left_elbow"] + [0, -250, 0]  # the hand before the belly: internal rotation
    angles = measured(place)
    assert angles["right_hip_rotation"] == pytest.approx(90)
    assert angles["left_shoulder_rotation"] == pytest.approx(90)


def test_signs() -> None:
    place = standing()
    place["right_knee"] = place["right_hip"] + 420 * np.array([0, np.sin(0.3), -np.cos(0.3)])  # across to the left
    place["left_elbow"] = place["left_shoulder"] + [-100, 0, -200]  # an arm behind
    place["right_foot_tip"] = place["right_ankle"] + [100, 0, 100]  # toes up
    place["neck"] += [0, -100, 0]  # bent to the right
    angles = measured(place)
    assert angles["right_hip_adduction"] == pytest.approx(np.rad2deg(0.3))
    assert angles["left_shoulder_flexion"] < -20
    assert angles["right_ankle_dorsiflexion"] > 40
    assert angles["trunk_lateral_flexion"] > 10
    place = standing()
    place["neck"] += [100, 0, 0]  # bent forward
    place["right_shoulder"] += [60, 0, 0]
    place["left_shoulder"] -= [60, 0, 0]  # turned to the left
    angles = measured(place)
    assert angles["trunk_flexion"] > 10
    assert angles["trunk_rotation"] > 10
    place = standing()
    place["right_hip"] += [40, 0, 30]
    place["left_hip"] -= [40, 0, 30]
    angles = measured(place)
    assert angles["pelvis_rotation"] == pytest.approx(np.rad2deg(np.arctan(0.4)))
    assert angles["pelvis_obliquity"] > 10
    assert measured({name: at + [at[2] / 4, 0, 0] for name, at in standing().items()})["pelvis_tilt"] > 10


def test_the_ankle_by_heel_and_toe() -> None:
    halpe = get_skeleton("halpe26")
    joints = np.full((len(halpe), 3), np.nan)
    for name, at in {
        "knee": (0, 100, 480),
        "ankle": (0, 100, 70),
        "heel": (-50, 100, 0),
        "big_toe": (170, 100, 0),
    }.items():
        joints[halpe.index(f"left_{name}")] = at
    assert joint_angles(joints, halpe)["left_ankle_dorsiflexion"] == pytest.approx(0, abs=1e-9)
    joints[halpe.index("left_knee")] += [410 * np.tan(np.deg2rad(20)), 0, 0]  # the shank leans forward
    assert joint_angles(joints, halpe)["left_ankle_dorsiflexion"] == pytest.approx(20)


def test_synthetic_kinematics_are_recovered() -> None:
    """Hips, knees, elbows, pelvis, from the angles that the synthetic people were made of (another implementation)."""
    rng = np.random.default_rng(3)
    pose = rng.uniform(*LIMITS, (500, LIMITS.shape[1]))
    for name in ("lumbar_flexion", "lumbar_bend", "lumbar_twist", "thorax_bend", "thorax_twist", "pelvis_roll",
                 "pelvis_turn", "planted"):  # fmt: skip
        pose[:, COLUMNS[name]] = 0
    body = dataclasses.replace(sample_bodies(rng, 500), lumbar_rest=np.zeros(500), thorax_rest=np.zeros(500))
    angles = joint_angles(forward_kinematics(pose, body), HUMAN19, up=UP, forward=AHEAD)
    column = {name: pose[:, span] for name, span in COLUMNS.items()}
    for i, side in enumerate(("left", "right")):
        assert np.allclose(angles[f"{side}_hip_flexion"], column["hip_flexion"][:, i])
        assert np.allclose(angles[f"{side}_hip_adduction"], -column["hip_abduction"][:, i])
        assert np.allclose(angles[f"{side}_knee_flexion"], column["knee_flexion"][:, i])
        assert np.allclose(angles[f"{side}_elbow_flexion"], column["elbow_flexion"][:, i])
        bent = column["knee_flexion"][:, i] > 20
        assert np.allclose(angles[f"{side}_hip_rotation"][bent], column["hip_rotation"][bent, i])
        assert np.isnan(angles[f"{side}_hip_rotation"][~bent]).all()
    assert np.allclose(angles["trunk_flexion"], column["thorax_flexion"][:, 0])
    tilt = np.where(np.abs(column["pelvis_tilt"][:, 0]) <= 180, column["pelvis_tilt"][:, 0], np.nan)
    assert np.allclose(angles["pelvis_tilt"], tilt)


def test_knee_and_elbow_of_acclaim_files(tmp_path) -> None:
    """CMU's bones on both sides of a knee and an elbow lie on one line at rest: the AMC file's rx is the flexion."""
    motion = AcclaimMotion(seed=7, frames=40)
    rng = np.random.default_rng(7)
    for side, sign in (("l", 1), ("r", -1)):
        for upper, lower, direction, axis in (
            ("femur", "tibia", (sign * 0.34202, -0.939693, 0), (0, 0, sign * 20)),
            ("humerus", "radius", (sign, 0, 0), (180, sign * 30, sign * 90)),
        ):
            for bone in (upper, lower):
                motion.direction[side + bone] = np.array(direction, float)
                motion.axis[side + bone] = np.array(axis, float)
            motion.values[side + lower] = rng.uniform(0, 120, (40, 1))
    motion.write_asf(tmp_path / "01.asf")
    motion.write_amc(tmp_path / "01_01.amc")
    angles = pose_angles(load_amc(tmp_path / "01_01.amc"))
    for side in ("left", "right"):
        knee, elbow = (motion.values[side[0] + bone][:, 0] for bone in ("tibia", "radius"))
        assert np.abs(angles[f"{side}_knee_flexion"] - knee).max() < 0.01  # degrees; joints are float32
        assert np.abs(angles[f"{side}_elbow_flexion"] - elbow).max() < 0.01


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_moving_turning_and_scaling_the_whole_body_changes_nothing(seed: int, scale: float) -> None:
    people = some_people(4, seed)
    torch.manual_seed(seed)
    turn = random_rotmat().double().numpy()
    moved = scale * people @ turn.T + np.random.default_rng(seed).normal(0, 1000, 3)
    before = joint_angles(people, HUMAN19, up=UP, forward=AHEAD)
    after = joint_angles(moved, HUMAN19, up=turn @ UP, forward=turn @ AHEAD)
    assert before.keys() == after.keys()
    for name, value in before.items():
        turned = (after[name] - value + 180) % 360 - 180  # 180 and -180 are one angle
        assert np.allclose(turned[np.isfinite(value)], 0, atol=1e-4), name
        assert (np.isnan(value) == np.isnan(after[name])).all(), name


@given(st.integers(0, 2**32 - 1))
def test_the_mirror_swaps_left_and_right(seed: int) -> None:
    people = some_people(4, seed)
    before = joint_angles(people, HUMAN19, up=UP, forward=AHEAD)
    after = joint_angles(mirror(people, HUMAN19), HUMAN19, up=UP, forward=(-1, 0, 0))  # x is reflected
    for name, value in before.items():
        other = name.replace("left_", "*").replace("right_", "left_").replace("*", "right_")
        turned = (after[other] - (-value if name in DIRECTIONS else value) + 180) % 360 - 180
        assert np.allclose(turned[np.isfinite(value)], 0, atol=1e-6), name


def test_any_batch_and_what_is_missing() -> None:
    people = some_people(6, 1).reshape(2, 3, 19, 3)
    people[0, 1, HUMAN19.index("left_knee")] = np.nan
    angles = joint_angles(people, HUMAN19, up=UP, forward=AHEAD)
    lost = {name for name, value in angles.items() if np.isnan(value[0, 1])}
    assert {"left_knee_flexion", "left_hip_flexion", "left_hip_adduction", "left_hip_rotation",
            "left_ankle_dorsiflexion"} <= lost  # fmt: skip
    assert not {"right_knee_flexion", "left_elbow_flexion", "pelvis_tilt"} & lost
    assert all(value.shape == (2, 3) for value in angles.values())
    assert np.isfinite(angles["left_knee_flexion"]).sum() == 5
    nothing = joint_angles(np.full((2, 19, 3), np.nan), HUMAN19, up=UP, forward=AHEAD)
    assert all(np.isnan(value).all() for value in nothing.values())
    one_point = joint_angles(np.zeros((2, 19, 3)), HUMAN19, up=UP, forward=AHEAD)
    assert all(np.isnan(value).all() for value in one_point.values())
    assert all(value.shape == (0,) for value in joint_angles(np.zeros((0, 19, 3)), HUMAN19, up=UP).values())


def test_skeletons_have_the_angles_that_their_joints_make() -> None:
    for name in skeleton_names():
        skeleton = get_skeleton(name)
        defined = angle_definitions(skeleton)
        angles = joint_angles(np.random.default_rng(0).normal(0, 500, (3, len(skeleton), 3)), skeleton, up=UP)
        assert tuple(angles) == defined.names
        assert "left_knee_flexion" in angles
    assert "left_big_toe" in angle_definitions(H36M17).undefined["left_ankle_dorsiflexion"]
    assert "left_ankle_dorsiflexion" in angle_definitions(get_skeleton("halpe26")).names
    coco = angle_definitions(get_skeleton("coco17"))  # no spine: pelvis and trunk are one
    assert "spine" in coco.undefined["trunk_flexion"]
    assert "trunk_rotation" in coco.names
    assert set(segment_frames(np.zeros((17, 3)), H36M17)) == {"pelvis", "thorax"}


def test_a_skeleton_without_the_joints_is_refused() -> None:
    arm = {
        "name": "arm",
        "joints": ["a", "b"],
        "root": "a",
        "mirror_pairs": [],
        "limbs": [{"parent": "a", "child": "b"}],
    }
    skeleton = type(HUMAN19).from_dict(arm)
    with pytest.raises(InputError, match=r"skeleton 'arm' has no joint angles; .* needs left_hip"):
        joint_angles(np.zeros((2, 3)), skeleton)
    with pytest.raises(InputError, match=r"expected \(\.\.\., 19, 3\) joints"):
        joint_angles(np.zeros((17, 3)), HUMAN19)


def test_angles_of_poses_before_a_camera_and_in_the_world() -> None:
    """One person turns about: the same angles in either frame, rotation of the pelvis about the clip's mean heading."""
    place = standing()
    joints = np.array([place[name] for name in H36M17.joints])
    turns = np.deg2rad(np.linspace(-30, 30, 13) + 70)
    spin = np.zeros((13, 3, 3))
    spin[:, 0, 0] = spin[:, 1, 1] = np.cos(turns)
    spin[:, 1, 0], spin[:, 0, 1] = np.sin(turns), -np.sin(turns)
    spin[:, 2, 2] = 1
    world = np.einsum("nij,kj->nki", spin, joints)
    clip = {"time": np.arange(13) / 30, "sequence": Category(np.zeros(13, int), ("turn",))}
    x, y, z = np.moveaxis(world, -1, 0)
    in_world = pose_angles(PoseSet(H36M17, joints=world, frame="world", **clip))
    in_camera = pose_angles(PoseSet(H36M17, joints=np.stack([x, -z, y], axis=-1), frame="root", **clip))
    assert np.allclose(in_world["pelvis_rotation"], np.linspace(-30, 30, 13))
    for name, value in in_world.items():
        assert np.allclose(value, in_camera[name], equal_nan=True, atol=1e-9), name
    alone = pose_angles(PoseSet(H36M17, joints=world[:1], frame="world"))
    assert np.isnan(alone["pelvis_rotation"]).all()
    assert alone["pelvis_tilt"] == pytest.approx(0, abs=1e-9)
    with pytest.raises(InputError, match="lift them first"):
        pose_angles(PoseSet(H36M17, keypoints=np.zeros((1, 17, 2))))
