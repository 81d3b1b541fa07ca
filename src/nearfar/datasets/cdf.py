"""One variable of a CDF file (NASA's Common Data Format), the form of the Human3.6M archive.

Read here rather than by cdflib, which believes every size and link that a file declares; in the tests cdflib writes the
files and checks what was read. Known are single files of CDF 2.6 to 3.9, r- and z-variables of floating numbers, plain
or gzip-compressed (each variable or the whole file), all IEEE encodings, both majorities. The records are laid out as
in the "CDF Internal Format Description" (NASA Space Physics Data Facility): big-endian, each with its size and type in
front; version 3 has 8-byte sizes and offsets where version 2 has 4-byte ones.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.files import read_bytes

__all__ = ["read_cdf"]

Array = npt.NDArray[Any]

MOST_BYTES = 1 << 28
"""The largest file, and the largest variable, that is read: fifty times Human3.6M's."""

_MAGIC = {0xCDF30001: 8, 0xCDF26002: 4}  # the first word, and the bytes of a size or offset
_PLAIN, _COMPRESSED = 0x0000FFFF, 0xCCCC0001
_CCR, _GDR, _R_VARIABLE, _VXR, _VVR, _Z_VARIABLE, _CVVR = 10, 2, 3, 6, 7, 8, 13
_REALS = {21: "f4", 22: "f8", 44: "f4", 45: "f8"}
_BIG, _LITTLE = (1, 2, 5, 7, 9, 11, 12, 18), (4, 6, 13, 16, 17)
_MOST_VARIABLES, _MOST_DIMENSIONS, _MOST_BLOCKS = 1024, 10, 1 << 16


class _DamagedError(Exception):
    """The bytes are not those of a CDF file."""


def read_cdf(path: str | Path, variable: str) -> Array:
    """Read one variable of floating numbers.

    Args:
        path: the ``.cdf`` file.
        variable: its name, as the file spells it.

    Returns:
        (records, ...) native float32 or float64.

    Raises:
        InputError: no such file, not a CDF file, damaged, no such variable, or one of another kind.
    """
    data = read_bytes(path, MOST_BYTES)
    try:
        return _File.of(data).variable(variable)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (_DamagedError, struct.error, zlib.error) as error:
        raise InputError(f"{path}: not a CDF file, or a damaged one ({error})") from None


@dataclass(frozen=True)
class _Variable:
    """What a file says of a variable: its number type, last record, first index record and dimensions."""

    name: str
    kind: int
    last_record: int
    index: int
    sparse: int
    dimensions: tuple[int, ...]
    varies: bool


