"""``nearfar data``."""

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


@dataclass(frozen=True)
class Convert:
    """Convert poses or labels between nearfar's files and those of others; the suffix of the output decides.

    Poses: .npz, .csv, .json. Labels: .parquet, .csv, .json.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """Any file that nearfar reads."""
    out: Annotated[Path, tyro.conf.Positional]
    """The file to write."""
    labels: bool = False
    """The source holds labels, not poses."""
    skeleton: str | None = None
    """Skeleton of the source, where it does not say."""
    image_size: str | None = None
    """WIDTHxHEIGHT in pixels, where the source does not say."""
    to: str | None = None
    """Skeleton to remap poses to."""

    def run(self) -> None:
        """Read, write."""
        from nearfar import tables
        from nearfar.cli.inputs import image_size
        from nearfar.datasets import load_labels, load_poses

        suffix = self.out.suffix.lower()
        if self.labels:
            labels = load_labels(self.source, skeleton=self.skeleton)
            writers = {".parquet": labels.save}
            writers[".csv"] = lambda path: tables.write_labels_csv(labels, path)
            writers[".json"] = lambda path: tables.write_labels_json(labels, path)
        else:
            size = None if self.image_size is None else image_size(self.image_size)
            poses = load_poses(self.source, skeleton=self.skeleton, image_size=size)
            if self.to is not None:
                poses = poses.remap(self.to)
            writers = {".npz": poses.save}
            writers[".csv"] = lambda path: tables.write_poses_csv(poses, path)
            writers[".json"] = lambda path: tables.write_poses_json(poses, path)
        if suffix not in writers:
            raise InputError(f"{self.out}: expected a name ending in {', '.join(writers)}")
        writers[suffix](self.out)
        print(self.out)


@dataclass(frozen=True)
class Info:
    """Say what a file of poses holds."""

    file: Annotated[Path, tyro.conf.Positional]
    """Any file of poses that nearfar reads."""
    skeleton: str | None = None
    """Skeleton, where the file does not say."""

    def run(self) -> None:
        """Print."""
        import numpy as np

        from nearfar.datasets import load_poses

        poses = load_poses(self.file, skeleton=self.skeleton)
        print(f"{len(poses)} poses of skeleton {poses.skeleton.name} ({poses.skeleton.num_joints} joints)")
        if poses.keypoints is not None:
            seen = np.isfinite(poses.keypoints).all(axis=-1).mean()
            print(f"keypoints: pixels, {100 * seen:.1f} % present")
        if poses.joints is not None:
            seen = np.isfinite(poses.joints).all(axis=-1).mean()
            print(f"joints: mm, frame {poses.frame}, {100 * seen:.1f} % present")
        for name in ("sequence", "subject", "action"):
            if (column := getattr(poses, name)) is not None:
                print(f"{name}s: {len(np.unique(column.codes))}")
        if poses.person is not None:
            print(f"persons: {np.unique(poses.person).tolist()}")
        for key, value in poses.provenance.items():
            print(f"{key}: {value}")


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.extras.subcommand_cli_from_dict(
        {"synthetic": Synthetic, "convert": Convert, "info": Info}, prog="nearfar data", args=argv
    ).run()
