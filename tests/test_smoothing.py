"""Smoothers: against scipy and the paper's recursion, with gaps, uneven times and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import savgol_filter

from nearfar import InputError, PoseSet, get_skeleton
from nearfar.poses import Category
from nearfar.smoothing import OneEuro, SavitzkyGolay, Smoother, smooth_poses, smoother_of

SMOOTHERS = (OneEuro(), SavitzkyGolay())
TIME = np.arange(40) / 15


def walk(seed: int = 0, frames: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, 5, 3)).cumsum(axis=0) * 20


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("points", [5, 9])
def test_savitzky_golay_is_scipys_on_even_times(degree: int, points: int) -> None:
    ours = SavitzkyGolay((points - 1) / 15, degree)(walk(), TIME)
    assert np.allclose(ours, savgol_filter(walk(), points, degree, axis=0, mode="interp"))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_savitzky_golay_keeps_polynomials_whatever_is_missing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    time = np.cumsum(rng.uniform(0.02, 0.2, size=30))
    curve = (rng.normal(size=(3, 4, 3))[None] * time[:, None, None, None] ** np.arange(3)[:, None, None]).sum(axis=1)
    curve[rng.random((30, 4)) < 0.2] = np.nan
    smooth = SavitzkyGolay(0.8, 2)(curve, time)
    assert (np.isnan(smooth) == np.isnan(curve)).all()
    assert np.allclose(smooth, curve, atol=1e-5, equal_nan=True)


def test_the_one_euro_filter_is_the_papers() -> None:
    """One point, written out as Casiez et al. have it."""
    x, smoother = walk()[:, 0], OneEuro(1.5, 0.01, 0.8)
    value, velocity = x[0], np.zeros(3)
    expected = [value]
    for before, now in zip(expected, x[1:], strict=False):
        velocity = velocity + ((now - before) * 15 - velocity) / (1 + 15 / (2 * np.pi * 0.8))
        cutoff = 1.5 + 0.01 * np.linalg.norm(velocity)
        expected.append(before + (now - before) / (1 + 15 / (2 * np.pi * cutoff)))
    assert np.allclose(smoother(x[:, None], TIME)[:, 0], expected)


def test_the_one_euro_filter_does_not_see_the_future() -> None:
    whole, part = OneEuro()(walk(), TIME), OneEuro()(walk()[:20], TIME[:20])
    assert np.array_equal(whole[:20], part)


@pytest.mark.parametrize("smoother", SMOOTHERS, ids=repr)
def test_smoothing_takes_noise_away(smoother: Smoother) -> None:
    truth = 300 * np.sin(TIME)[:, None, None] * np.ones((1, 5, 3))
    noisy = truth + np.random.default_rng(1).normal(scale=30, size=truth.shape)
    before, after = (np.diff(points, 2, axis=0).std() for points in (noisy, smoother(noisy, TIME)))
    assert after < before / 2
    assert np.abs(smoother(noisy, TIME) - truth).mean() < np.abs(noisy - truth).mean()


@pytest.mark.parametrize("smoother", SMOOTHERS, ids=repr)
def test_missing_points_stay_missing_and_spoil_nothing(smoother: Smoother) -> None:
    gaps = np.full_like(walk(), 100.0)
    gaps[3:8, 1] = np.nan
    gaps[:, 2] = np.nan
    gaps[0, 3] = gaps[-1, 3] = np.nan
    smooth = smoother(gaps, TIME)
    assert (np.isnan(smooth) == np.isnan(gaps)).all()
    assert np.allclose(smooth[np.isfinite(smooth)], 100.0)


@pytest.mark.parametrize("smoother", SMOOTHERS, ids=repr)
def test_twice_the_time_and_half_the_speed_are_another_matter(smoother: Smoother) -> None:
    """Time stamps count: the same points, taken at another rate, are smoothed another way."""
    assert not np.allclose(smoother(walk(), TIME), smoother(walk(), TIME * 3))


@pytest.mark.parametrize("smoother", SMOOTHERS, ids=repr)
def test_clips_are_smoothed_one_by_one(smoother: Smoother) -> None:
    skeleton = get_skeleton("h36m17")
    joints = np.random.default_rng(2).normal(size=(21, 17, 3)).astype(np.float32)
    time = np.concatenate([np.arange(10), np.arange(10), [0]]) / 15
    names = Category.of(["a"] * 10 + ["b"] * 10 + ["photo"])
    poses = PoseSet(skeleton, joints=joints, frame="root", root_position=joints[:, 3], time=time, sequence=names)
    smooth = smooth_poses(poses, smoother)
    assert np.allclose(smooth.joints[:10], smoother(joints[:10], time[:10]), atol=1e-5)
    assert np.allclose(smooth.root_position[10:20], smoother(joints[10:20, 3], time[10:20]), atol=1e-5)
    assert np.array_equal(smooth.joints[20], joints[20])
    assert np.array_equal(poses.joints, joints)
    assert "smoothed" in smooth.provenance


@pytest.mark.parametrize("smoother", SMOOTHERS, ids=repr)
def test_bad_input_is_refused(smoother: Smoother) -> None:
    with pytest.raises(InputError, match="times"):
        smoother(walk(), TIME[:-1])
    with pytest.raises(InputError, match="increase"):
        smoother(walk(), TIME[::-1])
    assert smoother(walk()[:0], TIME[:0]).shape == (0, 5, 3)


def test_bad_parameters_are_refused() -> None:
    for wrong in ({"min_cutoff": 0.0}, {"beta": -1.0}, {"derivative_cutoff": float("nan")}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            OneEuro(**wrong)
    with pytest.raises(InputError, match="window"):
        SavitzkyGolay(window=0)
    with pytest.raises(InputError, match="degree"):
        SavitzkyGolay(degree=-1)
    with pytest.raises(InputError, match="joints"):
        smooth_poses(PoseSet(get_skeleton("h36m17"), keypoints=np.zeros((1, 17, 2))), OneEuro())


def test_smoothers_as_people_type_them() -> None:
    assert smoother_of("savitzky-golay") == SavitzkyGolay()
    assert smoother_of("savitzky-golay:0.4:3") == SavitzkyGolay(0.4, 3)
    assert smoother_of("one-euro") == OneEuro()
    assert smoother_of("one-euro:1.5:0.01") == OneEuro(1.5, 0.01)
    for text in ("", "kalman", "one-euro:", "one-euro:x", "one-euro:1:2:3", "savitzky-golay:0.4:2.5"):
        with pytest.raises(InputError, match="smoother: expected"):
            smoother_of(text)
    with pytest.raises(InputError, match="window: expected seconds above 0"):
        smoother_of("savitzky-golay:0")
