"""Raw answers in, one label a pair out, with its probability and its risk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.consensus.depth import DepthFit, DepthModel
from nearfar.consensus.depth_em import fit_depth
from nearfar.consensus.glad import Glad, GladFit, fit_glad
from nearfar.consensus.methods import Majority, Model, name_of
from nearfar.consensus.skill import SkillFit, SkillModel, fit_skill
from nearfar.consensus.votes import Growth, Votes, votes_of
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels
from nearfar.skeleton import Skeleton

__all__ = ["FINISHED_RISK", "Consensus", "merge"]

Array = npt.NDArray[Any]
Fit = SkillFit | GladFit | DepthFit

FINISHED_RISK = 0.02
"""A pair needs no more answers when the risk that its label is wrong is below this (PAPER.md 8)."""

UNDECIDED = 1e-9
"""Probabilities this close to 1/2 are equal to it but for rounding."""

GROWTH = 1.5
"""`Consensus.update` fits everything anew once there are so many times the answers of the last full fit."""


@dataclass(frozen=True, eq=False)
class Consensus:
    """Merged labels, and what was learned of those who answered.

    Attributes:
        labels: one label a pair and pose (kind "merged"), the joint with the lower number first: `relation` is the
            likelier one, 0 where both are equally likely; `probability` that the second joint is nearer; `risk`
            that the relation is wrong.
        votes: the answers by pair; row i of the labels is item i.
        model: what was assumed.
        fit: what was found: workers, and whatever else the model speaks of; None for a majority vote.
        fitted: how many answers there were when everything was last fitted together.
    """

    labels: RelativeLabels
    votes: Votes = field(repr=False)
    model: Model
    fit: Fit | None
    fitted: int

    @property
    def skill(self) -> SkillFit | None:
        """Skills and levels, where the model is a `SkillModel`."""
        return self.fit if isinstance(self.fit, SkillFit) else None

    @property
    def depth(self) -> DepthFit | None:
        """Latent depths, where the model is a `DepthModel`."""
        return self.fit if isinstance(self.fit, DepthFit) else None

    def finished(self, risk: float = FINISHED_RISK) -> Array:
        """(I,) pairs that need no more answers: those whose risk is below `risk`."""
        return np.asarray(self.labels.risk) < risk

    def update(self, more: RelativeLabels) -> Consensus:
        """Take in more answers without fitting everything anew.

        Those who gave them are fitted again, with the pairs (for a `DepthModel` the poses) that they ever answered; all
        else that was learned stays: other workers, the crowd, how hard pairs are, the prior on depths. Once the answers
        are half as many again as at the last full fit, everything is fitted again, so that these do not grow old.

        Args:
            more: raw answers on the same skeleton, none of which were taken in before. Their rows count on from those
                that are here (`Votes.row`).

        Raises:
            InputError: merged labels, another skeleton, or answers that do not say who gave them.
        """
        if more.skeleton.joints != self.labels.skeleton.joints:
            raise InputError(
                f"consensus: answers on skeleton {self.labels.skeleton.name!r} cannot take in answers on "
                f"{more.skeleton.name!r}"
            )
        _check_names(more, self.model)
        new = votes_of(more)
        votes = self.votes.joined(new)
        source = self.labels.provenance.get("from", {})
        if self.fit is None or len(votes) > GROWTH * self.fitted:
            return _merge(votes, self.labels.skeleton, self.model, source)
        free = np.isin(votes.workers, new.workers)
        seen = votes.per_item(free[votes.worker]) > 0
        if isinstance(self.fit, DepthFit):
            seen = np.isin(votes.pose, votes.pose[seen])
        part = votes.of_items(seen)
        again = _fit(part, self.labels.skeleton, self.model, self.fit, np.isin(part.workers, new.workers))
        growth = Growth.of(self.votes, votes, seen, free, part)
        return _consensus(votes, self.labels.skeleton, self.model, _grown(self.fit, again, growth), self.fitted, source)

    def workers(self) -> list[dict[str, Any]]:
        """A record for each worker, JSON-safe.

        Always: ``annotator``, ``answers``, ``same`` and ``unsure`` (shares of answers that take no side), ``agrees``
        (share that agrees with the merged label, among those that take a side). By model: ``expected_right`` (share of
        right answers), and the skills, the ability, or the sensitivity and the lean. None where nothing is known.
        """
        votes, merged = self.votes, self.labels.relation[self.votes.item]
        answered = votes.per_worker(np.ones(len(votes)))
        compared = votes.decided & (merged != 0)
        columns = {
            "same": _shares(votes.per_worker(~votes.decided & ~votes.unsure), answered),
            "unsure": _shares(votes.per_worker(votes.unsure), answered),
            "agrees": _shares(votes.per_worker(compared & (votes.relation == merged)), votes.per_worker(compared)),
        }
        if self.fit is not None:
            columns |= self.fit.columns()
        plain = {name: [v if np.isfinite(v) else None for v in column.tolist()] for name, column in columns.items()}
        return [
            {"annotator": name, "answers": int(answered[i]), **{key: values[i] for key, values in plain.items()}}
            for i, name in enumerate(votes.workers.tolist())
        ]


def merge(answers: RelativeLabels, model: Model) -> Consensus:
    """Merge answers, one label a pair and pose.

    "Can't tell" never counts. "Same depth" counts half for either side in a majority vote, says that depths are near in
    a `DepthModel`, and is left out elsewhere. A pair that nothing is known of has probability 1/2.

    Args:
        answers: raw answers; with annotators, unless they are to be merged by a majority vote.
        model: `Majority`, `SkillModel`, `Glad` or `DepthModel`, or what `method` calls by a name.

    Raises:
        InputError: merged labels, or answers that do not say who gave them where the model wants to know.
    """
    _check_names(answers, model)
    return _merge(votes_of(answers), answers.skeleton, model, dict(answers.provenance))


def _check_names(answers: RelativeLabels, model: Model) -> None:
    if answers.annotator is None and not isinstance(model, Majority):
        raise InputError("consensus: merging by skill needs to know who answered (annotator); a majority vote does not")


def _merge(votes: Votes, skeleton: Skeleton, model: Model, source: Mapping[str, Any]) -> Consensus:
    return _consensus(votes, skeleton, model, _fit(votes, skeleton, model), len(votes), source)


def _fit(
    votes: Votes, skeleton: Skeleton, model: Model, start: Fit | None = None, free: Array | None = None
) -> Fit | None:
    """Fit a model, or a part of it (`free` workers) beginning with what is known."""
    match model, start:
        case SkillModel(), None | SkillFit():
            return fit_skill(votes, model, start, free)
        case Glad(), None | GladFit():
            return fit_glad(votes, model, start, free)
        case DepthModel(), None | DepthFit():
            return fit_depth(votes, skeleton, model, start, free)
    return None


def _grown(fit: Fit, part: Fit | None, growth: Growth) -> Fit:
    match fit, part:
        case SkillFit(), SkillFit():
            return fit.grown(part, growth)
        case GladFit(), GladFit():
            return fit.grown(part, growth)
        case DepthFit(), DepthFit():
            return fit.grown(part, growth)
    raise TypeError(f"{type(part).__name__} is no part of {type(fit).__name__}")


def _consensus(
    votes: Votes, skeleton: Skeleton, model: Model, fit: Fit | None, fitted: int, source: Mapping[str, Any]
) -> Consensus:
    how: dict[str, Any] = {"method": name_of(model), **asdict(model)}
    if fit is None:
        probability = 0.5 + votes.per_item(votes.relation / 2) / np.maximum(votes.per_item(~votes.unsure), 1)
    else:
        probability = fit.probability
        how |= {"iterations": fit.iterations, "converged": fit.converged}
    side = np.sign(probability - 0.5) * (np.abs(probability - 0.5) > UNDECIDED)
    labels = RelativeLabels(
        skeleton=skeleton,
        pose=votes.pose,
        pair=votes.pair,
        relation=side.astype(np.int8),
        probability=probability,
        risk=np.minimum(probability, 1 - probability),
        kind="merged",
        provenance={"from": dict(source), "merged": how, "answers": len(votes)},
    )
    return Consensus(labels, votes, model, fit, fitted)


def _shares(part: Array, whole: Array) -> Array:
    """Shares, NaN of nothing."""
    share = np.full(len(whole), np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share
