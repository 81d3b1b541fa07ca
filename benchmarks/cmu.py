"""The tables of docs/results.md: every method on the CMU benchmark, same machine, same data, several seeds.

    python benchmarks/cmu.py --data BENCHMARK_FOLDER --out runs/cmu --seeds 0 1 2
    python benchmarks/cmu.py --data BENCHMARK_FOLDER --out runs/cmu --seeds 0 1 2 --split test

BENCHMARK_FOLDER holds train.npz, train_labels.npz, val.npz and test.npz of the CMU benchmark. Each row is a
`nearfar train` and a `nearfar evaluate`, printed as they are run; runs that were broken off are resumed, and runs whose
figures are in the file of figures are not repeated. So a study can be made in parts, on several days and machines.
Labels-only rows read train_labels.npz, which has no 3D in it. The test split is read once a run, after the last epoch;
there is no choice of epoch, and val serves choices and curves.
"""

from __future__ import annotations

import itertools
import json
import resource
import shlex
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

from nearfar.files import write_text
from nearfar.lifting import load
from nearfar.viewing.figures import house_style, new_figure, save_figure
from nearfar.viewing.style import CYCLE

CHIN_AND_HEAD = ("--without", "chin", "head_top")
MEASURES = (
    "pa_mpjpe",
    "pa_mpjpe_without",
    "n_mpjpe",
    "mpjpe",
    "relative_depth_accuracy_100mm",
    "limb_proportion_error",
)


@dataclass(frozen=True)
class Row:
    """One method.

    Attributes:
        name: in the table.
        group: the table.
        preset: what training starts from.
        flags: what it changes.
        supervision: "3D", or the column of labels.
        data: file of training poses.
    """

    name: str
    group: str
    preset: str
    flags: tuple[str, ...] = ()
    supervision: str = "answer"
    data: str = "train_labels.npz"


NO_SYNTHETIC, NO_TURN = ("--synthetic.poses", "0"), ("--turn.weight", "0")
PLAIN = (*NO_SYNTHETIC, *NO_TURN, "--rolled", "0")
BEFORE = (*PLAIN, "--network.dropout", "0.25", "--loss.limb-weight", "20")
JOINTS_TENTH = ("--loss.joints-weight", "0.1")
SHORT = ("--epochs", "8")
WITH_3D: dict[str, Any] = {"supervision": "3D", "data": "train.npz"}
SYNTHETIC = ("--synthetic.poses", "500000", "--synthetic.weight", "0.1", "--synthetic.tilted", "0.2")

ROWS = (
    Row("`paper`: labels, its recipe", "main", "paper"),
    Row("`supervised`: 3D, the paper's recipe", "main", "supervised", **WITH_3D),
    Row("`default`: labels", "main", "default"),
    Row("`ceiling`: 3D, our network", "main", "ceiling", **WITH_3D),
    Row("`ceiling` and synthetic motion: 3D", "main", "ceiling", (*JOINTS_TENTH, *SYNTHETIC), **WITH_3D),
    Row("`crowd`: one answer, 71 % right", "crowd", "crowd", supervision="crowd_answer"),
    Row("`default`: average people's limbs", "limbs", "default",
        ("--loss.limb-reference", "synthetic_mean", "--loss.limb-weight", "7")),
    Row("`default`: average people's limbs, corrected by the keypoints", "limbs", "default",
        ("--loss.limb-reference", "keypoints")),
    Row("the method before: labels and limbs", "ablation", "default", (*BEFORE, *SHORT)),
    Row("labels and limbs, dropout 0.1, limb weight 10", "ablation", "default", (*PLAIN, *SHORT)),
    Row("with turned poses", "ablation", "default", (*NO_SYNTHETIC, *SHORT)),
    Row("with synthetic motion", "ablation", "default", (*NO_TURN, *SHORT)),
    Row("with both: `default`", "ablation", "default", SHORT),
    Row("the same without rolled and tilted cameras", "ablation", "default",
        (*SHORT, "--rolled", "0", "--synthetic.tilted", "0")),
    Row("the same, dropout 0.25", "ablation", "default", (*SHORT, "--network.dropout", "0.25")),
    Row("the same, limb weight 20", "ablation", "default", (*SHORT, "--loss.limb-weight", "20")),
    Row("the same, 512 features, two blocks", "ablation", "default",
        (*SHORT, "--network.width", "512", "--network.blocks", "2")),
    Row("no labels: synthetic motion and turned poses", "ablation", "default", (*SHORT, "--loss.order", "none")),
    Row("`ceiling`, as long", "ablation", "ceiling", SHORT, **WITH_3D),
)  # fmt: skip


@dataclass(frozen=True)
class Arguments:
    """Train and measure every row of the tables."""

    data: Path
    """Folder of the CMU benchmark."""
    out: Path = Path("runs/cmu")
    """Folder of the runs, and of the tables."""
    figures: Path = Path("docs/results/cmu.json")
    """File of the figures: read first, and written after every run."""
    split: Literal["val", "test"] = "val"
    """What is measured on."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of every run."""
    groups: tuple[str, ...] = ("main", "crowd", "limbs", "ablation")
    """Tables to make."""
    only: str = ""
    """Only rows whose name contains this."""


def run(*command: str) -> float:
    """Run a nearfar command, and say how many seconds of processor time it took."""
    print("$ nearfar " + shlex.join(command), flush=True)
    before = _children_seconds()
    subprocess.run([sys.executable, "-m", "nearfar.cli", *command], check=True)
    return _children_seconds() - before


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def folder_name(row: Row, seed: int) -> str:
    """A folder for a run."""
    words = "".join(letter if letter.isalnum() else " " for letter in row.name).split()
    return "_".join([row.group, *words, f"seed{seed}"])


