"""Checks that readers of several data sets share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError

__all__ = ["MOST_COORDINATE", "coordinates"]

MOST_COORDINATE = 1e6
"""Nothing seen by a camera is a kilometre away, and no image has a million pixels a side."""


def coordinates(values: npt.ArrayLike, where: str) -> npt.NDArray[np.float32]:
    """Positions in mm or pixels as float32; NaN, for what is missing, stays.

    Raises:
        InputError: not numbers, infinite, or beyond `MOST_COORDINATE`.
    """
    array: npt.NDArray[Any] = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{where}: expected numbers, got {array.dtype}")
    if (bad := np.abs(array) > MOST_COORDINATE).any():
        index = tuple(np.argwhere(bad)[0].tolist())
        raise InputError(f"{where}: {array[index]:g} at {list(index)} is no position in mm or pixels")
    return array.astype(np.float32)
