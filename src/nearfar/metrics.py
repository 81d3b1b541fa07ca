"""Errors of 3D poses. Functions take (..., J, 3) arrays in mm and give one number a pose, (...,).

A joint that is NaN in either pose takes no part; a pose without any joint in common gives NaN. Nothing is moved
to the root here: hand in root-relative poses where the protocol asks for them (`nearfar.evaluate` does).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.geometry import limb_lengths, similarity_align
from nearfar.skeleton import Skeleton

__all__ = [
    "acceleration_error",
    "auc",
    "joint_errors",
    "limb_length_variation",
    "limb_proportion_error",
    "mpjpe",
    "n_mpjpe",
    "pa_mpjpe",
    "pck",
    "relative_depth_accuracy",
    "scaled_mpjpe",
    "stance_speed",
]

FloatArray = npt.NDArray[np.floating[Any]]


def _pair(predicted: npt.ArrayLike, target: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    x, y = np.asarray(predicted, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if x.shape != y.shape or x.ndim < 2 or x.shape[-1] != 3:
        raise InputError(f"metrics: expected two arrays of one shape (..., J, 3), got {x.shape} and {y.shape}")
    return x, y


def mean_error(values: FloatArray) -> FloatArray:
    """Mean over the last axis, NaN left out; NaN where nothing is left."""
    present = np.isfinite(values)
    count = present.sum(axis=-1)
    total = np.where(present, values, 0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def joint_errors(predicted: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
    """Distance of each joint from its target, (..., J) mm."""
    x, y = _pair(predicted, target)
    return np.asarray(np.linalg.norm(x - y, axis=-1))


def mpjpe(predicted: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
    """Mean per joint position error, (...,) mm (protocol 1 of Human3.6M, for root-relative poses)."""
    return mean_error(joint_errors(predicted, target))


def n_mpjpe(predicted: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
    """MPJPE after the least-squares scale, (...,) mm (Rhodin et al., CVPR 2018)."""
    x, y = _pair(predicted, target)
    both = np.isfinite(x) & np.isfinite(y)
    x0, y0 = np.where(both, x, 0), np.where(both, y, 0)
    norm = (x0 * x0).sum(axis=(-2, -1))
    scale = (x0 * y0).sum(axis=(-2, -1)) / np.where(norm > 0, norm, 1)
    return mpjpe(x * scale[..., None, None], y)


def pa_mpjpe(predicted: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
    """MPJPE after similarity Procrustes alignment (rotation without reflection, scale, translation), (...,) mm."""
    x, y = _pair(predicted, target)
    return mpjpe(similarity_align(x, y)[0], y)


def scaled_mpjpe(predicted: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
    """MPJPE after the scale of the Procrustes alignment, without its rotation and translation, (...,) mm.

    The "scaled" error of Ronchi et al. (BMVC 2018); not the usual N-MPJPE, whose scale is fitted without rotation.
    """
    x, y = _pair(predicted, target)
    return mpjpe(x * similarity_align(x, y)[1][..., None, None], y)


def pck(predicted: npt.ArrayLike, target: npt.ArrayLike, threshold: float = 150.0) -> FloatArray:
    """Share of joints within `threshold` mm of their target, (...,) in 0..1 (Mehta et al., 3DV 2017)."""
    return pck_of(joint_errors(predicted, target), threshold)


def pck_of(errors: FloatArray, threshold: float = 150.0) -> FloatArray:
    """`pck` of (..., J) errors of joints."""
    return mean_error(np.where(np.isfinite(errors), errors <= threshold, np.nan))


def auc(predicted: npt.ArrayLike, target: npt.ArrayLike, highest: float = 150.0, step: float = 5.0) -> FloatArray:
    """Mean PCK over the thresholds 0, 5, ..., 150 mm, (...,) in 0..1 (Mehta et al., 3DV 2017)."""
    return auc_of(joint_errors(predicted, target), highest, step)


def auc_of(errors: FloatArray, highest: float = 150.0, step: float = 5.0) -> FloatArray:
    """`auc` of (..., J) errors of joints."""
    thresholds = np.arange(0.0, highest + step / 2, step)
    # An error counts for every threshold from its own on: no need for one array a threshold.
    met = len(thresholds) - np.searchsorted(thresholds, errors.ravel(), side="left").reshape(errors.shape)
    return mean_error(np.where(np.isfinite(errors), met / len(thresholds), np.nan))


def relative_depth_accuracy(predicted: npt.ArrayLike, target: npt.ArrayLike, min_difference: float = 0.0) -> FloatArray:
    """Share of pairs of joints in the right depth order, (...,) in 0..1; NaN where no pair is asked.

    Pairs whose true depths differ by no more than `min_difference` mm (or not at all) are not asked.
    """
    x, y = _pair(predicted, target)
    a, b = np.triu_indices(x.shape[-2], k=1)
    true = y[..., a, 2] - y[..., b, 2]
    guess = x[..., a, 2] - x[..., b, 2]
    asked = (np.abs(true) > min_difference) & np.isfinite(guess)
    return mean_error(np.where(asked, np.sign(guess) == np.sign(true), np.nan))


def limb_proportion_error(predicted: npt.ArrayLike, target: npt.ArrayLike, skeleton: Skeleton) -> FloatArray:
    """Mean over limbs of abs(l / l_unit - L / L_unit), (...,): the paper's proportion loss against the true pose.

    Raises:
        InputError: the skeleton names no unit limb.
    """
    x, y = _pair(predicted, target)
    unit = skeleton.unit_limb_index
    if unit is None:
        raise InputError(f"skeleton {skeleton.name!r} names no unit limb to compare proportions with")
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [lengths / lengths[..., [unit]] for lengths in (limb_lengths(x, skeleton), limb_lengths(y, skeleton))]
        difference = np.abs(ratios[0] - ratios[1])[..., skeleton.rigid_limbs]
    return mean_error(difference)


def limb_length_variation(joints: npt.ArrayLike, skeleton: Skeleton) -> FloatArray:
    """Standard deviation over mean of each limb's length over N poses (N, J, 3) of one person: (L,), 0 is steady."""
    lengths = limb_lengths(joints, skeleton)
    return np.asarray(np.nanstd(lengths, axis=0) / np.nanmean(lengths, axis=0))


