"""What a crowd's answers teach, beside exact ones: one answer a pose, and the consensus of several.

    python benchmarks/crowd_training.py --data BENCHMARK_FOLDER --out runs/crowd_training
    python benchmarks/crowd_training.py --data BENCHMARK_FOLDER --out runs/crowd_training --split test

The exact answers train preset `default`; one crowd answer a pose, and the shares of 3 and 5 (the benchmark's own, and
others drawn from the same simulated crowd, which alone sees 3D) train preset `crowd`. Beside them, with an order scale
to suit it, the majority alone; and `default` trained on the crowd's answers as if they were exact. Finished runs are
not repeated, runs that were broken off are resumed; test is to be read once.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from nearfar.answer_noise import PAPER_CROWD
from nearfar.datasets.cmu_benchmark import benchmark_labels, load_benchmark
from nearfar.evaluation import evaluate
from nearfar.files import write_text
from nearfar.labels import RelativeLabels
from nearfar.lifting import load
from nearfar.presets import PRESETS, TrainingConfig
from nearfar.training import train


@dataclass(frozen=True)
class Row:
    """One line of the table: preset, answers a pose (0: exact), and whether their majority stands for them."""

    name: str
    preset: str
    answers: int
    majority: bool = False


ROWS = (
    Row("exact", "default", 0),
    Row("1 answer, as if exact", "default", 1),
    Row("1 answer", "crowd", 1),
    Row("3 answers", "crowd", 3),
    Row("3 answers, majority", "crowd", 3, majority=True),
    Row("5 answers", "crowd", 5),
    Row("5 answers, majority", "crowd", 5, majority=True),
)

MAJORITY_SCALE = {3: 113.0, 5: 92.0}
"""mm: logistic scales of the majorities of so many answers, fitted to the val split's."""


@dataclass(frozen=True)
class Arguments:
    """Train and measure every row."""

    data: Path
    """Folder of the CMU benchmark."""
    out: Path = Path("runs/crowd_training")
    """Folder of the runs, and of the table."""
    split: Literal["val", "test"] = "val"
    """What is measured on."""
    epochs: int = 8
    """Of every run."""
    seeds: tuple[int, ...] = (0,)
    """Of the runs."""
    only: str = ""
    """Only rows whose name contains this."""


def labels_of(row: Row, data: Path) -> RelativeLabels:
    """Labels of the training poses; those of several answers carry their share that says "b nearer"."""
    exact = benchmark_labels(data / "train_labels.npz")
    if not row.answers:
        return exact
    depth = load_benchmark(data / "train.npz").joints[..., 2]  # type: ignore[index]  # the annotators' eyes
    difference = np.diff(depth[exact.pose[:, None], exact.pair], axis=1)[:, 0]
    rng = np.random.default_rng(5)
    votes = [benchmark_labels(data / "train_labels.npz", "crowd_answer").relation]
    for _ in range(row.answers - 1):
        wrong = rng.random(len(exact)) < PAPER_CROWD.wrong(difference)
        votes.append(np.where(wrong, -exact.relation, exact.relation))
    share = (1 + np.mean(votes, axis=0)) / 2
    majority = np.sign(share - 0.5).astype(np.int8)
    return dataclasses.replace(exact, relation=majority, probability=None if row.majority else share, kind="merged")


def measure(row: Row, seed: int, arguments: Arguments) -> dict[str, float]:
    """Train and evaluate one row, or read what it gave before."""
    folder = arguments.out / f"{row.name.replace(',', '').replace(' ', '_')}_{arguments.epochs}_epochs_seed{seed}"
    report = folder / f"{arguments.split}.json"
    if not report.exists():
        weights = folder / "weights.safetensors"
        labels = labels_of(row, arguments.data)
        if not weights.exists():
            poses = load_benchmark(arguments.data / "train_labels.npz")
            train(poses, labels, configuration(row, seed, arguments.epochs), folder, resume=True)
        measured = evaluate(load(weights), load_benchmark(arguments.data / f"{arguments.split}.npz"))
        right = float((labels.relation == benchmark_labels(arguments.data / "train_labels.npz").relation).mean())
        keys = ("pa_mpjpe", "n_mpjpe", "relative_depth_accuracy", "relative_depth_accuracy_100mm")
        write_text(report, json.dumps({key: measured[key] for key in keys} | {"labels_right": right}) + "\n")
    return dict(json.loads(report.read_text("utf-8")))


def configuration(row: Row, seed: int, epochs: int) -> TrainingConfig:
    """The preset; a majority is right more often than one answer, so that its likelihood is steeper."""
    config = dataclasses.replace(PRESETS[row.preset], seed=seed, epochs=epochs)
    if not row.majority:
        return config
    scale = MAJORITY_SCALE[row.answers]
    weight = config.loss.order_weight * scale / config.loss.order_scale
    loss = dataclasses.replace(config.loss, order_scale=scale, order_weight=weight)
    return dataclasses.replace(config, loss=loss)


def main(arguments: Arguments) -> None:
    """Measure all rows, print and write the table."""
    lines = [
        "| answers | labels right | PA-MPJPE, mm | of exact | N-MPJPE, mm | order right | order right, > 100 mm |",
        "|---|---|---|---|---|---|---|",
    ]
    exact: float | None = None
    for row in ROWS:
        if arguments.only not in row.name:
            continue
        runs = [measure(row, seed, arguments) for seed in arguments.seeds]
        mean = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
        error, errors = mean["pa_mpjpe"], [run["pa_mpjpe"] for run in runs]
        exact = error if row.answers == 0 else exact
        shown = f"{error:.1f} ± {statistics.stdev(errors):.1f}" if len(runs) > 1 else f"{error:.1f}"
        ratio = "–" if exact is None else f"{error / exact:.3f}"
        rest = f"{mean['n_mpjpe']:.1f} | {mean['relative_depth_accuracy']:.3f}"
        far = f"{mean['relative_depth_accuracy_100mm']:.3f}"
        lines.append(f"| {row.name} | {mean['labels_right']:.3f} | {shown} | {ratio} | {rest} | {far} |")
        print(lines[-1], flush=True)
    table = "\n".join(lines) + "\n"
    write_text(arguments.out / f"crowd_training_{arguments.split}.md", table)
    print(table)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
