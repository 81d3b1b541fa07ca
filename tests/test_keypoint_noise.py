"""Noises on keypoints, the paper's and a detector's, by what they should look like."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from nearfar.errors import InputError
from nearfar.keypoint_noise import FEWEST_JOINTS, DetectorNoise, KeypointNoise, detect
from nearfar.lifting.lifter import MIN_JOINTS
from nearfar.poses import PoseSet
from nearfar.skeleton import get_skeleton
from nearfar.synthetic import synthetic_poses

POINTS = np.zeros((4000, 17, 2), np.float32)


def noise(kind: str, amount: float) -> np.ndarray:
    return KeypointNoise(kind, amount).add(POINTS, np.random.default_rng(0))


def test_the_amount_is_a_variance_as_coded_or_a_deviation_under_another_name() -> None:
    assert noise("normal_variance", 20).std() == pytest.approx(np.sqrt(20), rel=0.01)
    assert noise("normal", 20).std() == pytest.approx(20, rel=0.01)


def test_uniform_noise_is_whole_and_never_negative_as_coded() -> None:
    offset = noise("uniform", 5)
    assert set(np.unique(offset)) == {0, 1, 2, 3, 4, 5}
    assert np.allclose(np.bincount(offset.astype(int).ravel()) / offset.size, 1 / 6, atol=0.01)


def test_radial_noise_has_every_direction_and_a_largest_distance() -> None:
    offset = noise("radial", 8)
    distance = np.linalg.norm(offset, axis=-1)
    assert distance.max() <= 8
    assert distance.mean() == pytest.approx(4, rel=0.02)
    assert np.abs(offset.mean(axis=(0, 1))).max() < 0.1


def test_no_noise_is_no_copy_and_missing_stays_missing() -> None:
    assert KeypointNoise().add(POINTS, np.random.default_rng(0)) is POINTS
    points = POINTS[:2].copy()
    points[0, 3] = np.nan
    noisy = KeypointNoise("normal", 3).add(points, np.random.default_rng(0))
    assert np.array_equal(np.isnan(noisy), np.isnan(points))
    assert noisy.dtype == np.float32


@pytest.mark.parametrize(("kind", "amount"), [("gaussian", 1.0), ("normal", -1.0), ("normal", float("nan"))])
def test_what_is_no_noise_is_refused(kind: str, amount: float) -> None:
    with pytest.raises(InputError, match="keypoint noise: expected"):
        KeypointNoise(kind, amount)


PEOPLE = synthetic_poses(2000, seed=3, fps=2.0)
SKELETON = PEOPLE.skeleton
COCO = get_skeleton("coco17")


def detected(noise: DetectorNoise, poses: PoseSet = PEOPLE, seed: int = 0) -> PoseSet:
    return noise.add(poses, np.random.default_rng(seed))


def jitter(noise: DetectorNoise) -> np.ndarray:
    return detected(noise).keypoints.astype(np.float64) - PEOPLE.keypoints


def test_jitter_has_the_stated_mean_and_differs_from_joint_to_joint() -> None:
    deviation = jitter(DetectorNoise(pixels=5)).std(axis=(0, 2))
    assert deviation.mean() == pytest.approx(5, rel=0.02)
    hip, wrist, chin = (deviation[SKELETON.index(joint)] for joint in ("left_hip", "right_wrist", "chin"))
    assert hip / wrist == pytest.approx(0.107 / 0.062, rel=0.05)
    assert chin == pytest.approx(5, rel=0.05)  # COCO does not know it


def test_jitter_in_shares_of_the_person_does_not_know_the_image_size() -> None:
    noise = DetectorNoise(share=0.05, jumps=0.1, limb_swaps=0.1, missing=0.1, cuts=0.1)
    small = dataclasses.replace(PEOPLE, keypoints=PEOPLE.keypoints.astype(np.float64))
    large = dataclasses.replace(small, keypoints=7 * small.keypoints)
    a, b = detected(noise, small), detected(noise, large)
    assert np.allclose(7 * a.keypoints, b.keypoints, equal_nan=True)
    assert np.allclose(a.scores, b.scores, atol=1e-6)


def test_jumps_make_the_tail_heavy_and_scores_low() -> None:
    usual, jumping = (detected(DetectorNoise(pixels=5, jumps=jumps)) for jumps in (0.0, 0.1))
    offset = jumping.keypoints.astype(np.float64) - PEOPLE.keypoints
    standard = offset / offset.std(axis=(0, 2), keepdims=True)
    assert (standard**4).mean() > 6  # 3 is normal
    far = np.linalg.norm(offset, axis=-1) > 25
    assert jumping.scores[far].mean() < 0.7 * jumping.scores[~far].mean()
    assert usual.scores.min() > 0
    assert usual.scores.max() <= 1


def test_an_exchange_takes_the_rest_of_the_limb_along() -> None:
    found = detected(DetectorNoise(limb_swaps=0.1)).keypoints
    turned = (found != PEOPLE.keypoints).any(-1)
    assert np.array_equal(found, np.where(turned[..., None], PEOPLE.keypoints[:, SKELETON.mirror_permutation], found))
    thigh, knee, foot = (turned[:, SKELETON.index(joint)] for joint in ("left_hip", "left_knee", "left_ankle"))
    assert (knee | ~thigh).all()
    assert (foot | ~knee).all()
    assert thigh.mean() == pytest.approx(0.1, abs=0.03)
    assert foot.mean() == pytest.approx(1 - 0.9**3, abs=0.04)
    assert not turned[:, SKELETON.index("chin")].any()


def test_a_person_is_exchanged_as_a_whole_or_not_at_all() -> None:
    found = detected(DetectorNoise(person_swaps=0.3)).keypoints
    whole = (found == PEOPLE.keypoints[:, SKELETON.mirror_permutation]).all((1, 2))
    assert (whole | (found == PEOPLE.keypoints).all((1, 2))).all()
    assert whole.mean() == pytest.approx(0.3, abs=0.04)


def test_missing_joints_have_no_score_and_leave_a_person() -> None:
    for noise in (DetectorNoise(missing=0.2), DetectorNoise(missing=1.0), DetectorNoise(cuts=1.0, missing=0.5)):
        found = detected(noise)
        gone = np.isnan(found.keypoints).any(-1)
        assert np.array_equal(gone, found.scores == 0)
        assert not gone[:, SKELETON.root_index].any()
        assert (~gone).sum(1).min() >= FEWEST_JOINTS >= MIN_JOINTS
    gone = np.isnan(detected(DetectorNoise(missing=0.2)).keypoints).any(-1)
    assert gone[:, 1:].mean() == pytest.approx(0.2, abs=0.01)


def test_a_border_cuts_off_one_side() -> None:
    found = detected(DetectorNoise(cuts=0.4))
    gone = np.isnan(found.keypoints).any(-1)
    assert gone.any(1).mean() == pytest.approx(0.4, abs=0.04)
    for points, lost in zip(PEOPLE.keypoints[gone.any(1)], gone[gone.any(1)], strict=True):
        low, high = points[~lost].min(0), points[~lost].max(0)
        assert ((points[lost] >= high).all(0) | (points[lost] <= low).all(0)).any()


def test_nothing_does_nothing_and_the_same_seed_does_the_same() -> None:
    assert not DetectorNoise()
    assert np.array_equal(detected(DetectorNoise()).keypoints, PEOPLE.keypoints)
    noise = DetectorNoise(pixels=2, missing=0.1)
    assert noise
    assert np.array_equal(detected(noise).keypoints, detected(noise).keypoints, equal_nan=True)
    assert not np.array_equal(detected(noise).keypoints, detected(noise, seed=1).keypoints, equal_nan=True)


def test_what_was_missing_stays_missing_on_any_skeleton() -> None:
    points = np.random.default_rng(0).uniform(0, 1000, (50, len(COCO), 2)).astype(np.float32)
    points[:, 9] = np.nan
    points[7, COCO.root_index] = np.nan
    scores = np.ones(points.shape[:2], np.float32)
    scores[:, 4] = 0
    noise = DetectorNoise(pixels=3, jumps=0.1, limb_swaps=0.3, person_swaps=0.2, missing=0.1, cuts=0.2)
    found = detected(noise, PoseSet(COCO, points, scores=scores))
    assert np.isnan(found.keypoints).any(-1).sum(1).min() >= 1
    assert (found.scores[:, 4] == 0).all()
    assert np.isfinite(found.keypoints[7]).any()
    assert np.isfinite(found.scores).all()
    assert np.isfinite(detected(DetectorNoise(missing=0.1), PoseSet(COCO, points)).scores).all()
    lifeless = PoseSet(COCO, joints=np.zeros((2, len(COCO), 3), np.float32))
    assert detected(noise, lifeless) is lifeless


def test_an_easy_image_is_hardly_touched() -> None:
    keypoints = torch.from_numpy(PEOPLE.keypoints[:400].astype(np.float64))
    noise = DetectorNoise(pixels=10, jumps=0.2, limb_swaps=0.3, person_swaps=0.5, missing=0.5, cuts=0.5)
    difficulty = torch.zeros(400).index_fill_(0, torch.arange(200), 1.0)
    found, _ = detect(keypoints, noise, SKELETON, torch.Generator().manual_seed(0), difficulty)
    assert torch.equal(found[200:], keypoints[200:])
    assert (found[:200] != keypoints[:200]).float().mean() > 0.9


@pytest.mark.parametrize("wrong", [{"pixels": -1.0}, {"missing": 1.5}, {"share": float("nan")}, {"cuts": -0.1}])
def test_what_no_detector_does_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=f"detector noise: {next(iter(wrong))}: expected a number"):
        DetectorNoise(**wrong)
