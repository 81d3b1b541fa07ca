"""How many labels are enough: PA-MPJPE against the share of the poses that have one, chosen at random or actively.

    python benchmarks/active.py --data BENCHMARK_FOLDER --out runs/active
    python benchmarks/active.py --data BENCHMARK_FOLDER --out runs/active --split test
    python benchmarks/active.py --data BENCHMARK_FOLDER --out runs/active --split test --no-synthetic

Every lifter is trained for as many steps, whatever the number of labels; labelled poses are repeated (`--unlabelled`
is the share of the others). Which poses have a label:

- random: the fixed labels of random poses;
- poses: the fixed labels of poses that a lifter chooses;
- pairs: poses and pairs that a lifter chooses, one pair a pose.

The choice is made in rounds, share by share: by the lifter of the share before, the first by one that saw no label. It
sees keypoints and nothing else. Answers are exact: those of the benchmark, or of a simulated annotator, who alone sees
3D. Finished runs are not repeated, and runs that were broken off are resumed. The curves are those of the last epoch on
val; test is to be read once.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import tyro

from nearfar.annotation.projects.informative import LifterUncertainty, Scorer, choose_informative
from nearfar.annotation.projects.pairs import Pairs
from nearfar.answer_noise import AnswerNoise
from nearfar.datasets.cmu_benchmark import benchmark_labels, load_benchmark
from nearfar.evaluation import evaluate
from nearfar.files import write_text
from nearfar.labels import RelativeLabels, all_pairs, join_labels, labels_from_joints
from nearfar.lifting import load
from nearfar.poses import PoseSet
from nearfar.presets import PRESETS
from nearfar.training import train
from nearfar.viewing.figures import house_style, new_figure, save_figure
from nearfar.viewing.style import CYCLE

Array = npt.NDArray[Any]
Method = Literal["random", "poses", "pairs"]
EXACT = AnswerNoise("line", 1.0)
AT_ONCE = 8192
MEASURES = ("pa_mpjpe", "n_mpjpe", "relative_depth_accuracy")


@dataclass(frozen=True)
class Arguments:
    """Train, choose, measure, draw."""

    data: Path
    """Folder of the CMU benchmark."""
    out: Path = Path("runs/active")
    """Folder of the runs, and of active.md, active.json and active.png."""
    split: Literal["val", "test"] = "val"
    """What is measured on."""
    epochs: int = 8
    """Of every run: passes over as many poses as there are, labelled or not."""
    unlabelled: float = 0.001
    """Share of the poses trained on that have no label."""
    seeds: tuple[int, ...] = (0,)
    """Of runs and choices."""
    percent: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    """Shares of the poses that have a label, in percent; none and all come by themselves."""
    methods: tuple[Method, ...] = get_args(Method)
    """Ways of choosing."""
    synthetic: bool = True
    """Synthetic people in every step; without them labels must teach what people look like, as with animals."""


@dataclass(frozen=True, eq=False)
class Study:
    """The runs of one seed.

    Attributes:
        arguments: of the command.
        seed: of runs and choices.
        poses: training poses without 3D.
        given: the fixed label of each.
    """

    arguments: Arguments
    seed: int
    poses: PoseSet
    given: RelativeLabels

    def reports(self) -> dict[str, dict[str, dict[str, float]]]:
        """Measures by method, by percent."""
        nothing, everything = self.given.select(slice(0, 0)), self.given
        ends = {"0": self.run("no labels", nothing), "100": self.run("all labels", everything)}
        found: dict[str, dict[str, dict[str, float]]] = {}
        for method in self.arguments.methods:
            found[method] = {"0": ends["0"]}
            labels, name = nothing, "no labels"
            for percent in self.arguments.percent:
                labels = self.more(method, percent, labels, name)
                name = f"{method} {percent:g} percent"
                found[method][f"{percent:g}"] = self.run(name, labels)
            found[method]["100"] = ends["100"]
        return found

    def folder(self, name: str) -> Path:
        """Of a run."""
        words = name if self.arguments.synthetic else f"{name} no synthetic"
        return self.arguments.out / f"{words.replace(' ', '_')}_{self.arguments.epochs}_epochs_seed{self.seed}"

    def run(self, name: str, labels: RelativeLabels) -> dict[str, float]:
        """Train and measure, unless that is done already."""
        folder, split = self.folder(name), self.arguments.split
        report = folder / f"{split}.json"
        if not report.exists():
            config = PRESETS["default"]
            if not self.arguments.synthetic:
                config = dataclasses.replace(config, synthetic=dataclasses.replace(config.synthetic, poses=0))
            if not len(labels):
                config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, order="none"))
            config = dataclasses.replace(
                config, epochs=self.arguments.epochs, seed=self.seed, unlabelled=self.arguments.unlabelled
            )
            if not (folder / "weights.safetensors").exists():
                print(f"{name}: {len(labels):,} labels", flush=True)
                train(self.poses, labels if len(labels) else None, config, folder, resume=True)
            truth = load_benchmark(self.arguments.data / f"{split}.npz")
            measured = evaluate(load(folder / "weights.safetensors"), truth)
            write_text(report, json.dumps({key: measured[key] for key in MEASURES} | {"labels": len(labels)}) + "\n")
            print(f"{name}: {report.read_text('utf-8')}", end="", flush=True)
        return dict(json.loads(report.read_text("utf-8")))

    def more(self, method: Method, percent: float, labels: RelativeLabels, chooser: str) -> RelativeLabels:
        """The labels so far and, up to a share, others that the lifter of the run `chooser` chooses."""
        file = self.folder(f"{method} {percent:g} percent").with_suffix(".parquet")
        if file.exists():
            return RelativeLabels.load(file)
        count = round(percent / 100 * len(self.poses))
        rng = np.random.default_rng([self.seed, 5])
        if method == "random":
            labels = self.given.select(np.sort(rng.permutation(len(self.poses))[:count]))
        else:
            scorer = LifterUncertainty(load(self.folder(chooser) / "weights.safetensors"), EXACT)
            free = np.ones(len(self.poses), bool)
            free[labels.pose] = False
            choose = self.choose_poses if method == "poses" else self.choose_pairs
            new = choose(scorer, free, count - len(labels), np.random.default_rng([self.seed, 6, count]))
            labels = new if not len(labels) else join_labels([labels, new])
        file.parent.mkdir(parents=True, exist_ok=True)
        labels.save(file)
        return labels

    def choose_poses(self, scorer: Scorer, free: Array, wanted: int, rng: np.random.Generator) -> RelativeLabels:
        """Fixed labels of poses that have none yet, drawn in proportion to what they are worth."""
        pairs = all_pairs(self.poses.skeleton)
        column = np.zeros((self.poses.skeleton.num_joints,) * 2, dtype=np.int64)
        column[tuple(pairs.T)] = column[tuple(pairs.T[::-1])] = np.arange(len(pairs))
        worth = np.zeros(len(self.poses))
        for rows in np.array_split(np.flatnonzero(free), -(-int(free.sum()) // AT_ONCE)):
            score = scorer.score(self.poses.select(rows), pairs)
            worth[rows] = score[np.arange(len(rows)), column[tuple(self.given.pair[rows].T)]]
        return self.given.select(np.sort(np.argsort(-worth / rng.exponential(size=len(worth)))[:wanted]))

    def choose_pairs(self, scorer: Scorer, free: Array, wanted: int, rng: np.random.Generator) -> RelativeLabels:
        """Labels of poses that have none yet, and of pairs, likewise."""
        usable = np.repeat(free[:, None], self.poses.skeleton.num_joints, axis=1)
        drawn = choose_informative(scorer, self.poses, usable, 1, rng, progress=True)
        return self.annotate(drawn.select(np.argsort(-drawn.priority)[:wanted]))

    def annotate(self, asked: Pairs) -> RelativeLabels:
        """Exact answers of an annotator who sees the training split's 3D."""
        seen = load_benchmark(self.arguments.data / "train.npz").select(asked.pose)
        return dataclasses.replace(labels_from_joints(seen, asked.joints[:, None]), pose=asked.pose)


