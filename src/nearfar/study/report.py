"""One report on people's answers: how often they are right, where, whose, and what noise describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.answer_noise import PAPER_CROWD, compare_noise, log_likelihood
from nearfar.consensus import Consensus, Majority, SkillModel, Votes, merge, votes_of
from nearfar.consensus.merging import FINISHED_RISK
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels
from nearfar.poses import PoseSet
from nearfar.study.agreement import agreement, crowd_kappa
from nearfar.study.measures import accuracy_by_difference, accuracy_by_group, finite, share
from nearfar.study.tilt import level_depth

__all__ = ["by_risk", "study_answers"]

Array = npt.NDArray[Any]

EXTREMES = 10
"""How many of the hardest and of the easiest poses are listed."""

RISK_GROUPS = 10
"""Merged labels from the easiest to the hardest are looked at in so many groups of equal size."""


@dataclass(frozen=True, eq=False)
class _Truth:
    """True depth differences of I items, mm, and what follows for M answers; NaN where the pose misses a joint."""

    votes: Votes
    difference: Array

    @classmethod
    def of(cls, votes: Votes, depth: Array) -> _Truth:
        both = depth[votes.pose[:, None], votes.pair]
        return cls(votes, (both[:, 0] - both[:, 1]).astype(np.float64))

    @property
    def known(self) -> Array:
        """(I,) items that have a nearer joint."""
        return np.asarray(np.isfinite(self.difference) & (self.difference != 0))

    @property
    def counted(self) -> Array:
        """(M,) answers that are right or wrong: those to known items, and not 0."""
        return np.asarray(self.known[self.votes.item] & (self.votes.vote != 0))

    @property
    def right(self) -> Array:
        """(M,) whether each answer is right."""
        return np.asarray(self.votes.relation * self.difference[self.votes.item] > 0)

    def answers(self) -> dict[str, Any]:
        """How right single answers are."""
        m = self.counted
        return self._measured(self.difference[self.votes.item][m], self.right[m])

    def merged(self, relation: Array) -> dict[str, Any]:
        """How right merged relations (I,) are; undecided ones (0) are left out and counted."""
        m = self.known & (relation != 0)
        undecided = int((self.known & (relation == 0)).sum())
        return {**self._measured(self.difference[m], relation[m] * self.difference[m] > 0), "undecided": undecided}

    @staticmethod
    def _measured(difference: Array, right: Array) -> dict[str, Any]:
        return {**share(right), "by_difference": accuracy_by_difference(difference, right)}


def study_answers(
    answers: RelativeLabels,
    poses: PoseSet,
    *,
    rotations: npt.ArrayLike | None = None,
    experts: RelativeLabels | None = None,
    bootstrap: int = 200,
    rng: np.random.Generator | None = None,
) -> dict[str, Any]:
    """Measure answers against known 3D.

    Args:
        answers: raw answers. Without annotators they are merged by majority, and nobody's skill is told.
        poses: the poses they speak of, with joints in the camera's frame (or root-relative along its axes).
        rotations: (N, 3, 3) or (3, 3) world-to-camera rotations of the poses; with them everything by depth is also
            measured with the camera's tilt undone (`tilt.level_depth`). Nothing is estimated without.
        experts: answers of experts to the same poses, to compare with each other and with the crowd.
        bootstrap: resamplings of workers for the noise models' intervals.
        rng: source of randomness of the bootstrap; by default one of seed 0.

    Returns:
        A JSON-safe report; docs/study.md explains its parts. Intervals of shares are 95 % Wilson intervals, which take
        answers as independent.

    Raises:
        InputError: merged labels, poses without 3D or other poses, or nothing to measure.
    """
    if poses.joints is None or poses.frame == "world":
        raise InputError("study: needs poses with joints in the camera's frame")
    for labels in (answers, experts):
        if labels is not None:
            labels.check_poses(poses)
    votes = votes_of(answers)
    truth = _Truth.of(votes, np.asarray(poses.joints)[..., 2])
    if not truth.counted.any():
        raise InputError("study: no answer about two joints of known and different depth")
    merged = {"majority": merge(answers, Majority())}
    if answers.annotator is not None:
        merged["skill"] = merge(answers, SkillModel())
    best = merged.get("skill", merged["majority"])
    right = np.where(truth.known, best.labels.relation * truth.difference > 0, np.nan)
    report: dict[str, Any] = {
        "answers": len(votes),
        "unsure": int((votes.vote == 0).sum()),
        "without_truth": int((~truth.known[votes.item]).sum()),
        "poses": len(np.unique(votes.pose)),
        "pairs": votes.items,
        "annotators": len(votes.workers) if answers.annotator is not None else None,
        "single": truth.answers(),
        "merged": {name: truth.merged(consensus.labels.relation) for name, consensus in merged.items()},
        "tilt_undone": None,
        "noise": _noise(truth, answers.annotator is not None, bootstrap, rng),
        "fleiss_kappa": finite(crowd_kappa(votes)),
        "per_annotator": _per_annotator(truth, best) if answers.annotator is not None else None,
        "per_pose": _per_pose(truth, poses),
        "per_pair": _per_pair(truth, answers),
        "easy_to_hard": by_risk(best.labels, right),
        "response_time": _response_time(truth, answers),
        "experts": None if experts is None else agreement(experts, best.labels),
    }
    if rotations is not None:
        level = _Truth.of(votes, level_depth(poses.joints, rotations))
        report["tilt_undone"] = {
            "single": level.answers(),
            "merged": {name: level.merged(consensus.labels.relation) for name, consensus in merged.items()},
            "noise": _noise(level, answers.annotator is not None, bootstrap, rng),
        }
    return report


def by_risk(labels: RelativeLabels, right: Array, finished_risk: float = FINISHED_RISK) -> dict[str, Any]:
    """Merged labels from easy to hard.

    Args:
        labels: I merged labels with probability or risk.
        right: (I,) whether each label is right (or agrees with something better); NaN where that is not known.
        finished_risk: what counts as finished.

    Returns:
        ``finished``: the share of labels with a risk below `finished_risk`; ``quantiles``: the risk at 0, 1, ... 100 %
        of the labels; ``groups``: ten of equal size, easiest first, each with labels, mean risk, and the share that is
        right among those known.

    Raises:
        InputError: labels without probability and risk.
    """
    risk = labels.merged_risk()
    if risk is None:
        raise InputError("study: the merged labels have neither risk nor probability")
    order = np.argsort(risk, kind="stable")
    groups = []
    for rows in np.array_split(order, RISK_GROUPS):
        known = np.isfinite(right[rows]) & (labels.relation[rows] != 0)
        mean = float(np.mean(risk[rows])) if len(rows) else None
        groups.append({"labels": len(rows), "mean_risk": mean, **share(right[rows][known] > 0)})
    return {
        "labels": len(labels),
        "finished": float(np.mean(risk < finished_risk)) if len(risk) else None,
        "finished_risk": finished_risk,
        "quantiles": np.quantile(risk, np.linspace(0, 1, 101)).tolist() if len(risk) else [],
        "groups": groups,
    }


def _noise(truth: _Truth, named: bool, bootstrap: int, rng: np.random.Generator | None) -> dict[str, Any]:
    """Noise models fitted to the single answers, the best first, and how likely the paper's line makes them."""
    counted = truth.counted
    difference, right = truth.difference[truth.votes.item][counted], truth.right[counted]
    worker = truth.votes.worker[counted] if named else None
    fits = compare_noise(difference, right, worker=worker, bootstrap=bootstrap, rng=rng)
    return {
        "paper_log_likelihood": finite(log_likelihood(PAPER_CROWD, difference, right)),
        "fits": [fit.to_dict() for fit in fits],
    }


