"""Checks that readers of several data sets share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nearfar.datasets.progress import progress
from nearfar.errors import InputError

__all__ = ["DEFLATE_RATIO", "MOST_COORDINATE", "check_array", "complaints", "coordinates"]

MOST_COORDINATE = 1e6
"""Nothing seen by a camera is a kilometre away, and no image has a million pixels a side."""

DEFLATE_RATIO = 1040
"""What is compressed with deflate and claims to be so many times larger is not believed: it packs 1032 to 1 at most."""

_KINDS = {"f": "fractions", "iu": "whole numbers", "fiu": "numbers", "U": "text", "b": "true or false"}


_Item = TypeVar("_Item")


def complaints(items: Iterable[_Item], read: Callable[[_Item], object], what: str) -> list[str]:
    """What reading each of the items complains of (`InputError`), with a bar that says what is done."""
    found = []
    for item in progress(items, what):
        try:
            read(item)
        except InputError as error:
            found.append(str(error))
    return found


def check_array(array: npt.NDArray[Any], where: str, kinds: str, shape: tuple[int | None, ...]) -> None:
    """Check the type and shape of an array of a file.

    Args:
        array: the array.
        where: what error messages call it.
        kinds: numpy's letters of the kinds of types expected, such as "fiu" for numbers.
        shape: the shape expected; None for any size.

    Raises:
        InputError: it is of another kind or shape.
    """
    if array.dtype.kind not in kinds:
        raise InputError(f"{where}: expected {_KINDS.get(kinds, kinds)}, got {array.dtype}")
    if array.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
        wanted = str(shape).replace("None", "N")
        raise InputError(f"{where}: expected shape {wanted}, got {array.shape}")


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
