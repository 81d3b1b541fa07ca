"""Results in Parquet files: whole or not there, of bounded size, and each says in its footer which inputs it holds.

The footer's key "nearfar" is JSON: ``schema``, ``recipe``, ``skeletons`` by name, ``provenance`` (a list of what poses
say of where they came from), and ``inputs``: name, number of poses, error or null, and row of ``provenance`` or null.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfar.batch.recipe import SLICE, Recipe
from nearfar.errors import InputError
from nearfar.export.tables import parquet_options, poses_table
from nearfar.files import replacing
from nearfar.poses import PoseSet

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Bounds", "Outcome", "PartWriter", "read_outcomes"]

SCHEMA = "nearfar-lifted-1"
POSES = "poses"
"""Folder of the part files, which other programs open as one table."""


@dataclass(frozen=True)
class Outcome:
    """What became of an input.

    Attributes:
        name: the input.
        poses: how many there are of it.
        error: why there are none, in one line; or None.
    """

    name: str
    poses: int
    error: str | None = None


@dataclass(frozen=True)
class Bounds:
    """When a part is full.

    Attributes:
        poses: rows of people; an input with more has a part of its own.
        inputs: inputs.
        seconds: time since its first input, which is what a killed process loses at most, and the input at work.
    """

    poses: int = 2 * SLICE
    inputs: int = 20_000
    seconds: float = 300.0


@dataclass
class _Footer:
    """What a part says of its inputs."""

    inputs: list[tuple[str, int, str | None, int | None]] = field(default_factory=list)
    facts: dict[str, int] = field(default_factory=dict)
    skeletons: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, poses: PoseSet) -> None:
        said = json.dumps({key: value for key, value in poses.provenance.items() if key not in ("media", "file")})
        self.skeletons[poses.skeleton.name] = poses.skeleton.to_dict()
        self.inputs.append((name, len(poses), None, self.facts.setdefault(said, len(self.facts))))

    def set(self, name: str, poses: PoseSet, rows: int) -> None:
        """One input, of which there are `rows` poses by now."""
        self.inputs.clear()
        self.add(name, poses)
        self.inputs[0] = (name, rows, None, self.inputs[0][3])

    def text(self, recipe: Recipe) -> str:
        return json.dumps(
            {
                "schema": SCHEMA,
                "recipe": dataclasses.asdict(recipe),
                "skeletons": self.skeletons,
                "provenance": [json.loads(said) for said in self.facts],
                "inputs": self.inputs,
            }
        )


@dataclass
class PartWriter:
    """Collects results and writes them as parts; what is not flushed is not there.

    Args:
        out: folder of the results.
        label: begins the names of its parts; the names of their inputs end them.
        recipe: how inputs were lifted.
        bounds: when a part is full.
    """

    out: Path
    label: str
    recipe: Recipe
    bounds: Bounds = field(default_factory=Bounds)
    _tables: list[pa.Table] = field(default_factory=list)
    _footer: _Footer = field(default_factory=_Footer)
    _rows: int = 0
    _since: float = 0.0

    def add(self, name: str, poses: PoseSet) -> Outcome:
        """Keep the poses of an input for the next part."""
        self._begin()
        self._footer.add(name, poses)
        self._rows += len(poses)
        self._tables.append(_table(name, poses, 0))
        return Outcome(name, len(poses))

    def add_error(self, name: str, error: str) -> Outcome:
        """Keep why an input has no poses for the next part."""
        self._begin()
        self._footer.inputs.append((name, 0, error, None))
        return Outcome(name, 0, error)

    def write_large(self, name: str, pieces: Iterable[PoseSet]) -> Outcome:
        """Write an input of many poses as a part of its own, a piece at a time."""
        footer = _Footer()

        def tables() -> Iterator[pa.Table]:
            rows = 0
            for piece in pieces:
                yield _table(name, piece, rows)
                rows += len(piece)
                footer.set(name, piece, rows)

        self._write([name], tables(), footer)
        return Outcome(name, footer.inputs[0][1])

    def is_full(self) -> bool:
        """Whether it is time to flush."""
        inputs = self._footer.inputs
        if not inputs:
            return False
        waited = time.monotonic() - self._since
        return self._rows >= self.bounds.poses or len(inputs) >= self.bounds.inputs or waited >= self.bounds.seconds

    def flush(self) -> None:
        """Write what was kept.

        Raises:
            InputError: the file cannot be written (disk full); what was kept is still kept.
        """
        import pyarrow as pa

        if not self._footer.inputs:
            return
        tables = [pa.concat_tables(self._tables).unify_dictionaries()] if self._tables else []
        self._write([name for name, *_ in self._footer.inputs], tables, self._footer)
        self._tables, self._footer, self._rows = [], _Footer(), 0

    def _begin(self) -> None:
        if not self._footer.inputs:
            self._since = time.monotonic()

    def _write(self, names: Iterable[str], tables: Iterable[pa.Table], footer: _Footer) -> None:
        import pyarrow.parquet as pq

        digest = hashlib.blake2b("\0".join(names).encode(), digest_size=10).hexdigest()
        path = self.out / POSES / f"{self.label}-{digest}.parquet"
        schema = _schema()
        with (
            replacing(path) as temporary,
            temporary.open("wb") as file,
            pq.ParquetWriter(file, schema, **parquet_options(schema)) as writer,
        ):
            for table in tables:
                writer.write_table(table)
            writer.add_key_value_metadata({"nearfar": footer.text(self.recipe)})


def read_outcomes(out: Path, recipe: Recipe | None = None) -> Iterator[Outcome]:
    """What became of the inputs whose results a folder holds, whoever wrote them.

    Raises:
        InputError: a part that cannot be read, or one that was made by another recipe than the one given.
    """
    mine = None if recipe is None else json.loads(json.dumps(dataclasses.asdict(recipe)))
    for path in sorted((out / POSES).glob("*.parquet")):
        if path.name.startswith("."):  # being written
            continue
        footer = _read_footer(path)
        if mine is not None and footer["recipe"] != mine:
            changed = sorted(key for key in mine if footer["recipe"].get(key) != mine[key])
            raise InputError(f"{out}: holds results of other options (different: {', '.join(changed)}); choose another")
        for name, poses, error, _ in footer["inputs"]:
            yield Outcome(name, poses, error)


def _read_footer(path: Path) -> Mapping[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            footer: dict[str, Any] = json.loads(pq.read_metadata(file).metadata[b"nearfar"])
        if footer["schema"] != SCHEMA:
            raise InputError(f"{path}: schema {footer['schema']!r}, expected {SCHEMA!r}")
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        said = f"not a part of lifted poses, or a damaged one ({error}): remove it, and its inputs are lifted again"
        raise InputError(f"{path}: {said}") from None
    return footer


@cache
def _schema() -> pa.Schema:
    """Columns of every part, whatever its inputs say: those of `nearfar.tables.write_poses_csv` behind the input."""
    import pyarrow as pa

    text, number, count = pa.dictionary(pa.int32(), pa.string()), pa.float32(), pa.int32()
    names = ("input", "skeleton", "coordinates"), ("sequence", "subject", "action")
    camera = ("fx_px", "fy_px", "cx_px", "cy_px", "root_x_mm", "root_y_mm", "root_z_mm")
    return pa.schema(
        [
            *((name, text) for name in names[0]),
            ("pose", count),
            *((name, text) for name in names[1]),
            *((name, count) for name in ("person", "frame")),
            ("time_s", pa.float64()),
            *((name, count) for name in ("width_px", "height_px")),
            *((name, number) for name in camera),
            ("joint", text),
            *((name, number) for name in ("x_px", "y_px", "score")),
            ("occluded", pa.int8()),
            *((name, number) for name in ("x_mm", "y_mm", "z_mm")),
        ]
    )


def _table(name: str, poses: PoseSet, first: int) -> pa.Table:
    """The rows of an input whose first pose has this number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table, schema = poses_table(poses), _schema()
    if unknown := set(table.column_names) - set(schema.names):
        raise ValueError(f"columns without a place: {sorted(unknown)}")
    rows = table.num_rows
    mine = {
        "input": pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), [name]),
        "pose": pc.add(table["pose"], first),
    }
    columns = [
        mine[column.name].cast(column.type)
        if column.name in mine
        else table[column.name].cast(column.type)
        if column.name in table.column_names
        else pa.nulls(rows, column.type)
        for column in schema
    ]
    return pa.table(columns, schema=schema)
