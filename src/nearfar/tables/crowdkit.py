"""Relative depth labels as crowd-kit has them: one line an answer, ``task,worker,label``.

A task is a pair of joints of a pose, ``17:left_wrist:right_knee``, the joint with the lower number first, so that all
answers about a pair share a task. A label is the name of the nearer joint, "same" or "unsure". Which joint was asked
first stands in a fourth column, ``first``, which crowd-kit passes over.

Merged labels are ``task,label,probability``, the probability being that of the label ("same": that either is nearer,
1/2). crowd-kit (`Toloka/crowd-kit`) calls its results so, an index ``task`` and a label each.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.labels import RelativeLabels
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton, get_skeleton
from nearfar.tables.table import SkeletonLike, Table, cells, write_csv

__all__ = ["SAME", "UNSURE", "is_crowdkit_csv", "read_crowdkit_csv", "task_names", "write_crowdkit_csv"]

Array = npt.NDArray[Any]

SAME, UNSURE = "same", "unsure"
_BETWEEN = ":"
_LABEL_NAMES = ("label", "agg_label")
"""The latter is what crowd-kit calls the labels that it merged."""


def task_names(labels: RelativeLabels) -> Array:
    """(M,) what crowd-kit's tasks are called here: pose, and the names of both joints in the skeleton's order.

    Raises:
        InputError: a joint's name that cannot be told from the rest.
    """
    joints = np.array(_checked_joints(labels.skeleton))
    low, high = joints[labels.pair.min(axis=1)], joints[labels.pair.max(axis=1)]
    return np.array(
        [f"{p}{_BETWEEN}{a}{_BETWEEN}{b}" for p, a, b in zip(labels.pose.tolist(), low, high, strict=True)],
        dtype=np.str_,
    )


def write_crowdkit_csv(labels: RelativeLabels, path: str | Path) -> None:
    """Write answers as ``task,worker,label,first``, or merged labels as ``task,label,probability``.

    Merged labels keep no risk, and answers none of their other columns: our own forms do.

    Raises:
        InputError: answers without annotators, merged labels without probability, a joint's name that has ":" in it or
            is "same" or "unsure", or the file cannot be written.
    """
    columns: dict[str, Sequence[str]] = {"task": task_names(labels).tolist()}
    joints = np.array(labels.skeleton.joints)
    a, b = joints[labels.pair[:, 0]], joints[labels.pair[:, 1]]
    neither = np.full(len(labels), SAME) if labels.unsure is None else np.where(labels.unsure, UNSURE, SAME)
    said = np.where(labels.relation == 0, neither, np.where(labels.relation < 0, a, b)).tolist()
    if labels.kind == "answers":
        if labels.annotator is None:
            raise InputError(
                f"{path}: crowd-kit's form names the worker of each answer, which these do not (annotator)"
            )
        columns |= {"worker": labels.annotator.tolist(), "label": said, "first": a.tolist()}
    else:
        if labels.probability is None:
            raise InputError(f"{path}: expected merged labels with probability")
        second = labels.probability.astype(np.float64)
        columns |= {"label": said, "probability": cells(np.where(labels.relation < 0, 1 - second, second)).tolist()}
    write_csv(path, columns)


def is_crowdkit_csv(text: str) -> bool:
    """Whether a text is a table of crowd-kit's, by its first line."""
    header = {cell.strip() for cell in next(csv.reader([text.split("\n", 1)[0]]), [])}
    return "task" in header and not header.isdisjoint(_LABEL_NAMES)