def measure(row: Row, seed: int, arguments: Arguments) -> dict[str, Any]:
    """Train and evaluate one row."""
    folder = arguments.out / folder_name(row, seed)
    weights, report, spent = folder / "weights.safetensors", folder / f"{arguments.split}.json", folder / "spent.json"
    if not weights.exists():
        flags = ["--preset", row.preset, *row.flags, "--seed", str(seed)]
        if row.supervision != "3D":
            flags += ["--labels", row.supervision]
        resumed = (folder / "checkpoint.safetensors").exists()
        if resumed:
            flags += ["--resume"]
        data, val = str(arguments.data / row.data), str(arguments.data / "val.npz")
        took = run("train", "--data", data, "--val", val, *flags, "--out", str(folder))
        write_text(spent, json.dumps({"processor_seconds": None if resumed else round(took), "machine": machine()}))
    if not report.exists():
        data = str(arguments.data / f"{arguments.split}.npz")
        run("evaluate", "--weights", str(weights), "--data", data, *CHIN_AND_HEAD, "--json", str(report))
    measured = json.loads(report.read_text("utf-8"))
    parameters = sum(parameter.numel() for parameter in load(weights).network.parameters())
    return {
        **{name: round(measured[name], 5) for name in MEASURES},
        "parameters": parameters,
        **json.loads(spent.read_text("utf-8")),
    }


def machine() -> str:
    """The processor, or what is known of it."""
    return str(getattr(torch.cpu, "get_capabilities", dict)().get("cpu_name", "unknown processor"))


def table(rows: Sequence[Row], runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Markdown: means over seeds, and for the first measure the standard deviation."""
    head = ("PA-MPJPE, mm", "without chin, head", "N-MPJPE", "MPJPE", "order right, > 100 mm", "limb proportions")
    lines = [f"| | {' | '.join(head)} | seeds | parameters | trained in |", "|---" * (len(head) + 4) + "|"]
    for row in rows:
        seeds = runs[row.name]
        means = [statistics.mean(seed[name] for seed in seeds) for name in MEASURES]
        cells = [f"{value:.1f}" if value > 1 else f"{value:.3f}" for value in means]
        if len(seeds) > 1:
            cells[0] += f" ± {statistics.stdev(seed[MEASURES[0]] for seed in seeds):.1f}"
        times = [seed["processor_seconds"] for seed in seeds if seed["processor_seconds"]]
        minutes = f"{statistics.median(times) / 60:.0f} min" if times else "not measured"
        millions = f"{seeds[0]['parameters'] / 1e6:.2f} M"
        lines.append(f"| {row.name} | {' | '.join(cells)} | {len(seeds)} | {millions} | {minutes} |")
    return "\n".join(lines) + "\n"


def draw(rows: Sequence[Row], runs: Mapping[str, Sequence[Mapping[str, Any]]], split: str, path: Path) -> None:
    """A dot a seed, a row a method: what each part is worth."""
    with house_style():
        figure = new_figure(8.0, 0.9 + 0.34 * len(rows))
        ax = figure.subplots()
        for place, row in enumerate(rows):
            errors = [seed[MEASURES[0]] for seed in runs[row.name]]
            colour = CYCLE[1] if row.supervision == "3D" else CYCLE[0]
            ax.hlines(place, 0, statistics.mean(errors), color=colour, linewidth=1.2, alpha=0.4)
            ax.plot(errors, [place] * len(errors), "o", color=colour, markersize=7)
            ax.annotate(f"{statistics.mean(errors):.1f}", (max(errors), place), xytext=(9, 0),
                        textcoords="offset points", va="center", fontsize=9.5)  # fmt: skip
        every = [seed[MEASURES[0]] for row in rows for seed in runs[row.name]]
        ax.set_yticks(range(len(rows)), [row.name.replace("`", "") for row in rows])
        ax.invert_yaxis()
        ax.set(xlim=(0.9 * min(every), 1.04 * max(every)), xlabel=f"PA-MPJPE, mm ({split})")
        save_figure(figure, path)


def known(arguments: Arguments) -> dict[str, Any]:
    """All figures so far: split, group, row, seed."""
    return dict(json.loads(arguments.figures.read_text("utf-8"))) if arguments.figures.exists() else {}


def main() -> None:
    """Measure all rows and print the tables."""
    arguments = tyro.cli(Arguments)
    for group in arguments.groups:
        rows = [row for row in ROWS if row.group == group and arguments.only in row.name]
        # Seed by seed: an unfinished study has whole tables of fewer seeds.
        for seed, row in itertools.product(arguments.seeds, rows):
            if str(seed) in known(arguments).get(arguments.split, {}).get(group, {}).get(row.name, {}):
                continue
            measured = measure(row, seed, arguments)
            figures = known(arguments)  # read again: another process may have added to it
            figures.setdefault(arguments.split, {}).setdefault(group, {}).setdefault(row.name, {})[str(seed)] = measured
            write_text(arguments.figures, json.dumps(figures, indent=1, sort_keys=True) + "\n")
        figures = known(arguments).get(arguments.split, {}).get(group, {})
        runs = {row.name: [figures[row.name][str(seed)] for seed in arguments.seeds] for row in rows}
        print(text := table(rows, runs))
        write_text(arguments.out / f"{group}_{arguments.split}.md", text)
        if group == "ablation":
            draw(rows, runs, arguments.split, arguments.out / f"{group}_{arguments.split}.png")


if __name__ == "__main__":
    main()
