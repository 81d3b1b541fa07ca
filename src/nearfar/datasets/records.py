"""Lists of JSON objects as columns of numbers and text."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from reprlib import repr as short
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError

__all__ = ["LONGEST_TEXT", "Records"]

Array = npt.NDArray[Any]

LONGEST_TEXT = 200
"""An array of text takes as much memory for each row as the longest needs."""


class Records:
    """JSON objects of one kind, read field by field; an error says which object and field it was.

    Attributes:
        objects: the objects.
        where: what error messages call object i.
    """

    def __init__(self, objects: Any, what: str, where: Callable[[int], str]) -> None:
        if not isinstance(objects, list):
            raise InputError(f"{what}: expected a list, got {short(objects)}")
        self.objects, self.where = objects, where
        for i, entry in enumerate(objects):
            if type(entry) is not dict:
                raise InputError(f"{where(i)}: expected an object, got {short(entry)}")

    def refuse(self, i: int, name: str, expected: str, got: Any) -> NoReturn:
        """Raise an error that names the object, the field, what was expected of it and what it is."""
        raise InputError(f"{self.where(i)}: {name}: expected {expected}, got {short(got)}")

    def column(self, name: str) -> list[Any]:
        """The field of each object."""
        try:
            return [entry[name] for entry in self.objects]
        except KeyError:
            i = next(i for i, entry in enumerate(self.objects) if name not in entry)
            raise InputError(f"{self.where(i)}: no {name!r}; it has {short(sorted(self.objects[i]))}") from None

    def texts(self, name: str) -> list[str]:
        """The field of each object, text."""
        values = self.column(name)
        for i, value in enumerate(values):
            if type(value) is not str or len(value) > LONGEST_TEXT:
                self.refuse(i, name, f"text of up to {LONGEST_TEXT} characters", value)
        return values

    def numbers(self, name: str, length: int | None = None) -> Array:
        """The field of each object, a finite number or a list of `length` of them: (M,) or (M, length) float64."""
        values = self.column(name)
        count = 1
        if length is not None:
            count = length
            for i, value in enumerate(values):
                if type(value) is not list or len(value) != length:
                    self.refuse(i, name, f"a list of {length} numbers", value)
            values = list(chain.from_iterable(values))
        if not set(map(type, values)) <= {int, float, bool}:
            k = next(k for k, value in enumerate(values) if type(value) not in (int, float, bool))
            self.refuse(k // count, name, "numbers", values[k])
        try:
            array = np.array(values, dtype=np.float64)
        except OverflowError:
            raise InputError(f"{self.where(0)} or later: {name}: a number too large") from None
        if not np.isfinite(array).all():
            k = int(np.flatnonzero(~np.isfinite(array))[0])
            self.refuse(k // count, name, "finite numbers", values[k])
        return array if length is None else array.reshape(-1, length)

    def whole(self, name: str, most: int, length: int | None = None) -> Array:
        """The field of each object, a whole number from 0 to `most` or a list of them, as int64."""
        array = self.numbers(name, length)
        if (bad := (array != np.round(array)) | (array < 0) | (array > most)).any():
            i = int(np.argwhere(bad)[0, 0])
            self.refuse(i, name, f"whole numbers from 0 to {most}", self.objects[i][name])
        return array.astype(np.int64)