def read_crowdkit_csv(
    path: str | Path, *, skeleton: SkeletonLike | None = None, poses: PoseSet | None = None
) -> RelativeLabels:
    """Read a table of crowd-kit's: answers if there is a column worker, else merged labels.

    Args:
        path: a file as `write_crowdkit_csv` writes it, or as crowd-kit writes its results for such tasks
            (``task,agg_label``); ``first`` and ``probability`` may be absent. Where ``first`` is, the joint that a task
            names first counts as asked first.
        skeleton: skeleton of the joints; the file cannot say it.
        poses: the poses that the labels speak of; labels of other poses or of another skeleton are refused.

    Raises:
        InputError: naming the file, line and column: no skeleton, a task or label that is none of ours, a joint or a
            pose that does not exist, or two merged labels of one pair that differ.
    """
    table = Table.read_csv(path)
    known = get_skeleton(skeleton) if skeleton is not None else poses.skeleton if poses is not None else None
    if known is None:
        raise InputError(f"{path}: which skeleton? crowd-kit's form does not say it, and none was given")
    _checked_joints(known)
    name = next((name for name in _LABEL_NAMES if name in table.columns), "label")
    answers = "worker" in table.columns
    table.check_columns(("task", name), ("task", name, "worker", "first") if answers else ("task", name, "probability"))
    pose, a, b = _tasks(table, known)
    if answers and "first" in table.columns:
        first = table.joints("first", known)
        table.refuse("first", (first != a) & (first != b), "not one of the joints of the task")
        a, b = np.where(first == b, b, a), np.where(first == b, a, b)
    number = {joint: i for i, joint in enumerate(known.joints)} | {SAME: -1, UNSURE: -2}
    said = np.array([number.get(cell.strip(), -3) for cell in table.columns[name]], dtype=np.int64)
    expected = f"expected one of the joints of the task, {SAME!r} or {UNSURE!r}"
    table.refuse(name, (said != a) & (said != b) & (said != -1) & (said != -2), expected)
    relation = np.where(said < 0, 0, np.where(said == a, -1, 1)).astype(np.int8)
    optional: dict[str, Any] = {"unsure": said == -2} if (said == -2).any() else {}
    if answers:
        optional["annotator"] = table.text("worker")
        table.refuse("worker", optional["annotator"] == "", "expected who answered")
    elif "probability" in table.columns:
        share = table.numbers("probability")
        table.refuse("probability", ~((share >= 0) & (share <= 1)), "expected a number in 0..1")
        optional["probability"] = np.where(relation < 0, 1 - share, share)
    try:
        labels = RelativeLabels(
            known, pose, np.stack([a, b], axis=1), relation, **optional, provenance={"file": table.path.name}
        )
        if poses is not None:
            labels.check_poses(poses)
        return labels if answers else dataclasses.replace(labels, kind="merged")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _checked_joints(skeleton: Skeleton) -> tuple[str, ...]:
    if bad := [joint for joint in skeleton.joints if _BETWEEN in joint or joint in (SAME, UNSURE)]:
        raise InputError(
            f"crowd-kit's form: skeleton {skeleton.name!r}: joint {bad[0]!r}: such a name has no place there"
        )
    return skeleton.joints


def _tasks(table: Table, skeleton: Skeleton) -> tuple[Array, Array, Array]:
    """(M,) pose, first and second joint of each row's task."""
    number = {joint: i for i, joint in enumerate(skeleton.joints)}
    known: dict[str, tuple[int, int, int]] = {}
    for row, task in enumerate(table.columns["task"]):
        if task not in known:
            pose, *joints = task.strip().split(_BETWEEN)
            places = [number.get(joint, -1) for joint in joints]
            if not (pose.isdecimal() and pose.isascii() and len(pose) < 16 and len(places) == 2):
                expected = "expected POSE:JOINT:JOINT, such as '17:left_wrist:right_knee'"
                raise InputError(f"{table.path}: {table.where[row]}, task {task!r}: {expected}")
            if -1 in places or places[0] == places[1]:
                expected = f"expected two joints of skeleton {skeleton.name!r}: {list(number)}"
                raise InputError(f"{table.path}: {table.where[row]}, task {task!r}: {expected}")
            known[task] = (int(pose), places[0], places[1])
    columns = np.array([known[task] for task in table.columns["task"]], dtype=np.int64).reshape(-1, 3)
    return columns[:, 0], columns[:, 1], columns[:, 2]
