"""Which pairs are worth asking: expected information of an answer, from a lifter's uncertainty.

Whoever knows something about poses can choose the pairs: anything with a method `score` is a `Scorer`. The one that is
here, `LifterUncertainty`, asks where a lifter does not know the order, but people would see it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from nearfar.annotation.projects.pairs import Pairs
from nearfar.answer_noise import PAPER_CROWD, AnswerNoise
from nearfar.labels import all_pairs
from nearfar.lifting import Lifter, load
from nearfar.lifting.lifter import with_camera
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton

__all__ = ["LifterUncertainty", "Scorer", "choose_informative", "expected_information"]

Array = npt.NDArray[Any]

_AT_ONCE = 1 << 20
"""Pairs scored at a time."""

_NODES = np.array([NormalDist().inv_cdf((i + 0.5) / 24) for i in range(24)])
"""The middles of 24 equal shares of a normal distribution: its halves may be told apart, as Gauss's nodes cannot."""


class Scorer(Protocol):
    """Says how much an answer would tell."""

    def score(self, poses: PoseSet, pairs: Array) -> Array:
        """Expected information of one answer about each pair.

        Args:
            poses: N poses with keypoints.
            pairs: (P, 2) joint numbers of the poses' skeleton; the same pairs for every pose.

        Returns:
            (N, P) bits in 0..1, or any other number that is higher for pairs to be asked first; NaN where nothing is
            known of a pair.
        """
        ...


def expected_information(mean: Array, deviation: Array, noise: AnswerNoise = PAPER_CROWD) -> Array:
    """Mutual information, in bits, of an answer and the order of two joints, whose depth difference d is normal.

    I(answer; order) = H(P(answer)) − P(b nearer) H(P(answer | b nearer)) − P(a nearer) H(P(answer | a nearer)): the
    entropy of an answer, less what is left of it once the order is known (Lindley, "On a measure of the information
    provided by an experiment", 1956). It is small where the order is known already, and where people could not see it.

    Args:
        mean: (...) expected z_a − z_b, mm.
        deviation: (...) of the belief, mm.
        noise: how people answer.
    """
    order, says, both = (np.zeros(np.shape(mean)) for _ in range(3))
    for node in _NODES:
        difference = mean + node * deviation
        right, nearer = noise.right(difference), difference > 0
        p = np.where(nearer, right, 1 - right)
        order += nearer
        says += p
        both += nearer * p
    order, says, both = (total / len(_NODES) for total in (order, says, both))
    with np.errstate(invalid="ignore", divide="ignore"):
        if_nearer = np.where(order > 0, both / order, 0.5)
        if_farther = np.where(order < 1, (says - both) / (1 - order), 0.5)
    return np.asarray(np.maximum(_coin(says) - order * _coin(if_nearer) - (1 - order) * _coin(if_farther), 0))


@dataclass(frozen=True, eq=False)
class LifterUncertainty:
    """Expected information from what a lifter says when it is shaken.

    The keypoints are moved a little, the picture is mirrored or not, and units are dropped as in training (Gal and
    Ghahramani, "Dropout as a Bayesian approximation", 2016); the spread of the depths tells what the lifter knows.

    Attributes:
        lifter: the lifter.
        noise: how people answer.
        samples: how often it is asked; even.
        keypoint_noise: deviation of the keypoints, as a share of the person's size in the image.
        inflation: the errors of lifted depths are so much larger than the spread (fitted on the CMU benchmark's
            training split, docs/annotation.md).
        seed: of the noise.
    """

    lifter: Lifter
    noise: AnswerNoise = PAPER_CROWD
    samples: int = 12
    keypoint_noise: float = 0.01
    inflation: float = 2.0
    seed: int = 0

    @classmethod
    def load(cls, weights: str) -> LifterUncertainty:
        """From weights by name or file."""
        return cls(load(weights))

    def score(self, poses: PoseSet, pairs: Array) -> Array:
        """See `Scorer.score`. NaN for joints that the lifter does not have, and poses that it cannot lift."""
        mean, covariance = self.depths(poses)
        a, b = pairs.T
        difference = mean[:, a] - mean[:, b]
        variance = covariance[:, a, a] + covariance[:, b, b] - 2 * covariance[:, a, b]
        return expected_information(difference, self.inflation * np.sqrt(np.maximum(variance, 0)), self.noise)

    def depths(self, poses: PoseSet) -> tuple[Array, Array]:
        """Mean (N, J) and covariance (N, J, J) of depths on the poses' skeleton, mm and mm²; NaN where not known."""
        own = dataclasses.replace(poses, joints=None, root_position=None, frame="camera")
        own = with_camera(own, "lifting", needed=False)
        points = np.array(own.keypoints, np.float32)
        if own.scores is not None:
            points[~(np.asarray(own.scores) > 0)] = np.nan
        own = dataclasses.replace(own, keypoints=points, scores=None).remap(self.lifter.skeleton)
        points = np.asarray(own.keypoints)
        known = np.asarray(np.isfinite(points).all(axis=-1))
        spans = [np.where(known[..., None], points, edge) for edge in (-np.inf, np.inf)]
        size = np.nan_to_num((spans[0].max(axis=1) - spans[1].min(axis=1)).max(axis=1), neginf=0.0)
        drawn = np.stack(list(self._samples(points, np.asarray(own.intrinsics, np.float32), size)))
        known &= known[:, [self.lifter.skeleton.root_index]] & (known.sum(axis=1, keepdims=True) >= 4)
        drawn[:, ~known] = np.nan
        column = [
            self.lifter.skeleton.joints.index(name) if name in self.lifter.skeleton.joints else -1
            for name in poses.skeleton.joints
        ]
        drawn = np.where(np.array(column) >= 0, drawn[..., column], np.nan)
        mean = drawn.mean(axis=0)
        away = drawn - mean
        return mean, np.einsum("kni,knj->nij", away, away) / (self.samples - 1)

    def _samples(self, points: Array, intrinsics: Array, size: Array) -> Iterator[Array]:
        """(N, J) depths, as often as asked, half of them of the mirrored pose."""
        network, rng = self.lifter.network, np.random.default_rng(self.seed)
        camera = torch.from_numpy(intrinsics)
        with torch.inference_mode(), _dropout(self.lifter, self.seed):
            for sample in range(self.samples):
                moved = points + rng.normal(0, self.keypoint_noise, points.shape) * size[:, None, None]
                seen = torch.from_numpy(moved.astype(np.float32))
                if sample % 2:
                    joints = network(*network.mirror(seen, camera)).joints[:, network.mirror_permutation]
                else:
                    joints = network(seen, camera).joints
                yield joints[..., 2].double().numpy()


