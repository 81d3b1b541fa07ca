"""``nearfar data synthetic``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nearfar.errors import InputError


@dataclass(frozen=True)
class Synthetic:
    """Make human motion seen by sampled cameras, with its relative depth labels; no download, no licence."""

    out: Annotated[Path, tyro.conf.Positional]
    """The .npz file of poses to write; labels go beside it as .labels.parquet."""
    frames: int = 20_000
    """Moments in time."""
    views: int = 2
    """Cameras that see each moment."""
    fps: float = 15.0
    """Frames a second; for training a low rate (3) gives more motions and cameras in as many frames."""
    seed: int = 0
    """Other seeds are other people, motions and cameras."""
    skeleton: str = "h36m17"
    """Skeleton of the poses."""
    pairs: int = 1
    """Labelled pairs of joints a pose."""
    tolerance: float = 0.0
    """Depth differences below this many mm are labelled equal."""
    crowd: bool = False
    """Answer as a noisy crowd would: chance at no difference, always right from 400 mm on."""

    def run(self) -> None:
        """Make, write."""
        import numpy as np

        from nearfar.answer_noise import PAPER_CROWD
        from nearfar.labels import labels_from_joints, random_pairs
        from nearfar.synthetic import synthetic_poses

        if self.frames < 1 or self.views < 1:
            raise InputError(f"frames and views: expected at least 1, got {self.frames} and {self.views}")
        poses = synthetic_poses(self.frames, seed=self.seed, views=self.views, fps=self.fps, skeleton=self.skeleton)
        rng = np.random.default_rng([self.seed, 1])
        pairs = random_pairs(poses.skeleton, len(poses), self.pairs, rng)
        labels = labels_from_joints(
            poses, pairs, tolerance=self.tolerance, noise=PAPER_CROWD if self.crowd else None, rng=rng
        )
        poses.save(self.out)
        labels.save(self.out.with_suffix(".labels.parquet"))
        print(f"{self.out}: {len(poses)} poses; {len(labels)} labels beside it")
