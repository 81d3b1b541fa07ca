"""Whether probabilities mean what they say: reliability, and proper scores; against the truth or against people."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from nearfar.consensus import Consensus, Model, merge, votes_of
from nearfar.consensus.depth import DepthFit
from nearfar.consensus.depth_em import fit_depth
from nearfar.consensus.glad import GladFit, fit_glad
from nearfar.consensus.skill import SkillFit, fit_skill
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels
from nearfar.study.measures import share

__all__ = ["calibration", "held_out_answers"]

Array = npt.NDArray[Any]

BINS = 10
"""Of the probability of the likelier side, from 1/2 to 1."""

CUT = 1e-3
"""The log loss takes no probability for more certain than this, so that one sure mistake does not outweigh the rest."""

FOLDS = 5
MOST_POSES = 4_000
"""Held-out answers are taken from so many poses at most."""

LEAST_SWAY = 0.05
"""Answers that would move a probability by less tell nothing of it (of people who do not look, say)."""


def calibration(probability: npt.ArrayLike, outcome: npt.ArrayLike, bins: int = BINS) -> dict[str, Any]:
    """How often what was said to have a probability came about.

    Args:
        probability: (M,) that the second of two sides comes about.
        outcome: (M,) whether it did.
        bins: of equal width, of the probability of the likelier side.

    Returns:
        ``number``; ``bins``, each with lower, upper, predicted (mean), answers (how many), accuracy (share that came
        about) and its 95 % Wilson interval; ``ece``, the expected calibration error: mean over all of the distance of
        predicted and accuracy in its bin; ``brier``, the mean of (probability − outcome)²; ``log_loss``, in nats, of
        probabilities cut to 0.001..0.999. The last three are None where there is nothing to measure.

    Raises:
        InputError: shapes that differ, or probabilities out of 0..1.
    """
    p, came = np.asarray(probability, dtype=np.float64), np.asarray(outcome, dtype=bool)
    if p.ndim != 1 or p.shape != came.shape or not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"calibration: expected (M,) probabilities and outcomes, got {p.shape} and {came.shape}")
    sure, hit = np.maximum(p, 1 - p), (p > 0.5) == came
    bin_ = np.minimum(((sure - 0.5) * 2 * bins).astype(int), bins - 1)
    edges = np.linspace(0.5, 1, bins + 1).tolist()
    records = []
    for i in range(bins):
        inside = bin_ == i
        predicted = float(sure[inside].mean()) if inside.any() else None
        records.append({"lower": edges[i], "upper": edges[i + 1], "predicted": predicted, **share(hit[inside])})
    ece = brier = log_loss = None
    if len(p):
        off = [r["answers"] * abs(r["predicted"] - r["accuracy"]) for r in records if r["answers"]]
        ece, brier = sum(off) / len(p), float(((p - came) ** 2).mean())
        log_loss = float(-np.log(np.clip(np.where(came, p, 1 - p), CUT, 1 - CUT)).mean())
    return {"number": len(p), "bins": records, "ece": ece, "brier": brier, "log_loss": log_loss}


def held_out_answers(
    answers: RelativeLabels, model: Model, rng: np.random.Generator, folds: int = FOLDS
) -> tuple[Array, Array]:
    """Predict answers that the merging did not see, which needs no truth.

    In each fold one answer of each pose is hidden, of a pair that others answered too, and the rest is merged. Were the
    hidden answer "second nearer", the pair's probability p of that side would become p₊, and p₋ were it "first
    nearer"; p is the mean of the two, so the answer is "second nearer" with probability (p − p₋) / (p₊ − p₋), whatever
    the model (nearly so for GLAD, which takes one difficulty of a pair for certain). A majority vote predicts its
    share.

    Args:
        answers: raw answers.
        model: as for `nearfar.consensus.merge`.
        rng: which answers are hidden.
        folds: how often.

    Returns:
        (M,) probabilities that the joint with the higher number is called nearer, and whether it was; M may be 0.
    """
    votes = votes_of(answers)
    several = np.bincount(votes.item, votes.vote != 0, votes.items) > 1
    usable = votes.row[(votes.vote != 0) & several[votes.item]]
    poses = np.unique(answers.pose[usable])
    if len(poses) > MOST_POSES:
        answers = answers.select(np.isin(answers.pose, rng.choice(poses, MOST_POSES, replace=False)))
        return held_out_answers(answers, model, rng, folds)
    predicted, outcomes = [np.zeros(0)], [np.zeros(0, dtype=bool)]
    turned = answers.pair[:, 0] > answers.pair[:, 1]
    for _ in tqdm(range(folds if len(poses) else 0), desc="predict hidden answers", disable=None):
        shuffled = rng.permutation(usable)
        hidden = shuffled[np.unique(answers.pose[shuffled], return_index=True)[1]]
        kept = np.setdiff1d(np.arange(len(answers)), hidden)
        consensus = merge(answers.select(kept), model)
        item = np.empty(len(answers), dtype=np.int64)
        item[votes.row] = votes.item
        item = item[hidden]
        p = np.asarray(consensus.labels.probability)[item]
        if consensus.fit is not None:
            low, high = (
                _supposing(answers, hidden, np.where(turned[hidden], -relation, relation), consensus)[item]
                for relation in (-1, 1)
            )
            telling = np.abs(high - low) > LEAST_SWAY
            hidden, p, low, high = hidden[telling], p[telling], low[telling], high[telling]
            p = np.clip((p - low) / (high - low), 0, 1)
        predicted.append(p)
        outcomes.append((answers.relation[hidden] > 0) != turned[hidden])
    return np.concatenate(predicted), np.concatenate(outcomes)


def _supposing(answers: RelativeLabels, rows: Array, relation: Array, consensus: Consensus) -> Array:
    """(I,) probabilities of the pairs were these the answers in some rows; what was learned of workers stays."""
    said = answers.relation.copy()
    said[rows] = relation
    votes = votes_of(dataclasses.replace(answers, relation=said))
    nobody = np.zeros(len(votes.workers), dtype=bool)
    match consensus.fit:
        case SkillFit() as fit:
            return fit_skill(votes, fit.model, fit, nobody).probability
        case GladFit() as fit:
            return fit_glad(votes, fit.model, fit, nobody).probability
        case DepthFit() as fit:
            return fit_depth(votes, answers.skeleton, fit.model, fit, nobody).probability
    raise TypeError("a majority vote learns nothing")
