"""Joint angles from joint positions, in clinical terms, degrees; definitions, signs and limits: docs/angles.md.

A segment's frame has the axes x forward, y up, z to the person's right as its columns, for both sides of the body. In
it the limb that hangs down along -y is turned by

    R = Rz(flexion) Rx(adduction) Ry(internal rotation)

which is the joint coordinate system of Grood & Suntay (J. Biomechanical Engineering 105, 1983) that ISB recommends
(Wu et al., J. Biomechanics 35, 2002): flexion about the segment's own z axis, rotation about the limb's own y axis,
adduction about the axis at right angles to both. On the left it is mirrored, so that signs have one clinical meaning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.angles.definitions import Ball, Foot, Grounded, Hinge, Line, Point, Segment, Stacked, angle_definitions
from nearfar.errors import InputError
from nearfar.skeleton import Skeleton

__all__ = ["LEAST_BEND", "POLE", "joint_angles", "segment_frames", "z_x_y"]

FloatArray = npt.NDArray[np.floating[Any]]

LEAST_BEND = 20.0
"""Degrees that the next limb must bend for the plane of both to say how a limb is turned about itself."""
POLE = 10.0
"""Degrees around the axis of a rotation within which a limb does not say how far it is turned about it."""


def joint_angles(
    joints: npt.ArrayLike,
    skeleton: Skeleton,
    *,
    up: npt.ArrayLike | None = None,
    forward: npt.ArrayLike | None = None,
) -> dict[str, FloatArray]:
    """Joint angles by name (``left_knee_flexion``), as many as the skeleton has joints for.

    NaN where a joint is missing, and where the position of joints does not determine the angle: rotation of a limb
    whose next limb is straighter than `LEAST_BEND`; flexion and rotation of a limb within `POLE` of the axis that
    flexion is measured about; and the plane of an elevation within `POLE` of hanging or pointing straight up.

    Args:
        joints: (..., J, 3) in any unit and any right-handed axes.
        skeleton: of the J joints.
        up: (3,) or (..., 3), upwards in the axes of the joints; without it there are no angles against the ground.
        forward: (3,) or (..., 3), the direction that rotation against the ground is measured from (the horizontal part
            of it); without it that rotation is NaN.

    Returns:
        Angle -> (...) degrees, in the order of ``angle_definitions(skeleton).names``.

    Raises:
        InputError: the skeleton has none of the angles, or the joints are not (..., J, 3).
    """
    p = _checked(joints, skeleton)
    defined = angle_definitions(skeleton)
    if not defined.parts:
        name, reason = next(iter(defined.undefined.items()))
        raise InputError(f"skeleton {skeleton.name!r} has no joint angles; {name}, for one, {reason}")
    frames = {name: _frame(p, segment) for name, segment in defined.segments.items()}
    found: dict[str, FloatArray] = {}
    for part in defined.parts:
        match part:
            case Grounded() if up is not None:
                found |= _named(part.names, _on_ground(frames[part.segment], up, forward))
            case Stacked():
                found |= _named(part.names, _stacked(frames[part.lower], frames[part.upper]))
            case Ball():
                found |= _named(part.names, _ball(p, part, frames[part.segment]))
            case Hinge():
                first, middle, last = (_point(p, point) for point in part.points)
                found[part.name] = 180.0 - _angle_between(first - middle, last - middle)
            case Foot():
                found[part.name] = 90.0 - _angle_between(-_vector(p, part.shank), _vector(p, part.foot))
    return found


def segment_frames(joints: npt.ArrayLike, skeleton: Skeleton) -> dict[str, FloatArray]:
    """Axes of the segments ("pelvis", "thorax") that the skeleton has joints for.

    Args:
        joints: (..., J, 3).
        skeleton: of the J joints.

    Returns:
        Segment -> (..., 3, 3), its x (forward), y (up) and z (to the person's right) axes as columns; NaN where a joint
        is missing, or those of a segment lie on a line.

    Raises:
        InputError: the joints are not (..., J, 3).
    """
    p = _checked(joints, skeleton)
    return {name: _frame(p, segment) for name, segment in angle_definitions(skeleton).segments.items()}


def _checked(joints: npt.ArrayLike, skeleton: Skeleton) -> FloatArray:
    p = np.asarray(joints, dtype=np.float64)
    if p.ndim < 2 or p.shape[-2:] != (skeleton.num_joints, 3):
        shape = f"(..., {skeleton.num_joints}, 3)"
        raise InputError(f"joint angles: expected {shape} joints of skeleton {skeleton.name!r}, got {p.shape}")
    return p


def _named(names: Any, values: dict[str, FloatArray]) -> dict[str, FloatArray]:
    return {name: values[which] for which, name in names.items()}


def _point(p: FloatArray, point: Point) -> FloatArray:
    return np.asarray(p[..., list(point), :].mean(axis=-2))


def _vector(p: FloatArray, line: Line) -> FloatArray:
    return np.asarray(_point(p, line[1]) - _point(p, line[0]))


def _unit(vector: FloatArray) -> FloatArray:
    """Vectors (..., 3) of length one, NaN where they have none."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(length > 0, vector / length, np.nan))


def _dot(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(np.sum(a * b, axis=-1))


def _angle_between(a: FloatArray, b: FloatArray) -> FloatArray:
    """Degrees 0..180 between vectors (..., 3); accurate where they are nearly one line. NaN where one has no length."""
    a, b = _unit(a), _unit(b)
    return _degrees(np.linalg.norm(np.cross(a, b), axis=-1), _dot(a, b))


def _degrees(sine: FloatArray, cosine: FloatArray) -> FloatArray:
    return np.asarray(np.rad2deg(np.arctan2(sine, cosine)))


def _arcsine(sine: FloatArray) -> FloatArray:
    return np.asarray(np.rad2deg(np.arcsin(np.clip(sine, -1, 1))))


def _frame(p: FloatArray, segment: Segment) -> FloatArray:
    y, z = _unit(_vector(p, segment.up)), _unit(_vector(p, segment.right))
    if segment.upright:
        z = _across(z, y)
    else:
        y = _across(y, z)
    return np.stack([np.cross(y, z), y, z], axis=-1)


def _across(vector: FloatArray, axis: FloatArray) -> FloatArray:
    """The direction of what is left of unit vectors at right angles to an axis; NaN within a degree of it."""
    rest = vector - _dot(vector, axis)[..., None] * axis
    return _unit(np.where(np.linalg.norm(rest, axis=-1, keepdims=True) > 0.02, rest, np.nan))


def _in(frame: FloatArray, vector: FloatArray) -> FloatArray:
    """Vectors (..., 3) in the axes of frames (..., 3, 3)."""
    return np.asarray(np.einsum("...ji,...j->...i", frame, vector))


def _on_ground(frame: FloatArray, up: npt.ArrayLike, forward: npt.ArrayLike | None) -> dict[str, FloatArray]:
    """Tilt (forward), obliquity (right side up) and rotation (right side forward) of a segment (Baker 2001).

    With the ground's axes x along `forward`, y up, z to the right: R = Ry(rotation) Rx(-obliquity) Rz(-tilt).
    """
    up = np.broadcast_to(_unit(np.asarray(up, dtype=np.float64)), frame.shape[:-1])
    x, y, z = np.moveaxis(frame, -1, 0)
    own = _unit(np.cross(up, z))  # the segment's own way forward: obliquity and tilt do not depend on another
    obliquity = _arcsine(_dot(z, up))
    tilt = _degrees(_dot(y, own), _dot(x, own))
    rotation = np.full(tilt.shape, np.nan)
    if forward is not None:
        there = np.asarray(forward, dtype=np.float64)
        ahead = _unit(there - _dot(there, up)[..., None] * up)
        rotation = _degrees(_dot(z, ahead), _dot(z, np.cross(ahead, up)))
    upright = np.abs(obliquity) <= 90 - POLE
    return {
        "tilt": np.where(upright, tilt, np.nan),
        "obliquity": obliquity,
        "rotation": np.where(upright, rotation, np.nan),
    }


def _stacked(lower: FloatArray, upper: FloatArray) -> dict[str, FloatArray]:
    """Flexion (forward), lateral flexion (to the right) and rotation (right side forward) of a segment on another."""
    y, z = _in(lower, upper[..., 1]), _in(lower, upper[..., 2])
    extension, right, turn = z_x_y(y, z)
    return {"flexion": -extension, "lateral": right, "rotation": turn}


def z_x_y(y: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Degrees of R = Rz(a) Rx(b) Ry(c) from its columns y and z (..., 3); a and c are NaN where b is near 90 or -90."""
    a, b = np.arctan2(-y[..., 0], y[..., 1]), np.arcsin(np.clip(y[..., 2], -1, 1))
    # Rz(-a) z = (sin c, -sin b cos c, cos b cos c)
    sine = z[..., 0] * np.cos(a) + z[..., 1] * np.sin(a)
    cosine = z[..., 2] * np.cos(b) + (z[..., 0] * np.sin(a) - z[..., 1] * np.cos(a)) * np.sin(b)
    turn = np.where(np.abs(b) <= np.deg2rad(90 - POLE), 1.0, np.nan)
    return np.rad2deg(a) * turn, np.rad2deg(b), _degrees(sine, cosine) * turn


def _ball(p: FloatArray, part: Ball, frame: FloatArray) -> dict[str, FloatArray]:
    """Angles of a limb in a segment: see the module's text, and for elevation and its plane Wu et al. 2005."""
    limb, following = _vector(p, part.limb), _vector(p, part.next)
    # The axis that the next limb bends about, pointing to the person's right.
    hinge = _unit(np.cross(limb, following) * (1.0 if part.forward else -1.0))
    hinge = np.where((_angle_between(limb, following) < LEAST_BEND)[..., None], np.nan, hinge)
    y, z = -_in(frame, _unit(limb)), _in(frame, hinge)
    if part.left:  # the right limb of the person in the mirror; an axis keeps the sense of its rotation there
        y, z = y * [1, 1, -1], z * [-1, -1, 1]
    flexion, adduction, rotation = z_x_y(y, z)
    elevation = _angle_between(y, np.broadcast_to([0.0, 1.0, 0.0], y.shape))
    aside = np.where((elevation < POLE) | (elevation > 180 - POLE), np.nan, -y[..., 2])
    return {
        "flexion": np.where(flexion < -90, flexion + 360, flexion),  # -90..270: limbs go farther forward than back
        "adduction": adduction,
        "abduction": -adduction,
        "rotation": rotation,
        "elevation": elevation,
        "plane": _degrees(-y[..., 0], aside),
    }
