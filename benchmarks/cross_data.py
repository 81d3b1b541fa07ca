"""Labels of one half of the CMU subjects, measured on the other half: people that no label speaks of.

    python benchmarks/cross_data.py --data BENCHMARK_FOLDER --out runs/cross_data

The subjects of the training split are dealt out to two halves of about as many rows. For each half it writes
``NAME.npz`` (keypoints, cameras and the mean limb lengths of that half alone; no joints) with
``NAME.labels.parquet``, and ``NAME_3d.npz`` to be measured on; then it trains each preset asked for from one half's
labels, measures it on the other, and on the half's own people for comparison. Every command is printed as it is run,
finished runs are not repeated, and the table is written to table.md and table.json.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro

from nearfar.datasets import load_labels, load_poses
from nearfar.errors import InputError
from nearfar.evaluation import report_markdown
from nearfar.files import write_text
from nearfar.geometry import limb_lengths
from nearfar.poses import PoseSet

HALVES = ("first", "second")


@dataclass(frozen=True)
class Arguments:
    """Train on one half of the subjects, measure on the other."""

    data: Path
    """Folder of the CMU benchmark."""
    out: Path = Path("runs/cross_data")
    """Folder of the files and runs."""
    presets: tuple[str, ...] = ("default",)
    """Presets to train; "ceiling" and "supervised" read the half's 3D."""
    epochs: int = 24
    """Of every run; a half has half the rows."""
    seed: int = 0
    """Of every run."""


def halves(poses: PoseSet) -> list[npt.NDArray[np.bool_]]:
    """Rows (N,) of two halves of the subjects: the largest first, each to the half that has fewer rows."""
    if poses.subject is None:
        raise InputError("these poses do not say whose they are")
    rows = np.bincount(poses.subject.codes, minlength=len(poses.subject.names))
    dealt: list[list[int]] = [[] for _ in HALVES]
    for subject in np.argsort(-rows, kind="stable"):
        min(dealt, key=lambda half: rows[half].sum()).append(int(subject))
    return [np.isin(poses.subject.codes, half) for half in dealt]


def write_halves(data: Path, out: Path) -> None:
    """The files of both halves."""
    poses, labels = load_poses(data / "train.npz"), load_labels(data / "train_labels.npz")
    for name, rows in zip(HALVES, halves(poses), strict=True):
        part = poses.select(rows)
        if part.joints is None:
            raise InputError(f"{data}: train.npz has no joints")
        part = dataclasses.replace(part, mean_limb_lengths=limb_lengths(part.joints, part.skeleton).mean(0, np.float64))
        part.save(out / f"{name}_3d.npz")
        dataclasses.replace(part, joints=None).save(out / f"{name}.npz")
        labels.of_poses(rows).save(out / f"{name}.labels.parquet")


def run(*command: str) -> None:
    """Run a nearfar command."""
    print("$ nearfar " + shlex.join(command), flush=True)
    subprocess.run([sys.executable, "-m", "nearfar.cli", *command], check=True)


def measure(preset: str, trained: str, measured: str, arguments: Arguments) -> dict[str, Any]:
    """Train from one half unless that is done, and measure on one."""
    out = arguments.out
    folder = out / f"{preset}_{trained}_seed{arguments.seed}"
    weights, report = folder / "weights.safetensors", folder / f"{measured}.json"
    if not weights.exists():
        labelled = preset not in {"ceiling", "supervised"}
        data = ["--data", str(out / f"{trained}.npz"), "--labels", str(out / f"{trained}.labels.parquet")]
        flags = ["--preset", preset, "--epochs", str(arguments.epochs), "--seed", str(arguments.seed)]
        resumed = ["--resume"] if (folder / "checkpoint.safetensors").exists() else []
        run("train", *(data if labelled else ["--data", str(out / f"{trained}_3d.npz")]), *flags, *resumed,
            "--out", str(folder))  # fmt: skip
    if not report.exists():
        run("evaluate", "--weights", str(weights), "--data", str(out / f"{measured}_3d.npz"), "--json", str(report))
    return dict(json.loads(report.read_text("utf-8")))


def main() -> None:
    """Write the halves, train, measure, and print the table."""
    arguments = tyro.cli(Arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if not (arguments.out / f"{HALVES[-1]}.labels.parquet").exists():
        write_halves(arguments.data, arguments.out)
    reports = {
        f"{preset}, labels of the {trained} half, people of the {measured}": measure(
            preset, trained, measured, arguments
        )
        for preset in arguments.presets
        for trained in HALVES
        for measured in sorted(HALVES, key=lambda half, own=trained: half == own)
    }
    write_text(arguments.out / "table.json", json.dumps(reports, indent=1) + "\n")
    table = report_markdown(reports)
    write_text(arguments.out / "table.md", table)
    print(table)


if __name__ == "__main__":
    main()
