"""Evaluation: predictions against 3D truth, as one report (plain data: JSON, Markdown, figures)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar import metrics
from nearfar.errors import InputError
from nearfar.geometry import root_relative, similarity_align
from nearfar.labels import RelativeLabels
from nearfar.lifting.lifter import Lifter, predict, with_camera
from nearfar.lifting.network import LiftingNetwork
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import Skeleton

__all__ = [
    "evaluate",
    "evaluate_labels",
    "evaluate_network",
    "evaluate_predictions",
    "order_accuracy",
    "report_markdown",
]

FloatArray = npt.NDArray[np.floating[Any]]
Counts = npt.NDArray[np.int32]
PCK_THRESHOLDS = np.arange(0.0, 305.0, 5.0)
DIFFERENCE_BINS = np.array([25.0, 50.0, 100.0, 150.0, 200.0, 300.0, 400.0, np.inf])
RISK_PARTS = 5
CURVE_POSES = 8192
BLOCK_POSES = 2048
"""Poses measured at once: what is computed of them stays in the processor's cache."""
LEAST_ALIGNED = 3


def evaluate(lifter: Lifter, poses: PoseSet, *, without: Sequence[str] = ()) -> dict[str, Any]:
    """Lift the keypoints of `poses` and compare with their joints.

    Args:
        lifter: the lifter.
        poses: N poses on the lifter's skeleton (or one that maps to it), with keypoints, intrinsics (else assumed)
            and joints in the camera's frame or root-relative.
        without: as for `evaluate_predictions`.

    Returns:
        The report of `evaluate_predictions`.

    Raises:
        InputError: no joints to compare with, another skeleton, or as for `evaluate_predictions`.
    """
    if poses.joints is None or poses.frame == "world":
        raise InputError("evaluation needs poses with joints in the camera's frame")
    own = poses.remap(lifter.skeleton)
    lifted = lifter.lift_poses(own)
    if lifted.joints is None:
        raise InputError("evaluation needs keypoints to lift")
    return evaluate_predictions(lifted.joints, own, without=without)


def evaluate_predictions(predicted: FloatArray, truth: PoseSet, *, without: Sequence[str] = ()) -> dict[str, Any]:
    """Compare predicted joints (N, J, 3) mm, in the camera's axes, with the joints of `truth`.

    Both are moved to their roots first. Means are over poses; poses without a prediction are counted in
    ``poses_without_prediction`` and left out. Depth-order accuracies are over all pairs of all poses.

    Args:
        predicted: NaN where a joint was not predicted.
        truth: N poses.
        without: joints that ``pa_mpjpe_without`` and ``n_mpjpe_without`` leave out, from alignment and error.

    Returns:
        Plain data: headline errors (mm, or shares in 0..1), ``per_joint``, ``per_action``, ``per_subject``,
        ``pck_curve`` and ``order_by_difference``; the keys are described in docs/evaluation.md.

    Raises:
        InputError: `truth` has no joints, no poses, or not a single pose could be compared; `without` names joints
            that the skeleton does not have, or leaves fewer than three.
    """
    if truth.joints is None or len(truth) == 0:
        raise InputError("evaluation: no poses with joints to compare with")
    if np.shape(predicted) != truth.joints.shape:
        raise InputError(f"evaluation: expected predictions of shape {truth.joints.shape}, got {np.shape(predicted)}")
    skeleton = truth.skeleton
    kept = _others(skeleton, without) if without else None
    blocks = []
    for start in range(0, len(truth), BLOCK_POSES):
        rows = slice(start, start + BLOCK_POSES)
        x = root_relative(np.asarray(predicted[rows], np.float64), skeleton)
        y = root_relative(np.asarray(truth.joints[rows], np.float64), skeleton)
        blocks.append(_measured(x, y, skeleton, kept))
    columns = {name: np.concatenate([block.pop(name) for block in blocks]) for name in list(blocks[0])}
    raw, fitted = columns.pop("raw"), columns.pop("fitted")
    order = _DepthOrder(columns.pop("right"), columns.pop("asked"))
    per_pose = {name: column for name, column in columns.items() if not name.endswith("_without")}
    compared = np.isfinite(per_pose["pa_mpjpe"])
    if not compared.any():
        raise InputError("evaluation: not one pose could be compared (all predictions or all joints are missing)")
    report: dict[str, Any] = {"poses": len(truth), "poses_without_prediction": int((~compared).sum())}
    report |= {name: _nanmean(values) for name, values in columns.items()}
    report |= order.accuracies(slice(None))
    if without:
        report["without"] = list(without)
    report["per_joint"] = {
        joint: {"mpjpe": _nanmean(raw[:, j]), "pa_mpjpe": _nanmean(fitted[:, j])}
        for j, joint in enumerate(skeleton.joints)
    }
    for key, column in (("per_action", truth.action), ("per_subject", truth.subject)):
        if column is not None:
            report[key] = _by_category(column, per_pose, order)
    if "per_action" in report:
        actions = report["per_action"].values()
        report["mean_over_actions"] = {name: _nanmean([action[name] for action in actions]) for name in per_pose}
    report["pck_curve"] = {
        "threshold_mm": PCK_THRESHOLDS.tolist(),
        "pck": [_share(raw <= t, np.isfinite(raw)) for t in PCK_THRESHOLDS],
    }
    report["order_by_difference"] = order.by_difference()
    return dict(_without_nan(report))