@contextmanager
def _dropout(lifter: Lifter, seed: int) -> Iterator[None]:
    """Dropout as in training, reproducibly; everything else stays as it is."""
    layers = [module for module in lifter.network.modules() if isinstance(module, torch.nn.Dropout)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in layers:
            layer.train()
        try:
            yield
        finally:
            for layer in layers:
                layer.eval()


def choose_informative(
    scorer: Scorer, poses: PoseSet, usable: Array, per_pose: int, rng: np.random.Generator, *, progress: bool = False
) -> Pairs:
    """Choose the most informative pairs of each pose, no two of which say nearly the same.

    After each pair that is chosen, the scores of the others shrink by the share of what they say that the chosen one
    says too: the squared correlation of the two depth differences if all limbs pointed anywhere.

    Args:
        scorer: tells what is informative.
        poses: N poses.
        usable: (N, J) joints that can be asked about.
        per_pose: pairs of each pose; fewer where there are not so many.
        rng: breaks ties: pairs that nothing is known of are drawn at random, after all others.
        progress: show a progress bar.

    Returns:
        Pairs whose priority is their score, shrunk.
    """
    pairs = all_pairs(poses.skeleton)
    left = 1 - _correlation(poses.skeleton, pairs) ** 2
    rows = np.flatnonzero(usable.sum(axis=1) >= 2)
    parts: list[tuple[Array, Array, Array]] = []
    step = max(1, _AT_ONCE // len(pairs))
    bar = tqdm(total=len(rows), desc="choosing pairs", unit="pose", leave=False, disable=not progress)
    with bar:
        for at in range(0, len(rows), step):
            some = rows[at : at + step]
            score = np.nan_to_num(scorer.score(poses.select(some), pairs), nan=0.0)
            there = usable[some][:, pairs[:, 0]] & usable[some][:, pairs[:, 1]]
            score = np.where(there, score + 1e-9 * rng.random(score.shape), -np.inf)
            for _ in range(min(per_pose, len(pairs))):
                best = score.argmax(axis=1)
                value = score[np.arange(len(some)), best]
                ok = np.isfinite(value)
                parts.append((some[ok], pairs[best[ok]], value[ok]))
                score *= left[best]
                score[np.arange(len(some)), best] = -np.inf
            bar.update(len(some))
    if not parts:
        return Pairs(np.zeros(0, np.int64), np.zeros((0, 2), np.int64), np.zeros(0))
    pose, joints, priority = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return Pairs(pose, joints, np.round(np.maximum(priority, 0), 6))


def _correlation(skeleton: Skeleton, pairs: Array) -> Array:
    """(P, P) correlations of depth differences where each limb's depth is drawn by itself."""
    on_path = np.zeros((skeleton.num_joints, skeleton.num_joints))
    for joint in range(skeleton.num_joints):
        at = joint
        while at >= 0:
            on_path[joint, at] = skeleton.parents[at] >= 0
            at = int(skeleton.parents[at])
    limbs = on_path[pairs[:, 0]] - on_path[pairs[:, 1]]
    length = np.linalg.norm(limbs, axis=1)
    return np.asarray(limbs @ limbs.T / np.outer(length, length))


def _coin(p: Array) -> Array:
    """Entropy of a coin, bits."""
    q = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(-(q * np.log2(q) + (1 - q) * np.log2(1 - q)))
