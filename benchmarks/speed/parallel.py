"""Training by several processes on one machine: the same result, and what it gains."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.speed.section import Figure, Section, Setting, rate
from nearfar import load, synthetic_poses
from nearfar.labels import labels_from_joints, random_pairs

ROWS = 8_192


def measure(setting: Setting) -> Section:
    """One process on one core, one on two, and two on one each."""
    poses = synthetic_poses(ROWS, seed=1)
    labels = labels_from_joints(poses, random_pairs(poses.skeleton, ROWS, 1, np.random.default_rng(0)))
    data = setting.folder / "parallel.npz", setting.folder / "parallel.parquet"
    dataclasses.replace(poses, joints=None).save(data[0])
    labels.save(data[1])
    cores = min(2, os.cpu_count() or 1)
    ways = {"one process, one thread": (1, 1), f"one process, {cores} threads": (1, cores),
            f"{cores} processes, one thread each": (cores, 1)}  # fmt: skip
    epochs = (1, 2) if setting.quick else (1, 5)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repetition in range(1 if setting.quick else 3):
        for name, (processes, threads) in ways.items():
            short, long = (
                _train(data, setting.folder / f"parallel_{processes}_{threads}_{repetition}_{n}", n, processes, threads)
                for n in epochs
            )
            seconds[name].append((long - short) / (epochs[1] - epochs[0]))
    alone = next(iter(seconds.values()))
    figures = [
        rate(name, taken, ROWS, "samples/s", "one process, one thread", alone) for name, taken in seconds.items()
    ]
    one, threads, two = (
        load(setting.folder / f"parallel_{way}_0_1" / "weights.safetensors").lift_poses(poses).joints
        for way in ("1_1", f"1_{cores}", f"{cores}_1")
    )
    for name, other in ((f"one process of {cores} threads", threads), (f"{cores} processes", two)):
        apart = float(np.linalg.norm(one - other, axis=-1).mean())
        what = f"joints after an epoch, mean distance from those of one thread: {name}"
        figures.append(Figure(what, apart, "mm", apart, apart))
    return Section(
        "Training, several processes",
        tuple(figures),
        notes=(
            "`torchrun`, gloo, preset `default` with all its terms, a batch of 256 in all, 32-bit floats.",
            "Rates are of long runs, less those of short ones.",
            "Threads add up in another order, and so do processes: what rounding alone does, Adam lets grow.",
        ),
    )


def _train(data: tuple[Path, Path], out: Path, epochs: int, processes: int, threads: int) -> float:
    """Seconds of a run."""
    command = ["-m", "nearfar.cli", "train", "--data", str(data[0]), "--labels", str(data[1]), "--out", str(out),
               "--epochs", str(epochs), "--synthetic.poses", "4000", "--turn.start", "0",
               "--precision", "float32"]  # fmt: skip
    if processes > 1:
        command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), *command]
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *command], check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)}
    )
    return time.perf_counter() - start
