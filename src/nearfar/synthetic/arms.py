"""What arms do: a mixture of common positions, and anywhere within their range."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.synthetic.body import COLUMNS, LIMITS
from nearfar.synthetic.draw import spread

__all__ = ["ARM_DOFS", "gesture"]

Array = npt.NDArray[Any]

# Arms: mean and standard deviation of flexion, abduction, internal rotation, elbow flexion; and relative frequency.
_ARMS = {
    "hanging": ((5, 12), (10, 7), (25, 20), (18, 14), 4),
    "before the body": ((22, 15), (8, 10), (45, 20), (85, 25), 3),
    "on the hip": ((-15, 12), (42, 12), (45, 15), (95, 18), 1),
    "raised in front": ((120, 35), (15, 20), (0, 30), (40, 35), 1.5),
    "raised aside": ((10, 20), (110, 35), (-40, 30), (45, 40), 1.5),
    "overhead": ((140, 25), (35, 30), (-5, 30), (15, 15), 1.2),
    "held out": ((5, 25), (75, 22), (0, 30), (22, 25), 1.5),
    "on the chest": ((30, 20), (55, 22), (10, 20), (128, 15), 0.7),
    "at the head": ((55, 25), (45, 25), (-25, 30), (128, 15), 1.2),
    "behind": ((-32, 12), (15, 8), (60, 15), (50, 30), 1),
    "reaching": ((75, 25), (5, 20), (10, 30), (25, 22), 2),
    "across": ((60, 20), (-20, 12), (50, 20), (75, 35), 1),
}
ARM_DOFS = ("shoulder_flexion", "shoulder_abduction", "shoulder_rotation", "elbow_flexion")
_ARM_MEAN = np.array([[m for m, _ in row[:4]] for row in _ARMS.values()], float)
_ARM_SD = np.array([[s for _, s in row[:4]] for row in _ARMS.values()], float)
_ARM_SHARE = np.array([row[4] for row in _ARMS.values()], float)


def gesture(rng: np.random.Generator, pose: Array, *, alike: float = 0.4, stay: float = 0.6) -> None:
    """Draw both arms of (S, K, D) key poses, in place.

    Args:
        rng: source of randomness.
        pose: key poses.
        alike: share of performances whose arms do the same.
        stay: chance that an arm keeps its style from one key pose to the next.
    """
    s, k = pose.shape[:2]
    style = rng.choice(len(_ARMS), (s, k, 2), p=_ARM_SHARE / _ARM_SHARE.sum())
    for i in range(1, k):  # over key poses, of which there are few
        style[:, i] = np.where(rng.random((s, 2)) < stay, style[:, i - 1], style[:, i])
    style[..., 1] = np.where(rng.random((s, 1)) < alike, style[..., 0], style[..., 1])
    noise = spread(rng, (s, k, 8), 0, 1).reshape(s, k, 2, 4)
    drawn = _ARM_MEAN[style] + _ARM_SD[style] * noise
    # Raising an arm sideways turns it outwards (the greater tubercle must clear the acromion; Kapandji).
    drawn[..., 2] -= 0.3 * np.maximum(0, drawn[..., 1] - 70)
    wild = rng.random((s, 1, 2, 1)) < 0.12
    low, high = LIMITS[:, [COLUMNS[name].start for name in ARM_DOFS]]
    anywhere = rng.uniform(low, high, (s, k, 2, 4))
    straight = rng.random((s, 1, 2)) < 0.5
    anywhere[..., 3] = np.where(straight, np.abs(rng.normal(0, 15, (s, k, 2))), anywhere[..., 3])
    drawn = np.where(wild, anywhere, drawn)
    for i, name in enumerate(ARM_DOFS):
        pose[..., COLUMNS[name]] = drawn[..., i]
