"""Dawid and Skene's model of two classes, with pairs that are hard to see; fitted by EM on whole arrays.

A pair of joints is hard to some degree: a worker sees the answer with probability e, its visibility, and otherwise
tosses a coin. A worker who sees answers right with the probability that is the worker's skill. So

    P(right) = e·skill + (1 − e) / 2,

which is 1/2 + e·(skill − 1/2). The visibility of a pair is unknown; it is one of a few levels whose shares are fitted,
and every probability is a mean over the levels. Without that, five answers that agree on a pair too close to call look
as sure as five on an easy one. With the one level e = 1 this is Dawid and Skene's model (1979).

With one coin a worker has one skill. With two coins it has two: for pairs whose first joint *as asked* is nearer, and
for those whose second is; a worker who always takes the first has skills 1 and 0. Either way the result does not depend
on which way round a pair is written. Skills have a Beta prior whose mean is the whole crowd's (as in Branson, Van Horn
and Perona, Lean Crowdsourcing, CVPR 2017), so workers with few answers count as average.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nearfar.consensus.incidence import CHUNK, Incidence, ranges
from nearfar.consensus.votes import Growth, Votes, places
from nearfar.errors import InputError

__all__ = ["SkillFit", "SkillModel", "fit_skill", "posterior"]

Array = npt.NDArray[Any]

POOLED_PRIOR = (8.0, 2.0)
"""Right and wrong answers that the crowd is credited with before any is counted."""

SIDE = np.array([[0, 1], [0, 1], [1, 0], [1, 0]])
"""The true side as it was asked, by kind of answer (2 · swapped + whether it says that the second joint as asked is
nearer) and by the true side as `Votes.pair` has it."""

RIGHT = np.array([[0], [1], [0], [1]]) == SIDE
"""Whether the answer is right, by the same."""


@dataclass(frozen=True)
class SkillModel:
    """What is assumed of workers and pairs, and when to stop.

    Attributes:
        coins: 1: one skill a worker; 2: one for each side as asked.
        visibility: the levels e, each in 0..1; (1.0,) for Dawid and Skene without difficulty.
        prior_answers: how many answers the prior on a skill is worth; above 0.
        prior_pairs: pairs credited to each level before any is counted, as a share of all pairs: how easy the pairs
            are cannot be told well from how skilled the crowd is, and without it the shares run to the extremes.
        iterations: of EM, at most.
        tolerance: EM stops when no pair's probability changes by more.
    """

    coins: Literal[1, 2] = 1
    visibility: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25, 0.0)
    prior_answers: float = 10.0
    prior_pairs: float = 0.02
    iterations: int = 500
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        if self.coins not in (1, 2):
            raise InputError(f"skill model: coins must be 1 or 2, got {self.coins}")
        if not self.visibility or not all(0 <= level <= 1 for level in self.visibility):
            raise InputError(f"skill model: visibility must be levels within 0..1, got {self.visibility}")
        if not (np.isfinite(self.prior_answers) and self.prior_answers > 0):
            raise InputError(f"skill model: prior_answers must be above 0, got {self.prior_answers}")
        if not (np.isfinite(self.prior_pairs) and self.prior_pairs > 0):
            raise InputError(f"skill model: prior_pairs must be above 0, got {self.prior_pairs}")
        if self.iterations < 1:
            raise InputError(f"skill model: iterations must be at least 1, got {self.iterations}")


@dataclass(frozen=True, eq=False)
class SkillFit:
    """What EM found.

    Attributes:
        model: what was assumed.
        workers: (W,) names, rising.
        probability: (I,) that the second joint of `Votes.pair` is nearer.
        skill: (W, 2) probability of a right answer to a pair that the worker sees, by which joint as asked is nearer.
        right: (W,) expected share of the worker's answers that are right, over all pairs the worker answered.
        crowd: skill of the crowd, which is taken for that of a worker of whom nothing is known.
        level_shares: (K,) share of pairs at each level of visibility.
        iterations: of EM.
        converged: whether it stopped because nothing changed any more.
    """

    model: SkillModel
    workers: Array
    probability: Array = field(repr=False)
    skill: Array
    right: Array
    crowd: float
    level_shares: Array
    iterations: int
    converged: bool

    def skill_of(self, workers: Array) -> Array:
        """(V, 2) skills of workers by name; the crowd's for those who are not known."""
        place, known = places(workers, self.workers)
        skill = self.skill[place] if len(self.skill) else np.full((len(workers), 2), self.crowd)
        return np.where(known[:, None], skill, self.crowd)

    def grown(self, part: SkillFit, growth: Growth) -> SkillFit:
        """This fit with that of a part of more answers in it."""
        return replace(
            part,
            workers=growth.votes.workers,
            probability=growth.by_item(self.probability, part.probability),
            skill=growth.by_worker(self.skill, part.skill),
            right=growth.by_worker(self.right, part.right),
        )

    def columns(self) -> dict[str, Array]:
        """What is told of each worker, (W,) each."""
        return {
            "expected_right": self.right,
            "skill_first_nearer": self.skill[:, 0],
            "skill_second_nearer": self.skill[:, 1],
        }


