"""Rotation matrices (..., 3, 3) in numpy: torch takes longer to import than any of these files to write."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "continuous_euler",
    "continuous_quaternions",
    "nearest_rotation",
    "rotmat_to_euler",
    "rotmat_to_unitquat",
    "slerp_missing",
    "spin",
    "swing",
    "unit",
]

Array = npt.NDArray[Any]


def unit(vectors: Array) -> Array:
    """Vectors (..., 3) of length 1; NaN where they have none."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > 1e-9, vectors / np.where(length > 1e-9, length, 1), np.nan)


def swing(source: npt.ArrayLike, target: npt.ArrayLike) -> Array:
    """The smallest rotations (..., 3, 3) that turn unit vectors (..., 3) `source` to `target`.

    R = I + [v]× + [v]×² / (1 + c) with v = source × target, c their cosine; half a turn about some axis if c = −1.
    """
    a, b = np.broadcast_arrays(np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64))
    v, c = np.cross(a, b), np.sum(a * b, axis=-1)[..., None, None]
    cross = _cross_matrix(v)
    turned = np.eye(3) + cross + cross @ cross / np.maximum(1 + c, 1e-9)
    aside = np.cross(a, np.eye(3)[np.argmin(np.abs(a), axis=-1)])
    aside /= np.maximum(np.linalg.norm(aside, axis=-1, keepdims=True), 1e-12)
    half = 2 * aside[..., :, None] * aside[..., None, :] - np.eye(3)
    return np.where(c < -1 + 1e-7, half, turned)


def spin(axis: npt.ArrayLike, angle: npt.ArrayLike) -> Array:
    """Rotations (..., 3, 3) by angles (...) in radians about unit vectors (..., 3) (Rodrigues' formula)."""
    cross = _cross_matrix(np.asarray(axis, dtype=np.float64))
    turn = np.asarray(angle, dtype=np.float64)[..., None, None]
    return np.asarray(np.eye(3) + np.sin(turn) * cross + (1 - np.cos(turn)) * (cross @ cross))


def nearest_rotation(matrices: npt.ArrayLike) -> Array:
    """The rotations (..., 3, 3) R of greatest tr(Rᵀ M): R = U diag(1, 1, det UVᵀ) Vᵀ with M = U S Vᵀ (Kabsch 1976)."""
    u, _, v = np.linalg.svd(np.asarray(matrices, dtype=np.float64))
    u[..., -1] *= np.linalg.det(u @ v)[..., None]
    return np.asarray(u @ v)


def rotmat_to_unitquat(rotations: npt.ArrayLike) -> Array:
    """Unit quaternions (..., 4) x, y, z, w: the longest row of 4 q qᵀ, whose elements are sums of those of R."""
    R = np.asarray(rotations, dtype=np.float64)
    outer = np.empty((*R.shape[:-2], 4, 4))
    trace = np.trace(R, axis1=-2, axis2=-1)
    outer[..., :3, :3] = R + np.swapaxes(R, -1, -2)
    for i in range(3):
        outer[..., i, i] = 1 + 2 * R[..., i, i] - trace
        outer[..., i, 3] = outer[..., 3, i] = R[..., (i + 2) % 3, (i + 1) % 3] - R[..., (i + 1) % 3, (i + 2) % 3]
    outer[..., 3, 3] = 1 + trace
    longest = np.argmax(np.diagonal(outer, axis1=-2, axis2=-1), axis=-1)
    return unit(np.take_along_axis(outer, longest[..., None, None], axis=-2)[..., 0, :])


def continuous_quaternions(rotations: npt.ArrayLike) -> Array:
    """Quaternions (T, 4) x, y, z, w, each on the side of the one before: interpolation goes the short way."""
    q = rotmat_to_unitquat(rotations)
    flips = np.where(np.sum(q[1:] * q[:-1], axis=-1) < 0, -1.0, 1.0)
    return np.asarray(q * np.cumprod([1.0, *flips])[:, None])


def rotmat_to_euler(rotations: npt.ArrayLike, order: str) -> Array:
    """Angles (..., 3) in radians of rotations (..., 3, 3), R = R_i(a) R_j(b) R_k(c), with b in ±90 degrees.

    With s = 1 if i, j, k are in cyclic order and −1 if not: b = asin(s R_ik), a = atan2(−s R_jk, R_kk),
    c = atan2(−s R_ij, R_ii). Where b is 90 degrees (gimbal lock), c = 0 and a turns alone. The inverse of
    `nearfar.datasets.motion.euler_to_rotmat`.
    """
    R = np.asarray(rotations, dtype=np.float64)
    i, j, k = ("xyz".index(axis) for axis in order.lower())
    s = 1.0 if (j - i) % 3 == 1 else -1.0
    sine = np.clip(s * R[..., i, k], -1, 1)
    locked = np.abs(sine) > 1 - 1e-12
    a = np.where(locked, np.arctan2(s * R[..., k, j], R[..., j, j]), np.arctan2(-s * R[..., j, k], R[..., k, k]))
    c = np.where(locked, 0, np.arctan2(-s * R[..., i, j], R[..., i, i]))
    return np.stack([a, np.arcsin(sine), c], axis=-1)


def continuous_euler(rotations: npt.ArrayLike, order: str) -> Array:
    """Angles (T, ..., 3) in degrees of rotations (T, ..., 3, 3) that do not jump from frame to frame.

    The same rotation has angles (a, b, c) and (a + 180, 180 − b, c + 180), and each ± 360: taken are those nearest to
    the frame before.
    """
    first = np.rad2deg(rotmat_to_euler(rotations, order))
    second = np.stack([first[..., 0] + 180, 180 - first[..., 1], first[..., 2] + 180], axis=-1)
    out = first.copy()
    for t in range(1, len(out)):
        near = [angles[t] - 360 * np.rint((angles[t] - out[t - 1]) / 360) for angles in (first, second)]
        away = [np.abs(angles - out[t - 1]).sum(axis=-1, keepdims=True) for angles in near]
        out[t] = np.where(away[0] <= away[1], *near)
    return out


def slerp_missing(rotations: Array, known: Array) -> Array:
    """Rotations (T, 3, 3), those not known interpolated (slerp) between those before and after.

    Ends are held; with none known all are the identity.
    """
    if known.all():
        return rotations
    if not known.any():
        return np.broadcast_to(np.eye(3), rotations.shape)
    frames, there = np.arange(len(known)), np.flatnonzero(known)
    after = np.clip(np.searchsorted(there, frames), 0, len(there) - 1)
    before = np.clip(np.searchsorted(there, frames, side="right") - 1, 0, len(there) - 1)
    first, last = there[before], there[after]
    share = (frames - first) / np.maximum(last - first, 1)
    q = rotmat_to_unitquat(np.swapaxes(rotations[first], -1, -2) @ rotations[last])
    q = q * np.where(q[:, 3:] < 0, -1, 1)
    angle = 2 * np.arctan2(np.linalg.norm(q[:, :3], axis=-1), q[:, 3])
    turn = spin(np.nan_to_num(unit(q[:, :3])), share * angle)
    return np.where(known[:, None, None], rotations, rotations[first] @ turn)


def _cross_matrix(v: Array) -> Array:
    zero = np.zeros_like(v[..., 0])
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    rows = [np.stack(row, axis=-1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    return np.stack(rows, axis=-2)
