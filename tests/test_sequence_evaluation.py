"""Sequence metrics and their report, on motion whose numbers are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nearfar import InputError, PoseSet, get_skeleton, metrics
from nearfar.sequence_evaluation import evaluate_sequences, sequence_markdown

SKELETON = get_skeleton("h36m17")
LEFT_ANKLE = SKELETON.joints.index("left_ankle")


def standing(frames: int = 20) -> PoseSet:
    """Somebody who stands still 4 m away, 10 frames a second."""
    body = np.random.default_rng(0).normal(scale=300, size=(17, 3)) + [0, 0, 4000]
    return PoseSet(SKELETON, joints=np.tile(body, (frames, 1, 1)), time=np.arange(frames) / 10)


def lifted(truth: PoseSet, joints: np.ndarray) -> PoseSet:
    root = joints[:, SKELETON.root_index]
    return dataclasses.replace(truth, joints=joints - root[:, None], root_position=root, frame="root")


def test_acceleration_error_of_a_known_acceleration() -> None:
    t = np.arange(10) / 20
    fast = np.zeros((10, 3, 3))
    fast[:, 1, 0] = 500 * t**2  # one joint of three at 1000 mm/s²
    assert metrics.acceleration_error(fast, np.zeros_like(fast), 1 / 20) == pytest.approx(np.full(8, 1000 / 3))
    assert metrics.acceleration_error(fast, np.zeros_like(fast)) == pytest.approx(np.full(8, 1000 / 3 / 400))
    fast[4] = np.nan
    missing = np.isnan(metrics.acceleration_error(fast, np.zeros_like(fast)))
    assert missing.tolist() == [False, False, True, True, True, False, False, False]


def test_stance_speed_asks_only_joints_that_stand() -> None:
    truth, guess = np.zeros((4, 2, 3)), np.zeros((4, 2, 3))
    truth[:, 1, 0] = np.arange(4) * 50  # a foot in the air: 500 mm/s
    guess[:, 0, 2] = np.arange(4) * 7
    guess[:, 1, 2] = np.arange(4) * 1000
    assert metrics.stance_speed(guess, truth, 0.1) == pytest.approx(np.full(3, 70.0))
    assert np.isnan(metrics.stance_speed(guess[:, 1:], truth[:, 1:], 0.1)).all()


def test_perfect_predictions_are_perfect() -> None:
    truth = standing()
    report = evaluate_sequences(lifted(truth, truth.joints), truth)
    assert report["frames"] == 20
    assert report["clips"] == 1
    for name in ("pa_mpjpe", "mpjpe", "acceleration_error", "limb_length_variation", "stance_speed"):
        assert report[name] == pytest.approx(0, abs=1e-6)


def test_jitter_skating_and_breathing_limbs_are_seen_apart() -> None:
    truth = standing()
    sliding = truth.joints + np.arange(20)[:, None, None] * [0, 0, 20]
    report = evaluate_sequences(lifted(truth, sliding), truth)
    assert report["stance_speed"] == pytest.approx(200)
    assert report["mpjpe"] == pytest.approx(0, abs=1e-6)
    root = truth.joints[:, [SKELETON.root_index]]
    breathing = root + (truth.joints - root) * (1 + 0.1 * (-1.0) ** np.arange(20))[:, None, None]
    report = evaluate_sequences(lifted(truth, breathing), truth)
    assert report["limb_length_variation"] == pytest.approx(0.1)
    assert report["pa_mpjpe"] == pytest.approx(0, abs=1e-6)
    jitter = truth.joints.copy()
    jitter[:, LEFT_ANKLE, 0] += 5 * (-1.0) ** np.arange(20)
    report = evaluate_sequences(lifted(truth, jitter), truth)
    assert report["acceleration_error"] == pytest.approx(5 * 4 / 0.1**2 / 17)


def test_gaps_and_clips_are_no_jumps() -> None:
    truth = standing(30)
    rows = np.r_[0:10, 12:30]
    names = np.where(np.arange(30) < 20, 0, 1)
    joints = truth.joints + names[:, None, None] * 500
    joints[5] = np.nan
    truth = dataclasses.replace(truth, joints=truth.joints + names[:, None, None] * 500, person=names).select(rows)
    report = evaluate_sequences(lifted(truth, joints[rows]), truth)
    assert report["clips"] == 2
    assert report["acceleration_error"] == pytest.approx(0, abs=1e-6)
    assert report["stance_speed"] == pytest.approx(0, abs=1e-6)


def test_without_a_root_there_is_no_skating() -> None:
    truth = standing()
    predicted = dataclasses.replace(lifted(truth, truth.joints), root_position=None)
    report = evaluate_sequences(predicted, truth)
    assert report["stance_speed"] is None
    assert "–" in sequence_markdown({"one": report})


def test_what_cannot_be_compared_is_refused() -> None:
    truth = standing()
    with pytest.raises(InputError, match="in a row"):
        evaluate_sequences(truth, dataclasses.replace(truth, time=None))
    with pytest.raises(InputError, match="predictions"):
        evaluate_sequences(truth.select(slice(0, 3)), truth)
    with pytest.raises(InputError, match="joints"):
        evaluate_sequences(PoseSet(SKELETON, keypoints=np.zeros((20, 17, 2))), truth)
