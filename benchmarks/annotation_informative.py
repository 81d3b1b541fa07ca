"""Are informative pairs those that a lifter gets wrong and people can see? Measured on poses with known 3D.

    python benchmarks/annotation_informative.py BENCHMARK.npz [--poses 2000] [--pairs 5]

Prints how the lifter's errors of depth differences compare with the deviation that `LifterUncertainty` sees (its
`inflation` is that of the training split, rounded) and how they go together; and for informative, random and least sure
pairs (smallest difference over deviation): how many of them the lifter gets wrong, how many of these differ by over
100 mm, what the answers would correct (mean error of all pairs, those in the right order counting nothing), and how
many nobody could see (under 20 mm).
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.annotation.projects.informative import LifterUncertainty, choose_informative
from nearfar.annotation.projects.pairs import draw_pairs
from nearfar.answer_noise import PAPER_CROWD
from nearfar.datasets import load_poses
from nearfar.labels import all_pairs

Array = npt.NDArray[Any]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark")
    parser.add_argument("--poses", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    poses = load_poses(options.benchmark)
    poses = poses.select(np.sort(rng.choice(len(poses), min(options.poses, len(poses)), replace=False)))
    if poses.joints is None:
        parser.error("the poses have no joints")
    depth = np.asarray(poses.joints[..., 2], np.float64)
    seen = dataclasses.replace(poses, joints=None, root_position=None, frame="camera")
    scorer = LifterUncertainty.load("default")
    pairs = all_pairs(poses.skeleton)
    a, b = pairs.T
    lifted, covariance = scorer.depths(seen)
    believed = lifted[:, a] - lifted[:, b]
    spread = np.sqrt(covariance[:, a, a] + covariance[:, b, b] - 2 * covariance[:, a, b])
    error = depth[:, a] - depth[:, b] - believed
    ratio = np.sqrt(np.mean(error**2) / np.mean(spread**2))
    together = np.corrcoef(np.abs(error).ravel(), spread.ravel())[0, 1]
    print(f"root mean square error over that of the deviation: {ratio:.2f}; correlation of their sizes: {together:.2f}")

    def tell(name: str, pose: Array, joints: Array) -> None:
        true, said = (z[pose, joints[:, 0]] - z[pose, joints[:, 1]] for z in (depth, lifted))
        wrong = np.sign(true) != np.sign(said)
        print(
            f"{name:<24} wrong {wrong.mean():6.1%}  wrong over 100 mm {np.mean(wrong & (np.abs(true) > 100)):6.1%}  "
            f"corrected {np.mean(wrong * np.abs(true - said)):6.1f} mm  under 20 mm {np.mean(np.abs(true) < 20):6.1%}  "
            f"people right {PAPER_CROWD.right(true).mean():6.1%}"
        )

    usable = np.ones(depth.shape, bool)
    chosen = choose_informative(scorer, seen, usable, options.pairs, rng, progress=True)
    tell("informative", chosen.pose, chosen.joints)
    best = np.argsort(-chosen.priority)[: len(chosen) // 5]
    tell("informative, first fifth", chosen.pose[best], chosen.joints[best])
    drawn = draw_pairs(usable, options.pairs, poses.skeleton, rng)
    tell("random", drawn.pose, drawn.joints)
    unsure = np.argsort(np.abs(believed) / spread, axis=1)[:, : options.pairs]
    tell("least sure", np.repeat(np.arange(len(depth)), options.pairs), pairs[unsure.ravel()])


if __name__ == "__main__":
    main()
