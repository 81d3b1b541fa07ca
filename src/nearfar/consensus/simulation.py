"""A simulated crowd: workers of differing skill, some of whom do not look, answer tasks of a few poses each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.answer_noise import PAPER_CROWD, AnswerNoise
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels, labels_from_joints
from nearfar.poses import PoseSet

__all__ = ["SimulatedCrowd", "simulate_answers"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SimulatedCrowd:
    """Who answers, and how.

    A diligent worker is right as often as `noise` says at the depth difference divided by the worker's own factor,
    exp(spread·normal): above 1 the eye is worse than average. The others do not look at the picture.

    Attributes:
        workers: how many people there are.
        noise: how often an average diligent worker is right.
        spread: standard deviation of the logarithm of the workers' factors.
        spammers: share of workers who toss a coin.
        one_sided: share who always say that the first joint is nearer.
        reversed: share who look, and then answer the wrong way round.
        answers_per_pair: different workers who answer each pair.
        poses_per_task: poses that one worker answers in a row.
    """

    workers: int = 60
    noise: AnswerNoise = field(default=PAPER_CROWD)
    spread: float = 0.25
    spammers: float = 0.05
    one_sided: float = 0.0
    reversed: float = 0.0
    answers_per_pair: int = 5
    poses_per_task: int = 5

    def __post_init__(self) -> None:
        if not 1 <= self.answers_per_pair <= self.workers:
            raise InputError(
                f"simulated crowd: {self.workers} workers can give 1..{self.workers} answers a pair, "
                f"got {self.answers_per_pair}"
            )
        if self.poses_per_task < 1:
            raise InputError(f"simulated crowd: poses_per_task must be at least 1, got {self.poses_per_task}")
        if not (np.isfinite(self.spread) and self.spread >= 0):
            raise InputError(f"simulated crowd: spread must be 0 or more, got {self.spread}")
        shares = (self.spammers, self.one_sided, self.reversed)
        if not all(share >= 0 for share in shares) or not sum(shares) <= 1:
            raise InputError(
                f"simulated crowd: shares of careless workers must be 0 or more and add up to 1, got {shares}"
            )


def simulate_answers(poses: PoseSet, pairs: Array, crowd: SimulatedCrowd, rng: np.random.Generator) -> RelativeLabels:
    """Let a simulated crowd answer.

    Which joint is asked first is drawn anew for every answer. Some workers do more tasks than others, and none answers
    a pair twice.

    Args:
        poses: N poses with joints in the camera's frame (or root-relative along its axes).
        pairs: (N, P, 2) joints to compare.
        crowd: who answers.
        rng: source of randomness.

    Returns:
        N·P·answers_per_pair answers with annotators; ``provenance["crowd"]`` says who does not look.

    Raises:
        InputError: world-frame or missing joints.
    """
    exact = labels_from_joints(poses, pairs)
    tasks = -(-len(poses) // crowd.poses_per_task)
    chosen = _different_workers(tasks, crowd, rng)[exact.pose // crowd.poses_per_task]  # (N·P, k)
    worker = chosen.reshape(-1)
    row = np.repeat(np.arange(len(exact)), crowd.answers_per_pair)
    factor = np.exp(crowd.spread * rng.normal(size=crowd.workers))
    depth = np.asarray(poses.joints)[..., 2]
    difference = np.diff(depth[exact.pose[:, None], exact.pair], axis=1)[row, 0]
    wrong = rng.random(len(row)) < crowd.noise.wrong(difference / factor[worker])
    spammer, one_sided, turned = _careless(crowd, rng)
    wrong = np.where(turned[worker], ~wrong, wrong)
    relation = np.where(wrong, -exact.relation[row], exact.relation[row])
    swapped = rng.random(len(row)) < 0.5
    pair = np.where(swapped[:, None], exact.pair[row][:, ::-1], exact.pair[row])
    relation = np.where(swapped, -relation, relation)
    relation = np.where(spammer[worker], rng.choice([-1, 1], size=len(row)), relation)
    relation = np.where(one_sided[worker], -1, relation)
    names = np.array([f"worker {i + 1:0{len(str(crowd.workers))}d}" for i in range(crowd.workers)])
    careless = {"spammers": spammer, "one_sided": one_sided, "reversed": turned}
    return RelativeLabels(
        skeleton=poses.skeleton,
        pose=exact.pose[row],
        pair=pair,
        relation=relation.astype(np.int8),
        annotator=names[worker],
        provenance={
            "from": "simulated crowd",
            "settings": dataclasses.asdict(crowd),
            "crowd": {kind: names[who].tolist() for kind, who in careless.items()},
        },
    )


def _different_workers(tasks: int, crowd: SimulatedCrowd, rng: np.random.Generator) -> Array:
    """(tasks, k) different workers for each task, drawn by how busy they are (Gumbel's trick), in random order."""
    busy = np.log(rng.exponential(size=crowd.workers))
    keys = busy + rng.gumbel(size=(tasks, crowd.workers))
    return np.argsort(-keys, axis=1)[:, : crowd.answers_per_pair]


def _careless(crowd: SimulatedCrowd, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """(W,) masks of spammers, the one-sided and the reversed; nobody is two of them."""
    shares = np.cumsum([crowd.spammers, crowd.one_sided, crowd.reversed])
    bounds = np.rint(shares * crowd.workers).astype(int)
    place = rng.permutation(crowd.workers)
    return place < bounds[0], (place >= bounds[0]) & (place < bounds[1]), (place >= bounds[1]) & (place < bounds[2])
