"""What answers about pairs say of the depths of all joints of a pose: expectation propagation.

A pose's depths are z = m + L·u with u of R independent normal numbers: the prior. Answers about a pair speak of one
difference δ of them, and may say anything of it (workers answer the wrong way round, guess, call depths the same), so
each pair's answers are taken on the grid of `thurstone.NODES` and stand in for by a normal factor of the same first two
moments, in turn until they agree (Minka 2001). A system of R equations is solved a pose; poses are solved together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nearfar.consensus.thurstone import NODES, WEIGHTS
from nearfar.skeleton import Skeleton

if TYPE_CHECKING:
    from torch import Tensor

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

    def directions(self, pair: Array) -> tuple[Array, Array]:
        """(..., R) how the differences of (..., 2) pairs depend on u, and (...,) their means."""
        a, b = pair[..., 0], pair[..., 1]
        return self.root[a] - self.root[b], self.mean[a] - self.mean[b]

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
        covariance = (poses * covariance + worth * first.covariance) / (poses + worth)
        unit = _difference(covariance)
        return DepthPrior((self.mean + root @ step) / np.sqrt(unit), covariance / unit), float(np.sqrt(unit))


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

    @classmethod
    def none(cls, size: int) -> Moments:
        """Of no poses."""
        return cls(np.zeros(size), np.zeros((size, size)), np.zeros((size, size)), 0)

    @classmethod
    def of(cls, means: Array, covariances: Array) -> Moments:
        """Of n poses with (n, R) means and these covariances, summed."""
        return cls(means.sum(axis=0), covariances + means.T @ means, covariances, len(means))

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
        pose: (I,) pose of each, 0, 1, ...; rising. (Within `propagate` all are (n, P).)
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
        return cls(pose, pair, np.full(pose.shape, LEAST), np.zeros(pose.shape))

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

    mean: Tensor
    covariance: Tensor

    def differences(self, prior: DepthPrior, pose: Array, pair: Array) -> tuple[Array, Array]:
        """(I,) means and variances of the differences of pairs of the poses."""
        import torch

        along, offset = prior.directions(pair)
        direction, at = torch.from_numpy(along), torch.from_numpy(pose)
        spread = torch.bmm(self.covariance[at], direction[:, :, None])[:, :, 0]
        mean = (self.mean[at] * direction).sum(dim=1)
        return mean.numpy() + offset, (spread * direction).sum(dim=1).numpy()


def beliefs(prior: DepthPrior, factors: Factors, poses: int) -> Beliefs:
    """What `poses` poses look like given factors."""
    import torch

    along, mean = prior.directions(factors.pair)
    direction, at, size = torch.from_numpy(along), torch.from_numpy(factors.pose), along.shape[1]
    precision = torch.from_numpy(factors.precision)[:, None]
    shift = torch.from_numpy(factors.shift - factors.precision * mean)[:, None]
    system = torch.eye(size, dtype=torch.float64).repeat(poses, 1, 1)
    system.index_add_(0, at, (direction * precision)[:, :, None] * direction[:, None, :])
    right = torch.zeros((poses, size), dtype=torch.float64).index_add_(0, at, direction * shift)
    covariance = torch.linalg.inv(system)
    return Beliefs(torch.bmm(covariance, right[:, :, None])[:, :, 0], covariance)


def propagate(prior: DepthPrior, factors: Factors, logs: Array, sweeps: int) -> tuple[Factors, Array, Moments]:
    """Fit the factors of n poses with P pairs each to their answers.

    Args:
        prior: the poses' prior.
        factors: where to start, (n, P) each.
        logs: (n, P, G) log likelihood of each pair's answers on the grid, float32.
        sweeps: how often every factor is fitted anew; at least 1.

    Returns:
        The factors; (n, P, G) float32 weights of each pair's difference on the grid, which add up to 1: its own answers
        as they are, those to the pose's other pairs through their factors; and what is believed of the poses.
    """
    nodes = NODES.astype(np.float32)
    measured = logs + np.log(WEIGHTS).astype(np.float32)
    directions, offset = prior.directions(factors.pair)
    precision, shift = factors.precision, factors.shift
    solve = _by_pairs if directions.shape[1] <= directions.shape[2] else _by_joints
    weights = np.empty_like(logs)
    for sweep in range(sweeps):
        mean, variance, _ = solve(directions, precision, shift - precision * offset, moments=False)
        # Without the pair's own factor ...
        rest = 1 / np.maximum(1 / variance - precision, LEAST)
        centre = rest * ((mean + offset) / variance - shift)
        away = nodes - centre[..., None].astype(np.float32)
        squared = away * away
        weights = measured - squared * (0.5 / rest)[..., None].astype(np.float32)
        weights -= weights.max(axis=-1, keepdims=True)
        np.exp(weights, out=weights)
        weights /= weights.sum(axis=-1, keepdims=True)
        # ... and with its answers instead.
        bend = np.einsum("npg,npg->np", weights, away).astype(np.float64)
        spread = np.einsum("npg,npg->np", weights, squared).astype(np.float64) - bend**2
        fitted = np.maximum(1 / np.maximum(spread, LEAST) - 1 / rest, LEAST)
        move = DAMPING if sweep else 1.0
        shift = shift + move * ((centre + bend) * (fitted + 1 / rest) - centre / rest - shift)
        precision = precision + move * (fitted - precision)
    _, _, moments = solve(directions, precision, shift - precision * offset, moments=True)
    return replace(factors, precision=precision, shift=shift), weights, moments


def _by_pairs(directions: Array, precision: Array, shift: Array, *, moments: bool) -> tuple[Array, Array, Moments]:
    """(n, P) means and variances of directions·u given factors, by n systems of P equations; and the poses' moments."""
    root = np.sqrt(precision)
    product = directions @ directions.transpose(0, 2, 1)
    system = np.eye(precision.shape[1]) + root[:, :, None] * product * root[:, None, :]
    inner = root[:, :, None] * np.linalg.inv(system) * root[:, None, :]
    covariance = product - product @ inner @ product
    mean = (covariance @ shift[..., None])[..., 0]
    size = directions.shape[2]
    if not moments:
        return mean, np.einsum("npp->np", covariance), Moments.none(size)
    pull = shift - (inner @ (product @ shift[..., None]))[..., 0]
    means = np.einsum("np,npr->nr", pull, directions)
    told = np.tensordot(directions, inner @ directions, axes=([0, 1], [0, 1]))
    return mean, np.einsum("npp->np", covariance), Moments.of(means, len(means) * np.eye(size) - told)


def _by_joints(directions: Array, precision: Array, shift: Array, *, moments: bool) -> tuple[Array, Array, Moments]:
    """The same by n systems of R equations."""
    turned = directions.transpose(0, 2, 1)
    covariance = np.linalg.inv(np.eye(directions.shape[2]) + (turned * precision[:, None, :]) @ directions)
    means = (covariance @ (turned @ shift[..., None]))[..., 0]
    variance = np.einsum("npr,npr->np", directions @ covariance, directions)
    found = Moments.of(means, covariance.sum(axis=0)) if moments else Moments.none(directions.shape[2])
    return np.einsum("npr,nr->np", directions, means), variance, found


def _difference(covariance: Array) -> float:
    """Mean variance of the difference of two joints."""
    joints = len(covariance)
    return float(2 * (np.trace(covariance) - covariance.sum() / joints) / (joints - 1))