def labels_needed(points: Mapping[str, Mapping[str, float]], error: float) -> float | None:
    """Labels, between the points around, from which on a curve is at or below an error; None if it never is."""
    curve = sorted((point["labels"], point["pa_mpjpe"]) for point in points.values() if point["labels"])
    needed: float | None = None
    for (few, before), (many, after) in reversed(list(zip([(0.0, math.inf), *curve], curve, strict=False))):
        if after > error:
            break
        if before > error and few:
            part = (before - error) / (before - after)
            return math.exp(math.log(few) + part * (math.log(many) - math.log(few)))
        needed = many
    return needed


def mean_curves(found: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean over seeds of every measure, and the standard deviation of PA-MPJPE."""
    curves: dict[str, dict[str, dict[str, float]]] = {}
    for method, points in found[0].items():
        curves[method] = {}
        for percent in points:
            runs = [one[method][percent] for one in found]
            errors = [run["pa_mpjpe"] for run in runs]
            deviation = statistics.stdev(errors) if len(errors) > 1 else 0.0
            mean = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
            curves[method][percent] = mean | {"deviation": deviation}
    return curves


def markdown(curves: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """The table, and how many labels each method needs for the error that random labels leave."""
    lines = ["| poses with a label | labels |" + "".join(f" {method} |" for method in curves)]
    lines.append("|---|---|" + "---|" * len(curves))
    first = next(iter(curves.values()))
    for percent, point in first.items():
        cells = []
        for points in curves.values():
            shown = f"{points[percent]['pa_mpjpe']:.1f}"
            cells.append(f" {shown} ± {points[percent]['deviation']:.1f} |" if point["deviation"] else f" {shown} |")
        lines.append(f"| {percent} % | {round(point['labels']):,} |" + "".join(cells))
    whole = first["100"]["pa_mpjpe"]
    lines += ["", "PA-MPJPE, mm. Labels for 1.05 of the error that all labels leave:", ""]
    for method, points in curves.items():
        needed = labels_needed(points, 1.05 * whole)
        lines.append(f"- {method}: " + ("more than there are" if needed is None else f"{round(needed):,}"))
    return "\n".join(lines) + "\n"


def figure(curves: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Any:
    """PA-MPJPE against the number of labels."""
    with house_style():
        drawing = new_figure(5.2, 3.4)
        ax = drawing.add_subplot()
        for (method, points), colour in zip(curves.items(), CYCLE, strict=False):
            some = [point for point in points.values() if point["labels"]]
            ax.errorbar(
                [point["labels"] for point in some],
                [point["pa_mpjpe"] for point in some],
                yerr=[point["deviation"] for point in some],
                color=colour,
                marker="o",
                markersize=4,
                capsize=2,
                label=method,
            )
        nothing = next(iter(curves.values()))["0"]["pa_mpjpe"]
        ax.axhline(nothing, color="#6b6b6b", linestyle=":", linewidth=1)
        ax.annotate("no labels", (0.99, nothing), xycoords=("axes fraction", "data"), ha="right", va="bottom")
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.set_xlabel("labels")
        ax.set_ylabel("PA-MPJPE, mm")
        ax.legend(frameon=False)
    return drawing


def main(arguments: Arguments) -> None:
    """Run the curves of all seeds, and write what they show."""
    file = arguments.data / "train_labels.npz"
    poses, given = load_benchmark(file), benchmark_labels(file)
    found = [Study(arguments, seed, poses, given).reports() for seed in arguments.seeds]
    curves = mean_curves(found)
    name = "active" if arguments.split == "val" else f"active_{arguments.split}"
    name += "" if arguments.synthetic else "_no_synthetic"
    write_text(arguments.out / f"{name}.json", json.dumps({"runs": found, "curves": curves}, indent=1) + "\n")
    write_text(arguments.out / f"{name}.md", markdown(curves))
    save_figure(figure(curves), arguments.out / f"{name}.png")
    print(markdown(curves))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
