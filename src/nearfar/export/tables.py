"""Poses as tables and arrays: CSV, Parquet, JSON and npz. They hold any poses, as they are: nothing is filled in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfar.files import replacing
from nearfar.poses import Category, PoseSet
from nearfar.tables import pose_columns, write_poses_csv, write_poses_json

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["parquet_options", "poses_table", "write_csv", "write_json", "write_npz", "write_parquet"]


def write_csv(poses: PoseSet, path: str | Path) -> tuple[str, ...]:
    """Write a tidy CSV table, one row a person, frame and joint (`nearfar.tables.write_poses_csv`)."""
    write_poses_csv(poses, path)
    return ()


def write_json(poses: PoseSet, path: str | Path) -> tuple[str, ...]:
    """Write self-contained JSON (`nearfar.tables.write_poses_json`) that ``poses.schema.json`` describes."""
    write_poses_json(poses, path)
    return ()


def write_npz(poses: PoseSet, path: str | Path) -> tuple[str, ...]:
    """Write the arrays as an ``.npz`` file (`PoseSet.save`)."""
    poses.save(path)
    return ()


def write_parquet(poses: PoseSet, path: str | Path) -> tuple[str, ...]:
    """Write the table of `write_csv` as Parquet, names as dictionaries, null where a number is missing."""
    import pyarrow.parquet as pq

    table = poses_table(poses)
    with replacing(path) as temporary:
        pq.write_table(table, temporary, **parquet_options(table.schema))
    return ()


def poses_table(poses: PoseSet) -> pa.Table:
    """The table of `write_csv` in Arrow's memory."""
    import pyarrow as pa

    return pa.table(
        {
            name: pa.DictionaryArray.from_arrays(column.codes.astype(np.int32), list(column.names))
            if isinstance(column, Category)
            else pa.array(np.ascontiguousarray(column), from_pandas=True)
            for name, column in pose_columns(poses).items()
        }
    )


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """How a table of poses is best packed: of numbers that differ from joint to joint the bytes of a rank together."""
    differing = [name for name in ("x_px", "y_px", "score", "x_mm", "y_mm", "z_mm") if name in schema.names]
    repeating = [name for name in schema.names if name not in {*differing, "pose"}]
    return {"compression": "zstd", "use_dictionary": repeating, "use_byte_stream_split": differing}
