"""Relative depth labels as CSV and JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from nearfar.errors import InputError
from nearfar.files import read_json
from nearfar.labels import NUMBER_COLUMNS, SCHEMA, TEXT_COLUMNS, Kind, RelativeLabels
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton
from nearfar.tables.table import SkeletonLike, Table, cells, open_json, plain, write_csv, write_json

__all__ = [
    "label_header",
    "label_rows",
    "labels_from_json",
    "labels_of_objects",
    "read_labels_csv",
    "read_labels_json",
    "write_labels_csv",
    "write_labels_json",
]

_NEEDED = ("pose", "joint_a", "joint_b", "relation")
_OPTIONAL = ("annotator", "probability", "risk", "unsure", "response_time", "task", "assignment", "status", "source_id")


def write_labels_csv(labels: RelativeLabels, path: str | Path) -> None:
    """Write a table with one row a label, whole or not at all.

    Columns: skeleton (its name), kind (answers or merged), pose, joint_a, joint_b (names), relation (-1: a is nearer,
    1: b is nearer, 0: equally far), and what else the labels have of annotator, probability (that b is nearer), risk,
    unsure (0 or 1), response_time (seconds), task, assignment, status and source_id. Provenance is not in the table;
    JSON has it.

    Raises:
        InputError: the file cannot be written.
    """
    m = len(labels)
    columns: dict[str, Sequence[str]] = {"skeleton": [labels.skeleton.name] * m, "kind": [labels.kind] * m}
    write_csv(path, columns | {name: cells(np.asarray(column)).tolist() for name, column in _columns(labels).items()})


def read_labels_csv(
    path: str | Path,
    *,
    skeleton: SkeletonLike | None = None,
    kind: Kind | None = None,
    poses: PoseSet | None = None,
) -> RelativeLabels:
    """Read a table with one row a label.

    Args:
        path: a file as `write_labels_csv` writes it; pose, joint_a, joint_b and relation are needed.
        skeleton: skeleton of the joints, where there is no column "skeleton", or it names none of nearfar's own.
        kind: "answers" or "merged"; None takes what the column "kind" says, and answers where there is none.
        poses: the poses that the labels speak of; labels of other poses or of another skeleton are refused.

    Raises:
        InputError: naming the file, line and column: an unknown column, joint or pose, not a number, a joint compared
            with itself, or two different merged labels for one pair.
    """
    table = Table.read_csv(path)
    table.check_columns(_NEEDED, ("skeleton", "kind", *_NEEDED, *_OPTIONAL))
    return _labels(table, table.skeleton(skeleton), kind or table.constant("kind") or "answers", {}, poses)


def write_labels_json(labels: RelativeLabels, path: str | Path) -> None:
    """Write a self-contained JSON file, whole or not at all: skeleton, kind, provenance and the labels.

    Raises:
        InputError: the file cannot be written.
    """
    write_json(path, label_header(labels), "labels", label_rows(labels))


def read_labels_json(path: str | Path, *, poses: PoseSet | None = None) -> RelativeLabels:
    """Read what `write_labels_json` wrote.

    Args:
        path: the file.
        poses: the poses that the labels speak of; labels of other poses or of another skeleton are refused.

    Raises:
        InputError: naming the file, label and field: as for `read_labels_csv`.
    """
    return labels_from_json(read_json(path), path, poses=poses)


def labels_from_json(data: Any, path: str | Path, *, poses: PoseSet | None = None) -> RelativeLabels:
    """`read_labels_json` for data parsed already; `path` is for error messages."""
    rows, skeleton = open_json(data, path, SCHEMA, "labels")
    where = [f"label {i}" for i in range(len(rows))]
    kind, provenance = data.get("kind", "answers"), data.get("provenance", {})
    return labels_of_objects(rows, where, path, skeleton, kind, provenance, poses)


def labels_of_objects(
    objects: Sequence[Mapping[str, Any]],
    where: Sequence[str],
    path: str | Path,
    skeleton: Skeleton,
    kind: str,
    provenance: Mapping[str, Any],
    poses: PoseSet | None,
) -> RelativeLabels:
    """Parsed JSON objects as labels; `where` is what error messages call each ("line 5")."""
    table = Table.of_objects(objects, path, where)
    if not objects:
        table = dataclasses.replace(table, columns=dict.fromkeys(_NEEDED, ()))
    table.check_columns(_NEEDED, (*_NEEDED, *_OPTIONAL))
    return _labels(table, skeleton, kind, provenance, poses)


def label_header(labels: RelativeLabels) -> dict[str, Any]:
    """What JSON files say of labels before their rows."""
    return {
        "schema": SCHEMA,
        "skeleton": labels.skeleton.to_dict(),
        "kind": labels.kind,
        "provenance": dict(labels.provenance),
    }


def label_rows(labels: RelativeLabels) -> list[dict[str, Any]]:
    """Labels as JSON-safe objects: joints by name, unsure as 0 or 1, null for NaN."""
    columns = {name: plain(np.asarray(column)) for name, column in _columns(labels).items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _columns(labels: RelativeLabels) -> dict[str, Any]:
    joints = np.array(labels.skeleton.joints)
    columns = {
        "pose": labels.pose,
        "joint_a": joints[labels.pair[:, 0]],
        "joint_b": joints[labels.pair[:, 1]],
        "relation": labels.relation,
        **{name: getattr(labels, name) for name in _OPTIONAL},
        "unsure": None if labels.unsure is None else labels.unsure.astype(np.int8),
    }
    return {name: column for name, column in columns.items() if column is not None}


def _labels(
    table: Table, skeleton: Skeleton, kind: str, provenance: Mapping[str, Any], poses: PoseSet | None
) -> RelativeLabels:
    """A checked table as labels; an error names its row."""
    if kind not in get_args(Kind):
        raise InputError(f"{table.path}: kind: expected one of {get_args(Kind)}, got {kind!r}")
    pose, relation = table.integers("pose"), table.integers("relation")
    a, b = table.joints("joint_a", skeleton), table.joints("joint_b", skeleton)
    optional: dict[str, Any] = {name: table.text(name) for name in TEXT_COLUMNS if name in table.columns}
    optional |= {name: table.numbers(name) for name in NUMBER_COLUMNS if name in table.columns}
    table.refuse("pose", pose < 0, "pose numbers start at 0")
    if poses is not None:
        if poses.skeleton.joints != skeleton.joints:
            raise InputError(f"{table.path}: labels on skeleton {skeleton.name!r}, poses on {poses.skeleton.name!r}")
        table.refuse("pose", pose >= len(poses), f"no such pose; there are poses 0..{len(poses) - 1}")
    table.refuse("joint_b", a == b, "a joint cannot be compared with itself")
    table.refuse("relation", ~np.isin(relation, (-1, 0, 1)), "expected -1 (a nearer), 1 (b nearer) or 0 (equal)")
    for name in ("probability", "risk"):
        if name in optional:
            table.refuse(name, ~((optional[name] >= 0) & (optional[name] <= 1)), "expected a number in 0..1")
    if "response_time" in optional:
        table.refuse("response_time", optional["response_time"] < 0, "expected seconds from 0")
    if "unsure" in table.columns:
        unsure = np.nan_to_num(table.numbers("unsure"))  # an empty cell: not unsure
        table.refuse("unsure", ~np.isin(unsure, (0, 1)), "expected 0 or 1")
        table.refuse("relation", (unsure == 1) & (relation != 0), "expected 0 where the annotator was unsure")
        optional["unsure"] = unsure == 1
    labels = RelativeLabels(
        skeleton=skeleton,
        pose=pose,
        pair=np.stack([a, b], axis=1),
        relation=relation.astype(np.int8),
        **optional,
        provenance={"file": table.path.name} | dict(provenance),
    )
    if kind == "answers":
        return labels
    if (rows := labels.conflict()) is not None:
        first, second = (table.where[row] for row in rows)
        raise InputError(
            f"{table.path}: {first} and {second}: two different merged labels for {skeleton.joints[a[rows[0]]]} and "
            f"{skeleton.joints[b[rows[0]]]} of pose {pose[rows[0]]} (raw answers may disagree, merged labels may not)"
        )
    return dataclasses.replace(labels, kind="merged")
