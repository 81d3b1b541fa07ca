"""Raw answers in, one label a pair out, with its probability and its risk."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.consensus.depth import DepthModel
from nearfar.consensus.depth_em import fit_depth
from nearfar.consensus.methods import Majority, Model
from nearfar.consensus.skill import SkillFit, SkillModel, fit_skill
from nearfar.consensus.votes import Votes, votes_of
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels

__all__ = ["FINISHED_RISK", "Consensus", "merge"]

Array = npt.NDArray[Any]

FINISHED_RISK = 0.02
"""A pair needs no more answers when the risk that its label is wrong is below this (PAPER.md 8)."""

UNDECIDED = 1e-9
"""Probabilities this close to 1/2 are equal to it but for rounding."""


@dataclass(frozen=True, eq=False)
class Consensus:
    """Merged labels, and what was learned of those who answered.

    Attributes:
        labels: one label a pair and pose (kind "merged"), the joint with the lower number first: `relation` is the
            likelier one, 0 where both are equally likely; `probability` that the second joint is nearer; `risk`
            that the relation is wrong.
        votes: the answers by pair; row i of the labels is item i.
        skill: skills and levels; None for a majority vote.
    """

    labels: RelativeLabels
    votes: Votes = field(repr=False)
    skill: SkillFit | None = None

    def finished(self, risk: float = FINISHED_RISK) -> Array:
        """(I,) pairs that need no more answers: those whose risk is below `risk`."""
        return np.asarray(self.labels.risk) < risk

    def update(self, more: RelativeLabels) -> Consensus:
        """Take in more answers, without fitting everything anew."""
        raise NotImplementedError

    def workers(self) -> list[dict[str, Any]]:
        """A record for each worker: answers, share of unsure ones, share that agrees with the merged label, skills."""
        votes, merged = self.votes, self.labels.relation[self.votes.item]
        answered = votes.per_worker(np.ones(len(votes)))
        decided = (votes.vote != 0) & (merged != 0)
        compared = votes.per_worker(decided.astype(float))
        agreed = votes.per_worker((decided & (votes.relation == merged)).astype(float))
        unsure = votes.per_worker((votes.vote == 0).astype(float))
        records: list[dict[str, Any]] = []
        for i, name in enumerate(votes.workers.tolist()):
            record = {
                "annotator": name,
                "answers": int(answered[i]),
                "unsure": _share(unsure[i], answered[i]),
                "agrees": _share(agreed[i], compared[i]),
            }
            if self.skill is not None:
                told = {name: float(column[i]) for name, column in self.skill.columns().items()}
                record |= {name: value if np.isfinite(value) else None for name, value in told.items()}
            records.append(record)
        return records


def merge(answers: RelativeLabels, model: Model | None = None) -> Consensus:
    """Merge answers, one label a pair and pose.

    Answers of 0 (same depth, unsure) say nothing of the order; a pair with no others has probability 1/2.

    Args:
        answers: raw answers; with annotators, unless they are to be merged by a majority vote.
        model: `Majority`, `SkillModel`, `Glad` or `DepthModel`; by default one skill a worker, and pairs of differing
            difficulty.

    Raises:
        InputError: merged labels, or answers that do not say who gave them where the model wants to know.
    """
    model = SkillModel() if model is None else model
    if answers.annotator is None and not isinstance(model, Majority):
        raise InputError("consensus: merging by skill needs to know who answered (annotator); a majority vote does not")
    votes = votes_of(answers)
    if isinstance(model, Majority):
        share = 0.5 + votes.per_item(votes.relation / 2) / votes.per_item(np.ones(len(votes)))
        return Consensus(_merged(answers, votes, share, {"method": "majority"}), votes)
    if isinstance(model, DepthModel):
        fit = fit_depth(votes, answers.skeleton, model)
        return Consensus(_merged(answers, votes, fit.probability, {"method": "depth"}), votes, fit)
    fit = fit_skill(votes, model)
    how = {"method": "skill", **asdict(model), "iterations": fit.iterations, "converged": fit.converged}
    return Consensus(_merged(answers, votes, fit.probability, how), votes, fit)


def _merged(answers: RelativeLabels, votes: Votes, probability: Array, how: dict[str, Any]) -> RelativeLabels:
    side = np.sign(probability - 0.5) * (np.abs(probability - 0.5) > UNDECIDED)
    return RelativeLabels(
        skeleton=answers.skeleton,
        pose=votes.pose,
        pair=votes.pair,
        relation=side.astype(np.int8),
        probability=probability,
        risk=np.minimum(probability, 1 - probability),
        kind="merged",
        provenance={"from": dict(answers.provenance), "merged": how, "answers": len(votes)},
    )


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
