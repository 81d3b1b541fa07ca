"""EM of the depth model: poses by expectation propagation in the E step, workers and prior in the M step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.consensus.depth import PAIRS, DepthFit, DepthModel
from nearfar.consensus.incidence import CHUNK, Incidence, ranges
from nearfar.consensus.propagation import DepthPrior, Factors, Moments, propagate
from nearfar.consensus.thurstone import HALF, NODES, Judges
from nearfar.consensus.votes import Votes, places
from nearfar.skeleton import Skeleton

__all__ = ["fit_depth"]

Array = npt.NDArray[Any]

COLD_SWEEPS, SWEEPS = 6, 2
"""Sweeps over the factors of a pose at first, and in every later step of EM."""

LAST_STEPS = 6
"""Steps of EM over all answers, at most, where the prior was learned from some of them."""


def fit_depth(
    votes: Votes, skeleton: Skeleton, model: DepthModel, start: DepthFit | None = None, free: Array | None = None
) -> DepthFit:
    """Fit depths and workers to the answers that are not "can't tell".

    Args:
        votes: the answers.
        skeleton: what their joints are.
        model: assumptions.
        start: a fit to begin with, of these or other poses and workers.
        free: (W,) workers that are fitted; what is known of the others, the crowd and the prior stays as it is in
            `start`. None: everything is fitted.
    """
    most, done = model.iterations, 0
    if start is None and len(votes) > 2 * model.enough:
        # What all poses share is learned from some of them: EM takes many steps, and these are quick.
        some = np.unique(votes.pose)[:: math.ceil(len(votes) / model.enough)]
        start = fit_depth(votes.of_items(np.isin(votes.pose, some)), skeleton, model)
        most, done = min(most, LAST_STEPS), start.iterations
    em = _Em.of(votes)
    first = DepthPrior.of(skeleton)
    if start is None:
        same = float((votes.vote == 0)[~votes.unsure].mean()) if em.answers.sum() else 0.0
        judges, prior = Judges.average(model.link, len(votes.workers), same), first
    else:
        judges, prior = start.judges.chosen(*places(votes.workers, start.workers)), start.prior
    factors = Factors.none(em.pose, votes.pair)
    probability, converged, steps = np.full(votes.items, 0.5), False, 0
    while True:
        expected = em.expect(judges, prior, factors, SWEEPS if steps else COLD_SWEEPS)
        steps += 1
        change = float(np.sqrt(np.mean((expected.probability - probability) ** 2))) if votes.items else 0.0
        probability, factors, converged = expected.probability, expected.factors, change <= model.tolerance
        if converged or steps >= most:
            break
        judges = judges.fitted(expected.counts, free)
        if free is None:
            prior, unit = prior.learned(expected.moments, first, model.prior_poses)
            judges, factors = judges.scaled(unit), factors.scaled(unit)
    return DepthFit(
        model=model,
        skeleton=skeleton,
        workers=votes.workers,
        judges=judges,
        prior=prior,
        probability=probability,
        answers=em.answers,
        right=_right(expected.counts),
        poses=em.poses,
        factors=factors,
        iterations=done + steps,
        converged=converged,
    )


@dataclass(frozen=True, eq=False)
class _Expectation:
    """An E step: (I,) probabilities, factors, (W, 6, G) expected answers by depth difference, the poses' moments."""

    probability: Array
    factors: Factors
    counts: Array
    moments: Moments


@dataclass(frozen=True, eq=False)
class _Em:
    """The answers that are read: by item and worker; the (N,) poses; (I,) the pose of each item; where poses start."""

    votes: Incidence
    answers: Array
    poses: Array
    pose: Array
    first: Array

    @classmethod
    def of(cls, votes: Votes) -> _Em:
        read, workers = ~votes.unsure, len(votes.workers)
        kind = 3 * votes.swapped[read] + votes.vote[read] + 1
        poses, pose = np.unique(votes.pose, return_inverse=True)
        pose = pose.reshape(-1)
        return cls(
            Incidence.of(votes.item[read], votes.worker[read], kind, votes.items, workers, 6),
            np.bincount(votes.worker[read], minlength=workers),
            poses,
            pose,
            np.searchsorted(pose, np.arange(len(poses) + 1)),
        )

    def expect(self, judges: Judges, prior: DepthPrior, factors: Factors, sweeps: int) -> _Expectation:
        table, first = judges.table(), self.first
        probability = np.empty(len(self.pose))
        precision, shift = np.empty(len(self.pose)), np.empty(len(self.pose))
        counts = np.zeros(table.shape)
        moments = Moments.none(prior.root.shape[1])
        answers = self.votes.first.numpy()[first]  # where the answers of each pose start
        for low, high in ranges(answers, CHUNK):
            start = first[low]
            weights = self.votes.per_item(table, start, first[high])  # of log likelihood, then of probability
            for rows in _alike(first, low, high):
                part, weights[rows - start], found = propagate(
                    prior, factors.chosen(rows, self.pose[rows]), weights[rows - start], sweeps
                )
                precision[rows], shift[rows] = part.precision, part.shift
                moments += found
            probability[start : first[high]] = weights[:, HALF:].sum(axis=1, dtype=np.float64)
            counts += self.votes.per_worker(weights, start)
        factors = replace(factors, precision=precision, shift=shift)
        return _Expectation(np.clip(probability, 0.0, 1.0), factors, counts, moments)


def _alike(first: Array, low: int, high: int) -> Iterator[Array]:
    """(n, P) pairs of those of the poses low..high that have P of them each, for one P after the other."""
    count = np.diff(first[low : high + 1])
    for pairs in np.unique(count).tolist():
        poses = low + np.flatnonzero(count == pairs)
        most = max(PAIRS // pairs, 1)
        for start in range(0, len(poses), most):
            yield first[poses[start : start + most], None] + np.arange(pairs)


def _right(counts: Array) -> Array:
    """(W,) expected share of right answers among those that take a side; NaN where there are none."""
    counts = counts[:, :3] + counts[:, 3:, ::-1]
    taken = counts[:, [0, 2]].sum(axis=(1, 2))
    right = counts[:, 0, NODES < 0].sum(axis=1) + counts[:, 2, NODES > 0].sum(axis=1)
    share = np.full(len(counts), np.nan)
    np.divide(right, taken, out=share, where=taken > 0.5)
    return share
