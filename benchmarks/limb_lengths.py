"""How well keypoints show limb proportions: the figures of "Limbs that nobody measured" in docs/robustness.md.

    python benchmarks/limb_lengths.py --data BENCHMARK_FOLDER

For each split, the mean distance of log lengths from those of the true means, scale aside: of synthetic people, and of
what keypoints with more and more jitter show. No 3D is looked at but to compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from nearfar.datasets import load_poses
from nearfar.geometry import limb_lengths
from nearfar.keypoint_noise import DetectorNoise
from nearfar.synthetic import synthetic_poses
from nearfar.training.limb_reference import SYNTHETIC_MOMENTS, lengths_from_keypoints

PIXELS = (0.0, 2.0, 5.0, 10.0)
AT_MOST = 20_000


@dataclass(frozen=True)
class Arguments:
    """Compare limb lengths with the true ones."""

    data: Path
    """Folder of the CMU benchmark."""
    splits: tuple[str, ...] = ("train", "val")
    """Whose people."""


def distance(found: np.ndarray, true: np.ndarray) -> float:
    """Mean distance of (L,) log lengths, less their median difference."""
    difference = np.log(found / true)
    return float(np.abs(difference - np.median(difference)).mean())


def main() -> None:
    """Print the table."""
    arguments = tyro.cli(Arguments)
    print("| | synthetic people |" + "".join(f" keypoints, {pixels:g} px |" for pixels in PIXELS))
    print("|---" * (len(PIXELS) + 2) + "|")
    for split in arguments.splits:
        poses = load_poses(arguments.data / f"{split}.npz")
        true = np.mean(limb_lengths(poses.joints, poses.skeleton), axis=0)
        some = poses.select(np.linspace(0, len(poses) - 1, min(len(poses), AT_MOST)).astype(np.int64))
        average = synthetic_poses(SYNTHETIC_MOMENTS, fps=1.0, skeleton=poses.skeleton).mean_limb_lengths
        found = [average]
        for pixels in PIXELS:
            seen = DetectorNoise(pixels=pixels).add(some, np.random.default_rng(0)) if pixels else some
            found.append(lengths_from_keypoints(seen))
        print(f"| {split} |" + "".join(f" {distance(one, true):.3f} |" for one in found))


if __name__ == "__main__":
    main()
