"""Cameras before world-frame motion."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nearfar.camera import project
from nearfar.errors import InputError
from nearfar.geometry import limb_lengths, root_relative
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import get_skeleton
from nearfar.synthetic.film import TAKE_REACH, film

H36M = get_skeleton("h36m17")


def walk(length=6000.0, frames=121, clip="cmu/07_01"):
    """A person of rigid limbs who walks straight ahead."""
    rng = np.random.default_rng(0)
    body = rng.normal(0, 150, (17, 3)) + [0, 0, 900]
    body[H36M.index("head_top"), 2], body[H36M.index("left_ankle"), 2] = 1700, 80
    path = np.stack([np.linspace(0, length, frames), np.full(frames, 3000), np.zeros(frames)], axis=1)
    joints = (body - body[:1] * [1, 1, 0] + path[:, None]).astype(np.float32)
    return PoseSet(
        H36M,
        joints=joints,
        frame="world",
        time=np.arange(frames) / 30,
        frame_index=np.arange(frames),
        sequence=Category(np.zeros(frames, np.int32), (clip,)),
        subject=Category(np.zeros(frames, np.int32), ("cmu/07",)),
        provenance={"source": "test"},
    )


def test_what_the_cameras_see():
    poses = walk()
    filmed = film(poses, 3, seed=1)
    assert (filmed.frame, len(filmed)) == ("camera", 3 * len(poses))
    np.testing.assert_allclose(project(filmed.joints, filmed.intrinsics), filmed.keypoints, atol=1e-2)
    # The same poses: limbs keep their lengths, and all distances between joints.
    rows = filmed.frame_index
    np.testing.assert_allclose(limb_lengths(filmed.joints, H36M), limb_lengths(poses.joints[rows], H36M), atol=1e-2)
    gram = [
        np.einsum("nji,nki->njk", p, p)
        for p in (root_relative(filmed.joints, H36M), root_relative(poses.joints[rows], H36M))
    ]
    np.testing.assert_allclose(gram[0], gram[1], rtol=1e-2, atol=60)
    # Not mirrored: the triple product of three limbs keeps its sign.
    relative = [root_relative(joints, H36M)[:, [1, 5, 10]] for joints in (filmed.joints, poses.joints[rows])]
    assert (np.sign(np.linalg.det(relative[0])) == np.sign(np.linalg.det(relative[1]))).all()
    head, ankle = (filmed.keypoints[:, H36M.index(name), 1] for name in ("head_top", "left_ankle"))
    assert (head < ankle).all()  # up is up
    inside = ((filmed.keypoints >= 0) & (filmed.keypoints <= filmed.image_size[:, None])).all(axis=-1)
    assert inside.mean() > 0.95
    assert filmed.provenance["cameras"] == {"views": 3, "seed": 1}
    assert filmed.provenance["source"] == "test"


def test_takes():
    filmed = film(walk(), 2)
    assert filmed.sequence.names == tuple(
        f"cmu/07_01 take {take} camera {view}" for take in range(3) for view in range(2)
    )
    codes = filmed.sequence.codes
    for code in range(6):
        rows = np.flatnonzero(codes == code)
        assert (np.diff(rows) == 1).all()
        assert (np.diff(filmed.frame_index[rows]) == 1).all()
        ends = filmed.joints[rows[[0, -1]], 0]
        assert np.linalg.norm(ends[1] - ends[0]) <= 2 * TAKE_REACH + 1e-3
        assert (filmed.joints[rows][..., 2] > 0).all()
        assert len(np.unique(filmed.intrinsics[rows], axis=0)) == 1
    assert filmed.frame_index[codes == 0].tolist() == filmed.frame_index[codes == 1].tolist()
    stays = film(walk(length=1000, frames=1000), 2)
    assert len(stays.sequence.names) == 2
    assert len(np.unique(stays.intrinsics, axis=0)) == 2


def test_people_and_clips_are_filmed_apart():
    poses = walk(length=0, frames=6)
    poses = dataclasses.replace(
        poses,
        person=np.array([4, 4, 9, 4, 9, 9]),
        sequence=Category(np.array([0, 0, 0, 1, 1, 1], np.int32), ("a", "b")),
    )
    filmed = film(poses, 1)
    assert filmed.sequence.names == (
        "a person 4 take 0 camera 0",
        "a person 9 take 0 camera 0",
        "b person 4 take 0 camera 0",
        "b person 9 take 0 camera 0",
    )
    assert filmed.frame_index.tolist() == [0, 1, 2, 3, 4, 5]
    unnamed = film(dataclasses.replace(poses, person=None, sequence=None), 1)
    assert unnamed.sequence.names == ("motion take 0 camera 0",)


def test_the_same_seed_gives_the_same_cameras():
    np.testing.assert_array_equal(film(walk(), 2, seed=3).keypoints, film(walk(), 2, seed=3).keypoints)
    assert not np.array_equal(film(walk(), 2, seed=3).keypoints, film(walk(), 2, seed=4).keypoints)


def test_missing_joints_stay_missing():
    poses = walk()
    joints = poses.joints.copy()
    joints[:, H36M.index("chin")] = np.nan
    joints[5] = np.nan
    filmed = film(dataclasses.replace(poses, joints=joints), 2)
    missing = np.isnan(joints[filmed.frame_index])
    np.testing.assert_array_equal(np.isnan(filmed.joints), missing)
    np.testing.assert_array_equal(np.isnan(filmed.keypoints), missing[..., :2])
    assert filmed.mean_limb_lengths is None  # no neck to chin
    joints[:, H36M.index("chin")] = poses.joints[:, H36M.index("chin")]
    some = film(dataclasses.replace(poses, joints=joints), 2)
    np.testing.assert_allclose(some.mean_limb_lengths, limb_lengths(poses.joints, H36M)[0], rtol=1e-3)


def test_what_cannot_be_filmed():
    with pytest.raises(InputError, match="needs joints in the world frame; these poses' frame is 'camera'"):
        film(dataclasses.replace(walk(), frame="camera"), 2)
    for views in (0, -1, True, 1.5):
        with pytest.raises(InputError, match="expected at least 1 camera"):
            film(walk(), views)
