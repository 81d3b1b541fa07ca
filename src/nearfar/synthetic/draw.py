"""Drawing key poses: the neutral one, and deviations that are partly the performer's habit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.synthetic.body import COLUMNS, LIMITS

__all__ = ["neutral", "put", "spread"]

Array = npt.NDArray[Any]

_NEUTRAL = {
    "shoulder_flexion": 3.0, "shoulder_abduction": 8.0, "shoulder_rotation": 25.0, "elbow_flexion": 15.0,
    "hip_rotation": -8.0, "planted": 1.0, "foot_out": 0.12, "pelvis_height": 0.98, "balance": 1.0, "pelvis_tilt": 3.0,
}  # fmt: skip


def neutral(performances: int, keys: int) -> Array:
    """(S, K, D) key poses of someone standing at ease."""
    pose = np.zeros((performances, keys, LIMITS.shape[1]))
    for name, value in _NEUTRAL.items():
        pose[..., COLUMNS[name]] = value
    return pose


def spread(rng: np.random.Generator, shape: tuple[int, ...], mean: Any, sd: Any, habit: float = 0.6) -> Array:
    """(S, K, ...) normal values, of whose variance `habit` belongs to the performance and the rest to each key."""
    own = rng.standard_normal((shape[0], 1, *shape[2:]))
    each = rng.standard_normal(shape)
    return np.asarray(mean + sd * (np.sqrt(habit) * own + np.sqrt(1 - habit) * each))


def put(rng: np.random.Generator, pose: Array, name: str, mean: Any, sd: float) -> None:
    """Draw one degree of freedom of (S, K, D) key poses, in place."""
    columns = pose[..., COLUMNS[name]]
    columns[...] = spread(rng, columns.shape, mean, sd)
