"""The published evaluation of MPI-INF-3DHP: 3D PCK at 150 mm, AUC and MPJPE, by activity, by sequence and by joint.

It follows the Matlab code that comes with the test set (``mpii_compute_3d_pck.m``, ``mpii_evaluate_errors.m``), not the
metrics of `nearfar.evaluate`: a joint is right when its error is *less* than the threshold; PCK and AUC are over 14
joints, without pelvis, spine and head; AUC is the mean over the thresholds 0, 5, …, 150 mm, of which the first can
never be met, so that a perfect method has 30/31. MPJPE is over all 17 joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.geometry import root_relative
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import Skeleton, get_skeleton
from nearfar.skeleton_maps import Remap, remap

__all__ = ["JOINT_GROUPS", "PCK_THRESHOLD_MM", "mpi_inf_3dhp_markdown", "mpi_inf_3dhp_report"]

FloatArray = npt.NDArray[np.floating[Any]]

PCK_THRESHOLD_MM = 150.0
_SKELETON = "mpi3dhp17"
_AUC_THRESHOLDS_MM = np.arange(0.0, 151.0, 5.0)

JOINT_GROUPS: Mapping[str, tuple[str, ...]] = {
    "Head": ("head_top",),
    "Neck": ("neck",),
    "Shou": ("right_shoulder", "left_shoulder"),
    "Elbow": ("right_elbow", "left_elbow"),
    "Wrist": ("right_wrist", "left_wrist"),
    "Hip": ("right_hip", "left_hip"),
    "Knee": ("right_knee", "left_knee"),
    "Ankle": ("right_ankle", "left_ankle"),
}
"""Names of the published table and their joints (``mpii_get_pck_auc_joint_groups.m``)."""


def mpi_inf_3dhp_report(predicted: npt.ArrayLike | PoseSet, truth: PoseSet) -> dict[str, Any]:
    """Compare predicted joints with the truth as the published Matlab code does.

    Both are moved so that the pelvis is at the origin; nothing is scaled or turned. A joint without a prediction counts
    as wrong, and is left out of the MPJPE.

    Args:
        predicted: (N, J, 3) mm, in the camera's axes, on the skeleton of `truth`; or N poses (`Lifter.lift_poses`) on
            any skeleton that has the 17 joints.
        truth: N valid frames (`load_test_sequence`, with ``universal=True`` for numbers as published), on skeleton
            mpi3dhp17 or another that has its 17 joints, such as h36m17.

    Returns:
        Plain data: ``all``, and by name ``per_activity`` and ``per_sequence``; each has ``frames``, ``mpjpe`` in mm,
        ``pck_150mm`` and ``auc`` in 0..1, and the latter two for each of `JOINT_GROUPS` in ``groups``.

    Raises:
        InputError: no joints or world-frame ones, other shapes, or a skeleton that does not have the 17 joints.
    """
    wanted = _joints(truth)
    if isinstance(predicted, PoseSet):
        joints, skeleton = _joints(predicted), predicted.skeleton
    else:
        joints, skeleton = np.asarray(predicted, dtype=np.float64), truth.skeleton
    expected = (len(truth), skeleton.num_joints, 3)
    if joints.shape != expected:
        raise InputError(f"MPI-INF-3DHP protocol: expected predictions of shape {expected}, got {joints.shape}")
    x, y = (
        root_relative(mapping.points(points), mapping.target)
        for mapping, points in ((_to_17(skeleton), joints), (_to_17(truth.skeleton), wanted))
    )
    errors = np.linalg.norm(x - y, axis=-1)
    target = get_skeleton(_SKELETON)
    groups = {name: [target.index(joint) for joint in members] for name, members in JOINT_GROUPS.items()}
    return {
        "all": _row(errors, groups),
        "per_activity": _rows(errors, groups, truth.action),
        "per_sequence": _rows(errors, groups, truth.sequence),
    }


def mpi_inf_3dhp_markdown(report: Mapping[str, Any]) -> str:
    """The report as a Markdown table: PCK of each group of joints, PCK, AUC and MPJPE, by activity and by sequence."""
    rows = {"all": report["all"], **report["per_activity"], **report["per_sequence"]}
    lines = [
        f"| | {' | '.join(JOINT_GROUPS)} | PCK@150 mm | AUC | MPJPE, mm | frames |",
        "|---|" + "---|" * (len(JOINT_GROUPS) + 4),
    ]
    for name, row in rows.items():
        shares = [*(row["groups"][group]["pck_150mm"] for group in JOINT_GROUPS), row["pck_150mm"], row["auc"]]
        mpjpe = "–" if row["mpjpe"] is None else f"{row['mpjpe']:.1f}"
        lines.append(f"| {name} | {' | '.join(f'{x:.3f}' for x in shares)} | {mpjpe} | {row['frames']} |")
    return "\n".join(lines) + "\n"


def _joints(poses: PoseSet) -> FloatArray:
    if poses.joints is None or not len(poses):
        raise InputError("MPI-INF-3DHP protocol: no poses with joints to compare")
    if poses.frame == "world":
        raise InputError("MPI-INF-3DHP protocol: joints must be in the camera's frame, these are in the world's")
    return np.asarray(poses.joints, dtype=np.float64)


def _to_17(skeleton: Skeleton) -> Remap:
    """The map to the protocol's joints, none of which may be derived from others."""
    target = get_skeleton(_SKELETON)
    if missing := [joint for joint in target.joints if joint not in skeleton.joints]:
        raise InputError(f"MPI-INF-3DHP protocol: skeleton {skeleton.name!r} lacks the joints {', '.join(missing)}")
    return remap(skeleton, target)


def _rows(errors: FloatArray, groups: Mapping[str, list[int]], column: Category | None) -> dict[str, Any]:
    if column is None:
        return {}
    return {column.names[code]: _row(errors[column.codes == code], groups) for code in np.unique(column.codes)}


def _row(errors: FloatArray, groups: Mapping[str, list[int]]) -> dict[str, Any]:
    measured = errors[np.isfinite(errors)]
    everything = [joint for joints in groups.values() for joint in joints]
    return {
        "frames": len(errors),
        "mpjpe": float(measured.mean()) if measured.size else None,
        **_shares(errors[:, everything]),
        "groups": {name: _shares(errors[:, joints]) for name, joints in groups.items()},
    }


def _shares(errors: FloatArray) -> dict[str, float]:
    curve = [float((errors < threshold).mean()) for threshold in _AUC_THRESHOLDS_MM]
    return {"pck_150mm": float((errors < PCK_THRESHOLD_MM).mean()), "auc": float(np.mean(curve))}
