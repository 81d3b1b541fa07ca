"""How workers judge a depth difference: Thurstone's model, with a side that one leans to, a tie band and lapses.

Asked about two joints whose depths differ by δ = z_first − z_second, a worker feels x = s·δ + b + an error of one unit
and answers "the second is nearer" where x > t, "the first is nearer" where x < −t, and "same depth" between. s is the
worker's sensitivity, below 0 for who answers the wrong way round and 0 for who does not look; b the lean towards the
second joint as asked, far below 0 for who always takes the first. A share of all answers, the lapses, is guessed:

    P(second) = lapse·guess + (1 − lapse)·F(s·δ + b − t),   P(first) = lapse·guess + (1 − lapse)·F(−s·δ − b − t).

F is the normal distribution's (probit, Thurstone 1927) or the logistic one's (logit; Bradley and Terry 1952, with ties
as Rao and Kupper have them, 1967). Depths are in units of their own, and δ lives on a grid that is fine around 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["HALF", "NODES", "WEIGHTS", "Judges", "cumulative"]

Array = npt.NDArray[Any]

HALF = 32
"""Nodes on either side of 0."""

_FINE, _FAR = 0.5, 6.0
_REACH = math.asinh(_FAR / _FINE)
_U = (np.arange(2 * HALF) + 0.5) / HALF * _REACH - _REACH

NODES = _FINE * np.sinh(_U)
"""(G,) depth differences, -6..6 typical differences, none at 0."""

WEIGHTS = _FINE * np.cosh(_U) * _REACH / HALF
"""(G,) what each node counts in an integral (the midpoint rule in arsinh(2δ))."""

START_LAPSE, LAPSE_ANSWERS = 0.02, 50.0
"""Share of guesses before any answer is read, and how many answers that is worth."""

START_SENSITIVITY, START_SPREAD, SPREAD_WORKERS = 1.5, 0.5, 4.0
"""Sensitivity of the crowd at first, the spread of the workers, and how many workers that spread is worth."""

ERFC = (
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806,
    0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277,
)  # fmt: skip
"""log(erfc(z)·e^(z²)/t) as a polynomial in t = 1/(1 + z/2)."""

MOST_SENSITIVE, MOST_LEANING = 15.0, 6.0
TINY = 1e-12

TIE = 0.1
"""Half the width of the tie band at first."""


@dataclass(frozen=True, eq=False)
class Judges:
    """W workers and the crowd that they come from.

    Attributes:
        link: "probit" or "logit".
        sensitivity, lean: (W,) s and b of each worker.
        crowd: (3,) mean sensitivity, and the standard deviations of sensitivities and of leans (whose mean is 0).
        tie: t, half the width of the tie band; 0 where nobody ever says "same".
        lapse: share of guesses.
        same: share of guesses that say "same"; either side has half of the others.
    """

    link: Literal["probit", "logit"]
    sensitivity: Array
    lean: Array
    crowd: Array
    tie: float
    lapse: float
    same: float

    @classmethod
    def average(cls, link: Literal["probit", "logit"], workers: int, same: float) -> Judges:
        """Workers of whom nothing is known yet, who say "same" in this share of their answers."""
        crowd = np.array([START_SENSITIVITY, START_SPREAD, START_SPREAD])
        start = np.full(workers, START_SENSITIVITY)
        return cls(link, start, np.zeros(workers), crowd, TIE if same else 0.0, START_LAPSE, same)

    def chosen(self, place: Array, known: Array) -> Judges:
        """(V,) workers by their place here; where they are not known, the crowd's average."""
        average, zero = np.full(len(place), self.crowd[0]), np.zeros(len(place))
        if len(self.sensitivity) == 0:
            return replace(self, sensitivity=average, lean=zero)
        return replace(
            self,
            sensitivity=np.where(known, self.sensitivity[place], average),
            lean=np.where(known, self.lean[place], zero),
        )

    def scaled(self, factor: float) -> Judges:
        """The same workers where one unit of depth is `factor` of the old."""
        crowd = self.crowd * [factor, factor, 1.0]
        return replace(self, sensitivity=self.sensitivity * factor, crowd=crowd)

    @cached_property
    def chances(self) -> Array:
        """(W, 3, G) probability that a worker says first, same or second, by the depth difference as asked."""
        seen, _ = self._seen
        return np.maximum(self.lapse * self._guess()[:, None] + (1 - self.lapse) * seen, TINY)

    def table(self) -> Array:
        """(W, 6, G) log likelihoods of kinds of answers (3 · swapped + first, same, second), float32.

        The difference is that of the pair as `Votes.pair` has it.
        """
        asked = np.log(self.chances)
        return np.concatenate([asked, asked[:, :, ::-1]], axis=1).astype(np.float32)

    def fitted(self, counts: Array, free: Array | None = None) -> Judges:
        """An M step: Fisher scoring for s and b, towards the crowd; then the crowd, the tie band and the lapses.

        Args:
            counts: (W, 6, G) expected answers of each kind at each depth difference.
            free: (W,) workers to fit while everything else stays; None: everything is fitted.
        """
        counts = counts[:, :3] + counts[:, 3:, ::-1]
        # Two steps: one is not enough where a worker has just been found to answer the wrong way round.
        after, _ = self._scored(counts)
        after, deviation = after._scored(counts)
        if free is not None:
            return replace(
                self,
                sensitivity=np.where(free, after.sensitivity, self.sensitivity),
                lean=np.where(free, after.lean, self.lean),
            )
        mean = after.sensitivity.mean() if len(after.sensitivity) else self.crowd[0]
        squares = [
            ((after.sensitivity - mean) ** 2 + deviation[:, 0] ** 2).sum(),
            (after.lean**2 + deviation[:, 1] ** 2).sum(),
        ]
        prior = SPREAD_WORKERS * np.array([START_SPREAD, START_SPREAD / 2]) ** 2
        spread = np.sqrt((np.array(squares) + prior) / (len(deviation) + SPREAD_WORKERS))
        chances = after.chances
        return replace(
            after,
            crowd=np.array([mean, *spread]),
            lapse=after._lapse(counts, chances),
            tie=after._tie(counts, chances),
        )

    def _scored(self, counts: Array) -> tuple[Judges, Array]:
        """One step of Fisher scoring from (W, 3, G) counts, and the (W, 2) standard deviations of s and b there."""
        mean, spread, leaning = np.maximum(self.crowd, [-np.inf, 1e-3, 1e-3])
        _, (below, above) = self._seen
        chances = self.chances
        slopes = np.stack([-below, below - above, above], axis=1) * (1 - self.lapse)
        score = (counts * slopes / chances).sum(axis=1)
        information = counts.sum(axis=1) * (slopes**2 / chances).sum(axis=1)
        d_s = score @ NODES - (self.sensitivity - mean) / spread**2
        d_b = score.sum(axis=1) - self.lean / leaning**2
        ss = information @ NODES**2 + 1 / spread**2
        sb = information @ NODES
        bb = information.sum(axis=1) + 1 / leaning**2
        det = ss * bb - sb**2
        after = replace(
            self,
            sensitivity=np.clip(self.sensitivity + (bb * d_s - sb * d_b) / det, -MOST_SENSITIVE, MOST_SENSITIVE),
            lean=np.clip(self.lean + (ss * d_b - sb * d_s) / det, -MOST_LEANING, MOST_LEANING),
        )
        return after, np.sqrt(np.stack([bb, ss], axis=1) / det[:, None])

    def _lapse(self, counts: Array, chances: Array) -> float:
        seen, _ = self._seen
        more = self._guess()[:, None] - seen
        prior = START_LAPSE * LAPSE_ANSWERS / self.lapse - (1 - START_LAPSE) * LAPSE_ANSWERS / (1 - self.lapse)
        certain = LAPSE_ANSWERS / (self.lapse * (1 - self.lapse))
        step = _step(counts, more, chances, prior, certain)
        return float(np.clip(self.lapse + step, self.lapse / 2, (self.lapse + 1) / 2))

    def _tie(self, counts: Array, chances: Array) -> float:
        if not self.tie:
            return 0.0
        _, (below, above) = self._seen
        slopes = np.stack([-below, below + above, -above], axis=1) * (1 - self.lapse)
        return float(np.clip(self.tie + _step(counts, slopes, chances), self.tie / 2, 2 * self.tie))

    def _guess(self) -> Array:
        return np.array([(1 - self.same) / 2, self.same, (1 - self.same) / 2])

    @cached_property
    def _seen(self) -> tuple[Array, tuple[Array, Array]]:
        """(W, 3, G) chances of who looks, and the densities at the tie band's lower and upper bound."""
        felt = self.sensitivity[:, None] * NODES + self.lean[:, None]
        first, below = cumulative(self.link, -felt - self.tie)
        second, above = cumulative(self.link, felt - self.tie)
        return np.stack([first, np.maximum(1 - first - second, 0.0), second], axis=1), (below, above)


def _step(counts: Array, slopes: Array, chances: Array, score: float = 0.0, information: float = TINY) -> float:
    """A step of Fisher scoring for one number that all workers share; prior's score and information are added."""
    score += float((counts * slopes / chances).sum())
    information += float((counts.sum(axis=1) * (slopes**2 / chances).sum(axis=1)).sum())
    return score / information


def cumulative(link: Literal["probit", "logit"], x: Array) -> tuple[Array, Array]:
    """F(x) and its density; relative error below 2e-7."""
    if link == "logit":
        away = np.exp(-np.abs(x))
        value = np.where(x < 0, away, 1.0) / (1 + away)
        return value, away / (1 + away) ** 2
    # erfc by Chebyshev's polynomials (Press et al., Numerical Recipes, section 6.2): numpy has none.
    z = np.abs(x) / math.sqrt(2)
    t = 1 / (1 + 0.5 * z)
    below = 0.5 * t * np.exp(np.polynomial.polynomial.polyval(t, ERFC) - z * z)
    return np.where(x < 0, below, 1 - below), np.exp(-z * z) / math.sqrt(2 * math.pi)
