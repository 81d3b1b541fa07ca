"""Which pairs are worth asking: those whose answer is expected to correct a lifter most.

Whoever knows something about poses can choose the pairs: anything with a method `score` is a `Scorer`. The one that is
here, `LifterUncertainty`, asks where a lifter may be far out, and people would see it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from nearfar.annotation.projects.pairs import Pairs
from nearfar.answer_noise import PAPER_CROWD, AnswerNoise
from nearfar.labels import all_pairs
from nearfar.lifting import Lifter, load
from nearfar.lifting.lifter import with_camera
from nearfar.lifting.network import MIN_JOINTS
from nearfar.lifting.rays import rotate
from nearfar.lifting.turning import random_turns, turned_view
from nearfar.poses import PoseSet
from nearfar.presets import TurnConfig
from nearfar.skeleton import Skeleton

__all__ = ["LifterUncertainty", "Scorer", "choose_informative", "explained_share"]

Array = npt.NDArray[Any]

_AT_ONCE = 1 << 20
"""Pairs scored at a time."""

UNKNOWN = 1e-9
"""Score of pairs that nothing is known of."""

TILT = TurnConfig().tilt
"""Degrees by which the other cameras are tilted: as in training."""

_NODES = np.array([NormalDist().inv_cdf((i + 0.5) / 24) for i in range(24)])
"""The middles of 24 equal shares of a normal distribution: its halves may be told apart, as Gauss's nodes cannot."""


class Scorer(Protocol):
    """Says how much an answer would tell."""

    def score(self, poses: PoseSet, pairs: Array) -> Array:
        """Expected worth of one answer about each pair.

        Args:
            poses: N poses with keypoints.
            pairs: (P, 2) joint numbers of the poses' skeleton; the same pairs for every pose.

        Returns:
            (N, P) numbers from 0, twice as high where an answer is worth twice as much; NaN where nothing is known of
            a pair.
        """
        ...


def explained_share(mean: Array, deviation: Array, noise: AnswerNoise = PAPER_CROWD) -> Array:
    """Share, in 0..1, of the variance of a normal depth difference d that an answer is expected to remove.

    The law of total variance gives Var d − E Var(d | answer) = Var E(d | answer), which for an answer of two kinds is
    Cov(answer, d)² / Var answer: the share is their squared correlation. At most 2/π, for a sure answer to an open
    order; small where the order is known already, and where people could not see it.

    Args:
        mean: (...) expected z_a − z_b, mm.
        deviation: (...) of the belief, mm.
        noise: how people answer.
    """
    says, together = np.zeros(np.shape(mean)), np.zeros(np.shape(mean))
    for node in _NODES:
        difference = mean + node * deviation
        right = noise.right(difference)
        p = np.where(difference > 0, right, 1 - right)
        says += p / len(_NODES)
        together += node * p / len(_NODES)
    return np.asarray(together**2 / np.maximum(says * (1 - says) * np.mean(_NODES**2), 1e-12))


