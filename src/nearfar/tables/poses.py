"""Pose sets as CSV and JSON."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.files import read_json
from nearfar.poses import SCHEMA, Category, PoseSet
from nearfar.tables.table import SkeletonLike, Table, cells, open_json, plain, write_csv, write_json

__all__ = [
    "is_poses_csv",
    "is_poses_json",
    "pose_columns",
    "poses_from_json",
    "read_poses_csv",
    "read_poses_json",
    "write_poses_csv",
    "write_poses_json",
]

Array = npt.NDArray[Any]

_CATEGORIES = ("sequence", "subject", "action")
# Fields of a pose set -> columns of the table. A pose's columns repeat on the rows of all its joints.
_POSE_COLUMNS = {
    "person": ("person",),
    "frame_index": ("frame",),
    "time": ("time_s",),
    "image_size": ("width_px", "height_px"),
    "intrinsics": ("fx_px", "fy_px", "cx_px", "cy_px"),
    "root_position": ("root_x_mm", "root_y_mm", "root_z_mm"),
}
_JOINT_COLUMNS = {
    "keypoints": ("x_px", "y_px"),
    "scores": ("score",),
    "occluded": ("occluded",),
    "joints": ("x_mm", "y_mm", "z_mm"),
}
_WHOLE_NUMBERS = ("person", "frame_index", "image_size")


def pose_columns(poses: PoseSet) -> dict[str, Array | Category]:
    """The table of `write_poses_csv` as typed columns of N·J rows each: numbers, NaN where missing, and names."""
    n, j = len(poses), poses.skeleton.num_joints
    columns: dict[str, Array | Category] = {"skeleton": _same(poses.skeleton.name, n * j)}
    if poses.joints is not None:
        columns["coordinates"] = _same(poses.frame, n * j)
    columns["pose"] = np.repeat(np.arange(n), j)
    for name in _CATEGORIES:
        if (category := getattr(poses, name)) is not None:
            columns[name] = Category(np.repeat(category.codes, j), category.names)
    for name, parts in _POSE_COLUMNS.items():
        if (array := getattr(poses, name)) is not None:
            for part, values in zip(parts, np.reshape(array, (n, len(parts))).T, strict=True):
                columns[part] = np.repeat(values, j)
    columns["joint"] = Category(np.tile(np.arange(j), n), poses.skeleton.joints)
    for name, parts in _JOINT_COLUMNS.items():
        if (array := getattr(poses, name)) is not None:
            for part, values in zip(parts, np.reshape(_as_numbers(array), (n * j, len(parts))).T, strict=True):
                columns[part] = values
    return columns


def write_poses_csv(poses: PoseSet, path: str | Path) -> None:
    """Write a table with one row a pose and joint, whole or not at all.

    Columns: skeleton (its name), coordinates (camera, root or world: the frame of x_mm, y_mm, z_mm), pose (row of the
    pose set), joint, x_px, y_px, score, occluded (0 or 1), x_mm, y_mm, z_mm, and what else the pose set has of
    sequence, subject, action, person, frame, time_s, the image size, the intrinsics and the root's position. Provenance
    and mean limb lengths are not in the table; JSON has them.

    Raises:
        InputError: the file cannot be written.
    """
    columns = pose_columns(poses)
    write_csv(
        path,
        {
            name: (column.values() if isinstance(column, Category) else cells(column)).tolist()
            for name, column in columns.items()
        },
    )


def read_poses_csv(path: str | Path, skeleton: SkeletonLike | None = None) -> PoseSet:
    """Read a table with one row a pose and joint, in any order; a joint without a row is missing.

    Args:
        path: a file as `write_poses_csv` writes it; of its columns only pose, joint, and x_px and y_px, or coordinates,
            x_mm, y_mm and z_mm, are needed.
        skeleton: skeleton of the joints; needed where there is no column "skeleton", or where it names none of
            nearfar's own.

    Raises:
        InputError: naming the file, line and column: no such file, an unknown column or joint, not a number, a joint
            twice in a pose, pose numbers with gaps, or rows of one pose that disagree about the pose.
    """
    table = Table.read_csv(path)
    known = {"skeleton", "coordinates", "pose", "joint", *_CATEGORIES}
    table.check_columns(
        ["pose", "joint"],
        known | {part for parts in (*_POSE_COLUMNS.values(), *_JOINT_COLUMNS.values()) for part in parts},
    )
    skeleton = table.skeleton(skeleton)
    j = skeleton.num_joints
    pose, joint = table.integers("pose"), table.joints("joint", skeleton)
    table.refuse("pose", pose < 0, "pose numbers start at 0")
    numbers, head = np.unique(pose, return_index=True)
    n = len(numbers)
    if n and numbers[-1] != n - 1:
        gap = int(np.flatnonzero(numbers != np.arange(n))[0])
        raise InputError(f"{path}: pose {gap} has no rows, but there are poses up to {numbers[-1]}")
    _, first = np.unique(pose * j + joint, return_index=True)
    table.refuse("joint", ~np.isin(np.arange(len(pose)), first), "this joint of this pose is there twice")

    def of_pose(part: str, values: Array) -> Array:
        """(N,) what the rows of each pose agree on."""
        expected = values[head][pose]
        differs = values != expected
        if np.issubdtype(values.dtype, np.floating):
            differs &= ~(np.isnan(values) & np.isnan(expected))
        table.refuse(part, differs, "the rows of this pose before it say another value")
        return values[head]

    fields: dict[str, Any] = {}
    for name in _CATEGORIES:
        if name in table.columns:
            fields[name] = Category.of(of_pose(name, table.text(name)))
    for name, parts in _POSE_COLUMNS.items():
        if table.has(parts):
            read = table.integers if name in _WHOLE_NUMBERS else table.numbers
            columns = [of_pose(part, read(part)) for part in parts]
            fields[name] = columns[0] if len(parts) == 1 else np.stack(columns, axis=1)
    for name, parts in _JOINT_COLUMNS.items():
        if table.has(parts):
            array = np.full((n, j, len(parts)), np.nan)
            array[pose, joint] = np.stack([table.numbers(part) for part in parts], axis=1)
            if name == "occluded":
                table.refuse("occluded", ~np.isin(array[pose, joint, 0], (0, 1)), "expected 0 or 1")
            fields[name] = array if name in ("keypoints", "joints") else _of_missing(name, array[..., 0])
    if "joints" in fields:
        if "coordinates" not in table.columns:
            raise InputError(f"{path}: x_mm, y_mm and z_mm need a column 'coordinates': camera, root or world")
        fields["frame"] = table.constant("coordinates") or "camera"
    try:
        return PoseSet(skeleton=skeleton, provenance={"file": Path(path).name}, **fields)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def is_poses_csv(text: str) -> bool:
    """Whether a text is a table of poses as `write_poses_csv` writes it, by its first line."""
    header = next(csv.reader([text.split("\n", 1)[0]]), [])
    return {"pose", "joint"} <= {cell.strip() for cell in header}


def write_poses_json(poses: PoseSet, path: str | Path) -> None:
    """Write a self-contained JSON file, whole or not at all: skeleton, frame, units, provenance and the poses.

    Raises:
        InputError: the file cannot be written.
    """
    rows: list[dict[str, Any]] = [{} for _ in range(len(poses))]
    for name in _CATEGORIES:
        if (category := getattr(poses, name)) is not None:
            for row, value in zip(rows, category.values().tolist(), strict=True):
                row[name] = value
    for name in (*_POSE_COLUMNS, *_JOINT_COLUMNS):
        if (array := getattr(poses, name)) is not None:
            for row, values in zip(rows, plain(_as_numbers(array)), strict=True):
                row[name] = values
    header = {
        "schema": SCHEMA,
        "skeleton": poses.skeleton.to_dict(),
        "frame": poses.frame,
        "unit": {"joints": "mm", "keypoints": "px", "time": "s"},
        "provenance": dict(poses.provenance),
    }
    if poses.mean_limb_lengths is not None:
        header["mean_limb_lengths"] = plain(poses.mean_limb_lengths)
    write_json(path, header, "poses", rows)


def read_poses_json(path: str | Path) -> PoseSet:
    """Read what `write_poses_json` wrote.

    Raises:
        InputError: naming the file, pose and field: no such file, not JSON, another schema, a field that some poses
            have and others have not, or not the right number of numbers.
    """
    return poses_from_json(read_json(path), path)


def poses_from_json(data: Any, path: str | Path) -> PoseSet:
    """`read_poses_json` for data parsed already; `path` is for error messages."""
    rows, skeleton = open_json(data, path, SCHEMA, "poses")
    known = {*_CATEGORIES, *_POSE_COLUMNS, *_JOINT_COLUMNS}
    for i, row in enumerate(rows):
        if unknown := sorted(row.keys() - known):
            raise InputError(f"{path}: pose {i}: unknown fields {unknown}; known are {sorted(known)}")
        if row.keys() != rows[0].keys():
            raise InputError(f"{path}: pose {i}: its fields are {sorted(row)}, but pose 0 has {sorted(rows[0])}")
    fields: dict[str, Any] = {}
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        if name in _CATEGORIES:
            fields[name] = Category.of([str(value) for value in values])
            continue
        width = len((_POSE_COLUMNS | _JOINT_COLUMNS)[name])
        shape = ((skeleton.num_joints,) if name in _JOINT_COLUMNS else ()) + ((width,) if width > 1 else ())
        array = np.array([_numbers(value, shape, f"{path}: pose {i}: {name}") for i, value in enumerate(values)])
        if name in _WHOLE_NUMBERS:
            if (bad := array != np.round(array)).any():
                raise InputError(f"{path}: pose {np.argwhere(bad)[0, 0]}: {name}: expected whole numbers")
            array = array.astype(np.int64)
        if name == "occluded" and (bad := ~np.isin(array, (0, 1))).any():
            raise InputError(f"{path}: pose {np.argwhere(bad)[0, 0]}: occluded: expected 0 or 1")
        fields[name] = _of_missing(name, array)
    if not rows:
        fields["joints"] = np.zeros((0, skeleton.num_joints, 3))
    if (means := data.get("mean_limb_lengths")) is not None:
        fields["mean_limb_lengths"] = _numbers(means, (len(skeleton.limbs),), f"{path}: mean_limb_lengths")
    try:
        return PoseSet(skeleton=skeleton, frame=data.get("frame"), provenance=data.get("provenance", {}), **fields)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _same(name: str, rows: int) -> Category:
    return Category(np.zeros(rows, np.int32), (name,))


def _as_numbers(array: Array) -> Array:
    """Flags as 0 and 1."""
    return array.astype(np.int8) if array.dtype == np.bool_ else array


def _of_missing(name: str, array: Array) -> Array:
    """What the column says of joints that it does not mention: score 0, not occluded, NaN."""
    if name == "occluded":
        return np.asarray(array == 1)
    return np.nan_to_num(array) if name == "scores" else array


def _numbers(value: Any, shape: tuple[int, ...], where: str) -> Array:
    """JSON numbers as float64 of the given shape, NaN for null (a number, or all numbers of a joint).

    Raises:
        InputError: another shape, not numbers, or not finite.
    """
    if len(shape) == 2 and isinstance(value, list):
        value = [[None] * shape[1] if joint is None else joint for joint in value]
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{where}: expected numbers of shape {shape}") from None
    if array.shape != shape:
        raise InputError(f"{where}: expected numbers of shape {shape}, got {array.shape}")
    if np.isinf(array).any():
        raise InputError(f"{where}: expected finite numbers (null where missing)")
    return array


def is_poses_json(data: Any) -> bool:
    """Whether parsed JSON says that it is a pose set of nearfar's."""
    return isinstance(data, dict) and str(data.get("schema", "")).startswith("nearfar-poses")