def fit_skill(votes: Votes, model: SkillModel, start: SkillFit | None = None, free: Array | None = None) -> SkillFit:
    """Fit skills, levels and probabilities to the answers that are not 0 (which say nothing of the order).

    Args:
        votes: the answers.
        model: assumptions.
        start: a fit to begin with, of these or other workers; without it EM begins with an average crowd.
        free: (W,) workers whose skills are fitted; what is known of the others, the crowd and the levels stays as it is
            in `start`. None: everything is fitted.
    """
    em = _Em.of(votes, model, start, free)
    state, iterations, converged = em.first(), 0, False
    probability = np.full(votes.items, 0.5)
    while iterations < model.iterations and not converged:
        # Two steps of EM, and a longer one in their direction (Varadhan and Roland 2008, SQUAREM), if it does no harm.
        first = em.step(state)
        second = em.step(first.state)
        change, bend = first.state - state, second.state - 2 * first.state + state
        length = max(1.0, float(np.linalg.norm(change)) / max(float(np.linalg.norm(bend)), 1e-12))
        far = em.step(state + 2 * length * change + length**2 * bend)
        best = far if far.log_posterior >= second.log_posterior else second
        state, iterations = best.state, iterations + 3
        converged = float(np.abs(best.probability - probability).max(initial=0.0)) <= model.tolerance
        probability = best.probability
    skill, shares = em.unpacked(state)
    last = em.step(state)
    return SkillFit(
        model, votes.workers, last.probability, skill, last.right, last.crowd, shares, iterations, converged
    )


def posterior(votes: Votes, fit: SkillFit) -> Array:
    """(I,) probability that the second joint of each pair is nearer, with known skills and no fitting.

    Workers are found by name; those that `fit` does not know count as the crowd's average.
    """
    nobody = np.zeros(len(votes.workers), bool)
    em = _Em.of(votes, fit.model, fit, nobody)
    return em.step(em.first()).probability


@dataclass(frozen=True, eq=False)
class _Step:
    """A step of EM.

    What was thought before it: the items' probabilities, how likely all of it was, the share of right answers of each
    worker; and the state after it, with the crowd's skill.
    """

    probability: Array
    log_posterior: float
    right: Array
    state: Array
    crowd: float