@dataclass(frozen=True, eq=False)
class LifterUncertainty:
    """Expected worth of answers from how a lifter contradicts itself.

    The keypoints are moved a little, the picture mirrored or not; and the lifted person is seen by another camera and
    lifted again. How far the depths come to lie from those first lifted tells how far out they may be.

    Attributes:
        lifter: the lifter.
        noise: how people answer.
        samples: how often each pose is lifted again.
        keypoint_noise: deviation of the keypoints, as a share of the person's size in the image.
        inflation: the errors of lifted depths are so much larger than the samples'
            (benchmarks/annotation_informative.py measures it).
        seed: of noise and cameras.
    """

    lifter: Lifter
    noise: AnswerNoise = PAPER_CROWD
    samples: int = 12
    keypoint_noise: float = 0.03
    inflation: float = 1.0
    seed: int = 0

    @classmethod
    def load(cls, weights: str) -> LifterUncertainty:
        """From weights by name or file."""
        return cls(load(weights))

    def score(self, poses: PoseSet, pairs: Array) -> Array:
        """Variance of each depth difference that an answer is expected to remove, mm² (see `Scorer.score`).

        NaN for joints that the lifter does not have, and poses that it cannot lift.
        """
        depths, covariance = self.depths(poses)
        a, b = pairs.T
        variance = self.inflation**2 * (covariance[:, a, a] + covariance[:, b, b] - 2 * covariance[:, a, b])
        variance = np.maximum(variance, 0)
        return np.asarray(variance * explained_share(depths[:, a] - depths[:, b], np.sqrt(variance), self.noise))

    def depths(self, poses: PoseSet) -> tuple[Array, Array]:
        """Depths (N, J) and mean product (N, J, J) of the samples' distances from them, on the poses' skeleton.

        In mm and mm²; NaN where not known.
        """
        own = dataclasses.replace(poses, joints=None, root_position=None, frame="camera")
        own = with_camera(own, "lifting", needed=False)
        points = np.array(own.keypoints, np.float32)
        if own.scores is not None:
            points[~(np.asarray(own.scores) > 0)] = np.nan
        own = dataclasses.replace(own, keypoints=points, scores=None).remap(self.lifter.skeleton)
        points = np.asarray(own.keypoints)
        known = np.asarray(np.isfinite(points).all(axis=-1))
        device = next(self.lifter.network.parameters()).device
        intrinsics = torch.tensor(own.intrinsics, dtype=torch.float32, device=device)
        drawn = np.stack(list(self._samples(torch.from_numpy(points).to(device), intrinsics)))
        known &= known[:, [self.lifter.skeleton.root_index]] & (known.sum(axis=1, keepdims=True) >= MIN_JOINTS)
        drawn[:, ~known] = np.nan
        column = [
            self.lifter.skeleton.joints.index(name) if name in self.lifter.skeleton.joints else -1
            for name in poses.skeleton.joints
        ]
        drawn = np.where(np.array(column) >= 0, drawn[..., column], np.nan)
        away = drawn[1:] - drawn[0]
        return drawn[0], np.einsum("kni,knj->nij", away, away) / self.samples

    def _samples(self, points: Tensor, intrinsics: Tensor) -> Iterator[Array]:
        """(N, J) depths: first as the lifter gives them, then as often as asked, half of them by other cameras."""
        network = self.lifter.network
        generator = torch.Generator(device=points.device).manual_seed(self.seed)
        spread = [torch.where(torch.isnan(points), edge, points) for edge in (-torch.inf, torch.inf)]
        size = (spread[0].amax(1) - spread[1].amin(1)).amax(-1)[:, None, None]
        with torch.inference_mode():
            lifted = network.lift(points, intrinsics)
            yield lifted.joints[..., 2].double().cpu().numpy()
            lifted = lifted._replace(joints=torch.where(torch.isnan(points[..., :1]), torch.nan, lifted.joints))
            for sample in range(self.samples):
                if sample % 2 and lifted.root is not None:
                    turns = random_turns(len(points), TILT, generator)
                    seen, _ = turned_view(lifted, turns, intrinsics)
                    joints = rotate(turns.transpose(1, 2), network(seen, intrinsics).joints)
                else:
                    seen = points + self.keypoint_noise * size * torch.randn(
                        points.shape, generator=generator, device=points.device
                    )
                    if sample % 4 >= 2:
                        joints = network(*network.mirror(seen, intrinsics)).joints[:, network.mirror_permutation]
                    else:
                        joints = network(seen, intrinsics).joints
                yield joints[..., 2].double().cpu().numpy()


def choose_informative(
    scorer: Scorer, poses: PoseSet, usable: Array, per_pose: int, rng: np.random.Generator, *, progress: bool = False
) -> Pairs:
    """Choose informative pairs of each pose, no two of which say nearly the same.

    Pairs are drawn in proportion to their scores (Kirsch et al., "Stochastic batch acquisition", 2023). The best ones
    would be much the same pair in most poses (head and ankle), and of near-copies of one pose, and a lifter learns less
    from them than from random ones (docs/active.md). After each pair that is drawn, the scores of the others of the
    pose shrink by the share of what they say that it says too: the squared correlation of the two depth differences if
    all limbs pointed anywhere.

    Args:
        scorer: tells what is informative.
        poses: N poses.
        usable: (N, J) joints that can be asked about.
        per_pose: pairs of each pose; fewer where there are not so many.
        rng: draws; pairs that nothing is known of come after all others.
        progress: show a progress bar.

    Returns:
        Pairs whose priority is their score, shrunk, over an exponential number: in order of priority, they are drawn
        in proportion to their scores, over all poses.
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
            score = np.where(there, np.maximum(score, UNKNOWN) / rng.exponential(size=score.shape), -np.inf)
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
    return Pairs(pose, joints, priority)


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
