"""Matlab's MAT-files of version 5, read without trusting what they declare.

Sizes that a file declares are held against the bytes that it has before anything is allocated. The layout is described
in MathWorks' "MAT-File Format"; cells and structs may be nested, and everything may be compressed. Files of version 7.3
are HDF5: `nearfar.datasets.hdf5` reads those.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.datasets.checks import DEFLATE_RATIO
from nearfar.errors import InputError
from nearfar.files import read_bytes

__all__ = ["cells", "field", "load_mat", "structs"]

Array = npt.NDArray[Any]

_STORAGE = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Types of data elements: how numbers lie in the file."""

_NUMERIC = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""Classes of arrays: what Matlab calls the numbers, which it may store more narrowly."""

_TEXT = {1: "latin1", 2: "latin1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
_MOST_DEPTH = 32
_TAGS = {order: struct.Struct(order + "II").unpack_from for order in "<>"}


def load_mat(path: str | Path, names: Collection[str]) -> dict[str, Any]:
    """Read variables of a MAT-file of version 5 (Matlab's ``-v6`` and ``-v7``); others are passed over.

    Numbers become arrays of Matlab's shape, text becomes str, cells arrays of objects, and structs arrays of dicts.

    Args:
        path: the file.
        names: the variables wanted.

    Returns:
        The variables by name; those that the file does not have are left out.

    Raises:
        InputError: no such file, not a MAT-file of version 5, or a damaged one.
    """
    data = memoryview(read_bytes(path))
    if bytes(data[:14]) == b"MATLAB 7.3 MAT":
        raise InputError(f"{path}: a Matlab 7.3 file (HDF5), expected one of version 5")
    order = {b"IM": "<", b"MI": ">"}.get(bytes(data[126:128]))
    if order is None:
        raise InputError(f"{path}: not a Matlab file of version 5")
    reader = _Reader(data[128:], order)
    out: dict[str, Any] = {}
    try:
        while not reader.at_end:
            kind, content = reader.element()
            if kind == _COMPRESSED:
                kind, content = _unpacked(content, order, names)
            if kind == _MATRIX and len(content) and (name := _Matrix(content, order).name) in names:
                out[name] = _Matrix(content, order).value(1)
    except InputError as error:
        raise InputError(f"{path}: damaged Matlab file: {error}") from None
    except (struct.error, zlib.error, ValueError, OverflowError) as error:
        raise InputError(f"{path}: damaged Matlab file ({error})") from None
    return out


def _unpacked(content: memoryview, order: str, names: Collection[str]) -> tuple[int, memoryview]:
    """Type and bytes of a compressed element; nothing where it is not one of the wanted variables."""
    begin = zlib.decompressobj().decompress(content, 512)  # enough for the name, so that others need not be unpacked
    kind, size = struct.unpack(order + "II", begin[:8])
    if kind != _MATRIX or _Matrix(memoryview(begin)[8:], order).name not in names:
        return kind, memoryview(b"")
    if size > DEFLATE_RATIO * len(content):
        raise InputError(f"a compressed variable claims {size} bytes, too much for its {len(content)}")
    unpacked = memoryview(zlib.decompressobj().decompress(content, 8 + size))[8:]
    if len(unpacked) < size:
        raise InputError(f"a compressed variable ends after {len(unpacked)} of its {size} bytes")
    return kind, unpacked


class _Reader:
    """Data elements one after the other: a type, a number of bytes, and the bytes."""

    def __init__(self, data: memoryview, order: str) -> None:
        self.data, self.order, self.at = data, order, 0

    @property
    def at_end(self) -> bool:
        return self.at + 8 > len(self.data)

    @property
    def left(self) -> int:
        """Number of bytes not read yet."""
        return len(self.data) - self.at

    def element(self) -> tuple[int, memoryview]:
        """Type and bytes of the next element."""
        start = self.at + 8
        kind, size = _TAGS[self.order](self.data, self.at)
        if kind >> 16:  # a small element: type and size share four bytes, and the data are the next four
            kind, size, start = kind & 0xFFFF, kind >> 16, self.at + 4
            if size > 4:
                raise InputError(f"a small element of {size} bytes")
            padded = 4
        else:
            padded = size if kind == _COMPRESSED else -(-size // 8) * 8
        if start + size > len(self.data):
            raise InputError(f"an element claims {size} bytes, but only {len(self.data) - start} are left")
        self.at = min(start + padded, len(self.data))
        return kind, self.data[start : start + size]

    def whole(self, code: str) -> tuple[int, ...]:
        """The next element as 32-bit whole numbers, "i" signed or "I" not."""
        kind, content = self.element()
        if kind != {"i": 5, "I": 6}[code] or len(content) % 4:
            raise InputError(f"element type {kind}, expected 32-bit whole numbers")
        return struct.unpack(f"{self.order}{len(content) // 4}{code}", content)

    def numbers(self) -> Array:
        """The next element as numbers."""
        kind, content = self.element()
        if kind not in _STORAGE:
            raise InputError(f"element type {kind}, expected numbers")
        return np.frombuffer(content, self.order + _STORAGE[kind])

    def text(self) -> bytes:
        """The next element as bytes of text."""
        return bytes(self.element()[1])


class _Matrix:
    """One array: its class, shape and name, and then its content."""

    def __init__(self, content: memoryview, order: str) -> None:
        self.reader, self.order = _Reader(content, order), order
        flags, self.shape = self.reader.whole("I"), self.reader.whole("i")
        if len(flags) != 2 or not 2 <= len(self.shape) <= 16 or min(self.shape) < 0:
            raise InputError("damaged array header")
        self.kind = flags[0] & 0xFF
        self.complex = bool(flags[0] & 0x0800)
        self.name = self.reader.text().decode("latin1")

    def value(self, depth: int) -> Any:
        """The content: an array of numbers, of cells or of structs (dicts), or text."""
        if depth > _MOST_DEPTH:
            raise InputError(f"arrays nested more than {_MOST_DEPTH} deep")
        count = math.prod(self.shape)
        if self.kind in _NUMERIC and not self.complex:
            stored = self.reader.numbers()
            if len(stored) != count:
                raise InputError(f"array {self.name!r} of shape {self.shape} has {len(stored)} numbers")
            return stored.astype(_NUMERIC[self.kind]).reshape(self.shape, order="F")
        if self.kind == _CHAR:
            return self._text()
        if self.kind == _CELL:
            self._check(count)
            return _objects((self._nested(depth) for _ in range(count)), count, self.shape)
        if self.kind == _STRUCT:
            fields = self._fields()
            self._check(count * len(fields) if fields else 64 * count)
            structs = ({field: self._nested(depth) for field in fields} for _ in range(count))
            return _objects(structs, count, self.shape)
        raise InputError(f"array {self.name!r} is of Matlab class {self.kind}, which is not read")

    def _check(self, elements: int) -> None:
        """Each element needs eight bytes at least."""
        if 8 * elements > self.reader.left + 512:
            raise InputError(f"array {self.name!r} of shape {self.shape} has only {self.reader.left} bytes")

    def _nested(self, depth: int) -> Any:
        kind, content = self.reader.element()
        if kind != _MATRIX:
            raise InputError(f"element type {kind}, expected an array")
        return _Matrix(content, self.order).value(depth + 1) if len(content) else np.zeros((0, 0))

    def _fields(self) -> list[str]:
        width, text = self.reader.whole("i"), self.reader.text()
        if len(width) != 1 or not 0 < width[0] <= 1024:
            raise InputError("damaged struct header")
        step = width[0]
        return [text[i : i + step].split(b"\0")[0].decode("latin1") for i in range(0, len(text), step)]

    def _text(self) -> str:
        kind, content = self.reader.element()
        if kind not in _TEXT:
            raise InputError(f"element type {kind}, expected text")
        wide = {"<": "-le", ">": "-be"}[self.order] if kind in (4, 17, 18) else ""
        return bytes(content).decode(_TEXT[kind] + wide)


def _objects(values: Iterator[Any], count: int, shape: tuple[int, ...]) -> Array:
    out = np.empty(count, dtype=object)
    for i, value in enumerate(values):
        out[i] = value
    return out.reshape(shape, order="F")


def cells(value: Any, where: str) -> list[Any]:
    """The cells of a cell array, in Matlab's order.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, np.ndarray) or value.dtype != object:
        raise InputError(f"{where}: expected cells or structs")
    return list(value.ravel(order="F"))


def structs(value: Any, where: str) -> list[dict[str, Any]]:
    """The structs of a struct array, in Matlab's order; none for Matlab's empty array ``[]``.

    Raises:
        InputError: it is something else.
    """
    if isinstance(value, np.ndarray) and not value.size:
        return []
    found = cells(value, where)
    if not all(isinstance(entry, dict) for entry in found):
        raise InputError(f"{where}: expected structs")
    return found


def field(value: Mapping[str, Any], name: str, where: str) -> Any:
    """A field of a struct.

    Raises:
        InputError: the struct has no such field.
    """
    if name not in value:
        raise InputError(f"{where}: no field {name!r}; its fields are {sorted(value)}")
    return value[name]
