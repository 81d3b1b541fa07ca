"""One report on merged answers: how sure the labels are, whether that can be believed, and who answered how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.consensus import FINISHED_RISK, Consensus, Model, Votes
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels
from nearfar.poses import PoseSet
from nearfar.study.calibration import calibration, held_out_answers
from nearfar.study.measures import accuracy_by_difference, finite, share_of, wilson_interval
from nearfar.study.report import by_risk

__all__ = ["FLAGS", "merge_report", "merge_summary", "worker_records", "worker_table"]

Array = npt.NDArray[Any]

FLAGS = {
    "reversed": "agrees with the others less than half of the time",
    "at chance": "agrees with the others no more than a coin would, and less than the others do",
    "one-sided": "takes the joint asked first, or the one asked second, more than four times in five",
    "hurried": "takes less than a third of the usual time",
    "often unsure": "says that it cannot be told more often than not",
}
"""What is remarked of workers, so that somebody looks at their answers; nobody is proven wrong by it."""

FEWEST = 20
"""Answers below which nothing is remarked."""

ONE_SIDED, HURRIED = 0.8, 1 / 3


def merge_summary(consensus: Consensus, finished_risk: float = FINISHED_RISK) -> dict[str, Any]:
    """Counts, and how sure the merged labels are; JSON-safe.

    Returns:
        ``answers``, of which ``unsure`` (can't tell) and ``same`` (same depth), ``repeated`` (by a worker about a pair
        that this worker had answered already), ``workers`` (None where nobody is named), ``poses``, ``pairs``,
        ``answers_a_pair`` (how many pairs have how many answers, by number), ``decided`` (share of pairs with a
        relation), ``mean_risk``, ``finished`` (share of pairs whose risk is below ``finished_risk``).
    """
    votes, labels = consensus.votes, consensus.labels
    risk = np.asarray(labels.risk)
    counts = np.bincount(np.bincount(votes.item, minlength=votes.items))
    named = votes.workers.tolist() != [""]
    key = votes.item * len(votes.workers) + votes.worker
    return {
        "answers": len(votes),
        "unsure": int((votes.unsure & (votes.vote == 0)).sum()),
        "same": int((~votes.unsure & (votes.vote == 0)).sum()),
        "repeated": len(key) - len(np.unique(key)) if named else None,
        "workers": len(votes.workers) if named else None,
        "poses": len(np.unique(votes.pose)),
        "pairs": votes.items,
        "answers_a_pair": {str(i): int(counts[i]) for i in np.flatnonzero(counts)},
        "decided": finite(np.mean(labels.relation != 0)) if votes.items else None,
        "mean_risk": finite(risk.mean()) if votes.items else None,
        "finished": finite((risk < finished_risk).mean()) if votes.items else None,
        "finished_risk": finished_risk,
    }


def merge_report(
    answers: RelativeLabels,
    consensus: Consensus,
    model: Model,
    *,
    truth: PoseSet | None = None,
    finished_risk: float = FINISHED_RISK,
    rng: np.random.Generator | None = None,
) -> dict[str, Any]:
    """Look at merged answers from all sides.

    Args:
        answers: the raw answers.
        consensus: what `nearfar.consensus.merge` made of them.
        model: the model that it merged them by.
        truth: the poses that the answers speak of, with joints in the camera's frame (or root-relative along its axes).
        finished_risk: a pair is finished when its risk is below this.
        rng: which answers are hidden where there is no truth (`calibration.held_out_answers`); by default of seed 0.

    Returns:
        A JSON-safe report: `merge_summary`; ``easy_to_hard`` (`by_risk`); ``by_answers`` (for each number of answers a
        pair: pairs, mean_risk, finished, and the share that is right where that is known); ``calibration``
        (`calibration`, and ``against``: "truth" or "held-out answers"); ``truth`` (share of the pairs that is right,
        undecided ones counting half, and by depth difference; None without); ``per_worker`` (`worker_records`; None
        where nobody is named).

    Raises:
        InputError: poses without 3D, of another skeleton, or too few.
    """
    labels, votes = consensus.labels, consensus.votes
    difference = np.full(votes.items, np.nan)
    if truth is not None:
        if truth.joints is None or truth.frame == "world":
            raise InputError("merging: the truth needs poses with joints in the camera's frame")
        answers.check_poses(truth)
        depth = np.asarray(truth.joints)[..., 2]
        difference = (depth[labels.pose, labels.pair[:, 0]] - depth[labels.pose, labels.pair[:, 1]]).astype(np.float64)
    known = np.isfinite(difference) & (difference != 0)
    right = np.where(known, np.where(labels.relation == 0, 0.5, labels.relation * difference > 0), np.nan)
    probability = np.asarray(labels.probability)
    if truth is not None:
        against, measured = "truth", calibration(probability[known], difference[known] > 0)
    else:
        rng = np.random.default_rng(0) if rng is None else rng
        against, measured = "held-out answers", calibration(*held_out_answers(answers, model, rng))
    return {
        **merge_summary(consensus, finished_risk),
        "merged": dict(labels.provenance["merged"]),
        "easy_to_hard": by_risk(labels, right, finished_risk),
        "by_answers": _by_answers(consensus, right, finished_risk),
        "calibration": {"against": against, **measured},
        "truth": None if truth is None else _against_truth(labels, difference, right, known),
        "per_worker": None if votes.workers.tolist() == [""] else worker_records(consensus, answers),
    }


def worker_records(consensus: Consensus, answers: RelativeLabels) -> list[dict[str, Any]]:
    """A record for each worker, those who answered most first.

    Returns:
        ``annotator``; ``answers``; ``agreement`` with the majority of the *others* who answered the same pair (ties
        left out): answers, accuracy, 95 % Wilson interval; ``unsure`` and ``same``, shares of the answers; ``first``,
        the share of the remaining ones that took the joint asked first, and ``first_interval``; ``median_seconds``
        (None without response times); what merging estimated (`Consensus.workers`: expected_right, skills by side,
        ...); ``flags``, of `FLAGS`.
    """
    votes = consensus.votes
    said = votes.per_item(votes.relation.astype(float))
    others = np.sign(said[votes.item] - votes.relation)
    compared = (votes.vote != 0) & (others != 0)
    numbers = {
        name: votes.per_worker(mask.astype(float)).astype(int)
        for name, mask in {
            "compared": compared,
            "agreed": compared & (votes.relation == others),
            "decided": votes.vote != 0,
            "first": votes.vote < 0,
            "unsure": votes.unsure & (votes.vote == 0),
        }.items()
    }
    low, high = wilson_interval(numbers["first"], numbers["decided"])
    seconds = _median_seconds(votes, answers)
    usual = float(np.nanmedian(seconds)) if np.isfinite(seconds).any() else np.nan
    records = []
    for i, told in enumerate(consensus.workers()):
        count, decided = told["answers"], int(numbers["decided"][i])
        record = {
            "annotator": told["annotator"],
            "answers": count,
            "agreement": share_of(int(numbers["agreed"][i]), int(numbers["compared"][i])),
            "unsure": numbers["unsure"][i] / count,
            "same": (count - decided - int(numbers["unsure"][i])) / count,
            "first": numbers["first"][i] / decided if decided else None,
            "first_interval": [float(low[i]), float(high[i])] if decided else None,
            "median_seconds": finite(seconds[i]),
        }
        estimated = {k: v for k, v in told.items() if k not in ("annotator", "answers", "unsure", "agrees")}
        records.append(record | estimated)
    accuracies = [r["agreement"]["accuracy"] for r in records if r["agreement"]["answers"] >= FEWEST]
    typical = float(np.median(accuracies)) if accuracies else 1.0
    for record in records:
        record["flags"] = _flags(record, typical, usual)
    return sorted(records, key=lambda record: (-record["answers"], record["annotator"]))


def _flags(record: dict[str, Any], typical: float, usual: float) -> list[str]:
    """What is remarked of a worker, where the crowd's agreement is `typical` and its time `usual`."""
    found = []
    if record["agreement"]["answers"] >= FEWEST:
        low, high = record["agreement"]["interval"]
        if high < 0.5:
            found.append("reversed")
        elif low <= 0.5 and high < typical:
            found.append("at chance")
    if record["answers"] >= FEWEST:
        if record["first"] is not None:
            low, high = record["first_interval"]
            if low > ONE_SIDED or high < 1 - ONE_SIDED:
                found.append("one-sided")
        if record["median_seconds"] is not None and record["median_seconds"] < HURRIED * usual:
            found.append("hurried")
        if record["unsure"] > 0.5:
            found.append("often unsure")
    return found


