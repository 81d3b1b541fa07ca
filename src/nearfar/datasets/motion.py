"""What the motion formats have in common: long runs of numbers, rotations about axes, z up."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

__all__ = ["AXES", "MOST_NUMBER", "Axis", "euler_to_rotmat", "parse_numbers", "to_z_up"]

Array = npt.NDArray[Any]
Axis = Literal["x", "y", "z", "-x", "-y", "-z"]

AXES = get_args(Axis)
"""The directions that can be up in a file."""
MOST_NUMBER = 1e12
"""No length, angle or position is larger in any unit; sums and products of what is smaller do not overflow."""

# For each direction that is up in a file: the file's axes that become x, y, z, with their signs. All are rotations.
_Z_UP: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "x": ((1, 2, 0), (1, 1, 1)),
    "y": ((0, 2, 1), (1, -1, 1)),
    "z": ((0, 1, 2), (1, 1, 1)),
    "-x": ((2, 1, 0), (1, 1, -1)),
    "-y": ((0, 2, 1), (1, 1, -1)),
    "-z": ((0, 1, 2), (1, -1, -1)),
}


def to_z_up(points: npt.ArrayLike, up: Axis) -> Array:
    """Points (..., 3) whose axis `up` points upwards, turned so that z does; handedness is kept.

    With y up, (x, y, z) becomes (x, -z, y).
    """
    order, sign = _Z_UP[up]
    return np.asarray(np.asarray(points)[..., list(order)] * np.array(sign))


def euler_to_rotmat(axes: str, degrees: npt.ArrayLike) -> Array:
    """Rotation matrices R_1 R_2 … R_n from angles about coordinate axes, the first outermost.

    So the axes are those of the moving frame, in order ("intrinsic"); read from the last to the first they are fixed
    axes ("extrinsic").

    Args:
        axes: n letters of "xyz".
        degrees: (..., n).

    Returns:
        (..., 3, 3); the identity for no axes.
    """
    angles = np.deg2rad(np.asarray(degrees, dtype=np.float64))
    out = np.broadcast_to(np.eye(3), (*angles.shape[:-1], 3, 3))
    for i, axis in enumerate(axes):
        cos, sin = np.cos(angles[..., i]), np.sin(angles[..., i])
        a = "xyz".index(axis)
        b, c = (a + 1) % 3, (a + 2) % 3
        turn = np.zeros((*cos.shape, 3, 3))
        turn[..., a, a] = 1
        turn[..., b, b] = turn[..., c, c] = cos
        turn[..., c, b], turn[..., b, c] = sin, -sin
        out = turn if i == 0 else out @ turn
    return out


def parse_numbers(text: str | Sequence[str]) -> Array | None:
    """Numbers between white space as float64, or None where something is no number or one beyond `MOST_NUMBER`.

    An order of magnitude faster and smaller than ``[float(word) for word in text.split()]``.
    """
    joined = (text if isinstance(text, str) else " ".join(text)).strip()
    if not joined:
        return np.zeros(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # what numpy before 2.3 says of unmatched data
            values = np.fromstring(joined, dtype=np.float64, sep=" ")
    except (ValueError, DeprecationWarning):
        return None
    return values if (np.abs(values) <= MOST_NUMBER).all() else None  # not so for NaN
