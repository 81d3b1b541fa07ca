"""How a body meets the floor: legs that reach their places, balance, contact, and the path that follows from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.synthetic.body import (
    COLUMNS,
    FULL,
    LIMITS,
    SIDES,
    Bodies,
    clamp,
    forward_kinematics,
    pelvis_rotation,
    rotation,
)

__all__ = ["CLEARANCE", "place_in_world", "plant_legs"]

Array = npt.NDArray[Any]

# Half thickness of the body about each joint, mm: how low it can lie on the floor. The ankle's is the least that a
# flat foot of the smallest person has.
_THICKNESS = {
    "head_top": 80, "chin": 60, "neck": 60, "shoulder": 60, "elbow": 40, "wrist": 30, "mid_spine": 80, "mid_hip": 85,
    "hip": 85, "knee": 55, "ankle": 40, "foot_tip": 25,
}  # fmt: skip
CLEARANCE = np.array([_THICKNESS[name.removeprefix("left_").removeprefix("right_")] for name in FULL.joints], float)
"""(19,) mm above the floor that each joint of human19 keeps."""

# Mass fractions of Winter (2009), lumped at joints: the head at the chin, the trunk at its two ends and middle, ...
_UPPER_MASS = {
    "chin": 0.081, "neck": 0.17, "mid_spine": 0.187, "mid_hip": 0.14, "left_shoulder": 0.014, "right_shoulder": 0.014,
    "left_elbow": 0.022, "right_elbow": 0.022, "left_wrist": 0.014, "right_wrist": 0.014,
}  # fmt: skip
_LEGS_FOLLOW = 0.6
"""Where the legs' centre of mass lies between the feet and the pelvis."""

_CONTACT_SOFTNESS = 15.0  # mm
_PATH_SOFTNESS = 0.12  # seconds: a body's inertia, while contact goes from one foot to the other


def plant_legs(pose: Array, body: Bodies) -> Array:
    """Poses (N, D) whose planted legs stand on their places.

    The pelvis is put where the centre of mass is over the point between the feet (as far as `balance` says), then each
    leg is solved as two bones, its plane given by the hip's rotation. Angles are blended with the given ones by
    `planted`, and stay within the joint limits.
    """
    out = clamp(pose)
    column = {name: out[:, COLUMNS[name]] for name in COLUMNS}
    pelvis = pelvis_rotation(out)
    leg = body.leg[:, None]
    joints = forward_kinematics(out, body)
    upper = np.array([FULL.index(name) for name in _UPPER_MASS])
    mass = np.array(list(_UPPER_MASS.values()))
    # Where the trunk's centre of mass is over the pelvis, less than itself because the legs follow the pelvis.
    centre = (joints[:, upper, :2] * mass[:, None]).sum(axis=1) / (mass.sum() + (1 - mass.sum()) * _LEGS_FOLLOW)
    sway = np.concatenate([column["sway_forward"], column["sway_side"]], axis=1) * leg
    root = np.concatenate([sway - column["balance"] * centre, column["pelvis_height"] * leg], axis=1)

    side = np.stack([np.ones(2), SIDES, np.ones(2)], axis=-1)
    hip = root[:, None] + pelvis[:, None, :, 1] * (SIDES * body.hip_half[:, None])[..., None]
    ankle = np.stack(
        [column["foot_forward"] * leg, SIDES * column["foot_out"] * leg, np.zeros_like(column["planted"])], axis=-1
    )
    target = side * ((ankle - hip) @ pelvis)  # hip to ankle in the pelvis, mirrored to a left leg
    solved = _solve_leg(target, column["hip_rotation"], body)
    for name, angle in zip(("hip_flexion", "hip_abduction", "knee_flexion"), solved, strict=True):
        out[:, COLUMNS[name]] += column["planted"] * (angle - column[name])
    return clamp(out)