def _per_annotator(truth: _Truth, consensus: Consensus) -> list[dict[str, Any]]:
    """What merging says of each annotator, and what the truth says; the most right first."""
    votes, counted = truth.votes, truth.counted
    accuracy = accuracy_by_group(votes.worker[counted], truth.right[counted], len(votes.workers))
    records = [
        {**record, "counted": of_truth["answers"], "accuracy": of_truth["accuracy"], "interval": of_truth["interval"]}
        for record, of_truth in zip(consensus.workers(), accuracy, strict=True)
    ]
    return sorted(records, key=lambda record: 1.0 if record["accuracy"] is None else -record["accuracy"])


def _per_pose(truth: _Truth, poses: PoseSet) -> dict[str, Any]:
    """Accuracy of single answers pose by pose (image by image): its distribution, and both ends."""
    votes, counted = truth.votes, truth.counted
    rows, code = np.unique(votes.pose[votes.item[counted]], return_inverse=True)
    records = accuracy_by_group(code.reshape(-1), truth.right[counted], len(rows))
    accuracy = np.array([record["accuracy"] for record in records])
    order = np.argsort(accuracy, kind="stable")

    def named(i: int) -> dict[str, Any]:
        place: dict[str, Any] = {"pose": int(rows[i])}
        if poses.sequence is not None:
            place |= {"sequence": poses.sequence.names[int(poses.sequence.codes[rows[i]])]}
        if poses.frame_index is not None:
            place |= {"frame": int(poses.frame_index[rows[i]])}
        return {**place, **records[i]}

    return {
        "quantiles": np.quantile(accuracy, np.linspace(0, 1, 101)).tolist(),
        "median_answers": float(np.median([record["answers"] for record in records])),
        "hardest": [named(int(i)) for i in order[:EXTREMES]],
        "easiest": [named(int(i)) for i in order[::-1][:EXTREMES]],
    }