def acceleration_error(predicted: npt.ArrayLike, target: npt.ArrayLike, step: float = 1.0) -> FloatArray:
    """Mean over joints of the distance between predicted and true acceleration (Kanazawa et al., CVPR 2019).

    The acceleration at t is (x_{t+1} - 2 x_t + x_{t-1}) / step².

    Args:
        predicted: (T, J, 3) mm, a frame a step; frames that are not there are NaN.
        target: likewise.
        step: seconds from frame to frame, for mm/s²; 1 for mm/frame².

    Returns:
        (T - 2,), NaN where one of the three frames is missing.
    """
    x, y = _pair(predicted, target)
    accelerations = [np.diff(points, n=2, axis=0) / step**2 for points in (x, y)]
    return mean_error(np.linalg.norm(accelerations[0] - accelerations[1], axis=-1))


def stance_speed(
    predicted: npt.ArrayLike, target: npt.ArrayLike, step: float = 1.0, *, still: float = 100.0
) -> FloatArray:
    """How fast joints are predicted to move while they truly stand: skating, where they are feet.

    Args:
        predicted: (T, J, 3) mm in a frame that does not move with the person, a frame a step; NaN where missing.
        target: likewise, in the same frame.
        step: seconds from frame to frame.
        still: mm/s: a joint that truly moves no faster stands.

    Returns:
        (T - 1,) mm/s, mean over the joints that stand; NaN where none does.
    """
    x, y = _pair(predicted, target)
    speed, true = (np.linalg.norm(np.diff(points, axis=0), axis=-1) / step for points in (x, y))
    return mean_error(np.where(true <= still, speed, np.nan))