def _median_seconds(votes: Votes, answers: RelativeLabels) -> Array:
    """(W,) median response time; NaN where unknown."""
    medians = np.full(len(votes.workers), np.nan)
    if answers.response_time is None:
        return medians
    seconds = answers.response_time[votes.row]
    known = np.isfinite(seconds)
    order = np.lexsort((seconds[known], votes.worker[known]))
    who, seconds = votes.worker[known][order], seconds[known][order]
    start, stop = (np.searchsorted(who, np.arange(len(votes.workers)), side=side) for side in ("left", "right"))
    some = stop > start
    if some.any():
        middle = seconds[(start[some] + stop[some] - 1) // 2] + seconds[(start[some] + stop[some]) // 2]
        medians[some] = middle / 2
    return medians


def _by_answers(consensus: Consensus, right: Array, finished_risk: float) -> list[dict[str, Any]]:
    """Risk by how many answers a pair has."""
    counts = np.bincount(consensus.votes.item, minlength=consensus.votes.items)
    risk = np.asarray(consensus.labels.risk)
    records = []
    for number in np.unique(counts).tolist():
        inside = counts == number
        hits = right[inside][np.isfinite(right[inside])]
        records.append(
            {
                "answers": number,
                "pairs": int(inside.sum()),
                "mean_risk": float(risk[inside].mean()),
                "finished": float((risk[inside] < finished_risk).mean()),
                "right": float(hits.mean()) if len(hits) else None,
            }
        )
    return records


def _against_truth(labels: RelativeLabels, difference: Array, right: Array, known: Array) -> dict[str, Any]:
    decided = known & (labels.relation != 0)
    return {
        "pairs": int(known.sum()),
        "right": float(right[known].mean()) if known.any() else None,
        "undecided": int((known & (labels.relation == 0)).sum()),
        "by_difference": accuracy_by_difference(difference[decided], right[decided] > 0.5),
    }


def worker_table(records: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """The records as columns of a CSV file; an empty cell where something is not known.

    A name that a spreadsheet would take for a formula gets an apostrophe.
    """
    rows = []
    for record in records:
        low, high = record["agreement"]["interval"] or (None, None)
        name = record["annotator"]
        row = {
            "annotator": f"'{name}" if name.startswith(tuple("=+-@\t\r")) else name,
            "answers": record["answers"],
            "compared": record["agreement"]["answers"],
        }
        row |= {"agreement": record["agreement"]["accuracy"], "agreement_low": low, "agreement_high": high}
        row |= {k: v for k, v in record.items() if k not in (*row, "flags", "first_interval")}
        rows.append(row | {"flags": "; ".join(record["flags"])})
    names = list(rows[0]) if rows else []
    return {name: ["" if row[name] is None else str(row[name]) for row in rows] for name in names}
