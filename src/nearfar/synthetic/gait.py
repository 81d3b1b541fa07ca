"""Walking and running: normative joint curves over the stride, varied in amplitude, speed and manner.

Curves are sampled every 10 % of the stride from initial contact: walking after Winter (1991) and Perry & Burnfield
(2010), running after Novacheck (1998). The hip's is the thigh against the vertical, so that whoever leans forward
still has the feet below.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.synthetic.arms import gesture
from nearfar.synthetic.body import COLUMNS, LIMITS
from nearfar.synthetic.draw import neutral, put, spread

__all__ = ["run_cycle", "run_keys", "walk_cycle", "walk_keys"]

Array = npt.NDArray[Any]

_WALK = {
    "hip_flexion": [20, 18, 8, -3, -13, -19, -9, 10, 22, 23],
    "knee_flexion": [5, 15, 12, 6, 5, 12, 40, 62, 48, 14],
    "ankle_dorsiflexion": [0, -5, 3, 7, 10, 2, -16, -5, 3, 2],
}
_RUN = {
    "hip_flexion": [28, 24, 10, -7, -18, -14, 6, 28, 40, 36],
    "knee_flexion": [18, 40, 40, 22, 20, 52, 88, 105, 80, 38],
    "ankle_dorsiflexion": [5, 20, 22, -5, -22, -12, -2, 2, 4, 5],
}

_RUNNING_SPEED = 3.0  # m/s, as it leans into bends


def _curve(samples: list[int], phase: Array) -> Array:
    """Trigonometric interpolation of one stride's samples at a phase (strides), four harmonics."""
    coefficients = np.fft.rfft(samples) / len(samples)
    angle = 2 * np.pi * phase
    out = np.full(phase.shape, coefficients[0].real)
    for k in range(1, 5):
        c = 2 * coefficients[k]
        out += c.real * np.cos(k * angle) - c.imag * np.sin(k * angle)
    return out


def walk_keys(rng: np.random.Generator, s: int, k: int) -> Array:
    """What walking adds its steps to: trunk, head, arms that swing or are busy, bends of the way."""
    pose = neutral(s, k)
    pose[..., COLUMNS["planted"]] = 0
    for name, mean, sd in (
        ("pelvis_tilt", 4, 5), ("lumbar_flexion", 2, 6), ("thorax_flexion", 3, 6), ("thorax_twist", 0, 4),
        ("neck_flexion", 3, 8), ("neck_twist", 0, 10), ("head_flexion", 2, 6), ("head_twist", 0, 10),
        ("shoulder_flexion", -2, 8), ("shoulder_abduction", 10, 6), ("shoulder_rotation", 25, 15),
        ("elbow_flexion", 18, 12), ("hip_abduction", 2, 3), ("hip_rotation", -6, 6), ("turn_rate", 0, 12),
    ):  # fmt: skip
        put(rng, pose, name, mean, sd)
    bends = rng.random((s, 1, 1)) < 0.4
    pose[..., COLUMNS["turn_rate"]] += np.where(bends, spread(rng, (s, k, 1), 0, 45, habit=0.3), 0)
    # Going stooped, with bent knees, now and then or all the way.
    stooped = np.where(rng.random((s, 1, 1)) < 0.15, np.clip(spread(rng, (s, k, 1), 0.4, 0.5), 0, 1), 0)
    for name, degrees in (("hip_flexion", 20), ("knee_flexion", 40), ("pelvis_tilt", 30), ("lumbar_flexion", 15)):
        pose[..., COLUMNS[name]] += degrees * stooped
    pose[..., COLUMNS["hip_flexion"]] += pose[..., COLUMNS["pelvis_tilt"]]
    busy = pose.copy()
    gesture(rng, busy)
    arms = slice(COLUMNS["shoulder_flexion"].start, COLUMNS["elbow_flexion"].stop)
    otherwise = rng.random((s, 1, 1)) < 0.3
    pose[..., arms] = np.where(otherwise, busy[..., arms], pose[..., arms])
    return pose


def walk_cycle(rng: np.random.Generator, s: int, owner: Array, since: Array) -> Array:
    """(R, D) steps: forward mostly, some backward, sideways or marching."""
    manner = rng.choice(4, s, p=[0.78, 0.07, 0.08, 0.07])  # forward, backward, sideways, marching
    stride = rng.uniform(0.6, 1.1, s) * np.where(manner == 1, -0.85, 1)
    size = rng.uniform([0.6, 0.85, 0.6], [1.35, 1.3, 1.2], (s, 3))  # knees must bend enough for the foot to clear
    size[:, :2] *= np.select([manner == 2, manner == 3], [0.4, 1.5], 1.0)[:, None]
    out, phase = _steps(rng, _WALK, owner, since, stride, size, arm=rng.uniform(5, 28, (s, 2)), elbow=8.0)
    side = np.where(manner == 2, rng.uniform(8, 16, s), 0)[owner, None]
    out[:, COLUMNS["hip_abduction"]] += side * np.cos(2 * np.pi * phase[:, :1])
    return out


