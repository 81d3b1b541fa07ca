"""Columns of text with a place for every row, so that an error can name file, line and column."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.files import read_text, write_text
from nearfar.skeleton import Skeleton, get_skeleton

__all__ = ["SkeletonLike", "Table", "cells", "open_json", "plain", "write_csv", "write_json"]

Array = npt.NDArray[Any]
SkeletonLike = str | Path | Skeleton


@dataclass(frozen=True)
class Table:
    """Columns of text, as read from a file.

    Attributes:
        path: the file.
        columns: name -> (M,) cells; an empty cell is a missing value.
        where: (M,) what error messages call a row ("line 5").
    """

    path: Path
    columns: Mapping[str, Sequence[str]]
    where: Sequence[str]

    @classmethod
    def read_csv(cls, path: str | Path) -> Table:
        """Read a CSV file with a header in its first line.

        Raises:
            InputError: no such file, empty, two columns of one name, or a line with too few or too many cells.
        """
        reader = csv.reader(io.StringIO(read_text(path), newline=""))
        try:
            header = [cell.strip() for cell in next(reader)]
            if len(set(header)) != len(header):
                raise InputError(f"{path}: line 1: two columns have the same name: {header}")
            rows, where = [], []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise InputError(f"{path}: line {reader.line_num}: expected {len(header)} cells, got {len(row)}")
                rows.append(row)
                where.append(f"line {reader.line_num}")
        except csv.Error as error:
            raise InputError(f"{path}: line {reader.line_num}: not CSV ({error})") from None
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
        return cls(Path(path), dict(zip(header, columns, strict=True)), where)

    @classmethod
    def of_objects(cls, objects: Sequence[Mapping[str, Any]], path: str | Path, where: Sequence[str]) -> Table:
        """A table of JSON objects; `where` is what error messages call each ("label 5")."""
        names = dict.fromkeys(name for entry in objects for name in entry)
        return cls(Path(path), {name: [_text(entry.get(name)) for entry in objects] for name in names}, where)

    def __len__(self) -> int:
        return len(self.where)

    def check_columns(self, needed: Collection[str], known: Collection[str]) -> None:
        """Check that the needed columns are there, and none that is not known."""
        if missing := [name for name in needed if name not in self.columns]:
            raise InputError(f"{self.path}: missing columns {missing}; it has {sorted(self.columns)}")
        if unknown := [name for name in self.columns if name not in known]:
            raise InputError(f"{self.path}: unknown columns {unknown}; known are {sorted(known)}")

    def has(self, names: Sequence[str]) -> bool:
        """Whether all these columns are there.

        Raises:
            InputError: some are and some are not.
        """
        there = [name in self.columns for name in names]
        if any(there) and not all(there):
            raise InputError(f"{self.path}: columns {list(names)} go together, but some are missing")
        return all(there)

    def refuse(self, column: str, bad: Array, expected: str) -> None:
        """Raise an error that names the first bad row, its cell and what was expected, if there is one."""
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InputError(f"{self.path}: {self.where[row]}, {column} {self.columns[column][row]!r}: {expected}")

    def text(self, column: str) -> Array:
        """(M,) cells as strings."""
        return np.array(self.columns[column], dtype=np.str_)

    def numbers(self, column: str) -> Array:
        """(M,) cells as float64, NaN where empty."""
        text = np.char.strip(self.text(column)) if len(self) else np.zeros(0, np.str_)
        text = np.where(text == "", "nan", text)
        try:
            values = text.astype(np.float64)
        except ValueError:
            self.refuse(column, np.array([not _is_number(cell) for cell in text]), "not a number")
            raise
        self.refuse(column, np.isinf(values), "expected a finite number")
        return values

    def integers(self, column: str) -> Array:
        """(M,) cells as int64."""
        values = self.numbers(column)
        self.refuse(column, values != np.round(values), "expected a whole number")  # NaN differs from itself
        return values.astype(np.int64)

    def joints(self, column: str, skeleton: Skeleton) -> Array:
        """(M,) joint names as joint numbers."""
        number = {name: i for i, name in enumerate(skeleton.joints)}
        values = np.array([number.get(cell.strip(), -1) for cell in self.columns[column]], dtype=np.int64)
        self.refuse(column, values < 0, f"skeleton {skeleton.name!r} has no such joint; it has {list(number)}")
        return values

    def constant(self, column: str) -> str | None:
        """The one value of a column that says the same in every row, or None where there is no such column or row."""
        if column not in self.columns or not len(self):
            return None
        values = self.text(column)
        value = str(values[0])
        self.refuse(column, values != value, f"expected {value!r} as in the rows before")
        return value

    def skeleton(self, said: SkeletonLike | None) -> Skeleton:
        """The skeleton that the caller said, or else the column "skeleton" names.

        Raises:
            InputError: neither says one, or they disagree.
        """
        name = self.constant("skeleton")
        if said is None and name is None:
            raise InputError(f"{self.path}: which skeleton? no column 'skeleton' says it, and none was given")
        skeleton = get_skeleton(name if said is None and name is not None else said or "")
        if name is not None and name != skeleton.name:
            raise InputError(f"{self.path}: its skeleton is {name!r}, not {skeleton.name!r}")
        return skeleton


def cells(values: Array) -> Array:
    """Numbers as text, with the digits it takes to read the same number again; empty for NaN."""
    if np.issubdtype(values.dtype, np.floating):
        return np.where(np.isnan(values), "", values.astype(np.str_))
    return values.astype(np.str_)


def plain(array: Array) -> Any:
    """Numbers as nested lists for JSON, float32 with its own digits; NaN becomes None."""
    if not np.issubdtype(array.dtype, np.floating):
        return array.tolist()
    short = array if array.dtype == np.float64 else np.asarray(array).astype(np.str_).astype(np.float64)
    missing = np.isnan(short)
    return (np.where(missing, np.array(None), short) if missing.any() else short).tolist()


def write_csv(path: str | Path, columns: Mapping[str, Sequence[str]]) -> None:
    """Write columns of equal length with a header, whole or not at all."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    write_text(path, buffer.getvalue())


def write_json(path: str | Path, header: Mapping[str, Any], key: str, rows: Sequence[Any]) -> None:
    """Write an object with the header's keys and, under `key`, a list with one row a line; whole or not at all."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    lines = ",\n".join(map(encode, rows))
    start = json.dumps(header, ensure_ascii=False, allow_nan=False, indent=1)
    write_text(path, f'{start.removesuffix("}").rstrip()},\n "{key}": [\n{lines}\n]}}\n')


def open_json(data: Any, path: str | Path, schema: str, key: str) -> tuple[list[dict[str, Any]], Skeleton]:
    """The rows and the skeleton of a file that `write_json` wrote.

    Raises:
        InputError: not an object of this schema, or the rows are not a list of objects.
    """
    if not isinstance(data, dict) or data.get("schema") != schema:
        got = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise InputError(f"{path}: expected JSON of schema {schema!r}, got {got!r}")
    if missing := [name for name in ("skeleton", key) if name not in data]:
        raise InputError(f"{path}: missing keys {missing}")
    rows = data[key]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: {key}: expected a list of objects")
    if not isinstance(data.get("provenance", {}), dict):
        raise InputError(f"{path}: provenance: expected an object")
    return rows, Skeleton.from_dict(data["skeleton"], where=f"{path}: skeleton")


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
