"""How often the package's weights order two joints rightly, by how far apart in depth they put them.

    python benchmarks/order_certainty.py --data BENCHMARK_FOLDER/val.npz

Fits the likelihood that the weights were trained with (the logistic model of Bradley and Terry, 1952, with lapses) to
their own answers, for every pair of joints, mirrored pairs together. Writes src/nearfar/weights/order_certainty.json,
from which the viewer takes the certainty of its answers, and prints the table of docs/viewing.md. To be run again when
weights of the package change. Use poses that chose nothing about the weights but when to stop, never the test split.

A detector's errors last for many frames, so that time averages little of them out: the curves are those of single
frames, and the weights for clips, which hold them, are given the same.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro

import nearfar
from nearfar.answer_noise import AnswerNoise, fit_noise
from nearfar.datasets import load_poses
from nearfar.files import write_text
from nearfar.keypoint_noise import DetectorNoise
from nearfar.lifting import load
from nearfar.skeleton import Skeleton
from nearfar.viewing.certainty import CERTAINTY_FILE, SCHEMA

Array = npt.NDArray[Any]
Pair = tuple[int, int]

FOLDER = Path(nearfar.__file__).resolve().parent / "weights"
SINGLE_FRAMES, CLIPS = "default", "default-video"
FAULTS = DetectorNoise(pixels=5.0, jumps=0.05, limb_swaps=0.01, person_swaps=0.01, missing=0.05, cuts=0.05)
"""The row "5 px, with faults" of docs/robustness.md."""
EDGES = (0, 10, 20, 30, 50, 75, 100, 150, 200, 300, 400, np.inf)
"""mm: bins of the table."""
FEWEST = 2000
"""Answers of one pair in one bin from which its gap is looked at."""


@dataclass(frozen=True)
class Options:
    """What is measured."""

    data: Path
    """Poses with 2D and camera-frame 3D: one split of the benchmark."""
    noise: DetectorNoise = FAULTS
    """What the 2D detector does."""
    seed: int = 0
    """Of the noise."""


@dataclass(frozen=True)
class Answers:
    """Answers to every pair of joints of N poses.

    Attributes:
        pairs: (Q, 2) joints.
        size: (N, Q) predicted depth difference, mm; NaN where it is not asked.
        right: (N, Q) whether the predicted order is the true one.
    """

    pairs: Array
    size: Array
    right: Array

    @classmethod
    def of(cls, predicted: Array, true: Array) -> Answers:
        """From depths (N, J), mm."""
        pairs = np.stack(np.triu_indices(true.shape[1], 1), axis=1)
        guess, truth = (z[:, pairs[:, 0]] - z[:, pairs[:, 1]] for z in (predicted, true))
        return cls(pairs, np.where(truth != 0, np.abs(guess), np.nan), np.sign(guess) == np.sign(truth))

    def fitted(self, skeleton: Skeleton) -> dict[Pair, AnswerNoise]:
        """The model of each pair; a pair and its mirror image have one."""
        mirrored = np.sort(skeleton.mirror_permutation[self.pairs], axis=1)
        groups = np.unique(np.minimum(self._number(self.pairs), self._number(mirrored)), return_inverse=True)[1]
        noises: dict[Pair, AnswerNoise] = {}
        for group in range(groups.max() + 1):
            columns = np.flatnonzero(groups == group)
            asked = np.isfinite(self.size[:, columns])
            fit = fit_noise(
                self.size[:, columns][asked], self.right[:, columns][asked], "logit", lapse=True, bootstrap=0
            )
            noises |= {(int(a), int(b)): fit.noise for a, b in self.pairs[columns]}
        return noises

    def _number(self, pairs: Array) -> Array:
        return np.asarray(pairs[:, 0] * (self.pairs.max() + 1) + pairs[:, 1])

    def table(self, noises: dict[Pair, AnswerNoise]) -> str:
        """By predicted difference: share of right answers, that expected, and the largest gap of any pair."""
        sizes = np.nan_to_num(self.size)
        expected = np.stack([noises[a, b].right(sizes[:, i]) for i, (a, b) in enumerate(self.pairs.tolist())], 1)
        lines = []
        for low, high in pairwise(EDGES):
            inside = (self.size >= low) & (self.size < high)
            enough = inside.sum(axis=0) >= FEWEST
            gaps = [
                abs(self.right[inside[:, i], i].mean() - expected[inside[:, i], i].mean())
                for i in np.flatnonzero(enough)
            ]
            lines.append(
                f"| {low:g} to {high:g} mm | {self.right[inside].mean():.3f} | {expected[inside].mean():.3f} "
                f"| {max(gaps, default=np.nan):.3f} |"
            )
        return "\n".join(lines)


def main() -> None:
    """Measure, write, print."""
    options = tyro.cli(Options, description=__doc__)
    lifter, truth = load(SINGLE_FRAMES), load_poses(options.data)
    depths = np.asarray(truth.remap(lifter.skeleton).joints)[..., 2]
    found = {}
    for kind, noise in (("exact", DetectorNoise()), ("a detector's", options.noise)):
        poses = lifter.lift_poses(noise.add(truth, np.random.default_rng(options.seed)))
        answers = Answers.of(np.asarray(poses.joints)[..., 2], depths)
        found[kind] = answers.fitted(lifter.skeleton)
        asked = np.isfinite(answers.size)
        print(f"\n{kind} keypoints: {answers.right[asked].mean():.3f} of {asked.sum()} answers right")
        print(answers.table(found[kind]))
    joints = lifter.skeleton.joints
    curves = {
        "sha256": hashlib.sha256((FOLDER / f"{SINGLE_FRAMES}.safetensors").read_bytes()).hexdigest(),
        "pairs": [
            [joints[a], joints[b], round(noise.scale_mm, 1), round(noise.lapse, 3)]
            for (a, b), noise in sorted(found["a detector's"].items())
        ],
    }
    about = {
        "data": truth.provenance.get("source", options.data.name),
        "split": options.data.stem,
        "seed": options.seed,
    }
    header = {"schema": SCHEMA, "measured_on": about, "noise": vars(options.noise)}
    text = json.dumps({**header, "weights": {SINGLE_FRAMES: curves, CLIPS: SINGLE_FRAMES}}, separators=(",", ":"))
    write_text(FOLDER / CERTAINTY_FILE, text.replace("],[", "],\n[") + "\n")


if __name__ == "__main__":
    main()
