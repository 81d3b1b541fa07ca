"""Evaluation of poses through time: how far off, how jittery, how steady the limbs, how much the feet skate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar import metrics
from nearfar.errors import InputError
from nearfar.geometry import root_relative
from nearfar.poses import PoseSet
from nearfar.sequences import Clip, clips

__all__ = ["evaluate_sequences", "sequence_markdown"]

FloatArray = npt.NDArray[np.floating[Any]]

COLUMNS = {
    "pa_mpjpe": ("PA-MPJPE, mm", "{:.1f}"),
    "mpjpe": ("MPJPE, mm", "{:.1f}"),
    "acceleration_error": ("acceleration error, mm/s²", "{:.0f}"),
    "limb_length_variation": ("limb variation", "{:.4f}"),
    "stance_speed": ("foot skating, mm/s", "{:.0f}"),
}


def evaluate_sequences(
    predicted: PoseSet,
    truth: PoseSet,
    *,
    stance: Sequence[str] = ("left_ankle", "right_ankle"),
    fps: float = 30.0,
) -> dict[str, Any]:
    """Compare lifted poses with true ones, clip by clip; rows in no clip are left out.

    Args:
        predicted: as `Lifter.lift_poses` gives them, row for row those of `truth`.
        truth: poses with joints in the (standing) camera's frame, and with times.
        stance: joints that skate if they move while they truly stand, those of them that the skeleton has. Their place
            in the camera's frame is root position plus joint, so the error of the root's distance counts too.
        fps: frames a second that `frame_index` counts, where there is no `time`.

    Returns:
        Plain data: ``clips``, ``frames``; means over frames of ``pa_mpjpe`` and ``mpjpe`` (mm, root-relative),
        ``acceleration_error`` (mm/s², root-relative, over joints) and ``stance_speed`` (mm/s); and
        ``limb_length_variation``: standard deviation over mean of each rigid limb's length within a clip, averaged
        over limbs and frames. None where something could not be measured.

    Raises:
        InputError: poses of another number or skeleton, without joints, or without clips.
    """
    if predicted.joints is None or truth.joints is None or truth.frame == "world":
        raise InputError("evaluation of sequences needs predicted joints, and true ones in the camera's frame")
    if predicted.joints.shape != truth.joints.shape or predicted.skeleton.joints != truth.skeleton.joints:
        raise InputError(
            f"evaluation of sequences: predictions {predicted.joints.shape} on {predicted.skeleton.name!r}, "
            f"truth {truth.joints.shape} on {truth.skeleton.name!r}"
        )
    found = clips(truth, fps)
    if not found:
        raise InputError("evaluation of sequences: no poses in a row (they need time or frame_index)")
    feet = [joint for joint, name in enumerate(truth.skeleton.joints) if name in stance]
    parts: dict[str, list[FloatArray]] = {name: [] for name in COLUMNS}
    for clip in found:
        for name, values in _measure(clip, predicted, truth, feet).items():
            parts[name].append(np.atleast_1d(values))
    means = {name: _nanmean(np.concatenate(values)) if values else None for name, values in parts.items()}
    return {"clips": len(found), "frames": sum(len(clip.rows) for clip in found), **means}


def _measure(clip: Clip, predicted: PoseSet, truth: PoseSet, feet: list[int]) -> dict[str, FloatArray]:
    """One number a frame, or a step, of a clip."""
    skeleton = truth.skeleton
    lifted, true = (
        root_relative(clip.spread(np.asarray(joints[clip.rows], np.float64)), skeleton)
        for joints in (predicted.joints, truth.joints)
        if joints is not None
    )
    there = np.isfinite(lifted).any(axis=(1, 2))
    values = {
        "pa_mpjpe": metrics.pa_mpjpe(lifted, true),
        "mpjpe": metrics.mpjpe(lifted, true),
        "acceleration_error": metrics.acceleration_error(lifted, true, clip.step),
    }
    if there.sum() > 1:
        variation = metrics.limb_length_variation(lifted, skeleton)[skeleton.rigid_limbs]
        values["limb_length_variation"] = np.full(there.sum(), np.nanmean(variation))
    if feet and predicted.root_position is not None and truth.frame == "camera" and truth.joints is not None:
        placed = lifted + clip.spread(predicted.root_position[clip.rows])[:, None]
        standing = clip.spread(np.asarray(truth.joints[clip.rows], np.float64))
        values["stance_speed"] = metrics.stance_speed(placed[:, feet], standing[:, feet], clip.step)
    return values


def sequence_markdown(reports: dict[str, dict[str, Any]]) -> str:
    """A Markdown table of reports of `evaluate_sequences`, a row a report."""
    lines = ["| | " + " | ".join(title for title, _ in COLUMNS.values()) + " |", "|---|" + "---|" * len(COLUMNS)]
    for name, report in reports.items():
        cells = ["–" if report[key] is None else form.format(report[key]) for key, (_, form) in COLUMNS.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _nanmean(values: FloatArray) -> float | None:
    present = np.isfinite(values)
    return float(values[present].mean()) if present.any() else None
