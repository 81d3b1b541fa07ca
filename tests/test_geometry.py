"""Geometry: limb lengths, root-relative poses, similarity alignment."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.geometry import limb_lengths, root_relative, similarity_align
from nearfar.skeleton import get_skeleton, mirror

seeds = st.integers(0, 2**32 - 1)


def rotation(rng):
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


@given(seeds, st.floats(0.01, 100))
def test_alignment_recovers_a_known_similarity(seed, scale):
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(4, 17, 3)) * 300
    R = rotation(rng)
    target = scale * source @ R.T + rng.normal(size=(4, 1, 3)) * 1000
    aligned, factor = similarity_align(source, target)
    np.testing.assert_allclose(aligned, target, atol=1e-6 * scale * 300 + 1e-6)
    np.testing.assert_allclose(factor, scale, rtol=1e-6)


@given(seeds)
def test_alignment_is_the_best_one(seed):
    """No other similarity near the one found fits better."""
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(2, 10, 3))
    aligned, _ = similarity_align(source, target)
    best = ((aligned - target) ** 2).sum()
    for _ in range(20):
        angle = rng.normal(size=3) * 0.05
        skew = np.array([[0, -angle[2], angle[1]], [angle[2], 0, -angle[0]], [-angle[1], angle[0], 0]])
        nudge = np.linalg.qr(np.eye(3) + skew)[0]
        nudge *= np.sign(np.diag(nudge))
        centre = aligned.mean(axis=0)
        other = (1 + rng.normal() * 0.05) * (aligned - centre) @ nudge.T + centre + rng.normal(size=3) * 0.05
        assert ((other - target) ** 2).sum() >= best - 1e-9


@given(seeds)
def test_alignment_never_reflects(seed):
    source = np.random.default_rng(seed).normal(size=(17, 3))
    aligned, scale = similarity_align(source, source * [-1, 1, 1])
    assert scale > 0
    corners = np.stack([source[1:4] - source[0], aligned[1:4] - aligned[0]])
    assert np.prod(np.linalg.det(corners)) > 0
    assert np.abs(aligned - source * [-1, 1, 1]).max() > 1e-3


def test_missing_joints_take_no_part_and_stay_missing():
    rng = np.random.default_rng(3)
    source = rng.normal(size=(17, 3))
    target = 2 * source @ rotation(rng).T + 5
    source[4] = np.nan
    target[9] = np.nan
    source[11] += 100  # an outlier that must not count, because the target has no such joint
    target[11] = np.nan
    aligned, scale = similarity_align(source, target)
    assert scale == pytest.approx(2)
    assert np.isnan(aligned).any(axis=-1).nonzero()[0].tolist() == [4]
    both = np.isfinite(source).all(-1) & np.isfinite(target).all(-1)
    np.testing.assert_allclose(aligned[both], target[both], atol=1e-9)


def test_too_few_joints_give_nan_and_leave_the_other_poses_alone():
    rng = np.random.default_rng(4)
    source = rng.normal(size=(3, 17, 3))
    target = source + 1.0
    source[1, 2:] = np.nan
    aligned, scale = similarity_align(source, target)
    assert np.isnan(aligned[1]).all()
    assert np.isnan(scale).tolist() == [False, True, False]
    np.testing.assert_allclose(aligned[[0, 2]], target[[0, 2]], atol=1e-9)


def test_degenerate_poses_stay_finite():
    line = np.linspace(0, 1, 17)[:, None] * np.array([1.0, 2, 3])
    aligned, scale = similarity_align(line, line @ rotation(np.random.default_rng(0)).T * 3)
    assert scale == pytest.approx(3)
    assert np.isfinite(aligned).all()
    flat = np.random.default_rng(1).normal(size=(17, 3)) * [1, 1, 0]
    aligned, scale = similarity_align(flat, flat[:, [2, 0, 1]])
    np.testing.assert_allclose(aligned, flat[:, [2, 0, 1]], atol=1e-9)


def test_any_batch_dimensions():
    source = np.random.default_rng(0).normal(size=(2, 3, 5, 3))
    aligned, scale = similarity_align(source, source)
    assert aligned.shape == source.shape
    assert scale.shape == (2, 3)
    np.testing.assert_allclose(similarity_align(source[0, 0], source[0, 0])[0], source[0, 0], atol=1e-9)


@given(seeds)
def test_limb_lengths_do_not_change_with_the_view(seed):
    rng = np.random.default_rng(seed)
    skeleton = get_skeleton("h36m17")
    joints = rng.normal(size=(2, 17, 3)) * 300
    lengths = limb_lengths(joints, skeleton)
    assert lengths.shape == (2, 16)
    np.testing.assert_allclose(limb_lengths(joints @ rotation(rng).T + 7, skeleton), lengths)
    mirrored = dict(
        zip(map(tuple, skeleton.limb_joints.tolist()), limb_lengths(mirror(joints, skeleton), skeleton)[0], strict=True)
    )
    for (parent, child), length in zip(
        skeleton.mirror_permutation[skeleton.limb_joints].tolist(), lengths[0], strict=True
    ):
        assert mirrored[parent, child] == pytest.approx(length)


def test_limb_lengths_by_hand_with_a_missing_joint():
    skeleton = get_skeleton("h36m17")
    joints = np.zeros((17, 3))
    joints[skeleton.index("right_knee")] = [3, 4, 0]
    joints[skeleton.index("left_ankle")] = np.nan
    lengths = dict(
        zip([skeleton.joints[limb.child] for limb in skeleton.limbs], limb_lengths(joints, skeleton), strict=True)
    )
    assert lengths["right_knee"] == lengths["right_ankle"] == 5
    assert np.isnan(lengths["left_ankle"])
    assert lengths["left_knee"] == 0


def test_root_relative():
    skeleton = get_skeleton("h36m17")
    joints = np.random.default_rng(0).normal(size=(2, 3, 17, 3))
    relative = root_relative(joints, skeleton)
    assert (relative[..., skeleton.root_index, :] == 0).all()
    np.testing.assert_allclose(relative + joints[..., :1, :], joints)
    joints[0, 0, skeleton.root_index] = np.nan
    assert np.isnan(root_relative(joints, skeleton)[0, 0]).all()