def _solve_leg(target: Array, hip_rotation: Array, body: Bodies) -> tuple[Array, Array, Array]:
    """Hip flexion, hip abduction and knee flexion (degrees) that bring a left ankle to (..., 3) in the pelvis."""
    thigh, shank = body.thigh[:, None], body.shank[:, None]
    knee_limit = np.deg2rad(LIMITS[1, COLUMNS["knee_flexion"].start])
    nearest = np.sqrt(thigh**2 + shank**2 + 2 * thigh * shank * np.cos(knee_limit))
    distance = np.clip(np.linalg.norm(target, axis=-1), nearest, 0.9995 * (thigh + shank))
    knee = np.arccos(np.clip((distance**2 - thigh**2 - shank**2) / (2 * thigh * shank), -1, 1))
    # The ankle seen from the unrotated thigh, then turned about the thigh by the hip's rotation.
    back, down = -shank * np.sin(knee), -thigh - shank * np.cos(knee)
    turn = np.deg2rad(-hip_rotation)
    x, y = back * np.cos(turn), back * np.sin(turn)
    v = target / np.maximum(np.linalg.norm(target, axis=-1, keepdims=True), 1e-9) * distance[..., None]
    radius = np.hypot(y, down)
    abduction = -np.arccos(np.clip(v[..., 1] / radius, -1, 1)) - np.arctan2(down, y)
    abduction = np.arctan2(np.sin(abduction), np.cos(abduction))
    z = y * np.sin(abduction) + down * np.cos(abduction)
    flexion = np.arctan2(x, z) - np.arctan2(v[..., 0], v[..., 2])
    flexion = np.arctan2(np.sin(flexion), np.cos(flexion))
    return np.rad2deg(flexion), np.rad2deg(abduction), np.rad2deg(knee)


def place_in_world(joints: Array, lift: Array, heading: Array, starts: Array, reach: Array, fps: float) -> Array:
    """Joints (N, 19, 3) from the pelvis to the world: z up, the floor at 0, each clip about the origin.

    The lowest joint touches the floor, `lift` above it in flight. The body moves over the ground such that what
    touches it stays where it is, with some inertia; the path of a clip is then drawn together into a disc.

    Args:
        joints: (N, 19, 3) mm, heading along x.
        lift: (N,) mm of free flight.
        heading: (N,) degrees.
        starts: (C + 1,) first row of each clip, and the number of rows.
        reach: (C,) mm, radius of the disc that the clip's path is drawn into.
        fps: frames a second.
    """
    out = joints @ np.swapaxes(rotation(2, heading), -1, -2)
    height = out[..., 2] - CLEARANCE
    lowest = height.min(axis=1, keepdims=True)
    touch = np.exp((lowest - height) / _CONTACT_SOFTNESS)
    weight = touch[1:] * touch[:-1]
    step = np.zeros((len(out), 2))
    step[1:] = -(weight[..., None] * (out[1:, :, :2] - out[:-1, :, :2])).sum(axis=1) / weight.sum(axis=1)[:, None]
    step[starts[:-1]] = 0  # nobody steps from one clip to the next
    half = int(np.ceil(3 * _PATH_SOFTNESS * fps))
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / (_PATH_SOFTNESS * fps)) ** 2)
    padded = np.pad(step, ((half, half), (0, 0)))
    path = np.stack([np.cumsum(np.convolve(axis, kernel / kernel.sum(), mode="valid")) for axis in padded.T], axis=-1)
    lengths = np.diff(starts)
    clip = np.repeat(np.arange(len(lengths)), lengths)
    path -= (np.add.reduceat(path, starts[:-1], axis=0) / lengths[:, None])[clip]
    distance = np.maximum(np.linalg.norm(path, axis=1), 1e-9)
    path *= (reach[clip] * np.tanh(distance / reach[clip]) / distance)[:, None]
    out[..., :2] += path[:, None]
    out[..., 2] += lift[:, None] - lowest
    return out