def _per_pair(truth: _Truth, answers: RelativeLabels) -> dict[str, Any]:
    """Accuracy of single answers by the two joints compared: symmetric matrices (J, J), None where nobody answered."""
    votes, counted, joints = truth.votes, truth.counted, answers.skeleton.num_joints
    pair = votes.pair[votes.item[counted]]
    records = accuracy_by_group(pair[:, 0] * joints + pair[:, 1], truth.right[counted], joints**2)
    accuracy: list[list[float | None]] = [[None] * joints for _ in range(joints)]
    count = [[0] * joints for _ in range(joints)]
    for i, record in enumerate(records):
        a, b = divmod(i, joints)
        if a < b:
            accuracy[a][b] = accuracy[b][a] = record["accuracy"]
            count[a][b] = count[b][a] = record["answers"]
    return {"joints": list(answers.skeleton.joints), "accuracy": accuracy, "answers": count}


def _response_time(truth: _Truth, answers: RelativeLabels) -> dict[str, Any] | None:
    """Seconds an answer took: overall, by depth difference, and how right the quick and the slow are."""
    if answers.response_time is None:
        return None
    seconds = np.asarray(answers.response_time, dtype=np.float64)[truth.votes.row]
    known = np.isfinite(seconds)
    if not known.any():
        return None
    counted = truth.counted & known
    size, right = np.abs(truth.difference[truth.votes.item]), truth.right
    rows = np.flatnonzero(counted)
    by_speed = []
    for group in np.array_split(rows[np.argsort(seconds[rows], kind="stable")], 5):
        median = float(np.median(seconds[group])) if len(group) else None
        by_speed.append({"median_s": median, **share(right[group])})
    by_difference = accuracy_by_difference(size[counted], right[counted])
    for record in by_difference:
        upper = np.inf if record["upper_mm"] is None else record["upper_mm"]
        inside = counted & (size >= record["lower_mm"]) & (size < upper)
        record["median_s"] = float(np.median(seconds[inside])) if inside.any() else None
    return {
        "answers": int(known.sum()),
        "quantiles_s": {f"{q} %": float(np.quantile(seconds[known], q / 100)) for q in (5, 25, 50, 75, 95)},
        "by_difference": by_difference,
        "by_speed": by_speed,
    }