def run_keys(rng: np.random.Generator, s: int, k: int) -> Array:
    """What running adds its steps to: the trunk leans, elbows are bent."""
    pose = walk_keys(rng, s, k)
    # Starts and stops lean the body; in bends it leans inwards, as the centripetal force asks.
    lean = spread(rng, (s, k, 1), 5, 8, habit=0.4)
    pose[..., COLUMNS["pelvis_tilt"]] += lean
    pose[..., COLUMNS["hip_flexion"]] += 0.7 * lean
    turn_rate = pose[..., COLUMNS["turn_rate"]]
    turn_rate *= 1.4
    pose[..., COLUMNS["pelvis_roll"]] -= np.rad2deg(np.arctan(_RUNNING_SPEED / 9.81 * np.deg2rad(turn_rate)))
    swinging = rng.random((s, 1, 1)) < 0.85
    runner = pose.copy()
    for name, mean, sd in (
        ("elbow_flexion", 88, 18), ("shoulder_flexion", -8, 10), ("shoulder_abduction", 14, 8),
        ("shoulder_rotation", 25, 14),
    ):  # fmt: skip
        put(rng, runner, name, mean, sd)
    return np.where(swinging, runner, pose)


def run_cycle(rng: np.random.Generator, s: int, owner: Array, since: Array) -> Array:
    """(R, D) running steps, from a jog to a sprint, with flight between them."""
    size = rng.uniform(0.55, 1.2, (s, 3))
    stride = rng.uniform(1.15, 1.65, s)
    out, phase = _steps(rng, _RUN, owner, since, stride, size, arm=rng.uniform(12, 40, (s, 2)), elbow=12.0)
    step = (2 * phase[:, 0]) % 1
    height = rng.uniform(0.03, 0.12, s)[owner]
    out[:, COLUMNS["lift"].start] = height * np.sin(np.pi * np.clip((step - 0.68) / 0.3, 0, 1))
    return out


def _steps(
    rng: np.random.Generator,
    curves: dict[str, list[int]],
    owner: Array,
    since: Array,
    stride: Array,
    size: Array,
    *,
    arm: Array,
    elbow: float,
) -> tuple[Array, Array]:
    """Leg curves and what swings with them.

    Args:
        rng: source of randomness.
        curves: ten samples of hip, knee and ankle over a stride.
        owner: (R,) performance of each row.
        since: (R,) seconds.
        stride: (S,) strides a second, negative for backward.
        size: (S, 3) of hip, knee and ankle excursions against the norm.
        arm: (S, 2) degrees by which each arm swings.
        elbow: degrees by which elbows bend along.

    Returns:
        (R, D) angles to add, (R, 2) phase of each leg in strides.
    """
    s = len(stride)
    phase = (rng.uniform(0, 1, s)[owner] + stride[owner] * since)[:, None] + [0, 0.5]
    out = np.zeros((len(owner), LIMITS.shape[1]))
    for i, (name, samples) in enumerate(curves.items()):
        centre = float(np.mean(samples))
        swing = _curve(samples, phase) - centre
        out[:, COLUMNS[name]] = centre + size[owner, i : i + 1] * swing
    opposite = np.cos(2 * np.pi * (phase[:, ::-1] + 0.05))  # an arm goes with the other side's leg
    out[:, COLUMNS["shoulder_flexion"]] = arm[owner] * opposite
    out[:, COLUMNS["elbow_flexion"]] = elbow * (arm / 20)[owner] * opposite
    left = np.cos(2 * np.pi * phase[:, :1])
    turn = rng.uniform(2, 9, (s, 1))[owner]
    out[:, COLUMNS["pelvis_turn"]] = -turn * left
    out[:, COLUMNS["thorax_twist"]] = rng.uniform(1, 2.2, (s, 1))[owner] * turn * left
    out[:, COLUMNS["neck_twist"]] = -0.7 * turn * left
    out[:, COLUMNS["pelvis_roll"]] = rng.uniform(0, 3, (s, 1))[owner] * np.sin(2 * np.pi * phase[:, :1])
    return out, phase
