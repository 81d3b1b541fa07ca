"""Fine-tuning across domains: from synthetic motion to CMU, with answers of a simulated crowd and no 3D.

    python benchmarks/fine_tuning.py --data BENCHMARK_FOLDER --out runs/fine_tuning

A lifter is trained on synthetic motion alone (preset default, 8 epochs, exact labels of the synthetic people). It is
then tuned on keypoints of the CMU benchmark's train_labels.npz: of n images 5 random pairs each, every pair answered by
k workers of the simulated crowd of `nearfar.consensus` (the 3D is used to simulate their answers and for nothing else).
Limb lengths are those of the synthetic people, kept with the weights. The learning rate, and whether answers are merged
first, are chosen once, on val, by the share of val's labels in the right order (4,000 images, 5 answers a pair); test
is then read once a row.
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from nearfar.consensus import SimulatedCrowd, merge, simulate_answers
from nearfar.datasets.cmu_benchmark import benchmark_labels, load_benchmark
from nearfar.evaluation import evaluate, order_accuracy
from nearfar.files import write_text
from nearfar.labels import RelativeLabels, labels_from_joints, random_pairs
from nearfar.lifting import Lifter, load
from nearfar.poses import PoseSet
from nearfar.presets import PRESETS, LossConfig, TrainingConfig
from nearfar.synthetic import synthetic_poses
from nearfar.training import train

PAIRS = 5
STEPS = 500
IMAGES = (250, 1000, 4000, 16000)
ANSWERS = (1, 3, 5, 9)
CHOSEN_ON = (4000, 5)


@dataclass(frozen=True)
class Choice:
    """How to tune: on merged labels, or on the answers themselves, each a sample; learning rate; likelihood; limbs."""

    learning_rate: float
    merged: bool

    @property
    def loss(self) -> LossConfig:
        """The calibrated likelihood: 400 mm for single answers, steeper for merged labels, more of which are right."""
        scale, limbs = (100.0, 10.0) if self.merged else (400.0, 5.0)
        return dataclasses.replace(PRESETS["crowd"].loss, order_scale=scale, limb_weight=limbs)


CHOICES = tuple(Choice(rate, merged) for merged in (True, False) for rate in (1e-5, 3e-5, 1e-4))


@dataclass(frozen=True)
class Arguments:
    """Train, tune, measure."""

    data: Path
    """Folder of the CMU benchmark."""
    out: Path = Path("runs/fine_tuning")
    """Folder of the runs and of fine_tuning.json and .md."""
    start_epochs: int = 8
    """Epochs on synthetic motion."""
    seed: int = 0
    """Of everything."""


def main(arguments: Arguments) -> None:
    """Make the table."""
    started = time.monotonic()
    start = start_weights(arguments)
    seen = load_benchmark(arguments.data / "train.npz")
    val, test = (load_benchmark(arguments.data / f"{split}.npz") for split in ("val", "test"))
    val_labels = benchmark_labels(arguments.data / "val.npz")
    choice = choose(arguments, start, seen, val, val_labels)
    rows: dict[str, dict[str, Any]] = {"synthetic alone": headline(evaluate(load(start), test), 0, None)}
    asked = [(n, CHOSEN_ON[1]) for n in IMAGES] + [(CHOSEN_ON[0], k) for k in ANSWERS if k != CHOSEN_ON[1]]
    for images, answers in asked:
        lifter, right = tuned(arguments, start, seen, images, answers, choice)
        name = f"{images:,} images, {answers} {'answer' if answers == 1 else 'answers'} a pair"
        rows[name] = headline(evaluate(lifter, test), images * PAIRS * answers, right)
        print(name, rows[name], flush=True)
    record = {"choice": dataclasses.asdict(choice), "rows": rows}
    record["minutes"] = (time.monotonic() - started) / 60
    write_text(arguments.out / "fine_tuning.json", json.dumps(record, indent=1) + "\n")
    write_text(arguments.out / "fine_tuning.md", markdown(rows))
    print(markdown(rows))


def start_weights(arguments: Arguments) -> Path:
    """The lifter that has seen synthetic motion only, trained where it is not there yet."""
    folder = arguments.out / f"start_{arguments.start_epochs}_epochs_seed{arguments.seed}"
    if not (folder / "weights.safetensors").exists():
        poses = synthetic_poses(115_000, seed=2018, views=2, fps=3)
        rng = np.random.default_rng([arguments.seed, 1])
        labels = labels_from_joints(poses, random_pairs(poses.skeleton, len(poses), 1, rng))
        config = dataclasses.replace(PRESETS["default"], epochs=arguments.start_epochs, seed=arguments.seed)
        train(dataclasses.replace(poses, joints=None), labels, config, folder, resume=True)
    return folder / "weights.safetensors"


def crowd_labels(
    poses: PoseSet, images: int, answers: int, seed: int, *, merged: bool
) -> tuple[PoseSet, RelativeLabels, float]:
    """Random images without 3D, what the simulated crowd says of them, and the share of its labels that is right."""
    rng = np.random.default_rng([seed, 2])
    part = poses.select(np.sort(rng.permutation(len(poses))[:images]))
    pairs = random_pairs(part.skeleton, images, PAIRS, rng)
    crowd = SimulatedCrowd(answers_per_pair=answers, workers=max(60, images // 50))
    labels = simulate_answers(part, pairs, crowd, rng)
    if merged:
        labels = merge(labels).labels
    depth = np.asarray(part.joints)[..., 2]
    difference = depth[labels.pose, labels.pair[:, 0]] - depth[labels.pose, labels.pair[:, 1]]
    told = labels.relation != 0
    right = float((np.sign(difference) == labels.relation)[told].mean())
    return dataclasses.replace(part, joints=None, mean_limb_lengths=None), labels, right


def tuned(
    arguments: Arguments, start: Path, poses: PoseSet, images: int, answers: int, choice: Choice
) -> tuple[Lifter, float]:
    """The lifter after tuning, and the share of its labels that is right."""
    part, labels, right = crowd_labels(poses, images, answers, arguments.seed, merged=choice.merged)
    kind = "merged" if choice.merged else "raw"
    folder = arguments.out / f"images{images}_answers{answers}_{kind}_rate{choice.learning_rate:g}"
    if (folder / "weights.safetensors").exists():
        return load(folder / "weights.safetensors"), right
    return train(part, labels, tuning(choice, len(labels), arguments.seed), folder, init=start, resume=True), right


def tuning(choice: Choice, labels: int, seed: int) -> TrainingConfig:
    """About STEPS steps, whatever the number of labels; every label is a sample."""
    base = PRESETS["crowd"]
    return dataclasses.replace(
        base,
        loss=choice.loss,
        optimiser=dataclasses.replace(base.optimiser, learning_rate=choice.learning_rate),
        epochs=max(1, round(STEPS / -(-labels // base.batch_size))),
        labels_used="each",
        seed=seed,
    )


def choose(arguments: Arguments, start: Path, poses: PoseSet, val: PoseSet, val_labels: RelativeLabels) -> Choice:
    """The choice that puts most of val's labelled pairs in the right order; val's 3D is not looked at."""
    print("val before", order_accuracy(load(start).network, val, val_labels), flush=True)
    found = {}
    for choice in CHOICES:
        lifter, _ = tuned(arguments, start, poses, *CHOSEN_ON, choice)
        found[choice] = order_accuracy(lifter.network, val, val_labels)
        print("val", choice, found[choice], flush=True)
    return max(found, key=lambda choice: found[choice])


def headline(report: dict[str, Any], answers: int, right: float | None) -> dict[str, Any]:
    """What the table shows of a report."""
    keys = ("pa_mpjpe", "n_mpjpe", "relative_depth_accuracy", "relative_depth_accuracy_100mm")
    return {"answers": answers, "labels_right": right, **{key: report[key] for key in keys}}


def markdown(rows: dict[str, dict[str, Any]]) -> str:
    """The table."""
    lines = [
        "| tuned on | answers | labels right | PA-MPJPE, mm | N-MPJPE, mm | wrong order | wrong order, > 100 mm |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        right = "–" if row["labels_right"] is None else f"{row['labels_right']:.3f}"
        wrong, far = 1 - row["relative_depth_accuracy"], 1 - row["relative_depth_accuracy_100mm"]
        errors = f"{row['pa_mpjpe']:.1f} | {row['n_mpjpe']:.1f} | {wrong:.3f} | {far:.3f}"
        lines.append(f"| {name} | {row['answers']:,} | {right} | {errors} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(tyro.cli(Arguments))
