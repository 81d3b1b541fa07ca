"""The report: joints left out, what evaluate's flags do to the poses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from nearfar import InputError, PoseSet, evaluation, metrics, synthetic_poses
from nearfar.cli import main
from nearfar.evaluation import evaluate_predictions, report_markdown
from nearfar.geometry import root_relative
from nearfar.poses import with_field_of_view


@pytest.fixture(scope="module")
def poses() -> PoseSet:
    return synthetic_poses(60, seed=5, fps=2.0)


def test_joints_can_be_left_out_of_alignment_and_error(poses: PoseSet) -> None:
    rng = np.random.default_rng(0)
    predicted = poses.joints + rng.normal(0, 20, poses.joints.shape)
    head = poses.skeleton.index("head_top")
    predicted[:, head] += 500
    report = evaluate_predictions(predicted, poses, without=["head_top"])
    kept = np.delete(np.arange(17), head)
    by_hand = metrics.pa_mpjpe(predicted[:, kept], poses.joints[:, kept])
    assert report["pa_mpjpe_without"] == pytest.approx(by_hand.mean())
    assert report["pa_mpjpe_without"] < 0.6 * report["pa_mpjpe"]
    assert report["without"] == ["head_top"]
    x, y = (root_relative(joints, poses.skeleton)[:, kept] for joints in (predicted, poses.joints))
    assert report["n_mpjpe_without"] == pytest.approx(metrics.n_mpjpe(x, y).mean())
    assert "of the joints asked for" in report_markdown({"a": report})
    assert "pa_mpjpe_without" not in evaluate_predictions(predicted, poses)


def test_the_report_is_the_same_however_many_poses_are_measured_at_once(
    poses: PoseSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    predicted = poses.joints + rng.normal(0, 60, poses.joints.shape)
    predicted[3, 5], predicted[10] = np.nan, np.nan
    whole = evaluate_predictions(predicted, poses, without=["head_top"])
    monkeypatch.setattr(evaluation, "BLOCK_POSES", 7)
    assert evaluate_predictions(predicted, poses, without=["head_top"]) == whole
    assert whole["poses_without_prediction"] == 1
    x, y = (root_relative(joints.astype(np.float64), poses.skeleton) for joints in (predicted, poses.joints))
    for name, expected in (
        ("pa_mpjpe", metrics.pa_mpjpe(x, y)),
        ("mpjpe", metrics.mpjpe(x, y)),
        ("scaled_mpjpe", metrics.scaled_mpjpe(x, y)),
        ("pck_150mm", metrics.pck(x, y)),
        ("auc", metrics.auc(x, y)),
    ):
        assert whole[name] == pytest.approx(np.nanmean(expected), rel=1e-12), name


def test_depth_order_is_counted_by_how_far_apart_the_joints_are(poses: PoseSet) -> None:
    rng = np.random.default_rng(2)
    predicted = poses.joints + rng.normal(0, 60, poses.joints.shape)
    report = evaluate_predictions(predicted, poses)["order_by_difference"]
    a, b = np.triu_indices(poses.skeleton.num_joints, k=1)
    true, guess = (z[:, a] - z[:, b] for z in (poses.joints[..., 2], predicted[..., 2]))
    low = 0.0
    for upper, accuracy, pairs in zip(report["upper_mm"], report["accuracy"], report["pairs"], strict=True):
        inside = (np.abs(true) > low) & (np.abs(true) <= (upper or np.inf))
        assert pairs == inside.sum()
        assert accuracy == pytest.approx((np.sign(true) == np.sign(guess))[inside].mean())
        low = upper
    assert sum(report["pairs"]) == (true != 0).sum()


def test_joints_that_cannot_be_left_out(poses: PoseSet) -> None:
    with pytest.raises(InputError, match="has no joint 'nose'"):
        evaluate_predictions(poses.joints, poses, without=["nose"])
    with pytest.raises(InputError, match="too few joints"):
        evaluate_predictions(poses.joints, poses, without=poses.skeleton.joints[2:])


def test_a_field_of_view_replaces_the_camera(poses: PoseSet) -> None:
    wide = with_field_of_view(poses, 90)
    assert np.allclose(wide.intrinsics[:, 0], poses.image_size.max(1) / 2)
    assert np.allclose(wide.intrinsics[:, 2:], poses.image_size / 2)
    assert "90 degrees" in wide.provenance["intrinsics"]
    unsized = dataclasses.replace(poses, image_size=None)
    assert np.allclose(with_field_of_view(unsized, 90).intrinsics[:, 0], poses.intrinsics[:, 2:].max(1))
    with pytest.raises(InputError, match="expected 1 to 179 degrees"):
        with_field_of_view(poses, 180)
    with pytest.raises(InputError, match="neither image size nor intrinsics"):
        with_field_of_view(dataclasses.replace(unsized, intrinsics=None), 60)


def test_evaluate_under_noise_and_a_wrong_camera(poses: PoseSet, tmp_path: Path) -> None:
    """Errors grow with the noise and with the wrong camera, and the table says which joints were left out."""
    poses.save(tmp_path / "poses.npz")

    def report(*flags: str) -> dict[str, float]:
        out = tmp_path / "report.json"
        assert main(["evaluate", "--data", str(tmp_path / "poses.npz"), "--json", str(out), *flags]) == 0
        return dict(json.loads(out.read_text()))

    exact = report("--without", "chin", "head_top")
    assert exact["without"] == ["chin", "head_top"]
    noisy = [report("--detector-noise.pixels", pixels)["pa_mpjpe"] for pixels in ("10", "30")]
    assert exact["pa_mpjpe"] < noisy[0] < noisy[1]
    assert report("--detector-noise.missing", "0.3")["poses_without_prediction"] == 0
    assert exact["n_mpjpe"] < report("--field-of-view", "100")["n_mpjpe"]
    bad = ["evaluate", "--data", str(tmp_path / "poses.npz"), "--detector-noise.missing", "2"]
    assert main(bad) == 2
