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

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nearfar.consensus.votes import Votes
from nearfar.errors import InputError

__all__ = ["SkillFit", "SkillModel", "fit_skill"]

Array = npt.NDArray[Any]

POOLED_PRIOR = (8.0, 2.0)
"""Right and wrong answers that the crowd is credited with before any is counted."""


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
        probability: (I,) that the second joint of `Votes.pair` is nearer.
        skill: (W, 2) probability of a right answer to a pair that the worker sees, by which joint as asked is nearer.
        right: (W,) expected share of the worker's answers that are right, over all pairs the worker answered.
        level_shares: (K,) share of pairs at each level of visibility.
        iterations: of EM.
        converged: whether it stopped because nothing changed any more.
    """

    probability: Array
    skill: Array
    right: Array
    level_shares: Array
    iterations: int
    converged: bool


def fit_skill(votes: Votes, model: SkillModel) -> SkillFit:
    """Fit skills, levels and probabilities to the answers that are not 0 (which say nothing of the order)."""
    em = _Em.of(votes, model)
    pooled, levels = POOLED_PRIOR[0] / sum(POOLED_PRIOR), len(model.visibility)
    state = np.concatenate([np.full(2 * em.workers, _logit(pooled)), np.zeros(levels)])
    probability, iterations, converged = np.full(em.items, 0.5), 0, False
    while iterations < model.iterations and not converged:
        # Two steps of EM, and a longer one in their direction (Varadhan and Roland 2008, SQUAREM), if it does no harm.
        first = em.step(state)
        second = em.step(first.state)
        change, bend = first.state - state, second.state - 2 * first.state + state
        length = max(1.0, float(np.linalg.norm(change)) / max(float(np.linalg.norm(bend)), 1e-12))
        far = em.step(state + 2 * length * change + length**2 * bend)
        best = far if far.log_posterior >= second.log_posterior else second
        state, iterations = best.state, iterations + 3
        converged = float(np.abs(best.posterior[:, 1].sum(axis=-1) - probability).max(initial=0.0)) <= model.tolerance
        probability = best.posterior[:, 1].sum(axis=-1)
    skill, shares = em.unpacked(state)
    return SkillFit(probability, skill, em.expected_right(best.posterior), shares, iterations, converged)


@dataclass(frozen=True, eq=False)
class _Step:
    """A step of EM: what was thought of the items (I, 2, K) before it, how likely that was, and the state after it."""

    posterior: Array
    log_posterior: float
    state: Array


@dataclass(frozen=True, eq=False)
class _Em:
    """The M answers that EM counts; its state is the logits of the skills (2W), then the logarithms of shares (K)."""

    model: SkillModel
    item: Array
    worker: Array
    swapped: Array
    right_if: Array
    items: int
    workers: int

    @classmethod
    def of(cls, votes: Votes, model: SkillModel) -> _Em:
        decided = votes.vote != 0
        vote = votes.vote[decided]
        right_if = np.stack([vote < 0, vote > 0], axis=1)  # (M, 2): if the first is nearer, if the second is
        return cls(
            model, votes.item[decided], votes.worker[decided], votes.swapped[decided], right_if, votes.items,
            len(votes.workers),
        )  # fmt: skip

    def unpacked(self, state: Array) -> tuple[Array, Array]:
        """(W, 2) skills and (K,) shares of levels."""
        logits, logs = state[: 2 * self.workers], state[2 * self.workers :]
        shares = np.exp(logs - logs.max())
        skill = np.clip(1 / (1 + np.exp(-np.clip(logits, -30, 30))), 1e-9, 1 - 1e-9)
        return skill.reshape(self.workers, 2), shares / shares.sum()

    def step(self, state: Array) -> _Step:
        skill, shares = self.unpacked(state)
        levels = np.array(self.model.visibility)
        # E step: truth and level of each item, from all its answers.
        mine = skill[self.worker][..., None]
        chance = levels * mine + (1 - levels) / 2  # (M, 2, K) of a right answer, as asked
        answer = self._turned(np.log(np.where(self.right_if[..., None], chance, 1 - chance)))
        logs = np.log(shares / 2) + _sums(answer, self.item, self.items)
        top = logs.max(axis=(1, 2), keepdims=True)
        posterior = np.exp(logs - top)
        total = posterior.sum(axis=(1, 2), keepdims=True)
        posterior /= total
        # M step: answers expected to be right and wrong among those that were seen, with the crowd's mean as prior.
        share = np.where(self.right_if[..., None], mine, 1 - mine)
        seen = self._turned(posterior[self.item]) * levels * share / (levels * share + (1 - levels) / 2)
        seen = seen.sum(axis=-1)
        hit = _sums(seen * self.right_if, self.worker, self.workers)
        miss = _sums(seen * ~self.right_if, self.worker, self.workers)
        if self.model.coins == 1:
            hit, miss = (np.repeat(part.sum(axis=1, keepdims=True), 2, axis=1) for part in (hit, miss))
        pooled = (hit.sum() + POOLED_PRIOR[0]) / ((hit + miss).sum() + sum(POOLED_PRIOR))
        strength = self.model.prior_answers
        prior = strength * (pooled * np.log(skill) + (1 - pooled) * np.log(1 - skill)).sum() / (3 - self.model.coins)
        updated = (hit + strength * pooled) / (hit + miss + strength)
        credit = self.model.prior_pairs * max(self.items, 1)
        counts = posterior.sum(axis=(0, 1)) + credit
        log_posterior = float((top + np.log(total)).sum() + prior + credit * np.log(shares).sum())
        return _Step(posterior, log_posterior, np.concatenate([_logit(updated).ravel(), np.log(counts / counts.sum())]))

    def expected_right(self, posterior: Array) -> Array:
        """(W,) expected share of right answers; NaN where a worker decided nothing."""
        right = (self._turned(posterior[self.item]).sum(axis=-1) * self.right_if).sum(axis=-1)
        answered = np.bincount(self.worker, minlength=self.workers)
        share = np.full(self.workers, np.nan)
        np.divide(np.bincount(self.worker, right, self.workers), answered, out=share, where=answered > 0)
        return share

    def _turned(self, values: Array) -> Array:
        """(M, 2, K) from the item's way round to the way it was asked, or back."""
        return np.where(self.swapped[:, None, None], values[:, ::-1], values)


def _logit(p: npt.ArrayLike) -> Array:
    return np.asarray(np.log(np.asarray(p)) - np.log1p(-np.asarray(p)))


def _sums(values: Array, index: Array, size: int) -> Array:
    """Sums of the rows of `values` (M, ...) that have the same index: (size, ...)."""
    columns = values.reshape(len(values), int(np.prod(values.shape[1:])))
    sums = np.stack([np.bincount(index, column, size) for column in columns.T], axis=1)
    return sums.reshape(size, *values.shape[1:])