@dataclass(frozen=True, eq=False)
class _Em:
    """The answers that EM counts; its state is the logits of the skills (2W), then the logarithms of shares (K)."""

    model: SkillModel
    answers: Incidence
    start: SkillFit | None
    skill: Array
    free: Array

    @classmethod
    def of(cls, votes: Votes, model: SkillModel, start: SkillFit | None, free: Array | None) -> _Em:
        decided, workers = votes.decided, len(votes.workers)
        kind = 2 * votes.swapped[decided] + (votes.vote[decided] > 0)
        answers = Incidence.of(votes.item[decided], votes.worker[decided], kind, votes.items, workers, len(SIDE))
        average = np.full((workers, 2), POOLED_PRIOR[0] / sum(POOLED_PRIOR))
        skill = average if start is None else start.skill_of(votes.workers)
        return cls(
            model, answers, None if free is None else start, skill, np.ones(workers, bool) if free is None else free
        )

    def first(self) -> Array:
        shares = np.ones(len(self.model.visibility)) if self.start is None else self.start.level_shares
        return np.concatenate([_logit(self.skill).ravel(), np.log(shares)])

    def unpacked(self, state: Array) -> tuple[Array, Array]:
        """(W, 2) skills and (K,) shares of levels."""
        logits, logs = state[: self.skill.size], state[self.skill.size :]
        shares = np.exp(logs - logs.max())
        skill = np.clip(1 / (1 + np.exp(-np.clip(logits, -30, 30))), 1e-9, 1 - 1e-9)
        return skill.reshape(-1, 2), shares / shares.sum()

    def step(self, state: Array) -> _Step:
        skill, shares = self.unpacked(state)
        levels = np.array(self.model.visibility)
        mine = skill[:, SIDE, None]  # (W, C, 2, 1) by worker, kind of answer and true side
        said = np.where(RIGHT[..., None], mine, 1 - mine)
        chance = levels * said + (1 - levels) / 2  # (W, C, 2, K)
        probability, counts, expected, log_likelihood = self._expect(chance, shares)
        # M step: answers expected to be right and wrong among those that were seen, with the crowd's mean as prior.
        seen = (counts * levels * said / chance).sum(axis=-1)
        hit, miss = (_by_side(np.where(which, seen, 0)) for which in (RIGHT, ~RIGHT))
        if self.model.coins == 1:
            hit, miss = (np.repeat(part.sum(axis=1, keepdims=True), 2, axis=1) for part in (hit, miss))
        pooled = (hit.sum() + POOLED_PRIOR[0]) / ((hit + miss).sum() + sum(POOLED_PRIOR))
        credit = self.model.prior_pairs * max(self.answers.items, 1)
        expected = expected + credit
        if self.start is not None:
            pooled, expected = self.start.crowd, shares
        strength = self.model.prior_answers
        updated = np.where(self.free[:, None], (hit + strength * pooled) / (hit + miss + strength), skill)
        prior = strength * (pooled * np.log(skill) + (1 - pooled) * np.log(1 - skill)).sum() / (3 - self.model.coins)
        return _Step(
            probability=probability,
            log_posterior=float(log_likelihood + prior + credit * np.log(shares).sum()),
            right=_right(counts.sum(axis=-1)),
            state=np.concatenate([_logit(updated).ravel(), np.log(expected / expected.sum())]),
            crowd=float(pooled),
        )

    def _expect(self, chance: Array, shares: Array) -> tuple[Array, Array, Array, float]:
        """E step: the true side and level of each item, from all its answers.

        Args:
            chance: (W, C, 2, K) of each answer.
            shares: (K,) of the levels.

        Returns:
            (I,) probabilities, (W, C, 2, K) and (K,) expected numbers of answers and of items, and the log likelihood.
        """
        table, levels = np.log(chance), len(shares)
        probability, counts = np.empty(self.answers.items), np.zeros(chance.shape)
        expected, log_likelihood = np.zeros(levels), 0.0
        for low, high in ranges(self.answers.first.numpy(), CHUNK):
            weights = self.answers.per_item(table, low, high).reshape(-1, 2, levels)
            weights += np.log(shares / 2)
            top = weights.max(axis=(1, 2), keepdims=True)
            weights -= top
            np.exp(weights, out=weights)
            total = weights.sum(axis=(1, 2), keepdims=True)
            weights /= total
            probability[low:high] = weights[:, 1].sum(axis=-1)
            counts += self.answers.per_worker(weights.reshape(-1, 2 * levels), low).reshape(chance.shape)
            expected += weights.sum(axis=(0, 1))
            log_likelihood += float((top + np.log(total)).sum())
        return probability, counts, expected, log_likelihood


def _right(counts: Array) -> Array:
    """(W,) expected share of right answers, from (W, C, 2) counts; NaN where a worker decided nothing."""
    answered = counts.sum(axis=(1, 2))
    right = np.where(RIGHT, counts, 0).sum(axis=(1, 2))
    share = np.full(len(counts), np.nan)
    np.divide(right, answered, out=share, where=answered > 0)
    return share


def _by_side(counts: Array) -> Array:
    """(W, 2) sums of (W, C, 2) by the true side as asked."""
    return np.stack([np.where(side == SIDE, counts, 0).sum(axis=(1, 2)) for side in (0, 1)], axis=1)


def _logit(p: npt.ArrayLike) -> Array:
    return np.asarray(np.log(np.asarray(p)) - np.log1p(-np.asarray(p)))
