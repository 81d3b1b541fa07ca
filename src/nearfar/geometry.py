"""Geometry of poses: limb lengths, root-relative poses, similarity alignment; any batch dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.skeleton import Skeleton

__all__ = ["limb_lengths", "root_relative", "similarity_align"]

FloatArray = npt.NDArray[np.floating[Any]]


def limb_lengths(joints: npt.ArrayLike, skeleton: Skeleton) -> FloatArray:
    """Lengths (..., L) of the skeleton's limbs for joints (..., J, 3), NaN where an end is missing."""
    p = np.asarray(joints)
    parent, child = skeleton.limb_joints.T
    return np.asarray(np.linalg.norm(p[..., child, :] - p[..., parent, :], axis=-1))


def root_relative(joints: npt.ArrayLike, skeleton: Skeleton) -> FloatArray:
    """Joints (..., J, 3) moved so that the root is at the origin; all NaN where the root is missing."""
    p = np.asarray(joints)
    return np.asarray(p - p[..., [skeleton.root_index], :])


def similarity_align(source: npt.ArrayLike, target: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Align poses to targets by the best rotation (no reflection), scale and translation, in least squares.

    Umeyama, IEEE PAMI 13(4), 1991, through roma. Joints that are NaN in either pose take no part.

    Args:
        source: (..., J, 3).
        target: (..., J, 3).

    Returns:
        (..., J, 3) aligned source, and (...,) the scale. NaN for poses with fewer than three joints in common.
    """
    import roma
    import torch

    x, y = (np.array(a, dtype=np.float64) for a in (source, target))
    both = np.all(np.isfinite(x) & np.isfinite(y), axis=-1)
    x0, y0 = np.where(both[..., None], x, 0), np.where(both[..., None], y, 0)
    weights = torch.from_numpy(both.astype(np.float64))
    enough = np.asarray(np.sum(both, axis=-1) >= 3)
    weights[torch.from_numpy(np.asarray(~enough))] = 1.0  # the registration is meaningless there, and masked below
    rotation, translation, scale = roma.rigid_points_registration(
        torch.from_numpy(x0), torch.from_numpy(y0), weights=weights, compute_scaling=True
    )
    R, t, s = (v.numpy() for v in (rotation, translation, scale))
    aligned = s[..., None, None] * (x @ np.swapaxes(R, -1, -2)) + t[..., None, :]
    return np.where(enough[..., None, None], aligned, np.nan), np.where(enough, s, np.nan)
