"""Seconds and sizes of every exported file of a long clip, and what fixed limb lengths cost on given poses.

    python benchmarks/motion_files.py --poses lifted/poses.npz --out FOLDER

The long clip is made motion (skeleton human19), clip after clip. The second table is of all clips and people of
`--poses`: how far inverse kinematics put joints from where they were (mm), and how far nodes turn from one frame to the
next (degrees).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from nearfar.datasets import load_poses
from nearfar.export import FORMATS, export, select
from nearfar.export.motion import Motion, motions
from nearfar.poses import PoseSet
from nearfar.synthetic import synthetic_motion


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    out: Path
    """Folder for the files."""
    poses: tuple[Path, ...] = ()
    """Poses with 3D joints, of clips."""
    frames: int = 10_000
    """Length of the made clip."""


def main(arguments: Arguments) -> None:
    """Print both tables."""
    made = synthetic_motion(arguments.frames, seed=0, fps=30)
    made = PoseSet(made.skeleton, joints=made.joints, frame="world", time=np.arange(len(made)) / 30)
    print(f"| {len(made)} frames | s | MB |\n|---|---|---|")
    for name, entry in FORMATS.items():
        if not entry.pictures:
            start = time.perf_counter()
            paths = export(made, arguments.out / f"clip.{name}").paths
            took = time.perf_counter() - start
            print(f"| {name} | {took:.1f} | {sum(path.stat().st_size for path in paths) / 1e6:.1f} |")
    heads = ("poses", "clips", "frames", "joints mean, mm", "95 % below", "step 99.9 % below, degrees", "largest")
    print(f"\n| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for path in arguments.poses:
        poses = load_poses(path)
        names = [None] if poses.sequence is None else list(dict.fromkeys(poses.sequence.values().tolist()))
        clips = [
            motion for name in names for motion in motions(poses if name is None else select(poses, sequence=name))
        ]
        error = np.concatenate([motion.error.ravel() for motion in clips])
        steps = np.concatenate([turns(motion).ravel() for motion in clips])
        print(
            f"| {path.name} | {len(clips)} | {sum(len(motion.root) for motion in clips)} | {np.nanmean(error):.1f} "
            f"| {np.nanpercentile(error, 95):.1f} | {np.percentile(steps, 99.9):.0f} | {steps.max():.0f} |"
        )


def turns(motion: Motion) -> np.ndarray:
    """(T - 1, N) degrees that nodes turn from frame to frame."""
    between = np.swapaxes(motion.rotations[:-1], -1, -2) @ motion.rotations[1:]
    return np.rad2deg(np.arccos(np.clip((np.trace(between, axis1=-2, axis2=-1) - 1) / 2, -1, 1)))


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
