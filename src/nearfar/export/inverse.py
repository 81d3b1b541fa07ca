"""Inverse kinematics: from joint positions to rotations of an armature whose limbs keep their lengths.

From the root outwards each limb is aimed from where its near end came to lie at its joint's position, so that errors
of length do not add up along a chain. Positions leave the twist about a limb open; it is chosen so:

- *hinges*: before an elbow or knee, the limb beyond the joint bends to the side that the rest pose says. The straighter
  the joint, the less it says; then the twist follows the frames before and after.
- *trunk*: before a hub with paired limbs (shoulders), and of the root (hips), the line from one to the other.
- elsewhere none: the smallest rotation that brings the limb from its rest direction, in its parent's frame, to where it
  points.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.export.armature import Armature, armature_nodes, children_of
from nearfar.export.rest import RestPose
from nearfar.export.rotations import nearest_rotation, slerp_missing, spin, swing, unit
from nearfar.skeleton import Skeleton

__all__ = ["solve"]

Array = npt.NDArray[Any]

_SURE_BEND = np.sin(np.deg2rad(10))  # a hinge bent so far fixes the twist as firmly as its neighbours in time do
_STIFFNESS_S = 0.1  # seconds over which the twist is carried where it is not sure
_WIDE_S = 1.0  # the same, for telling which frames disagree with those around
_TO_REST = 1e-3  # pull of twists towards none, where no frame is sure
_COLLINEAR = 1e-4  # second singular value below which directions do not tell a rotation
_OPEN = 0.01  # weight of what decides only where the paired limbs of a hub leave something open


def solve(
    skeleton: Skeleton, joints: npt.ArrayLike, root: npt.ArrayLike, rest: RestPose, lengths: npt.ArrayLike, fps: float
) -> tuple[Armature, Array]:
    """Rotations of the skeleton's armature that bring its joints closest to where they are.

    Where a joint is missing, the rotation of its limb is interpolated between the frames before and after (slerp, in
    the frame of the limb's parent), held at the ends of the clip, and that of rest if the joint is never there.

    Args:
        skeleton: any tree of joints.
        joints: (T, J, 3) mm, y up; NaN where missing.
        root: (T, 3) mm, where the root is, in every frame.
        rest: the skeleton's rest pose.
        lengths: (J,) mm of the limb to each joint.
        fps: frames a second.

    Returns:
        The armature, and (T, N, 3, 3) rotations of its nodes in their parents' frames.
    """
    p = np.asarray(joints, dtype=np.float64)
    armature = armature_nodes(skeleton, rest.directions * np.asarray(lengths)[:, None])
    count, frames = len(armature), len(p)
    local = np.broadcast_to(np.eye(3), (frames, count, 3, 3)).copy()
    turned = local.copy()
    place = np.empty((frames, count, 3))
    pairs, children = _pairs(skeleton), children_of(skeleton)
    for node, (parent, joint, limb) in enumerate(zip(armature.parents, armature.joints, armature.limbs, strict=True)):
        before = turned[:, parent] if parent >= 0 else np.broadcast_to(np.eye(3), (frames, 3, 3))
        place[:, node] = root if parent < 0 else place[:, parent] + before @ armature.offsets[node]
        if limb >= 0:
            towards = unit(p[:, limb] - place[:, node])
            turn = swing(before @ rest.directions[limb], np.nan_to_num(towards)) @ before
            known = np.asarray(np.isfinite(towards).all(axis=-1))
            side = _side(limb, p, rest, children, pairs)
            if side is not None and known.any():
                angle = _twist(turn[known], towards[known], side[0], side[1][known], fps)
                turn[known] = spin(towards[known], angle) @ turn[known]
        elif children[joint]:
            turn, known = _hub(p, joint, before, rest, children[joint], pairs, is_root=parent < 0)
        else:
            turn, known = before, np.ones(frames, dtype=bool)
        local[:, node] = slerp_missing(np.swapaxes(before, -1, -2) @ turn, known)
        turned[:, node] = before @ local[:, node]
    return armature, local


def _pairs(skeleton: Skeleton) -> dict[int, list[tuple[int, int]]]:
    """Mirror pairs of joints that hang on one joint, by that joint."""
    found: dict[int, list[tuple[int, int]]] = {}
    for names in skeleton.mirror_pairs:
        a, b = map(skeleton.index, names)
        if skeleton.parents[a] == skeleton.parents[b] >= 0:
            found.setdefault(int(skeleton.parents[a]), []).append((a, b))
    return found


def _line(points: Array, directions: Array, pair: tuple[int, int]) -> tuple[Array, Array]:
    """The line between a pair, at rest (3,) and observed (T, 3)."""
    a, b = pair
    return unit(directions[a] - directions[b]), unit(points[:, a] - points[:, b])


def _side(
    limb: int, p: Array, rest: RestPose, children: tuple[tuple[int, ...], ...], pairs: dict[int, list[tuple[int, int]]]
) -> tuple[Array, Array] | None:
    """What fixes the twist of a limb: a direction at rest (3,) and as observed (T, 3); or None."""
    if len(children[limb]) == 1 and np.isfinite(rest.bends[limb]).all():
        return rest.bends[limb], unit(p[:, children[limb][0]] - p[:, limb])
    if limb in pairs:
        return _line(p, rest.directions, pairs[limb][0])
    return None


def _twist(turn: Array, axis: Array, at_rest: Array, observed: Array, fps: float) -> Array:
    """Angles (T,) about `axis` (T, 3) that turn a direction, at rest (3,) and so far turned by `turn`, to `observed`.

    An angle is as sure as the directions are away from the axis. The unit complex numbers z of the angles minimise

        Σ w |z_t − e^{iθ_t}|² + k |z_t − z_{t−1}|² + m |z_t − 1|²,

    a tridiagonal system: sure angles stay, unsure ones follow their neighbours in time, and are none without any. The
    nearer an angle is to half a turn, the less it weighs, and angles more than 90 degrees from what a stiffer solution
    says of the frames around are left out: a knee seen bent the wrong way must not spin the thigh.
    """
    carried = turn @ at_rest
    flat = carried - np.sum(carried * axis, axis=-1, keepdims=True) * axis
    reach = observed - np.sum(observed * axis, axis=-1, keepdims=True) * axis
    angle = np.arctan2(np.sum(axis * np.cross(flat, reach), axis=-1), np.sum(flat * reach, axis=-1))
    known = np.isfinite(angle)
    sure = np.linalg.norm(flat, axis=-1) * np.linalg.norm(np.where(known[:, None], reach, 0), axis=-1)
    weight = np.where(known, (sure / _SURE_BEND) ** 4 * np.cos(angle / 2) ** 2, 0)
    target = np.exp(1j * np.where(known, angle, 0))
    around = _smooth(target, weight, (_WIDE_S * fps) ** 2)
    agrees = np.real(target * np.conj(around)) > 0
    return np.asarray(np.angle(_smooth(target, np.where(agrees, weight, 0), (_STIFFNESS_S * fps) ** 2)))


def _smooth(target: Array, weight: Array, stiff: float) -> Array:
    """The z (T,) of `_twist`, for unit complex numbers (T,) e^{iθ} with weights w and a stiffness k."""
    links = np.full(len(target), 2 * stiff)
    links[0] -= stiff
    links[-1] -= stiff
    return _tridiagonal(weight + _TO_REST + links, -stiff, weight * target + _TO_REST)


def _tridiagonal(diagonal: Array, beside: float, right: Array) -> Array:
    """Solve a symmetric system with a constant beside its diagonal (Thomas's algorithm)."""
    ratio, value = np.empty(len(right)), np.array(right)
    for i, entry in enumerate(diagonal):
        pivot = entry - (beside * ratio[i - 1] if i else 0)
        ratio[i] = beside / pivot
        value[i] = (right[i] - (beside * value[i - 1] if i else 0)) / pivot
    for i in range(len(right) - 2, -1, -1):
        value[i] -= ratio[i] * value[i + 1]
    return value


def _hub(
    p: Array,
    joint: int,
    before: Array,
    rest: RestPose,
    limbs: tuple[int, ...],
    pairs: dict[int, list[tuple[int, int]]],
    *,
    is_root: bool,
) -> tuple[Array, Array]:
    """Orientations (T, 3, 3) of a hub, and (T,) where they are known.

    The rotation that best turns the lines between its paired limbs, or without such pairs its limbs, from rest to where
    they are (in least squares). What these leave open, the parent's frame decides; for the root its limbs. Where all of
    them lie in one line, it is not known.
    """
    lines = [_line(p, rest.directions, pair) for pair in pairs.get(joint, [])]
    rays = [(rest.directions[limb], unit(p[:, limb] - p[:, joint])) for limb in limbs]
    deciding = lines or rays
    known = np.asarray(np.isfinite(np.concatenate([seen for _, seen in deciding], axis=-1)).all(axis=-1))
    weak = rays if is_root and lines else [(axis, before @ axis) for axis in np.eye(3)]
    covariance = np.zeros((len(p), 3, 3))
    for weight, vectors in ((1.0, deciding), (_OPEN, weak)):
        for at_rest, seen in vectors:
            covariance += weight * np.nan_to_num(seen)[:, :, None] * at_rest
    known &= np.linalg.svd(covariance, compute_uv=False)[:, 1] > _COLLINEAR
    covariance[~known] = np.eye(3)
    return nearest_rotation(covariance), known
