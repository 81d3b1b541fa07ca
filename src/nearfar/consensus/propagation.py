"""What answers about pairs say of the depths of all joints of a pose: expectation propagation.

A pose's depths are z = m + L·u with u of R independent normal numbers: the prior. Answers about a pair speak of one
difference δ of them, and may say anything of it (workers answer the wrong way round, guess, call depths the same), so
each pair's answers are taken on the grid of `thurstone.NODES` and stand in for by a normal factor of the same first two
moments, in turn until they agree (Minka 2001). A system of R equations is solved a pose; poses are solved together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nearfar.consensus.thurstone import NODES, WEIGHTS
from nearfar.skeleton import Skeleton

__all__ = ["Beliefs", "DepthPrior", "Factors", "beliefs", "propagate"]

Array = npt.NDArray[Any]

LEAST = 1e-6
"""Precision of a pair that nothing is known of."""

DAMPING = 0.8
"""How far a factor moves towards its new value; the pairs of a pose move together, and could overshoot."""

LEAST_TOLD = 0.02
"""Share that answers are taken to tell of any direction of the prior's mean, so that no step is too long."""

SMALLEST = 1e-6
"""Share of the largest variance that every direction of the prior keeps."""


@dataclass(frozen=True, eq=False)
class DepthPrior:
    """Where joints are before anybody is asked: normal, in typical differences; only differences mean something.

    Attributes:
        mean: (J,) depths.
        covariance: (J, J) with a mean variance of differences, over all pairs of joints, of 1; its rows add up to 0.
    """

    mean: Array
    covariance: Array

    @classmethod
    def of(cls, skeleton: Skeleton) -> DepthPrior:
        """Each joint differs from its parent by its limb's length (1 where lengths are unknown), to either side."""
        lengths = {limb.child: limb.length for limb in skeleton.limbs if not limb.closes_loop}
        known = all(length is not None for length in lengths.values())
        joints = skeleton.num_joints
        path = np.zeros((joints, joints))
        for joint in range(joints):
            child = joint
            while (parent := int(skeleton.parents[child])) >= 0:
                path[joint, child] = (lengths[child] or 1.0) if known else 1.0
                child = parent
        centring = np.eye(joints) - 1 / joints
        covariance = centring @ path @ path.T @ centring
        return cls(np.zeros(joints), covariance / _difference(covariance))

    @cached_property
    def root(self) -> Array:
        """(J, R) L with L·Lᵀ the covariance; R = J - 1, for where the whole pose is does not matter."""
        values, vectors = np.linalg.eigh(self.covariance)
        return np.asarray((vectors * np.sqrt(np.maximum(values, SMALLEST * values[-1])))[:, 1:])

    def learned(self, moments: Moments, first: DepthPrior, worth: float) -> tuple[DepthPrior, float]:
        """An M step: the prior that poses show, drawn to the one that EM began with as if `worth` poses had shown it.

        Returns:
            The new prior, and how many old units of depth make a new one.
        """
        root, poses = self.root, moments.poses
        # The mean: a Newton step, as EM's own would be slow where answers say little of a direction.
        told, axes = np.linalg.eigh(moments.covariances / poses)
        pull = moments.total - worth * (np.linalg.pinv(root) @ self.mean)
        step = axes @ ((axes.T @ pull) / (poses * np.clip(1 - told, LEAST_TOLD, 1.0) + worth))
        centre = moments.total / poses
        covariance = root @ (moments.squares / poses - np.outer(centre, centre)) @ root.T
        unit = _difference(covariance)
        covariance = (poses * covariance / unit + worth * first.covariance) / (poses + worth)
        return DepthPrior((self.mean + root @ step) / np.sqrt(unit), covariance), float(np.sqrt(unit))


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over poses of what is believed of u, which the prior is learned from.

    Attributes:
        total: (R,) of its mean.
        squares: (R, R) of its mean square.
        covariances: (R, R) of its covariance.
        poses: how many.
    """

    total: Array
    squares: Array
    covariances: Array
    poses: int

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.total + other.total,
            self.squares + other.squares,
            self.covariances + other.covariances,
            self.poses + other.poses,
        )


@dataclass(frozen=True, eq=False)
class Factors:
    """Normal factors that stand in for the answers to I pairs: exp(shift·δ − precision·δ²/2).

    Attributes:
        pose: (I,) pose of each, 0, 1, ...; rising.
        pair: (I, 2) joints a and b; δ = z_a − z_b.
        precision, shift: (I,) numbers of the factor.
    """

    pose: Array
    pair: Array
    precision: Array
    shift: Array

    @classmethod
    def none(cls, pose: Array, pair: Array) -> Factors:
        """Factors that say nothing yet."""
        return cls(pose, pair, np.full(len(pose), LEAST), np.zeros(len(pose)))

    def chosen(self, rows: slice | Array, pose: Array) -> Factors:
        """Some of the factors, and the numbers that their poses have among themselves."""
        return Factors(pose, self.pair[rows], self.precision[rows], self.shift[rows])

    def scaled(self, unit: float) -> Factors:
        """The same where `unit` old units of depth make a new one."""
        return replace(self, precision=self.precision * unit**2, shift=self.shift * unit)


@dataclass(frozen=True, eq=False)
class Beliefs:
    """What is believed of n poses given factors: u is normal.

    Attributes:
        mean: (n, R) of u.
        covariance: (n, R, R) of u.
    """

    mean: torch.Tensor
    covariance: torch.Tensor

    def moments(self) -> Moments:
        """Their sums."""
        covariances = self.covariance.sum(dim=0).numpy()
        return Moments(
            self.mean.sum(dim=0).numpy(), covariances + (self.mean.T @ self.mean).numpy(), covariances, len(self.mean)
        )

    def differences(self, prior: DepthPrior, pose: Array, pair: Array) -> tuple[Array, Array]:
        """(I,) means and variances of the differences of pairs of the poses."""
        direction, offset = _directions(prior, pair)
        at = torch.from_numpy(pose)
        along = torch.bmm(self.covariance[at], direction[:, :, None])[:, :, 0]
        mean = (self.mean[at] * direction).sum(dim=1)
        return mean.numpy() + offset, (along * direction).sum(dim=1).numpy()


def beliefs(prior: DepthPrior, factors: Factors, poses: int) -> Beliefs:
    """What `poses` poses look like given factors."""
    direction, mean = _directions(prior, factors.pair)
    at, size = torch.from_numpy(factors.pose), direction.shape[1]
    precision = torch.from_numpy(factors.precision)[:, None]
    shift = torch.from_numpy(factors.shift - factors.precision * mean)[:, None]
    system = torch.eye(size, dtype=torch.float64).repeat(poses, 1, 1)
    system.index_add_(0, at, (direction * precision)[:, :, None] * direction[:, None, :])
    right = torch.zeros((poses, size), dtype=torch.float64).index_add_(0, at, direction * shift)
    covariance = torch.linalg.inv(system)
    return Beliefs(torch.bmm(covariance, right[:, :, None])[:, :, 0], covariance)


def propagate(
    prior: DepthPrior, factors: Factors, logs: Array, poses: int, sweeps: int
) -> tuple[Factors, Beliefs, Array]:
    """Fit the factors of some poses to their answers.

    Args:
        prior: the poses' prior.
        factors: where to start.
        logs: (I, G) log likelihood of each pair's answers on the grid, float32.
        poses: how many poses.
        sweeps: how often every factor is fitted anew.

    Returns:
        The factors, what is believed of the poses given them, and (I, G) float32 weights of each pair's difference on
        the grid, which add up to 1: its own answers as they are, those to the pose's other pairs through their factors.
    """
    nodes = torch.from_numpy(NODES.astype(np.float32))
    measured = torch.from_numpy(logs) + torch.from_numpy(np.log(WEIGHTS).astype(np.float32))
    weights = torch.empty_like(measured)
    believed = beliefs(prior, factors, poses)
    for sweep in range(sweeps):
        mean, variance = believed.differences(prior, factors.pose, factors.pair)
        # Without the pair's own factor.
        rest = 1 / (1 / variance - factors.precision)
        centre = rest * (mean / variance - factors.shift)
        away = nodes - torch.from_numpy(centre.astype(np.float32))[:, None]
        squared = away * away
        weights = torch.softmax(measured - squared * torch.from_numpy((0.5 / rest).astype(np.float32))[:, None], dim=1)
        # With its answers instead.
        bend = (weights * away).sum(dim=1).double().numpy()
        spread = (weights * squared).sum(dim=1).double().numpy() - bend**2
        precision = np.maximum(1 / np.maximum(spread, LEAST) - 1 / rest, LEAST)
        shift = (centre + bend) * (precision + 1 / rest) - centre / rest
        move = DAMPING if sweep else 1.0
        factors = replace(
            factors,
            precision=factors.precision + move * (precision - factors.precision),
            shift=factors.shift + move * (shift - factors.shift),
        )
        believed = beliefs(prior, factors, poses)
    return factors, believed, weights.numpy()


def _directions(prior: DepthPrior, pair: Array) -> tuple[torch.Tensor, Array]:
    """(I, R) how each pair's difference depends on u, and (I,) its mean."""
    root = prior.root
    return torch.from_numpy(root[pair[:, 0]] - root[pair[:, 1]]), prior.mean[pair[:, 0]] - prior.mean[pair[:, 1]]


def _difference(covariance: Array) -> float:
    """Mean variance of the difference of two joints."""
    joints = len(covariance)
    return float(2 * (np.trace(covariance) - covariance.sum() / joints) / (joints - 1))
