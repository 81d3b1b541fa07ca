"""Gait: events and figures of a made walk that is known exactly, and of real walks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nearfar import PoseSet, get_skeleton
from nearfar.angles import gait, gait_record, pose_angles, strides
from nearfar.errors import InputError
from nearfar.poses import Category

H36M17 = get_skeleton("h36m17")
FPS = 50.0


def clip(joints: np.ndarray, fps: float = FPS, name: str = "walk", frame: str = "world") -> PoseSet:
    names = Category(np.zeros(len(joints), int), (name,))
    return PoseSet(H36M17, joints=joints, frame=frame, time=2 + np.arange(len(joints)) / fps, sequence=names)


def stick_walk(stride: float = 1.1, seconds: float = 6.0, rest: float = 0.0, fps: float = FPS) -> np.ndarray:
    """A person who walks along y in the world, leg by leg a cosine: the left foot is farthest in front at t = 0, 1.1, …

    Thighs swing by ±25 degrees, knees bend by 60 in the middle of the swing and by `rest` all the time.
    """
    time = np.arange(round(seconds * fps)) / fps
    joints = np.zeros((len(time), 17, 3))

    def put(name: str, x, y, z) -> None:  # x to the right, y ahead, z up
        joints[:, H36M17.index(name)] = np.stack(np.broadcast_arrays(x, y + 1300 * time, z), axis=-1)

    for name, height in (("mid_hip", 900), ("mid_spine", 1150), ("neck", 1400), ("chin", 1500), ("head_top", 1600)):
        put(name, 0, 0, height)
    for side, sign, phase in (("left", -1, 0.0), ("right", 1, 0.5)):
        cycle = 2 * np.pi * (time / stride + phase)
        thigh = np.deg2rad(25) * np.cos(cycle)
        knee = np.deg2rad(rest + (60 - rest) * np.clip(-np.sin(cycle), 0, None) ** 2)
        put(f"{side}_hip", sign * 100, 0, 900)
        put(f"{side}_knee", sign * 100, 420 * np.sin(thigh), 900 - 420 * np.cos(thigh))
        put(f"{side}_ankle", sign * 100, 420 * (np.sin(thigh) + np.sin(thigh - knee)),
            900 - 420 * (np.cos(thigh) + np.cos(thigh - knee)))  # fmt: skip
        for name, height in (("shoulder", 1400), ("elbow", 1120), ("wrist", 870)):
            put(f"{side}_{name}", sign * 180, 0, height)
    return joints


def test_a_known_walk() -> None:
    (walk,) = gait(clip(stick_walk()))
    assert walk.sequence == "walk"
    assert walk.cadence == pytest.approx(2 * 60 / 1.1, rel=0.02)
    assert walk.steps == 9
    for leg, first in ((walk.left, 1.1), (walk.right, 0.55)):
        assert np.allclose(leg.strikes - 2, first + 1.1 * np.arange(len(leg.strikes)), atol=0.06)
        assert leg.stride_time == pytest.approx(1.1, abs=1 / FPS)
        assert leg.knee_range == pytest.approx(60, abs=1)
        assert leg.knee_swing == pytest.approx(60, abs=1)
        assert leg.hip_range == pytest.approx(50, abs=1)
        assert 0.4 < leg.stance < 0.7
        assert leg.step_length == pytest.approx(2 * 840 * np.sin(np.deg2rad(25)), rel=0.05)


def test_frame_scale_and_direction_do_not_matter() -> None:
    world = stick_walk()
    x, y, z = np.moveaxis(world, -1, 0)
    before_camera = 0.3 * np.stack([-x, -z, -y], axis=-1)  # towards the camera
    expected, found = gait(clip(world))[0], gait(clip(before_camera, frame="camera"))[0]
    assert found.cadence == expected.cadence
    assert np.array_equal(found.left.strikes, expected.left.strikes)
    assert found.left.step_length == pytest.approx(0.3 * expected.left.step_length)
    on_the_spot = world - world[:, [0]]  # root-relative, as on a treadmill
    assert gait(clip(on_the_spot))[0].left.knee_range == pytest.approx(expected.left.knee_range)


def test_legs_are_enough() -> None:
    names = [f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle")]
    limbs = [{"parent": "left_hip", "child": "right_hip"}]
    limbs += [{"parent": f"{side}_{a}", "child": f"{side}_{b}"} for side in ("left", "right")
              for a, b in (("hip", "knee"), ("knee", "ankle"))]  # fmt: skip
    legs = type(H36M17).from_dict(
        {"name": "legs", "joints": names, "root": "left_hip", "mirror_pairs": [], "limbs": limbs}
    )
    joints = stick_walk()[:, [H36M17.index(name) for name in names]]
    (walk,) = gait(PoseSet(legs, joints=joints, frame="world", time=np.arange(300) / FPS))
    assert walk.steps == 9
    assert walk.left.knee_range == pytest.approx(60, abs=1)
    assert np.isnan(walk.left.hip_range)


def test_heels_and_toes_go_before_ankles() -> None:
    """A foot lags behind its ankle, heel by 40 ms and toe by 100 ms: so do its strikes and toe-offs."""
    halpe = get_skeleton("halpe26")
    joints = np.full((300, len(halpe), 3), np.nan)
    walk = stick_walk() - [0, 1300, 0] * np.arange(300)[:, None, None] / FPS
    for name in set(halpe.joints) & set(H36M17.joints):
        joints[:, halpe.index(name)] = walk[:, H36M17.index(name)]
    for side in ("left", "right"):
        ankle = walk[:, H36M17.index(f"{side}_ankle")]
        joints[:, halpe.index(f"{side}_heel")] = np.roll(ankle, 2, axis=0) - [0, 50, 30]
        joints[:, halpe.index(f"{side}_big_toe")] = np.roll(ankle, 5, axis=0) + [0, 150, -30]
    poses = PoseSet(halpe, joints=joints, frame="world", time=2 + np.arange(300) / FPS)
    (found,), (bare,) = gait(poses), gait(clip(walk))
    for name, lag in (("strikes", 2 / FPS), ("toe_offs", 5 / FPS)):
        late, early = getattr(found.left, name), getattr(bare.left, name)[1:-1]
        assert np.abs(late[:, None] - (early + lag)).min(axis=0).max() < 0.021
    assert np.isfinite(pose_angles(poses)["left_ankle_dorsiflexion"]).all()


def test_noise_and_gaps() -> None:
    joints = stick_walk() + np.random.default_rng(0).normal(0, 8, (300, 17, 3))
    joints[100:104] = np.nan
    joints[150:230, H36M17.index("left_knee")] = np.nan
    (walk,) = gait(clip(joints))
    assert walk.cadence == pytest.approx(2 * 60 / 1.1, rel=0.05)
    assert walk.left.knee_range == pytest.approx(60, abs=8)
    joints[:] = np.nan
    assert gait(clip(joints)) == []


def test_nobody_walks() -> None:
    still = np.repeat(stick_walk()[:1], 200, axis=0)
    assert gait(clip(still)) == []
    assert gait(clip(stick_walk()[:1])) == []
    assert gait(clip(stick_walk()[:30])) == []
    one_leg = stick_walk() - [0, 1300, 0] * np.arange(300)[:, None, None] / FPS
    for name in ("right_knee", "right_ankle"):
        one_leg[:, H36M17.index(name)] = one_leg[0, H36M17.index(name)]
    assert gait(clip(one_leg)) == []
    x, y, z = np.moveaxis(stick_walk(), -1, 0)
    assert gait(clip(np.stack([x, -z, y], axis=-1))) == []  # cycling with the legs, on the back
    assert gait(PoseSet(H36M17, joints=stick_walk())) == []  # poses that do not say when they were
    flat = {"name": "flat", "joints": ["left_hip", "right_hip", "neck", "left_knee"], "root": "neck", "mirror_pairs": [],
            "limbs": [{"parent": "neck", "child": j} for j in ("left_hip", "right_hip", "left_knee")]}  # fmt: skip
    with pytest.raises(InputError, match="has no"):
        gait(PoseSet(type(H36M17).from_dict(flat), joints=np.zeros((3, 4, 3)), time=np.arange(3.0)))


def test_the_record_is_plain_json() -> None:
    walks = gait(clip(stick_walk(seconds=2.4)))
    record = json.loads(json.dumps(gait_record(walks), allow_nan=False))
    (walk,) = record["walks"]
    assert record["schema"] == "nearfar-gait-1"
    assert walk["cadence"] == pytest.approx(109, abs=3)
    assert set(record["unit"]) | {"sequence", "person", "steps", "left", "right"} == set(walk) | set(walk["left"])
    assert walk["right"]["strikes"][0] == pytest.approx(2.55, abs=0.06)


def test_strides() -> None:
    time = np.arange(300) / FPS
    values = np.sin(2 * np.pi * time / 1.1)
    values[170] = np.nan
    cycles = strides(time, values, np.array([0.0, 1.1, 2.2, 3.3, 4.4]))
    assert cycles.shape == (3, 101)
    assert np.allclose(cycles, np.sin(np.linspace(0, 2 * np.pi, 101)), atol=0.02)
    assert strides(time, values, np.array([])).shape == (0, 101)


@pytest.mark.shared
def test_real_walks_lie_in_published_ranges(shared) -> None:
    """Level walks of five people: cadence 91-138 a minute (Whittle), stance about 60 %, knee to about 60-70 degrees."""
    mocap = np.load(shared / "data" / "mocap" / "cmu" / "cmu_h36m17.npz")
    trials = {str(name): i for i, name in enumerate(mocap["trial"])}
    swings = []
    for name in ("02_01", "05_01", "06_01", "07_02", "08_02", "10_04", "16_15", "16_47"):
        start, end = mocap["trial_start"][trials[name] : trials[name] + 2]
        poses = clip(mocap["pos"][start:end], fps=30.0, name=name)
        (walk,) = gait(poses, pose_angles(poses))
        assert 90 <= walk.cadence <= 138, name
        for leg in (walk.left, walk.right):
            assert 0.55 <= leg.stance <= 0.67, name
            assert 45 <= leg.knee_range <= 75, name
            assert 40 <= leg.hip_range <= 70, name
            swings.append(leg.knee_swing)
    assert np.median(swings) == pytest.approx(65, abs=8)