def evaluate_labels(lifter: Lifter, poses: PoseSet, labels: RelativeLabels) -> dict[str, Any]:
    """Compare the depth order of lifted keypoints with relative labels: the LSP test of PAPER.md 6, for any photos.

    Args:
        lifter: the lifter.
        poses: keypoints on the skeleton of the labels, which must be the lifter's or map to it.
        labels: of those poses; those of "equal" are left out, as are joints without a prediction (counted).

    Returns:
        Plain data: ``order_error``, the share of labelled pairs whose predicted order disagrees with the label;
        ``pairs`` compared and ``pairs_without_prediction``; and, where the labels have a risk or a probability,
        ``by_risk``: the same for fifths of the pairs from easy to hard, each with its highest ``risk``.

    Raises:
        InputError: labels of other poses, or no pair could be compared.
    """
    labels.check_poses(poses)
    lifted = lifter.lift_poses(poses)
    if lifted.joints is None:
        raise InputError("evaluation needs keypoints to lift")
    number = {name: place for place, name in enumerate(lifter.skeleton.joints)}
    if absent := [name for name in labels.skeleton.joints if name not in number]:
        raise InputError(f"evaluation: the lifter's skeleton {lifter.skeleton.name!r} has no {', '.join(absent)}")
    place = np.array([number[name] for name in labels.skeleton.joints])
    a, b = place[labels.pair].T
    difference = lifted.joints[labels.pose, a, 2] - lifted.joints[labels.pose, b, 2]
    told = labels.relation != 0
    compared = told & np.isfinite(difference)
    if not compared.any():
        raise InputError("evaluation: not one labelled pair could be compared")
    wrong = (np.sign(difference) != labels.relation)[compared]
    report: dict[str, Any] = {
        "order_error": float(wrong.mean()),
        "pairs": int(compared.sum()),
        "pairs_without_prediction": int((told & ~compared).sum()),
    }
    risk = labels.merged_risk()
    if risk is not None:
        order = np.argsort(risk[compared], kind="stable")
        fifths = [part for part in np.array_split(order, RISK_PARTS) if len(part)]
        report["by_risk"] = {
            "risk": [float(risk[compared][part].max()) for part in fifths],
            "order_error": [float(wrong[part].mean()) for part in fifths],
            "pairs": [len(part) for part in fifths],
        }
    return report


def evaluate_network(network: LiftingNetwork, poses: PoseSet, most: int = CURVE_POSES) -> dict[str, float]:
    """Headline errors of a network on at most `most` poses, evenly chosen: for curves during training."""
    part = _evenly(poses, most)
    if part.keypoints is None or part.intrinsics is None or part.joints is None:
        raise InputError("validation: the poses need keypoints, intrinsics and joints")
    joints, _ = predict(network, part.keypoints, part.intrinsics)
    target = root_relative(np.asarray(part.joints), part.skeleton)
    joints = root_relative(joints, part.skeleton)
    order = _DepthOrder.of(joints, target).accuracies(slice(None))
    return {
        "pa_mpjpe": _nanmean(metrics.pa_mpjpe(joints, target)),
        "n_mpjpe": _nanmean(metrics.n_mpjpe(joints, target)),
        "relative_depth_accuracy_100mm": order["relative_depth_accuracy_100mm"],
    }


