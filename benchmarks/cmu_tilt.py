"""How the cameras of the CMU benchmark are turned, for figures that undo their tilt.

    python benchmarks/cmu_tilt.py --benchmark BENCHMARK_FOLDER/test.npz --mocap MOCAP.npz [MOCAP.npz ...] --out tilt.npz

The benchmark does not keep its cameras' orientation; it follows from its joints and the motion that they were made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from nearfar.datasets.cmu_benchmark import load_benchmark
from nearfar.datasets.mocap import load_mocap
from nearfar.errors import InputError
from nearfar.files import write_npz
from nearfar.study import rotations_from_world


@dataclass(frozen=True)
class Arguments:
    """Match every pose with its moment of the motion, and take the rotation between the two."""

    benchmark: Path
    """A file of the benchmark with joints."""
    mocap: tuple[Path, ...]
    """The mocap files that it was made from."""
    out: Path
    """The file to write: rotation (N, 3, 3), world to camera."""


def main(arguments: Arguments) -> None:
    """Match, align, write."""
    poses = load_benchmark(arguments.benchmark)
    if poses.sequence is None or poses.frame_index is None:
        raise InputError(f"{arguments.benchmark}: names no trials and frames")
    trial = np.array([name.rpartition(" camera ")[0] for name in poses.sequence.names])[poses.sequence.codes]
    rotation = np.full((len(poses), 3, 3), np.nan, np.float32)
    for path in arguments.mocap:
        motion = load_mocap(path, invalid="keep")
        if motion.sequence is None:
            raise InputError(f"{path}: names no trials")
        codes, first = np.unique(motion.sequence.codes, return_index=True)
        start = {motion.sequence.names[code]: row for code, row in zip(codes, first, strict=True)}
        here = np.flatnonzero([name in start for name in trial])
        rows = np.array([start[name] for name in trial[here]], dtype=int) + poses.frame_index[here]
        rotation[here] = rotations_from_world(poses.select(here), motion.select(rows))
    if np.isnan(rotation).any():
        raise InputError(f"{arguments.benchmark}: some trials are in none of the mocap files")
    write_npz(arguments.out, {"rotation": rotation})
    print(f"{arguments.out}: rotations of {len(rotation)} poses")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
