"""Fine-tuning across domains: from synthetic motion to CMU, with answers of a simulated crowd and no 3D.

    python benchmarks/fine_tuning.py --data BENCHMARK_FOLDER --out runs/fine_tuning

A lifter is trained on synthetic motion alone, with exact labels of the synthetic people. It is then tuned on keypoints
of the CMU benchmark: of n images 5 random pairs each, every pair answered by k workers of the simulated crowd of
`nearfar.consensus`, and merged. CMU's 3D is used to simulate the answers and for nothing else; limb lengths are those
of the synthetic people, kept with the weights. The learning rate, and whether as many labels of synthetic people are
mixed in (rehearsal), are chosen once, on val, by the share of val's labels in the right order (4,000 images, 5 answers
a pair); test is then read once a row. Both the paper's lifter and ours are tuned.
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

from nearfar.consensus import SimulatedCrowd, SkillModel, merge, simulate_answers
from nearfar.datasets.cmu_benchmark import benchmark_labels, load_benchmark
from nearfar.evaluation import evaluate, order_accuracy
from nearfar.files import write_text
from nearfar.labels import RelativeLabels, labels_from_joints, random_pairs
from nearfar.lifting import Lifter, load
from nearfar.poses import PoseSet
from nearfar.presets import PRESETS, LossConfig
from nearfar.synthetic import synthetic_poses
from nearfar.training import train

PAIRS = 5
IMAGES = (250, 1000, 4000, 16000)
ANSWERS = (1, 3, 5, 9)
CHOSEN_ON = (4000, 5)


@dataclass(frozen=True)
class Recipe:
    """How a lifter is made from synthetic motion and then tuned.

    Attributes:
        preset: of the start; the paper's also carries its optimiser over, as the paper does.
        frames, epochs: moments of synthetic motion, each seen by two cameras, and passes over them.
        loss: of tuning.
        steps: of tuning, about.
        rates: learning rates to choose from.
    """

    preset: str
    frames: int
    epochs: int
    loss: LossConfig
    steps: int
    rates: tuple[float, ...]


_LIKELIHOOD = LossConfig(order_scale=50.0)
RECIPES = (
    Recipe("paper", 28_750, 8, PRESETS["paper"].loss, 2000, (1e-3, 1e-4)),
    Recipe("default", 115_000, 8, _LIKELIHOOD, 500, (3e-5, 1e-4)),
)


@dataclass(frozen=True)
class Choice:
    """What is chosen on val."""

    learning_rate: float
    rehearsal: bool


@dataclass(frozen=True)
class Arguments:
    """Train, tune, measure."""

    data: Path
    """Folder of the CMU benchmark."""
    out: Path = Path("runs/fine_tuning")
    """Folder of the runs and of fine_tuning.json and .md."""
    seed: int = 0
    """Of everything."""


@dataclass(frozen=True)
class Study:
    """One recipe on one benchmark."""

    recipe: Recipe
    arguments: Arguments

    @property
    def start(self) -> Path:
        """The run on synthetic motion."""
        return self.arguments.out / f"{self.recipe.preset}_start_seed{self.arguments.seed}"

    def synthetic(self) -> tuple[PoseSet, RelativeLabels]:
        """Synthetic people, whose 3D goes into their labels and mean limb lengths only."""
        poses = synthetic_poses(self.recipe.frames, seed=2018, views=2, fps=3)
        rng = np.random.default_rng([self.arguments.seed, 1])
        labels = labels_from_joints(poses, random_pairs(poses.skeleton, len(poses), 1, rng))
        return dataclasses.replace(poses, joints=None), labels

    def train_start(self) -> Lifter:
        """The lifter that has seen synthetic motion only."""
        if not (self.start / "weights.safetensors").exists():
            config = PRESETS[self.recipe.preset]
            config = dataclasses.replace(config, epochs=self.recipe.epochs, seed=self.arguments.seed)
            train(*self.synthetic(), config, self.start, resume=True)
        return load(self.start / "weights.safetensors")

    def tune(self, seen: PoseSet, images: int, answers: int, choice: Choice) -> tuple[Lifter, float]:
        """The lifter after tuning, and the share of the crowd's labels that is right."""
        seed = self.arguments.seed
        poses, labels, right = crowd_labels(seen, images, answers, seed)
        kind = "rehearsed" if choice.rehearsal else "plain"
        name = f"{self.recipe.preset}_{images}_images_{answers}_answers_{kind}_rate{choice.learning_rate:g}_seed{seed}"
        folder = self.arguments.out / name
        if (folder / "weights.safetensors").exists():
            return load(folder / "weights.safetensors"), right
        if choice.rehearsal:
            poses, labels = mixed((poses, labels), self.synthetic())
        base = PRESETS[self.recipe.preset]
        config = dataclasses.replace(
            base,
            loss=self.recipe.loss,
            optimiser=dataclasses.replace(base.optimiser, learning_rate=choice.learning_rate),
            epochs=max(1, round(self.recipe.steps / -(-len(labels) // base.batch_size))),
            labels_used="each",
            seed=seed,
        )
        file = "checkpoint.safetensors" if self.recipe.preset == "paper" else "weights.safetensors"
        return train(poses, labels, config, folder, init=self.start / file, resume=True), right

    def choose(self, seen: PoseSet, val: PoseSet, labels: RelativeLabels) -> Choice:
        """The choice that puts most of val's labelled pairs in the right order; val's 3D is not looked at."""
        found = {}
        for choice in (Choice(rate, rehearsal) for rate in self.recipe.rates for rehearsal in (False, True)):
            found[choice] = order_accuracy(self.tune(seen, *CHOSEN_ON, choice)[0].network, val, labels)
            print("val", choice, found[choice], flush=True)
        return max(found, key=lambda choice: found[choice])


def main(arguments: Arguments) -> None:
    """Make the tables."""
    seen = load_benchmark(arguments.data / "train.npz")
    val, test = (load_benchmark(arguments.data / f"{split}.npz") for split in ("val", "test"))
    val_labels = benchmark_labels(arguments.data / "val.npz")
    pages, record = [], {}
    for recipe in RECIPES:
        study, started = Study(recipe, arguments), time.monotonic()
        start = study.train_start()
        rows = {"synthetic alone": headline(evaluate(start, test), 0, None)}
        print("val before", order_accuracy(start.network, val, val_labels), flush=True)
        choice = study.choose(seen, val, val_labels)
        asked = [(n, CHOSEN_ON[1]) for n in IMAGES] + [(CHOSEN_ON[0], k) for k in ANSWERS if k != CHOSEN_ON[1]]
        for images, answers in asked:
            lifter, right = study.tune(seen, images, answers, choice)
            name = f"{images:,} images, {answers} {'answer' if answers == 1 else 'answers'} a pair"
            rows[name] = headline(evaluate(lifter, test), images * PAIRS * answers, right)
            print(name, rows[name], flush=True)
        minutes = (time.monotonic() - started) / 60
        record[recipe.preset] = {"choice": dataclasses.asdict(choice), "rows": rows, "minutes": minutes}
        pages.append(f"`{recipe.preset}`, learning rate {choice.learning_rate:g}, rehearsal: {choice.rehearsal}\n\n")
        pages.append(markdown(rows) + "\n")
    write_text(arguments.out / "fine_tuning.json", json.dumps(record, indent=1) + "\n")
    write_text(arguments.out / "fine_tuning.md", "".join(pages))
    print("".join(pages))


def crowd_labels(poses: PoseSet, images: int, answers: int, seed: int) -> tuple[PoseSet, RelativeLabels, float]:
    """Random images without 3D, merged labels of the simulated crowd, and the share of these that is right."""
    rng = np.random.default_rng([seed, 2])
    part = poses.select(np.sort(rng.permutation(len(poses))[:images]))
    pairs = random_pairs(part.skeleton, images, PAIRS, rng)
    crowd = SimulatedCrowd(answers_per_pair=answers, workers=max(60, images // 50))
    labels = merge(simulate_answers(part, pairs, crowd, rng), SkillModel()).labels
    depth = np.asarray(part.joints)[..., 2]
    difference = depth[labels.pose, labels.pair[:, 0]] - depth[labels.pose, labels.pair[:, 1]]
    told = labels.relation != 0
    right = float((np.sign(difference) == labels.relation)[told].mean())
    return dataclasses.replace(part, joints=None, mean_limb_lengths=None), labels, right


def mixed(new: tuple[PoseSet, RelativeLabels], old: tuple[PoseSet, RelativeLabels]) -> tuple[PoseSet, RelativeLabels]:
    """New poses and labels, and as many labels of old ones."""
    kept = np.linspace(0, len(old[0]) - 1, min(len(new[1]), len(old[0]))).astype(int)
    poses = (new[0], old[0].select(kept))
    columns = {name: np.concatenate([getattr(p, name) for p in poses]) for name in ("keypoints", "intrinsics")}
    labels = [new[1], old[1].of_poses(np.isin(np.arange(len(old[0])), kept))]
    return PoseSet(poses[0].skeleton, **columns), RelativeLabels(
        poses[0].skeleton,
        pose=np.concatenate([labels[0].pose, labels[1].pose + len(poses[0])]),
        pair=np.concatenate([label.pair.astype(np.int64) for label in labels]),
        relation=np.concatenate([label.relation for label in labels]),
    )


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
