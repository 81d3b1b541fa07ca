"""Relative depth labels as crowd-kit has them: one line an answer, ``task,worker,label``.

A task is a pair of joints of a pose, ``17:left_wrist:right_knee``, the joint with the lower number first, so that all
answers about a pair share a task. A label is "first" (the task's first joint is nearer), "second", "same" or "unsure":
the same few classes for every task, for crowd-kit's models learn how a worker confuses classes, and learn nothing from
one class a joint. Which joint a worker was asked of first stands in a fourth column, ``asked_first``, which crowd-kit
passes over.

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

__all__ = ["is_crowdkit_csv", "read_crowdkit_csv", "write_crowdkit_csv"]

Array = npt.NDArray[Any]

_FIRST, _SECOND, _SAME, _UNSURE = _LABELS = ("first", "second", "same", "unsure")
_BETWEEN = ":"
_LABEL_NAMES = ("label", "agg_label")
"""The latter is what crowd-kit calls the labels that it merged."""


def write_crowdkit_csv(labels: RelativeLabels, path: str | Path) -> None:
    """Write answers as ``task,worker,label,asked_first``, or merged labels as ``task,label,probability``.

    Merged labels keep no risk, and answers none of their other columns: our own forms do.

    Raises:
        InputError: answers without annotators, merged labels without probability, a joint whose name has ":" in it or
            is a label's, or the file cannot be written.
    """
    joints = np.array(_checked_joints(labels.skeleton))
    pair = zip(joints[labels.pair.min(axis=1)], joints[labels.pair.max(axis=1)], strict=True)
    tasks = [_BETWEEN.join((str(pose), *names)) for pose, names in zip(labels.pose.tolist(), pair, strict=True)]
    turned = labels.pair[:, 0] > labels.pair[:, 1]
    neither = np.full(len(labels), _SAME) if labels.unsure is None else np.where(labels.unsure, _UNSURE, _SAME)
    said = np.where((labels.relation < 0) != turned, _FIRST, _SECOND)
    columns: dict[str, Sequence[str]] = {"task": tasks, "label": np.where(labels.relation == 0, neither, said).tolist()}
    if labels.kind == "answers":
        if labels.annotator is None:
            raise InputError(
                f"{path}: crowd-kit's form names the worker of each answer, which these do not (annotator)"
            )
        asked = joints[labels.pair[:, 0]].tolist()
        columns = {"task": tasks, "worker": labels.annotator.tolist(), "label": columns["label"], "asked_first": asked}
    else:
        if labels.probability is None:
            raise InputError(f"{path}: expected merged labels with probability")
        second = labels.probability.astype(np.float64)
        columns["probability"] = cells(np.where(labels.relation < 0, 1 - second, second)).tolist()
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
            (``task,agg_label``); labels may be joints' names, too. ``asked_first`` and ``probability`` may be absent;
            without the former, the joint that a task names first counts as asked first.
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
    other = ("worker", "asked_first") if answers else ("probability",)
    table.check_columns(("task", name), ("task", name, *other))
    pose, a, b = _tasks(table, known)
    nearer = _nearer(table, name, known, a, b)
    if answers and "asked_first" in table.columns:
        asked = table.joints("asked_first", known)
        table.refuse("asked_first", (asked != a) & (asked != b), "expected one of the joints of the task")
        a, b = asked, np.where(asked == a, b, a)
    relation = np.where(nearer < 0, 0, np.where(nearer == a, -1, 1)).astype(np.int8)
    optional: dict[str, Any] = {"unsure": nearer == -2} if (nearer == -2).any() else {}
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


def _nearer(table: Table, column: str, skeleton: Skeleton, a: Array, b: Array) -> Array:
    """(M,) the joint that each row says is nearer; -1 for "same", -2 for "unsure"."""
    number = {_SAME: -1, _UNSURE: -2, _FIRST: -3, _SECOND: -4} | {name: i for i, name in enumerate(skeleton.joints)}
    said = np.array([number.get(cell.strip(), -5) for cell in table.columns[column]], dtype=np.int64)
    said = np.where(said == -3, a, np.where(said == -4, b, said))
    bad = (said < -2) | ((said >= 0) & (said != a) & (said != b))
    table.refuse(column, bad, f"expected {', '.join(_LABELS)}, or one of the joints of the task")
    return said


def _checked_joints(skeleton: Skeleton) -> tuple[str, ...]:
    if bad := [joint for joint in skeleton.joints if _BETWEEN in joint or joint in _LABELS]:
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
