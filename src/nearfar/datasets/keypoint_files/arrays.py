"""Keypoints as bare numbers with a skeleton from the caller: ``.npy``, ``.npz`` and CSV tables.

Arrays are (J, C), (N, J, C) frames, or (P, N, J, C) people and frames, C = 2 (x, y in pixels) or 3 (and a score). An
``.npz`` file has one such array, or ``keypoints`` and perhaps ``scores`` (without the last dimension). A CSV table has
one row a frame: either a header with ``<joint>_x``, ``<joint>_y`` and perhaps ``<joint>_score`` for each joint, in any
order, and perhaps ``frame``, ``person`` and ``time`` (seconds); or no header and 2J or 3J numbers in the skeleton's
order.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.datasets.keypoint_files.records import Options, Record, poses_from_records
from nearfar.errors import InputError
from nearfar.files import open_npy
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton, skeleton_names

__all__ = ["npy", "npz", "table"]

Array = npt.NDArray[Any]
_INDEX_COLUMNS = ("frame", "person", "time")


def npy(path: Path, options: Options) -> PoseSet:
    """Read one ``.npy`` array.

    Raises:
        InputError: see `load_keypoints`.
    """
    return _from_array(open_npy(path), None, path, options)


def npz(arrays: Mapping[str, Array], path: Path, options: Options) -> PoseSet:
    """Read the arrays of an ``.npz`` file.

    Raises:
        InputError: see `load_keypoints`.
    """
    if "keypoints" in arrays:
        return _from_array(arrays["keypoints"], arrays.get("scores"), path, options)
    if len(arrays) == 1:
        return _from_array(next(iter(arrays.values())), None, path, options)
    raise InputError(
        f"{path}: expected one array, or 'keypoints' and perhaps 'scores'; its arrays are {sorted(arrays)}"
    )


def table(text: str, path: Path, options: Options) -> PoseSet:
    """Read a CSV table with one row a frame.

    Raises:
        InputError: see `load_keypoints`.
    """
    skeleton = _needed_skeleton(path, options)
    lines = [(i, cells) for i, cells in enumerate(csv.reader(io.StringIO(text)), start=1) if any(cells)]
    header = [cell.strip() for cell in lines[0][1]]
    if all(map(_is_number, header)):
        first, columns = 0, _columns_by_order(len(header), skeleton, path)
    else:
        first, columns = 1, _columns_by_name(header, skeleton, path)
    rows = []
    for line, cells in lines[first:]:
        where = f"{path}: line {line}"
        if len(cells) != len(header):
            raise InputError(f"{where}: expected {len(header)} cells, got {len(cells)}")
        rows.append([_number(cell, f"{where}, column {i + 1}") for i, cell in enumerate(cells)])
    numbers = np.array(rows).reshape(len(rows), len(header))
    points = np.full((len(rows), skeleton.num_joints, 3), np.nan)
    for name, column in columns.items():
        if name not in _INDEX_COLUMNS:
            joint, part = name.rsplit("_", 1)
            points[:, skeleton.index(joint), ("x", "y", "score").index(part)] = numbers[:, column]
    if not any(name.endswith("_score") for name in columns):
        points[..., 2] = _presence(points)
    _check_scores(points[..., 2], path)
    index = {name: numbers[:, columns[name]] for name in _INDEX_COLUMNS if name in columns}
    for name, values in index.items():
        if bad := [line for (line, _), value in zip(lines[first:], values, strict=True) if not np.isfinite(value)]:
            raise InputError(f"{path}: line {bad[0]}: {name}: expected a number")
    records = [
        Record(
            where=f"{path}: line {line}",
            points=points[i],
            sequence=path.stem,
            person=int(index["person"][i]) if "person" in index else 0,
            frame=int(index["frame"][i]) if "frame" in index else i,
            time=float(index["time"][i]) if "time" in index else None,
        )
        for i, (line, _) in enumerate(lines[first:])
    ]
    return poses_from_records(records, skeleton, path, options, {"format": "CSV, one row a frame"})


def _from_array(array: Array, scores: Array | None, path: Path, options: Options) -> PoseSet:
    skeleton = _needed_skeleton(path, options)
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise InputError(f"{path}: expected an array of numbers, got {array.dtype}")
    j = skeleton.num_joints
    if array.ndim not in (2, 3, 4) or array.shape[-2] != j or array.shape[-1] not in (2, 3):
        raise InputError(
            f"{path}: expected ({j}, C), (N, {j}, C) or (P, N, {j}, C) keypoints of skeleton {skeleton.name!r}, "
            f"C = 2 (x, y) or 3 (x, y, score); got shape {array.shape}"
        )
    if scores is not None and (array.shape[-1] != 2 or scores.shape != array.shape[:-1]):
        raise InputError(f"{path}: scores: expected shape {array.shape[:-1]}, got {scores.shape}")
    if scores is not None and scores.dtype.kind not in "fiu":
        raise InputError(f"{path}: scores: expected numbers, got {scores.dtype}")
    points = array.astype(np.float64)
    if array.shape[-1] == 2:
        third = _presence(points) if scores is None else scores
        points = np.concatenate([points, third[..., None]], axis=-1)
    _check_scores(points[..., 2], path)
    people = points.reshape((1,) * (4 - points.ndim) + points.shape)
    records = [
        Record(f"{path}: person {p}, frame {i}", frame, path.stem, p, frame=i)
        for p, clip in enumerate(people)
        for i, frame in enumerate(clip)
    ]
    return poses_from_records(records, skeleton, path, options, {"format": f"numpy array {array.shape}"})


def _needed_skeleton(path: Path, options: Options) -> Skeleton:
    if options.skeleton is None:
        raise InputError(
            f"{path}: the file does not say which joints it has: say the skeleton, {_or(skeleton_names())}"
        )
    return options.skeleton


def _presence(points: Array) -> Array:
    """Scores where the file has none: 1 for a joint with coordinates, 0 for one that is NaN or exactly (0, 0)."""
    xy = points[..., :2]
    return np.asarray(~(np.isnan(xy).any(axis=-1) | (xy == 0).all(axis=-1)), dtype=np.float64)


def _check_scores(scores: Array, path: Path) -> None:
    """Scores far outside 0..1 are no scores, but perhaps the z of 3D joints."""
    low, high = np.nanmin(scores, initial=0), np.nanmax(scores, initial=1)
    if low < -0.5 or high > 1.5:
        raise InputError(f"{path}: the third number of a joint must be a score in 0..1, got {low:g}..{high:g}")


def _columns_by_order(count: int, skeleton: Skeleton, path: Path) -> dict[str, int]:
    j = skeleton.num_joints
    if count not in (2 * j, 3 * j):
        raise InputError(
            f"{path}: expected {2 * j} or {3 * j} numbers a row for skeleton {skeleton.name!r}, got {count}"
        )
    parts = ("x", "y", "score")[: count // j]
    return {name: i for i, name in enumerate(f"{joint}_{part}" for joint in skeleton.joints for part in parts)}


def _columns_by_name(header: Sequence[str], skeleton: Skeleton, path: Path) -> dict[str, int]:
    known = {f"{joint}_{part}" for joint in skeleton.joints for part in ("x", "y", "score")} | set(_INDEX_COLUMNS)
    if unknown := [name for name in header if name not in known]:
        raise InputError(
            f"{path}: line 1: unknown columns {unknown[:6]}: expected <joint>_x, <joint>_y, <joint>_score for the "
            f"joints of skeleton {skeleton.name!r}, and frame, person, time"
        )
    columns = {name: i for i, name in enumerate(header)}
    if len(columns) != len(header):
        raise InputError(f"{path}: line 1: a column is there twice")
    has_scores = any(name.endswith("_score") for name in header)
    needed = [f"{joint}_{p}" for joint in skeleton.joints for p in ("x", "y", "score")[: 2 + has_scores]]
    if missing := [name for name in needed if name not in columns]:
        raise InputError(f"{path}: line 1: missing columns {missing[:6]}")
    return columns


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def _number(cell: str, where: str) -> float:
    """A cell as a number; an empty one is NaN."""
    if not _is_number(cell):
        raise InputError(f"{where}: not a number: {cell!r}")
    return float(cell or "nan")


def _or(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" or {names[-1]}"