@dataclass(frozen=True)
class _File:
    data: bytes
    word: int

    @classmethod
    def of(cls, data: bytes) -> _File:
        if len(data) < 8:
            raise _DamagedError("too short")
        magic, packing = struct.unpack(">II", data[:8])
        if magic not in _MAGIC or packing not in (_PLAIN, _COMPRESSED):
            raise _DamagedError("it does not begin as one of version 2.6 or later does")
        file = cls(data, _MAGIC[magic])
        return file if packing == _PLAIN else file.unpacked()

    def unpacked(self) -> _File:
        """The file inside a compressed file."""
        (size, _, _, length, _), at = self.record("W i W W i", 8, _CCR)
        whole = _inflate(self.data[at : max(at, 8 + size)], 8 + length)
        if len(whole) != length:
            raise _DamagedError(f"it unpacks to {len(whole)} bytes, and declares {length}")
        return _File(self.data[:8] + whole, self.word)

    def record(self, form: str, at: int, *kinds: int) -> tuple[tuple[Any, ...], int]:
        """The fields of the record at an offset (W: a size or offset), and where they end."""
        layout = struct.Struct(">" + form.replace("W", "q" if self.word == 8 else "i").replace(" ", ""))
        if not 0 < at <= len(self.data) - layout.size:
            raise _DamagedError(f"a record at byte {at} of {len(self.data)}")
        fields = layout.unpack_from(self.data, at)
        if kinds and fields[1] not in kinds:
            raise _DamagedError(f"a record of type {fields[1]} at byte {at}, expected one of {list(kinds)}")
        return fields, at + layout.size

    def numbers(self, form: str, count: int, at: int) -> list[int]:
        """Some numbers of one form (i: 4 bytes, W: a size or offset) at an offset."""
        return list(self.record(form * count, at)[0]) if count else []

    def variable(self, name: str) -> Array:
        (_, _, directory, _, _, encoding, flags), _ = self.record("W i W i i i i", 8, 1)
        if not flags & 2:
            raise InputError("a CDF in several files, which is not read")
        if encoding not in (*_BIG, *_LITTLE):
            raise InputError(f"CDF encoding {encoding}, which is not read")
        found = self.find(name, directory)
        if found.kind not in _REALS or found.sparse:
            raise InputError(f"variable {name!r}: expected an array of floating numbers")
        dtype = np.dtype((">" if encoding in _BIG else "<") + _REALS[found.kind])
        records = found.last_record + 1 if found.varies else min(found.last_record + 1, 1)
        size = records * math.prod(found.dimensions) * dtype.itemsize
        largest = math.prod(max(1, count) for count in (records, *found.dimensions)) * dtype.itemsize
        if min(found.last_record + 1, 0, *found.dimensions) < 0 or largest > MOST_BYTES:
            raise _DamagedError(f"variable {name!r} declares {records} records of {found.dimensions}")
        values = np.frombuffer(self.values(found.index, size), dtype)
        order = found.dimensions if flags & 1 else found.dimensions[::-1]
        array = values.reshape(records, *order).astype(dtype.newbyteorder("="))
        return array if flags & 1 else np.asarray(array.transpose(0, *range(array.ndim - 1, 0, -1)))

    def find(self, name: str, directory: int) -> _Variable:
        fields, sizes_at = self.record("W i W W W W i i i i i W i i i", directory, _GDR)
        (_, _, first_r, first_z, _, _, count_r, _, _, rank, count_z, *_) = fields
        if not (0 <= count_r <= _MOST_VARIABLES and 0 <= count_z <= _MOST_VARIABLES and 0 <= rank <= _MOST_DIMENSIONS):
            raise _DamagedError(f"it declares {count_r} + {count_z} variables, of {rank} dimensions")
        names = []
        for first, count in ((first_z, count_z), (first_r, count_r)):
            at = first
            for _ in range(count):
                found, at = self.describe(at, self.numbers("i", rank, sizes_at))
                if found.name == name:
                    return found
                names.append(found.name)
        raise InputError(f"no variable {name!r}; it has {names}")

    def describe(self, at: int, sizes: list[int]) -> tuple[_Variable, int]:
        """The variable described at an offset, and where the next one is; `sizes` are those of r-variables."""
        form = f"W i W i i W W i i i i i i i W i {256 if self.word == 8 else 64}s"
        fields, end = self.record(form, at, _R_VARIABLE, _Z_VARIABLE)
        (_, section, following, kind, last_record, index, _, flags, sparse, *_, name) = fields
        if section == _Z_VARIABLE:
            rank, end = self.numbers("i", 1, end)[0], end + 4
            if not 0 <= rank <= _MOST_DIMENSIONS:
                raise _DamagedError(f"a variable of {rank} dimensions")
            sizes, end = self.numbers("i", rank, end), end + 4 * rank
        varying = self.numbers("i", len(sizes), end)
        dimensions = tuple(size for size, varies in zip(sizes, varying, strict=True) if varies)
        text = name.split(b"\0")[0].decode("latin-1").strip()
        return _Variable(text, kind, last_record, index, sparse, dimensions, bool(flags & 1)), following

    def values(self, index: int, size: int) -> bytearray:
        """The bytes of a variable, block after block through its index records (VXR), which may form a tree."""
        out = bytearray()
        pending, seen = [index] if size else [], set()
        while pending and len(out) < size:
            at = pending.pop()
            if at in seen:
                raise _DamagedError("its index records form a circle")
            seen.add(at)
            (length, kind), end = self.record("W i", at, _VXR, _VVR, _CVVR)
            if kind == _VXR:
                (_, _, following, places, used), end = self.record("W i W i i", at)
                if not 0 <= used <= places or len(pending) + used > _MOST_BLOCKS:
                    raise _DamagedError(f"an index record with {used} entries of {places}")
                entries = self.numbers("W", used, end + 8 * places)
                pending += [*([following] if following else []), *reversed(entries)]
            elif kind == _VVR:
                out += self.data[end : end + max(0, min(at + length - end, size - len(out)))]
            else:
                (_, _, _, packed), end = self.record("W i i W", at)
                out += _inflate(self.data[end : end + max(packed, 0)], size - len(out))
        if len(out) < size:
            raise _DamagedError(f"{len(out)} bytes of values, expected {size}")
        return out


def _inflate(packed: bytes, most: int) -> bytes:
    """At most so many bytes of what was compressed with gzip."""
    return zlib.decompressobj(wbits=31).decompress(packed, min(most, MOST_BYTES)) if most > 0 else b""