def check_validation(poses: PoseSet, labels: RelativeLabels | None) -> PoseSet:
    """Poses that can be measured after every epoch, with intrinsics assumed where they have none.

    Raises:
        InputError: no keypoints, world-frame joints, neither intrinsics nor image size, or labels of other poses.
    """
    if poses.joints is not None and poses.frame == "world":
        raise InputError("validation: joints must be in the camera's frame, these are in the world's")
    if labels is not None:
        labels.check_poses(poses)
    return with_camera(poses, "validation")


def order_accuracy(network: LiftingNetwork, poses: PoseSet, labels: RelativeLabels) -> float:
    """Share of labelled pairs that the network puts in the order of the label; labels of "equal" are left out.

    Raises:
        InputError: the labels speak of other poses, or none of them tells an order.
    """
    labels.check_poses(poses)
    if poses.keypoints is None or poses.intrinsics is None:
        raise InputError("order accuracy: the poses need keypoints and intrinsics")
    told = np.flatnonzero(labels.relation != 0)
    if not len(told):
        raise InputError("order accuracy: no label tells an order")
    rows, inverse = np.unique(labels.pose[told], return_inverse=True)
    joints, _ = predict(network, poses.keypoints[rows], poses.intrinsics[rows])
    a, b = labels.pair[told].T
    difference = joints[inverse, a, 2] - joints[inverse, b, 2]
    return float((np.sign(difference) == labels.relation[told]).mean())


