"""GLAD: workers have abilities, pairs an easiness (Whitehill et al., Whose vote should count more, NIPS 2009).

    P(right) = 1 / (1 + e^(−αβ)),   α ~ N(1, 1) a worker's ability,   log β ~ N(1, 1) a pair's easiness.

Below 0 an ability is that of who answers the wrong way round; at β = 0 a pair is a coin's toss for everybody. Either
joint is nearer equally often, so the log odds that the second one is are β times the sum of α over those who say so,
less that over those who say the opposite. Fitted by EM whose M step is one step of Fisher scoring (a gradient EM: Lange
1995), for abilities first and then for pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.consensus.incidence import CHUNK, ranges
from nearfar.consensus.votes import Growth, Votes, places
from nearfar.errors import InputError

__all__ = ["Glad", "GladFit", "fit_glad"]

Array = npt.NDArray[Any]

MEAN_ABILITY = MEAN_LOG_EASINESS = 1.0
"""Means of the priors, whose standard deviations are 1."""

LONGEST_STEP = 1.0
"""How far an ability, or a logarithm of an easiness, may move in a step."""


@dataclass(frozen=True)
class Glad:
    """When to stop; the priors are those of the paper's authors and of crowd-kit.

    Attributes:
        iterations: of EM, at most.
        tolerance: EM stops when no pair's probability changes by more.
    """

    iterations: int = 500
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise InputError(f"GLAD: iterations must be at least 1, got {self.iterations}")


@dataclass(frozen=True, eq=False)
class GladFit:
    """What EM found.

    Attributes:
        model: when it was to stop.
        workers: (W,) names, rising.
        probability: (I,) that the second joint of `Votes.pair` is nearer.
        ability: (W,) α.
        easiness: (I,) β.
        right: (W,) expected share of the worker's answers that are right; NaN where the worker decided nothing.
        iterations: of EM.
        converged: whether it stopped because nothing changed any more.
    """

    model: Glad
    workers: Array
    probability: Array = field(repr=False)
    ability: Array
    easiness: Array = field(repr=False)
    right: Array
    iterations: int
    converged: bool

    def columns(self) -> dict[str, Array]:
        """What is told of each worker, (W,) each."""
        return {"expected_right": self.right, "ability": self.ability}

    def grown(self, part: GladFit, growth: Growth) -> GladFit:
        """This fit with that of a part of more answers in it."""
        return replace(
            part,
            workers=growth.votes.workers,
            probability=growth.by_item(self.probability, part.probability),
            ability=growth.by_worker(self.ability, part.ability),
            easiness=growth.by_item(self.easiness, part.easiness),
            right=growth.by_worker(self.right, part.right),
        )


def fit_glad(votes: Votes, model: Glad, start: GladFit | None = None, free: Array | None = None) -> GladFit:
    """Fit abilities, easiness and probabilities to the answers that are not 0 (which say nothing of the order).

    Args:
        votes: the answers.
        model: when to stop.
        start: a fit of these or other workers, whose abilities EM begins with.
        free: (W,) workers whose abilities are fitted; those of the others stay. None: all are fitted.
    """
    answers = _Answers.of(votes)
    ability = np.full(len(votes.workers), MEAN_ABILITY)
    if start is not None:
        place, known = places(votes.workers, start.workers)
        ability[known] = start.ability[place[known]]
    fitted = np.ones(len(ability), bool) if free is None else free
    logs = np.full(votes.items, MEAN_LOG_EASINESS)
    probability, iterations, converged = np.full(votes.items, 0.5), 0, False
    while iterations < model.iterations and not converged:
        found = answers.posterior(ability, logs)
        converged = float(np.abs(found - probability).max(initial=0.0)) <= model.tolerance
        probability, iterations = found, iterations + 1
        score, information = answers.slopes(ability, logs, probability, by_worker=True)
        move = (score - (ability - MEAN_ABILITY)) / (information + 1)
        ability = ability + np.where(fitted, np.clip(move, -LONGEST_STEP, LONGEST_STEP), 0)
        score, information = answers.slopes(ability, logs, probability, by_worker=False)
        move = (score - (logs - MEAN_LOG_EASINESS)) / (information + 1)
        logs = logs + np.clip(move, -LONGEST_STEP, LONGEST_STEP)
    probability = answers.posterior(ability, logs)
    return GladFit(
        model=model,
        workers=votes.workers,
        probability=probability,
        ability=ability,
        easiness=np.exp(logs),
        right=answers.right(probability, len(ability)),
        iterations=iterations,
        converged=converged,
    )


@dataclass(frozen=True, eq=False)
class _Answers:
    """The (M,) answers that take a side: who said which; item i has the answers first[i]..first[i + 1]."""

    worker: Array
    side: Array
    first: Array

    @classmethod
    def of(cls, votes: Votes) -> _Answers:
        decided = votes.decided
        first = np.searchsorted(votes.item[decided], np.arange(votes.items + 1))
        return cls(votes.worker[decided], votes.relation[decided].astype(np.float64), first)

    def posterior(self, ability: Array, logs: Array) -> Array:
        """(I,) probability that the second joint is nearer."""
        sums = np.zeros(len(logs))
        for low, high in ranges(self.first, CHUNK):
            rows = slice(self.first[low], self.first[high])
            sums[low:high] = _by_item(self.side[rows] * ability[self.worker[rows]], self.first[low : high + 1])
        return _logistic(np.exp(logs) * sums)

    def slopes(self, ability: Array, logs: Array, probability: Array, *, by_worker: bool) -> tuple[Array, Array]:
        """Slope of the expected log likelihood and its expected curvature: (W,) for abilities, or (I,) for log β."""
        size = len(ability) if by_worker else len(logs)
        score, information = np.zeros(size), np.zeros(size)
        for low, high in ranges(self.first, CHUNK):
            rows, first = slice(self.first[low], self.first[high]), self.first[low : high + 1]
            worker, counts = self.worker[rows], np.diff(first)
            easiness = np.repeat(np.exp(logs[low:high]), counts)
            product = ability[worker] * easiness
            chance = _logistic(product)
            surprise = 0.5 + self.side[rows] * np.repeat(probability[low:high] - 0.5, counts) - chance
            curved = chance * (1 - chance)
            if by_worker:
                score += np.bincount(worker, easiness * surprise, size)
                information += np.bincount(worker, easiness**2 * curved, size)
            else:
                score[low:high] = _by_item(product * surprise, first)
                information[low:high] = _by_item(product**2 * curved, first)
        return score, information

    def right(self, probability: Array, workers: int) -> Array:
        """(W,) expected share of right answers; NaN where a worker decided nothing."""
        chance = 0.5 + self.side * np.repeat(probability - 0.5, np.diff(self.first))
        answered = np.bincount(self.worker, minlength=workers)
        share = np.full(workers, np.nan)
        np.divide(np.bincount(self.worker, chance, workers), answered, out=share, where=answered > 0)
        return share


def _by_item(values: Array, first: Array) -> Array:
    """Sums of the values of each item."""
    return np.bincount(np.repeat(np.arange(len(first) - 1), np.diff(first)), values, len(first) - 1)


def _logistic(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -500, 500))))
