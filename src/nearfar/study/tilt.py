"""Depth as a level camera would see it: do people judge along the line of sight, or along the ground?

Cameras mounted high look down, and so depth along their optical axis mixes in height: of two joints equally far along
the ground the upper one is nearer. The tilt is the Euler x angle of the world-to-camera rotation, R = R_z(roll) ·
R_x(tilt) · L(heading), where L is a level camera (PAPER.md 7, figure 2). Undoing it sets that angle to 0: the depth
axis becomes the horizontal part of the optical axis. Roll does not change depth.

The released code of Ronchi et al. decomposes R as R_z·R_y·R_x from the right, where a camera's heading is in the y
angle and "x" holds the quarter turn between world and camera axes; with x at 0 its depth axis is the world's y for
every level camera. Ours keeps the heading.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.files import open_npz
from nearfar.poses import PoseSet

__all__ = ["check_rotations", "level_depth", "load_rotations", "rotations_from_world"]

Array = npt.NDArray[Any]

STEEPEST = 0.05
"""Cosine of the tilt below which a camera looks straight up or down, and no level heading can be told."""


def level_depth(joints: npt.ArrayLike, rotations: npt.ArrayLike) -> Array:
    """Depth of joints with the camera's tilt undone, mm, up to a constant for each pose.

    Args:
        joints: (N, J, 3) mm, the camera's axes (x right, y down, z forward).
        rotations: (N, 3, 3) or (3, 3) world-to-camera R (p_cam = R (p_world − c), world z up).

    Returns:
        (N, J) mm along the horizontal part of the optical axis.

    Raises:
        InputError: no rotations, or a camera that looks straight up or down.
    """
    points = np.asarray(joints, dtype=np.float64)
    r = check_rotations(rotations, len(points))
    forward = r[:, 2] * [1, 1, 0]  # the optical axis in the world, on the ground
    length = np.linalg.norm(forward, axis=1)
    if (length < STEEPEST).any():
        row = int(np.argmin(length))
        raise InputError(f"rotations: row {row}: the camera looks straight up or down, which has no level counterpart")
    axis = np.einsum("nij,nj->ni", r, forward / length[:, None])  # the same in the camera's axes
    return np.asarray(np.einsum("njk,nk->nj", points, axis))


def check_rotations(rotations: npt.ArrayLike, poses: int) -> Array:
    """(N, 3, 3) float64 rotations for so many poses, from (N, 3, 3) or one (3, 3).

    Raises:
        InputError: another shape, or matrices that are not rotations.
    """
    r = np.asarray(rotations)
    if r.dtype.kind not in "fiu" or r.shape not in {(3, 3), (poses, 3, 3)}:
        raise InputError(f"rotations: expected ({poses}, 3, 3) or (3, 3) numbers, got {r.dtype} of shape {r.shape}")
    r = np.broadcast_to(r.astype(np.float64), (poses, 3, 3))
    with np.errstate(invalid="ignore"):
        off = np.abs(r @ np.swapaxes(r, 1, 2) - np.eye(3)).max(axis=(1, 2), initial=0)
        bad = ~((off < 1e-3) & (np.linalg.det(np.nan_to_num(r)) > 0))
    if bad.any():
        raise InputError(f"rotations: row {int(np.flatnonzero(bad)[0])} is no rotation ({int(bad.sum())} such rows)")
    return r


def load_rotations(path: str | Path, poses: int) -> Array:
    """Read the world-to-camera rotations of so many poses from a ``.npz`` file with an array ``rotation``.

    Raises:
        InputError: no such file, damaged, no such array, or not rotations of as many poses.
    """
    arrays = open_npz(path)
    if "rotation" not in arrays:
        raise InputError(f"{path}: expected an array 'rotation' ({poses}, 3, 3), world to camera; got {sorted(arrays)}")
    try:
        return check_rotations(arrays["rotation"], poses)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def rotations_from_world(poses: PoseSet, world: PoseSet) -> Array:
    """World-to-camera rotations of poses whose world-frame joints are known too, by aligning the two (Kabsch).

    Args:
        poses: N poses with joints along the camera's axes.
        world: the same N poses in the world's frame, z up; its heading does not matter.

    Returns:
        (N, 3, 3).

    Raises:
        InputError: other lengths, skeletons or frames, missing joints, or joints that do not agree within 5 mm.
    """
    if poses.joints is None or world.joints is None or len(poses) != len(world) or world.frame != "world":
        raise InputError(
            "rotations: expected as many world-frame poses as poses in the camera's frame, both with joints"
        )
    if poses.skeleton.joints != world.skeleton.joints:
        raise InputError(f"rotations: skeletons {poses.skeleton.name!r} and {world.skeleton.name!r} differ")
    seen, real = (np.asarray(p.joints, dtype=np.float64) for p in (poses, world))
    seen, real = seen - seen.mean(axis=1, keepdims=True), real - real.mean(axis=1, keepdims=True)
    covariance = np.einsum("nji,njk->nik", seen, real)
    if not np.isfinite(covariance).all():
        raise InputError("rotations: some poses have missing joints")
    u, _, vt = np.linalg.svd(covariance)
    u[..., 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    found = u @ vt
    off = np.linalg.norm(real @ np.swapaxes(found, 1, 2) - seen, axis=-1).max(initial=0)
    if off > 5:
        raise InputError(f"rotations: the world-frame poses are not the same poses (joints {off:.0f} mm apart)")
    return np.asarray(found)
