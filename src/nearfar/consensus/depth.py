"""Merging by depth: all answers on one pose are read together.

A pose has a latent depth for each joint, and an answer about a pair is a noisy look at the difference of two of them
(`nearfar.consensus.thurstone`). So answers about other pairs of the same pose help: if a is nearer than b, and b than
c, then a is nearer than c, asked or not. Depths have a normal prior, the same for all poses, which is fitted to the
answers too (empirical Bayes): which joints move together, how far, and where they tend to be. It begins as a random
walk along the skeleton's limbs. Poses are fitted by expectation propagation (`nearfar.consensus.propagation`); workers,
tie band, lapses and prior by the M step of EM (`nearfar.consensus.depth_em`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nearfar.answer_noise import AnswerNoise
from nearfar.consensus.incidence import ranges
from nearfar.consensus.propagation import DepthPrior, Factors, beliefs
from nearfar.consensus.thurstone import HALF, NODES, WEIGHTS, Judges, cumulative
from nearfar.consensus.votes import Growth, places
from nearfar.errors import InputError
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton

__all__ = ["PAIRS", "DepthFit", "DepthModel", "LatentDepths"]

Array = npt.NDArray[Any]

PAIRS = 4000
"""Pairs whose poses are solved at once."""


@dataclass(frozen=True)
class DepthModel:
    """What is assumed of depths and of those who judge them.

    Attributes:
        link: how sure a worker is by the depth difference: "probit" (Thurstone) or "logit" (Bradley and Terry).
        prior_poses: poses that the skeleton's own prior on depths is worth; above 0.
        enough: answers that the prior on depths is learned from; of more, poses at equal distances are taken first, and
            all of them only for the last steps.
        iterations: of EM, at most.
        tolerance: EM stops when the pairs' probabilities change by no more (root mean square).
    """

    link: Literal["probit", "logit"] = "probit"
    prior_poses: float = 5.0
    enough: int = 200_000
    iterations: int = 200
    tolerance: float = 3e-4

    def __post_init__(self) -> None:
        if self.link not in get_args(Literal["probit", "logit"]):
            raise InputError(f"depth model: link must be 'probit' or 'logit', got {self.link!r}")
        if not (np.isfinite(self.prior_poses) and self.prior_poses > 0):
            raise InputError(f"depth model: prior_poses must be above 0, got {self.prior_poses}")
        if self.enough < 1:
            raise InputError(f"depth model: enough must be at least 1, got {self.enough}")
        if self.iterations < 1:
            raise InputError(f"depth model: iterations must be at least 1, got {self.iterations}")


@dataclass(frozen=True, eq=False)
class LatentDepths:
    """Depths of poses, in units of their own.

    Attributes:
        pose: (N,) poses, rising.
        depth: (N, J) expected depth of each joint, from the mean of the pose's joints; smaller is nearer.
        deviation: (N, J) standard deviations.
    """

    pose: Array
    depth: Array
    deviation: Array


@dataclass(frozen=True, eq=False)
class DepthFit:
    """What was found of depths and workers.

    The unit of depth is such that differences have a mean variance of 1 in the prior, over all pairs of joints.

    Attributes:
        model: what was assumed.
        skeleton: the joints' skeleton.
        workers: (W,) names, rising.
        judges: how they judge; the same W.
        prior: where joints are before anybody is asked.
        probability: (I,) that the second joint of `Votes.pair` is nearer.
        answers: (W,) how many answers of each worker were read.
        right: (W,) expected share of those that are right, among those that take a side; NaN where there are none.
        poses: (N,) poses, rising.
        factors: what the answers to each of the I pairs say of its difference, with poses numbered as in `poses`.
        iterations: of EM.
        converged: whether it stopped because nothing changed any more.
    """

    model: DepthModel
    skeleton: Skeleton
    workers: Array
    judges: Judges
    prior: DepthPrior
    probability: Array = field(repr=False)
    answers: Array = field(repr=False)
    right: Array = field(repr=False)
    poses: Array = field(repr=False)
    factors: Factors = field(repr=False)
    iterations: int
    converged: bool

    def grown(self, part: DepthFit, growth: Growth) -> DepthFit:
        """This fit with that of a part of more answers in it."""
        poses, pose = np.unique(growth.votes.pose, return_inverse=True)
        return replace(
            part,
            workers=growth.votes.workers,
            judges=replace(
                part.judges,
                sensitivity=growth.by_worker(self.judges.sensitivity, part.judges.sensitivity),
                lean=growth.by_worker(self.judges.lean, part.judges.lean),
            ),
            probability=growth.by_item(self.probability, part.probability),
            answers=growth.by_worker(self.answers, part.answers),
            right=growth.by_worker(self.right, part.right),
            poses=poses,
            factors=Factors(
                pose=pose.reshape(-1),
                pair=growth.votes.pair,
                precision=growth.by_item(self.factors.precision, part.factors.precision),
                shift=growth.by_item(self.factors.shift, part.factors.shift),
            ),
        )

    def columns(self) -> dict[str, Array]:
        """What is told of each worker, (W,) each."""
        return {"expected_right": self.right, "sensitivity": self.judges.sensitivity, "lean": self.judges.lean}

    def depths(self) -> LatentDepths:
        """What is known of the depths of all poses."""
        root, factors = self.prior.root, self.factors
        depth = np.empty((len(self.poses), self.skeleton.num_joints))
        deviation = np.empty_like(depth)
        first = np.searchsorted(factors.pose, np.arange(len(self.poses) + 1))
        for low, high in ranges(first, PAIRS):
            rows = slice(first[low], first[high])
            believed = beliefs(self.prior, factors.chosen(rows, factors.pose[rows] - low), high - low)
            depth[low:high] = self.prior.mean + believed.mean.numpy() @ root.T
            variance = np.einsum("jr,nrs,js->nj", root, believed.covariance.numpy(), root, optimize=True)
            deviation[low:high] = np.sqrt(variance)
        return LatentDepths(self.poses, depth, deviation)

    def probability_of(self, pose: npt.ArrayLike, pair: npt.ArrayLike) -> Array:
        """(K,) probability that the second joint is nearer, for pairs that were asked or not.

        A pair's own answers count as their normal factor here; for pairs that were asked, the merged labels'
        probability is the more exact one.

        Args:
            pose: (K,) poses; of one without answers nothing is known but the prior.
            pair: (K, 2) joints.
        """
        mean, variance = self.difference_of(pose, pair)
        return np.asarray(cumulative("probit", mean / np.sqrt(variance))[0])

    def difference_of(self, pose: npt.ArrayLike, pair: npt.ArrayLike) -> tuple[Array, Array]:
        """(K,) means and variances of z_first − z_second, for (K,) poses and (K, 2) pairs of joints."""
        wanted, pair = np.asarray(pose), np.asarray(pair)
        rows, of = np.unique(wanted, return_inverse=True)
        order = np.argsort(of.reshape(-1), kind="stable")
        of, pair = of.reshape(-1)[order], pair[order]
        # The factors of these poses alone, numbered as they stand in `rows`.
        place, known = places(rows, self.poses)
        number = np.full(len(self.poses), -1)
        number[place[known]] = np.flatnonzero(known)
        kept = np.flatnonzero(number[self.factors.pose] >= 0)
        factors = self.factors.chosen(kept, number[self.factors.pose[kept]])
        mean, variance = np.empty(len(wanted)), np.empty(len(wanted))
        first = np.searchsorted(factors.pose, np.arange(len(rows) + 1))
        for low, high in ranges(first + np.arange(len(rows) + 1), PAIRS):
            some = slice(first[low], first[high])
            believed = beliefs(self.prior, factors.chosen(some, factors.pose[some] - low), high - low)
            here = slice(*np.searchsorted(of, [low, high]))
            mean[order[here]], variance[order[here]] = believed.differences(self.prior, of[here] - low, pair[here])
        return mean, variance

    def unit_mm(self, poses: PoseSet) -> float:
        """How long a unit of depth is, mm, from known 3D of some or all of the poses that were asked about.

        It makes the expected mean square of the depth differences of all pairs that were asked the true one.

        Args:
            poses: joints in the camera's frame (or root-relative along its axes); row i is pose i of the answers, NaN
                where it is not known.

        Raises:
            InputError: world-frame joints, another skeleton, or none of the pairs is known.
        """
        if poses.joints is None or poses.frame == "world":
            raise InputError("depth model: the unit of depth is found from joints in the camera's frame")
        if poses.skeleton.joints != self.skeleton.joints:
            raise InputError(
                f"depth model: fitted on skeleton {self.skeleton.name!r}, but the poses are on {poses.skeleton.name!r}"
            )
        pose, pair = self.poses[self.factors.pose], self.factors.pair
        inside = pose < len(poses)
        pose, pair = pose[inside], pair[inside]
        z = np.asarray(poses.joints)[pose[:, None], pair, 2].astype(np.float64)
        true = z[:, 0] - z[:, 1]
        known = np.isfinite(true)
        if not known.any():
            raise InputError("depth model: the 3D of none of the pairs that were asked is known")
        mean, variance = self.difference_of(pose[known], pair[known])
        return float(np.sqrt((true[known] ** 2).mean() / (mean**2 + variance).mean()))

    def answer_noise(self, unit_mm: float) -> AnswerNoise:
        """How often answers that take a side are right by the depth difference.

        Every worker has a curve; theirs is the mean one, each counting as often as the worker answered, and what is
        returned is the scale and the lapse that come nearest to it (least relative entropy, over differences as wide as
        the prior's).

        Args:
            unit_mm: how long a unit of depth is (`unit_mm`).

        Raises:
            InputError: a unit that is not above 0.
        """
        if not (np.isfinite(unit_mm) and unit_mm > 0):
            raise InputError(f"depth model: unit_mm must be above 0, got {unit_mm}")
        chances = np.einsum("w,wvg->vg", self.answers, self.judges.chances)
        right = chances[2, HALF:] + chances[0, :HALF][::-1]
        right /= right + chances[0, HALF:] + chances[2, :HALF][::-1]
        difference, weight = NODES[HALF:], WEIGHTS[HALF:] * np.exp(-(NODES[HALF:] ** 2) / 2)
        scales, lapses = np.geomspace(0.01, 100, 41), np.linspace(0, 1, 41)
        for _ in range(6):  # each time a grid twice to five times as fine around the best
            wrong = np.stack([[AnswerNoise(self.model.link, s, p).wrong(difference) for p in lapses] for s in scales])
            wrong = np.clip(wrong, 1e-12, 0.5)
            fit = (weight * (right * np.log1p(-wrong) + (1 - right) * np.log(wrong))).sum(axis=-1)
            i, j = np.unravel_index(int(np.argmax(fit)), fit.shape)
            scale, lapse = float(scales[i]), float(lapses[j])
            reach = (scales[1] / scales[0]) ** 2
            scales = np.geomspace(scale / reach, scale * reach, 21)
            width = 2 * (lapses[1] - lapses[0])
            lapses = np.linspace(max(lapse - width, 0), min(lapse + width, 1), 21)
        return AnswerNoise(self.model.link, scale * unit_mm, lapse)
