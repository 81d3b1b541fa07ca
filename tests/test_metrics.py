"""Metrics against hand-computed values and invariances."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar import InputError, get_skeleton, metrics

RNG = np.random.default_rng(0)
POSES = RNG.normal(scale=300, size=(5, 17, 3))


def test_mpjpe_is_the_mean_distance() -> None:
    assert metrics.mpjpe(POSES + [3, 4, 12], POSES) == pytest.approx(np.full(5, 13.0))


def test_any_batch_dimensions() -> None:
    many = np.broadcast_to(POSES, (2, 3, 5, 17, 3))
    for metric in (metrics.mpjpe, metrics.n_mpjpe, metrics.pa_mpjpe, metrics.scaled_mpjpe, metrics.pck, metrics.auc):
        assert metric(many, many).shape == (2, 3, 5)
        assert metric(POSES[0], POSES[0]).shape == ()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 5))
def test_pa_mpjpe_ignores_similarity(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    pose = rng.normal(scale=300, size=(17, 3))
    rotation = roma.random_rotmat(generator=torch.Generator().manual_seed(seed)).double().numpy()
    moved = scale * pose @ rotation.T + rng.normal(scale=1000, size=3)
    assert metrics.pa_mpjpe(moved, pose) == pytest.approx(0, abs=1e-3)
    assert metrics.pa_mpjpe(pose, pose + rng.normal(scale=20, size=pose.shape)) <= 60


def test_pa_mpjpe_does_not_reflect() -> None:
    assert (metrics.pa_mpjpe(POSES * [-1, 1, 1], POSES) > 50).all()


def test_n_mpjpe_fits_the_scale() -> None:
    assert metrics.n_mpjpe(POSES * 3, POSES) == pytest.approx(np.zeros(5), abs=1e-9)
    noisy = POSES + RNG.normal(scale=40, size=POSES.shape)
    best = min(metrics.mpjpe(noisy * s, POSES).mean() for s in np.linspace(0.8, 1.2, 400))
    assert metrics.n_mpjpe(noisy, POSES).mean() >= best - 1  # least squares, not least absolute


def test_scaled_mpjpe_is_not_n_mpjpe() -> None:
    turned = POSES @ roma.rotvec_to_rotmat(torch.tensor([0, 0.8, 0.0])).double().numpy().T
    assert metrics.scaled_mpjpe(turned * 2, POSES) == pytest.approx(metrics.mpjpe(turned, POSES), rel=1e-6)
    assert (np.abs(metrics.n_mpjpe(turned * 2, POSES) - metrics.mpjpe(turned, POSES)) > 1).all()


def test_pck_and_auc() -> None:
    errors = np.array([0.0, 149, 150, 151])
    target = np.zeros((4, 3))
    predicted = target + errors[:, None] * [1, 0, 0]
    assert metrics.pck(predicted, target) == 0.75
    thresholds = np.arange(0, 151, 5)
    assert metrics.auc(predicted, target) == pytest.approx(np.mean([(errors <= t).mean() for t in thresholds]))


def test_missing_joints_take_no_part() -> None:
    target = POSES.copy()
    target[0, 3] = np.nan
    target[1] = np.nan
    error = metrics.mpjpe(POSES + [3, 4, 0], target)
    assert error[0] == pytest.approx(5)
    assert np.isnan(error[1])
    assert np.isnan(metrics.pa_mpjpe(POSES, target)[1])


def test_relative_depth_accuracy() -> None:
    target = np.array([[0, 0, 0.0], [0, 0, 50], [0, 0, 300]])
    predicted = np.array([[0, 0, 10.0], [0, 0, 0], [0, 0, 100]])
    assert metrics.relative_depth_accuracy(predicted, target) == pytest.approx(2 / 3)
    assert metrics.relative_depth_accuracy(predicted, target, min_difference=100) == 1.0
    assert np.isnan(metrics.relative_depth_accuracy(predicted, target, min_difference=1000))


def test_limb_proportion_error() -> None:
    skeleton = get_skeleton("h36m17")
    assert metrics.limb_proportion_error(POSES * 2, POSES, skeleton) == pytest.approx(np.zeros(5))
    assert (metrics.limb_proportion_error(POSES + RNG.normal(size=POSES.shape), POSES, skeleton) > 0).all()


def test_shapes_are_checked() -> None:
    with pytest.raises(InputError, match=r"\(5, 17, 3\) and \(5, 16, 3\)"):
        metrics.mpjpe(POSES, POSES[:, :16])
