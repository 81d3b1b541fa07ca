"""`RelativeLabels`: answers to "which of these two joints is nearer to the camera?", as a table.

A label is (pose, joint a, joint b, relation): relation +1 when depth(a) > depth(b), so b is nearer; -1 when a is
nearer; 0 when the two are equally far within a tolerance (Ronchi et al., BMVC 2018).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nearfar.answer_noise import AnswerNoise
from nearfar.errors import InputError
from nearfar.parquet import read_table, write_table
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton, get_skeleton

__all__ = [
    "NUMBER_COLUMNS",
    "TEXT_COLUMNS",
    "Kind",
    "RelativeLabels",
    "all_pairs",
    "flip",
    "join_labels",
    "labels_from_joints",
    "random_pairs",
]

Array = npt.NDArray[Any]
Kind = Literal["answers", "merged"]
SCHEMA = "nearfar-labels-1"

TEXT_COLUMNS = ("annotator", "task", "assignment", "status", "source_id")
"""Optional columns of strings."""

NUMBER_COLUMNS = ("probability", "risk", "response_time")
"""Optional columns of floating-point numbers."""

_OPTIONAL = (*TEXT_COLUMNS, *NUMBER_COLUMNS, "unsure")


@dataclass(frozen=True, eq=False)
class RelativeLabels:
    """M relative depth labels of poses of one skeleton.

    Attributes:
        skeleton: skeleton that the joint numbers refer to.
        pose: (M,) row of the `PoseSet` that the label speaks of.
        pair: (M, 2) joints a and b.
        relation: (M,) -1 a is nearer, +1 b is nearer, 0 equally far (or unsure).
        annotator: (M,) who answered, as strings; or None.
        probability: (M,) that b is nearer, from merging; or None.
        risk: (M,) probability that the merged relation is wrong; or None.
        unsure: (M,) bool, the annotator could not tell: the relation is 0, but says nothing of depth; or None.
        response_time: (M,) seconds that the answer took, or that the answers given together took (provenance says
            so), NaN where unknown; or None.
        task: (M,) strings, the set of questions that this one was asked in (Mechanical Turk's HIT); or None.
        assignment: (M,) strings, one annotator's work on one task; or None.
        status: (M,) strings, what became of the assignment (good, flagged, rejected, error); or None.
        source_id: (M,) strings, what the label is called where it comes from; or None.
        kind: "answers" are raw and may disagree; "merged" has one label a pair and pose.
        provenance: where the labels came from (JSON-safe).
    """

    skeleton: Skeleton
    pose: Array
    pair: Array
    relation: Array
    annotator: Array | None = None
    probability: Array | None = None
    risk: Array | None = None
    unsure: Array | None = None
    response_time: Array | None = None
    task: Array | None = None
    assignment: Array | None = None
    status: Array | None = None
    source_id: Array | None = None
    kind: Kind = "answers"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InputError(f"labels: kind must be one of {get_args(Kind)}, got {self.kind!r}")
        if not isinstance(self.provenance, Mapping):
            raise InputError(f"labels: provenance: expected facts by name, got {type(self.provenance).__name__}")
        m = len(self.pose)
        shapes = {"pose": (m,), "pair": (m, 2), "relation": (m,)} | dict.fromkeys(_OPTIONAL, (m,))
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise InputError(f"labels: {name}: expected shape {shape}, got {array.shape}")
        for name in ("pose", "pair", "relation"):
            if not np.issubdtype(getattr(self, name).dtype, np.integer):
                raise InputError(f"labels: {name}: expected integers, got {getattr(self, name).dtype}")
        for name in NUMBER_COLUMNS:
            numbers = getattr(self, name)
            if numbers is not None and not np.issubdtype(numbers.dtype, np.number):
                raise InputError(f"labels: {name}: expected numbers, got {numbers.dtype}")
        joints = self.skeleton.num_joints
        self._check_range("pose", 0, None, "pose numbers start at 0")
        self._check_range("pair", 0, joints - 1, f"skeleton {self.skeleton.name!r} has joints 0..{joints - 1}")
        self._check("pair", self.pair[:, 0] == self.pair[:, 1], "a joint cannot be compared with itself")
        self._check_range("relation", -1, 1, "expected -1, 0 or +1")
        for name in ("probability", "risk"):
            if getattr(self, name) is not None:
                self._check_range(name, 0, 1, "expected 0..1")
        if self.response_time is not None:
            bad = (self.response_time < 0) | np.isinf(self.response_time)
            self._check("response_time", bad, "expected seconds from 0, or NaN")
        if self.unsure is not None:
            if self.unsure.dtype != np.bool_:
                raise InputError(f"labels: unsure: expected bool, got {self.unsure.dtype}")
            self._check("relation", self.unsure & (self.relation != 0), "expected 0 where the annotator was unsure")
        if self.kind == "merged":
            self._check_merged()

    def _check(self, column: str, bad: Array, expected: str) -> None:
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            value = np.asarray(getattr(self, column)[row]).tolist()
            raise InputError(f"labels: row {row}: {column} {value}: {expected} ({int(bad.sum())} such rows)")

    def _check_range(self, column: str, low: int, high: int | None, expected: str) -> None:
        values = getattr(self, column)
        if values.size and not (values.min() >= low and (high is None or values.max() <= high)):  # nor NaN
            inside = (values >= low) & (high is None or values <= high)
            self._check(column, ~(inside.all(axis=1) if inside.ndim > 1 else inside), expected)

    def _check_merged(self) -> None:
        if (rows := self.conflict()) is not None:
            a, b = (self.skeleton.joints[i] for i in self.pair[rows[0]])
            raise InputError(
                f"labels: rows {rows[0]} and {rows[1]}: pose {int(self.pose[rows[0]])}, {a} and {b}: "
                "two different merged labels for one pair (raw answers may disagree, merged labels may not)"
            )

    def conflict(self) -> tuple[int, int] | None:
        """Two rows that say different things of one pair of one pose, whichever way round it is written; or None."""
        a, b = self.pair.T
        low, high = (side(a, b).astype(np.int64, copy=False) for side in (np.minimum, np.maximum))
        j = self.skeleton.num_joints
        said = np.where(a > b, -self.relation, self.relation) + 1
        key = ((self.pose.astype(np.int64) * j + low) * j + high) * 3 + said
        del low, high, said  # a hundred million labels take 0.8 GB a column here
        ordered = np.sort(key)
        gap = np.diff(ordered)
        near = np.flatnonzero((gap > 0) & (gap < 3))
        near = near[ordered[near] // 3 == ordered[near + 1] // 3]
        if not len(near):
            return None
        lower, higher = (np.flatnonzero(key == ordered[near[0] + i]) for i in (0, 1))
        first, second = sorted((int(lower[-1]), int(higher[0])))
        return first, second

    def __len__(self) -> int:
        return len(self.pose)

    def check_poses(self, poses: PoseSet) -> None:
        """Check that the labels speak of the joints and rows of `poses`.

        Raises:
            InputError: another skeleton, or a label of a row that does not exist.
        """
        if poses.skeleton.joints != self.skeleton.joints:
            raise InputError(
                f"labels: made for skeleton {self.skeleton.name!r}, but the poses are on {poses.skeleton.name!r}"
            )
        self._check("pose", self.pose >= len(poses), f"the pose set has rows 0..{len(poses) - 1}")

    def select(self, rows: Any) -> RelativeLabels:
        """Some of the labels: a slice, a mask or an array of row numbers."""
        columns = {name: getattr(self, name) for name in ("pose", "pair", "relation", *_OPTIONAL)}
        return dataclasses.replace(self, **{name: c[rows] for name, c in columns.items() if c is not None})

    def of_poses(self, rows: Array) -> RelativeLabels:
        """The labels of ``poses.select(rows)``, for (n,) row numbers that are all different, or a mask of the rows.

        Raises:
            InputError: a row twice.
        """
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        if len(np.unique(rows)) < len(rows):
            raise InputError("labels: the labels of a pose that is selected twice would count twice")
        place = np.full(1 + max(self.pose.max(initial=-1), rows.max(initial=-1)), -1)
        place[rows] = np.arange(len(rows))
        kept = self.select(place[self.pose] >= 0)
        return dataclasses.replace(kept, pose=place[kept.pose])

    def remap(self, target: str | Path | Skeleton) -> RelativeLabels:
        """The same labels on another skeleton that has the joints compared, by their names.

        Raises:
            InputError: it has not.
        """
        target = get_skeleton(target)
        number = np.array([target.joints.index(name) if name in target.joints else -1 for name in self.skeleton.joints])
        pair = number[self.pair]
        self._check(
            "pair", np.asarray((pair < 0).any(axis=1)), f"skeleton {target.name!r} has not both of these joints"
        )
        return dataclasses.replace(self, skeleton=target, pair=pair)

    def sure(self) -> RelativeLabels:
        """The labels without those whose annotators could not tell, which say nothing of depth."""
        return self if self.unsure is None else self.select(~self.unsure)

    def merged_risk(self) -> Array | None:
        """(M,) probability that each label is wrong: `risk`, or what `probability` says of it; None without either."""
        if self.risk is None and self.probability is not None:
            return np.asarray(np.minimum(self.probability, 1 - self.probability), dtype=np.float64)
        return None if self.risk is None else np.asarray(self.risk, dtype=np.float64)

    def save(self, path: str | Path) -> None:
        """Write a Parquet table, whole or not at all: pose, joint_a, joint_b, relation, and the columns that it has."""
        columns: dict[str, Array] = {
            "pose": self.pose.astype(np.int64, copy=False),
            "joint_a": self.pair[:, 0].astype(np.int16),
            "joint_b": self.pair[:, 1].astype(np.int16),
            "relation": self.relation.astype(np.int8, copy=False),
        }
        for name in _OPTIONAL:
            if (column := getattr(self, name)) is not None:
                columns[name] = column.astype(np.str_, copy=False) if name in TEXT_COLUMNS else column
        header = {
            "schema": SCHEMA,
            "skeleton": self.skeleton.to_dict(),
            "kind": self.kind,
            "provenance": dict(self.provenance),
        }
        write_table(path, columns, header)

    @classmethod
    def load(cls, path: str | Path) -> RelativeLabels:
        """Read what `save` wrote.

        Raises:
            InputError: no such file, not Parquet, damaged, or not a label table.
        """
        header, column = read_table(path)
        try:
            if header["schema"] != SCHEMA:
                raise InputError(f"schema {header['schema']!r}, expected {SCHEMA!r}")
            column |= {name: column[name].astype(np.str_, copy=False) for name in TEXT_COLUMNS if name in column}
            return cls(
                skeleton=Skeleton.from_dict(header["skeleton"]),
                pose=column.pop("pose"),
                pair=np.stack([column.pop("joint_a"), column.pop("joint_b")], axis=1),
                relation=column.pop("relation"),
                kind=header["kind"],
                provenance=header["provenance"],
                **{name: column[name] for name in _OPTIONAL if name in column},
            )
        except KeyError as error:
            raise InputError(f"{path}: not a nearfar label table (missing {error})") from None
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{path}: damaged label table ({error})") from None


def join_labels(parts: Sequence[RelativeLabels], provenance: Mapping[str, Any] | None = None) -> RelativeLabels:
    """The rows of several tables about the same poses, one after the other.

    Of columns that only some of the parts have, the others' rows get "", NaN seconds, or not unsure. Annotator,
    probability and risk, which nothing can stand for, all of the parts that have rows must have, or none.

    Args:
        parts: at least one.
        provenance: where the whole came from; by default that of the first.

    Raises:
        InputError: the parts differ in skeleton, kind, or those columns; or merged labels that contradict each other.
    """
    parts = [part for part in parts if len(part)] or list(parts[:1])
    first = parts[0]
    if any(part.skeleton.joints != first.skeleton.joints for part in parts):
        names = sorted({part.skeleton.name for part in parts})
        raise InputError(f"joining labels: they are on different skeletons: {', '.join(names)}")
    if any(part.kind != first.kind for part in parts):
        raise InputError("joining labels: some are raw answers, and some are merged already")
    columns: dict[str, Any] = {}
    for name in ("pose", "pair", "relation", *_OPTIONAL):
        there = [getattr(part, name) for part in parts]
        if all(column is None for column in there):
            continue
        if any(column is None for column in there) and name in ("annotator", "probability", "risk"):
            raise InputError(f"joining labels: only some of them have {name}")
        stand_in = np.nan if name == "response_time" else False if name == "unsure" else ""
        columns[name] = np.concatenate(
            [np.full(len(part), stand_in) if c is None else c for part, c in zip(parts, there, strict=True)]
        )
    return dataclasses.replace(first, **columns, provenance=first.provenance if provenance is None else provenance)


def all_pairs(skeleton: Skeleton) -> Array:
    """(J (J - 1) / 2, 2) every pair of joints."""
    return np.stack(np.triu_indices(skeleton.num_joints, k=1), axis=1)


def random_pairs(skeleton: Skeleton, poses: int, per_pose: int, rng: np.random.Generator) -> Array:
    """Draw `per_pose` different pairs for each pose, in random order a, b.

    Returns:
        (poses, per_pose, 2) joint numbers.

    Raises:
        InputError: the skeleton has fewer than `per_pose` pairs.
    """
    pairs = all_pairs(skeleton)
    if not 1 <= per_pose <= len(pairs):
        raise InputError(f"pairs per pose: skeleton {skeleton.name!r} has 1..{len(pairs)} pairs, got {per_pose}")
    if per_pose == 1:
        chosen = pairs[rng.integers(len(pairs), size=(poses, 1))]
    else:
        chosen = pairs[rng.permuted(np.tile(np.arange(len(pairs)), (poses, 1)), axis=1)[:, :per_pose]]
    return np.where(rng.random((poses, per_pose, 1)) < 0.5, chosen, chosen[..., ::-1])


def labels_from_joints(
    poses: PoseSet,
    pairs: Array,
    *,
    tolerance: float = 0.0,
    noise: AnswerNoise | None = None,
    rng: np.random.Generator | None = None,
) -> RelativeLabels:
    """Answer pairs from known camera-frame joints: exact, with a tolerance, or as noisy people would.

    Args:
        poses: N poses with joints in the camera's frame (or root-relative along its axes).
        pairs: (N, P, 2) joints to compare.
        tolerance: mm; differences smaller than this are "equal" (relation 0).
        noise: how often answers are wrong (needs `rng`); `answer_noise.PAPER_CROWD` is the paper's simulated crowd.
        rng: source of randomness.

    Raises:
        InputError: world-frame or missing joints, or both tolerance and noise (which exclude each other).
    """
    if poses.joints is None or poses.frame == "world":
        raise InputError("labels: answering from joints needs joints in the camera's frame")
    if tolerance and noise is not None:
        raise InputError("labels: tolerance and label noise exclude each other")
    if not (np.isfinite(tolerance) and tolerance >= 0):
        raise InputError(f"labels: tolerance must be 0 mm or more, got {tolerance}")
    depth = poses.joints[..., 2]
    pose = np.repeat(np.arange(len(poses)), pairs.shape[1])
    pair = pairs.reshape(-1, 2)
    difference = depth[pose, pair[:, 0]] - depth[pose, pair[:, 1]]
    if not np.isfinite(difference).all():
        row = int(pose[np.flatnonzero(~np.isfinite(difference))[0]])
        raise InputError(f"labels: pose {row} has missing joints; labels cannot be made from them")
    relation = np.where(difference >= 0, 1, -1)  # a tie without tolerance is decided for +1, as in the benchmark
    relation = np.where(np.abs(difference) < tolerance, 0, relation).astype(np.int8)
    labels = RelativeLabels(
        poses.skeleton, pose, pair, relation, provenance={"from": "joints", "tolerance_mm": tolerance}
    )
    if noise is None:
        return labels
    if rng is None:
        raise InputError("labels: noise needs a random generator")
    noisy = flip(labels, noise.wrong(difference), rng)
    return dataclasses.replace(noisy, provenance={**labels.provenance, "noise": dataclasses.asdict(noise)})


def flip(labels: RelativeLabels, probability: npt.ArrayLike, rng: np.random.Generator) -> RelativeLabels:
    """Turn answers round with the given probability, one for all or (M,) one each; "equal" stays."""
    turned = rng.random(len(labels)) < np.asarray(probability)
    return dataclasses.replace(labels, relation=np.where(turned, -labels.relation, labels.relation).astype(np.int8))