def report_markdown(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """A Markdown table of headline figures, a row a report."""
    columns: list[tuple[str, str, Callable[[float], str]]] = [
        ("pa_mpjpe", "PA-MPJPE, mm", "{:.1f}".format),
        ("pa_mpjpe_without", "PA-MPJPE of the joints asked for, mm", "{:.1f}".format),
        ("n_mpjpe", "N-MPJPE, mm", "{:.1f}".format),
        ("mpjpe", "MPJPE, mm", "{:.1f}".format),
        ("scaled_mpjpe", "scaled, mm", "{:.1f}".format),
        ("pck_150mm", "PCK@150 mm", "{:.3f}".format),
        ("auc", "AUC", "{:.3f}".format),
        ("relative_depth_accuracy", "order right", "{:.3f}".format),
        ("relative_depth_accuracy_100mm", "order right, > 100 mm", "{:.3f}".format),
        ("limb_proportion_error", "limb proportions", "{:.3f}".format),
    ]
    used = [column for column in columns if all(column[0] in report for report in reports.values())]
    lines = [
        "| | " + " | ".join(title for _, title, _ in used) + " | poses |",
        "|---|" + "---|" * (len(used) + 1),
    ]
    for name, report in reports.items():
        cells = ["–" if report[key] is None else show(report[key]) for key, _, show in used]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {report['poses']} |")
    return "\n".join(lines) + "\n"


def _measured(x: FloatArray, y: FloatArray, skeleton: Skeleton, kept: list[int] | None) -> dict[str, Any]:
    """What is measured of each of (n, J, 3) predictions and true poses, all at their roots, in (n, ...) columns."""
    aligned, scale = similarity_align(x, y)
    raw, fitted = metrics.joint_errors(x, y), metrics.joint_errors(aligned, y)
    order = _DepthOrder.of(x, y)
    columns: dict[str, Any] = {
        "pa_mpjpe": metrics.mean_error(fitted),
        "n_mpjpe": metrics.n_mpjpe(x, y),
        "mpjpe": metrics.mean_error(raw),
        "scaled_mpjpe": metrics.mpjpe(x * scale[:, None, None], y),
        "pck_150mm": metrics.pck_of(raw),
        "auc": metrics.auc_of(raw),
    }
    if skeleton.unit_limb_index is not None:
        columns["limb_proportion_error"] = metrics.limb_proportion_error(x, y, skeleton)
    if kept is not None:
        columns["pa_mpjpe_without"] = metrics.pa_mpjpe(x[:, kept], y[:, kept])
        columns["n_mpjpe_without"] = metrics.n_mpjpe(x[:, kept], y[:, kept])
    return columns | {"raw": raw, "fitted": fitted, "right": order.right, "asked": order.asked}


def _others(skeleton: Skeleton, without: Sequence[str]) -> list[int]:
    """Indices of the joints that are not named."""
    left_out = {skeleton.index(joint) for joint in without}
    kept = [joint for joint in range(len(skeleton)) if joint not in left_out]
    if len(kept) < LEAST_ALIGNED:
        raise InputError(f"evaluation: without {', '.join(without)} too few joints are left to align poses by")
    return kept


def _evenly(poses: PoseSet, most: int) -> PoseSet:
    return poses if len(poses) <= most else poses.select(np.linspace(0, len(poses) - 1, most).astype(np.int64))


def _nanmean(values: npt.ArrayLike) -> float:
    array = np.asarray(values)
    present = np.isfinite(array)
    return float(array[present].mean()) if present.any() else float("nan")


def _share(right: npt.ArrayLike, asked: npt.ArrayLike) -> float:
    total = float(np.sum(asked))
    return float(np.sum(right)) / total if total else float("nan")


def _by_category(
    column: Category, per_pose: Mapping[str, FloatArray], order: _DepthOrder
) -> dict[str, dict[str, float]]:
    table = {}
    for code in np.unique(column.codes):
        rows = column.codes == code
        entry: dict[str, float] = {"poses": int(rows.sum())}
        entry |= {name: _nanmean(values[rows]) for name, values in per_pose.items()}
        table[column.names[code]] = entry | order.accuracies(rows)
    return table


def _by_size(difference: FloatArray) -> Counts:
    """(n, bins) how many of (P, n) differences, 0 where there is none, each of `DIFFERENCE_BINS` holds."""
    above = [np.sum(difference > edge, axis=0, dtype=np.int32) for edge in (0.0, *DIFFERENCE_BINS[:-1])]
    return np.asarray(-np.diff(np.stack(above, axis=-1), append=np.int32(0)))


@dataclass(frozen=True, eq=False)
class _DepthOrder:
    """Pairs in the right depth order, and pairs asked, by pose and by how far apart they truly are: (N, bins) each."""

    right: Counts
    asked: Counts

    @classmethod
    def of(cls, predicted: FloatArray, target: FloatArray) -> _DepthOrder:
        """Count the pairs of (n, J, 3) poses: (n, J (J - 1) / 2) of them, so not of too many poses at once."""
        a, b = np.triu_indices(target.shape[-2], k=1)
        depths = (np.ascontiguousarray(joints[..., 2].T) for joints in (target, predicted))  # whole rows are compared
        true, guess = (depth[a] - depth[b] for depth in depths)
        told = np.isfinite(true) & np.isfinite(guess) & (true != 0)
        hit = told & (np.sign(true) == np.sign(guess))
        return cls(*(_by_size(np.where(chosen, np.abs(true), 0.0)) for chosen in (hit, told)))

    def accuracies(self, rows: Any) -> dict[str, float]:
        """Shares of right answers among some of the poses: of all pairs, and of those over 100 mm apart."""
        far = DIFFERENCE_BINS > 100.0
        return {
            "relative_depth_accuracy": _share(self.right[rows], self.asked[rows]),
            "relative_depth_accuracy_100mm": _share(self.right[rows][:, far], self.asked[rows][:, far]),
        }

    def by_difference(self) -> dict[str, list[float | None]]:
        """Accuracy by true difference; the last bin is open (upper_mm None)."""
        right, asked = self.right.sum(axis=0), self.asked.sum(axis=0)
        return {
            "upper_mm": [None if np.isinf(edge) else float(edge) for edge in DIFFERENCE_BINS],
            "accuracy": [float(r / n) if n else None for r, n in zip(right, asked, strict=True)],
            "pairs": [int(n) for n in asked],
        }


def _without_nan(value: Any) -> Any:
    """Plain data in which what could not be measured is None, since JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and np.isnan(value) else value
