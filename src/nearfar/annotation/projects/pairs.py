"""Which pairs of joints are asked: drawn at random, read from a file, or given with their answers (gold)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.datasets import load_labels
from nearfar.errors import InputError
from nearfar.files import read_text
from nearfar.labels import RelativeLabels, all_pairs
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton
from nearfar.tables.table import Table

__all__ = ["Pairs", "draw_pairs", "gold_pairs", "load_labels_on", "read_pairs", "without"]

Array = npt.NDArray[Any]

_AT_ONCE = 1 << 22
"""Random numbers drawn at a time."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of joints, each of one pose, no pair twice.

    Attributes:
        pose: (M,) rows of the project's poses.
        joints: (M, 2) joint numbers, the lower first.
        priority: (M,) higher is asked first.
        truth: (M,) -1 the first joint is nearer, +1 the second, 0 the same; None where it is not known.
        explanation: M texts that say why; None where there are none.
    """

    pose: Array
    joints: Array
    priority: Array
    truth: Array | None = None
    explanation: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.pose)

    def select(self, rows: Any) -> Pairs:
        """Some of the pairs."""
        truth = None if self.truth is None else self.truth[rows]
        texts = None if self.explanation is None else tuple(np.array(self.explanation, dtype=object)[rows])
        return Pairs(self.pose[rows], self.joints[rows], self.priority[rows], truth, texts)

    def keys(self, joints: int) -> Array:
        """(M,) numbers that tell pairs apart, on a skeleton of so many joints."""
        return np.asarray((self.pose * joints + self.joints[:, 0]) * joints + self.joints[:, 1])


def draw_pairs(usable: Array, per_pose: int, skeleton: Skeleton, rng: np.random.Generator) -> Pairs:
    """Draw different pairs for each pose at random, of its usable joints (N, J); fewer where there are not so many.

    Raises:
        InputError: `per_pose` is not positive.
    """
    if per_pose < 1:
        raise InputError(f"pairs: expected 1 or more of each pose, got {per_pose}")
    pairs = all_pairs(skeleton)
    most = min(per_pose, len(pairs))
    poses, drawn = [], []
    step = max(1, _AT_ONCE // len(pairs))
    for at in range(0, len(usable), step):
        some = usable[at : at + step]
        there = some[:, pairs[:, 0]] & some[:, pairs[:, 1]]
        key = np.where(there, rng.random(there.shape, np.float32), np.float32(2))
        best = np.argpartition(key, most - 1, axis=1)[:, :most]
        row, column = np.nonzero(np.take_along_axis(there, best, axis=1))
        poses.append(row + at)
        drawn.append(pairs[best[row, column]])
    pose = np.concatenate(poses) if poses else np.zeros(0, np.int64)
    joints = np.concatenate(drawn) if drawn else np.zeros((0, 2), np.int64)
    return Pairs(pose, joints, np.zeros(len(pose)))


def read_pairs(
    path: str | Path, poses: PoseSet, usable: Array, images: Array, find: Callable[[str], int | None]
) -> Pairs:
    """The pairs that a file names: any file of labels, or CSV with `joint_a`, `joint_b`, and `pose` or `image`.

    CSV may have `priority`, too: pairs of a higher one are asked first. A column `image` names the image, which must
    show one person only.

    Args:
        path: the file.
        poses: the project's poses.
        usable: (N, J) joints that can be asked about.
        images: (N,) number of the image of each pose, -1 for none.
        find: gives the number of an image by its name, None where there is none.

    Raises:
        InputError: naming the file and the line: an unknown pose, image or joint, or one that cannot be asked about.
    """
    path = Path(path)
    if (table := _plain_table(path)) is None:
        labels = load_labels_on(poses.skeleton, path).remap(poses.skeleton)
        labels.check_poses(poses)
        pose, joints, where = labels.pose.astype(np.int64), labels.pair.astype(np.int64), None
        priority = np.zeros(len(labels))
    else:
        table.check_columns(("joint_a", "joint_b"), ("pose", "image", "joint_a", "joint_b", "priority"))
        if ("pose" in table.columns) == ("image" in table.columns):
            raise InputError(f"{path}: expected a column 'pose' or a column 'image', and not both")
        a, b = table.joints("joint_a", poses.skeleton), table.joints("joint_b", poses.skeleton)
        table.refuse("joint_b", a == b, "a joint cannot be compared with itself")
        if "pose" in table.columns:
            pose = table.integers("pose")
            table.refuse("pose", (pose < 0) | (pose >= len(poses)), f"there are poses 0..{len(poses) - 1}")
        else:
            pose = _poses_of_images(table, images, find)
        joints, where = np.stack([a, b], axis=1), table.where
        priority = table.numbers("priority") if "priority" in table.columns else np.zeros(len(table))
        if "priority" in table.columns:
            table.refuse("priority", np.isnan(priority), "expected a number")
    bad = ~(usable[pose, joints[:, 0]] & usable[pose, joints[:, 1]])
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        names = " and ".join(poses.skeleton.joints[j] for j in joints[row])
        place = f"row {row}" if where is None else where[row]
        raise InputError(
            f"{path}: {place}: {names} of pose {pose[row]}: not both are in an image ({int(bad.sum())} such pairs)"
        )
    return _unique(Pairs(pose, np.sort(joints, axis=1), priority), poses.skeleton)


def load_labels_on(skeleton: Skeleton, path: str | Path) -> RelativeLabels:
    """Labels of a file (`load_labels`), taken to be of `skeleton` where the file does not say of which they are."""
    try:
        return load_labels(path)
    except InputError as error:
        if "which skeleton?" not in str(error):
            raise
        return load_labels(path, skeleton=skeleton)


def gold_pairs(labels: RelativeLabels, poses: PoseSet, usable: Array) -> Pairs:
    """Pairs with known answers, from labels of which those that were unsure, or cannot be asked, are left out.

    Raises:
        InputError: labels of other poses, or that contradict each other.
    """
    labels = labels.remap(poses.skeleton).sure()
    labels.check_poses(poses)
    if (rows := labels.conflict()) is not None:
        a, b = (labels.skeleton.joints[j] for j in labels.pair[rows[0]])
        raise InputError(
            f"gold: labels {rows[0]} and {rows[1]} say different things of {a} and {b} of pose {labels.pose[rows[0]]}; "
            "merge raw answers first (nearfar merge)"
        )
    labels = labels.select(usable[labels.pose, labels.pair[:, 0]] & usable[labels.pose, labels.pair[:, 1]])
    turned = labels.pair[:, 0] > labels.pair[:, 1]
    truth = np.where(turned, -labels.relation, labels.relation).astype(np.int64)
    joints = np.sort(labels.pair.astype(np.int64), axis=1)
    return _unique(Pairs(labels.pose.astype(np.int64), joints, np.zeros(len(labels)), truth), poses.skeleton)


def without(pairs: Pairs, others: Pairs, skeleton: Skeleton) -> Pairs:
    """The pairs that are not among the others."""
    j = skeleton.num_joints
    return pairs.select(~np.isin(pairs.keys(j), others.keys(j)))


def _plain_table(path: Path) -> Table | None:
    """The table of a CSV file that says nothing of answers; None for files of labels."""
    try:
        header = read_text(path).split("\n", 1)[0]
    except InputError:
        if not path.is_file() or path.stat().st_size == 0:
            raise
        return None
    names = {cell.strip() for cell in header.split(",")}
    return Table.read_csv(path) if {"joint_a", "joint_b"} <= names and "relation" not in names else None


def _poses_of_images(table: Table, images: Array, find: Callable[[str], int | None]) -> Array:
    """(M,) the one pose of each row's image."""
    order = np.argsort(images, kind="stable")
    ordered = images[order]
    number = np.array([-1 if (found := find(name)) is None else found for name in table.columns["image"]], np.int64)
    table.refuse("image", number < 0, "no pose was seen in an image of this name")
    first, after = np.searchsorted(ordered, number), np.searchsorted(ordered, number, side="right")
    table.refuse("image", after == first, "no pose was seen in an image of this name")
    table.refuse("image", after > first + 1, "several people are in this image; say the pose by its row")
    return np.asarray(order[first])


def _unique(pairs: Pairs, skeleton: Skeleton) -> Pairs:
    _, first = np.unique(pairs.keys(skeleton.num_joints), return_index=True)
    return pairs.select(np.sort(first))
