"""Lifting through time: the single-frame network, with and without smoothers, and the temporal one (docs/video.md).

    python benchmarks/video.py --data BENCHMARK_FOLDER --weights default-video --out runs/video

BENCHMARK_FOLDER holds val.npz (and test.npz, for --split test) of the CMU benchmark. Each smoother's parameters are
chosen from a grid on some clips of val, for each condition anew: once for accuracy (least PA-MPJPE), once for calm
(least acceleration error). Writes table.md, report.json and figures. With several --weights (seeds) or --noise-seeds,
numbers are means, and the spread (sample standard deviation) stands beside them. Times are CPU times.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import tyro

from nearfar.datasets import load_poses
from nearfar.files import write_text
from nearfar.geometry import root_relative
from nearfar.keypoint_noise import DetectorNoise
from nearfar.lifting import Lifter, load
from nearfar.metrics import joint_errors
from nearfar.poses import PoseSet
from nearfar.sequence_evaluation import COLUMNS, evaluate_sequences
from nearfar.sequences import clips
from nearfar.smoothing import OneEuro, SavitzkyGolay, Smoother, smooth_poses

mpl.use("Agg")
import matplotlib.pyplot as plt

CONDITIONS = {
    "exact": DetectorNoise(),
    "5 px": DetectorNoise(pixels=5.0),
    "5 px, jumps, swaps, missing": DetectorNoise(pixels=5.0, jumps=0.05, limb_swaps=0.01, missing=0.05),
}
GRIDS: dict[str, list[Smoother]] = {
    "one-euro": [OneEuro(cutoff, beta) for cutoff, beta in product((0.5, 1.0, 2.0, 4.0), (0.001, 0.004, 0.016))],
    "Savitzky-Golay": [
        SavitzkyGolay(window / 15, degree)
        for window, degree in ((2, 1), (4, 1), (6, 1), (4, 2), (6, 2), (8, 2), (12, 2), (16, 2))
    ],
}
AIMS = {"accurate": "pa_mpjpe", "calm": "acceleration_error"}
COLOURS = {
    "truth": "black", "single frames": "0.6", "one-euro": "tab:orange", "Savitzky-Golay": "tab:green",
    "temporal, causal": "tab:purple", "temporal, offline": "tab:blue",
}  # fmt: skip
SHOWN = "5 px"
"""The condition of the figure of depth over time."""

Reports = dict[str, list[dict[str, Any]]]
"""Reports of `evaluate_sequences` by method."""


@dataclass(frozen=True)
class Arguments:
    """Measure lifting through time."""

    data: Path
    """Folder of the CMU benchmark."""
    weights: tuple[str, ...] = ("default-video",)
    """Weights with a temporal network; several are seeds of one method."""
    split: Literal["val", "test"] = "val"
    """What is measured; smoothers are tuned on val in any case."""
    noise_seeds: tuple[int, ...] = (0,)
    """Seeds of the noise."""
    tune_every: int = 4
    """Tune on every so many clips of val."""
    out: Path = Path("runs/video")
    """Folder to write to."""


def single_frames(lifter: Lifter) -> Lifter:
    """The lifter without its temporal network."""
    return Lifter(lifter.network, lifter.card)


def tune(lifter: Lifter, part: PoseSet, noise: DetectorNoise) -> tuple[dict[str, Smoother], Reports]:
    """The settings chosen of each smoother, and the reports of all of them, and of the networks."""
    noisy = noise.add(part, np.random.default_rng(1000))
    lifted = single_frames(lifter).lift_poses(noisy)
    chosen, reports = {}, {}
    for name, grid in GRIDS.items():
        reports[name] = [evaluate_sequences(smooth_poses(lifted, smoother), part) for smoother in grid]
        for aim, key in AIMS.items():
            values = [report[key] for report in reports[name]]
            chosen[f"{name}, {aim}"] = grid[int(np.argmin(values))]
    for name, found, _ in methods(lifter, noisy, {}):
        reports[name] = [evaluate_sequences(found, part)]
    return chosen, reports


def methods(lifter: Lifter, poses: PoseSet, smoothers: dict[str, Smoother]) -> Iterator[tuple[str, PoseSet, float]]:
    """Each method's name, result and seconds a frame (of lifting and smoothing)."""

    def timed(name: str, lift: Any) -> tuple[str, PoseSet, float]:
        started = time.process_time()
        lifted = lift()
        return name, lifted, (time.process_time() - started) / len(poses)

    alone = timed("single frames", lambda: single_frames(lifter).lift_poses(poses))
    yield alone
    for name, smoother in smoothers.items():
        smooth = timed(name, lambda smoother=smoother: smooth_poses(alone[1], smoother))
        yield name, smooth[1], smooth[2] + alone[2]
    yield timed("temporal, causal", lambda: lifter.lift_poses(poses, causal=True))
    yield timed("temporal, offline", lambda: lifter.lift_poses(poses))


def table(reports: dict[str, Reports]) -> str:
    """Markdown, a row a condition and method."""
    titles = [title for title, _ in COLUMNS.values()]
    lines = ["| | | " + " | ".join([*titles, "µs a frame"]) + " |", "|---|---|" + "---|" * (len(COLUMNS) + 1)]
    for condition, rows in reports.items():
        for name, found in rows.items():
            cells = []
            for key, form in [*((key, form) for key, (_, form) in COLUMNS.items()), ("microseconds", "{:.0f}")]:
                values = [report[key] for report in found]
                spread = f" ± {form.format(np.std(values, ddof=1))}" if len(values) > 1 else ""
                cells.append(form.format(np.mean(values)) + spread)
            lines.append(f"| {condition} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw_tradeoff(tuning: dict[str, Reports], path: Path) -> None:
    """Accuracy against jitter on the tuning clips: every setting of the smoothers, and the networks."""
    figure, axes = plt.subplots(1, len(tuning), figsize=(4 * len(tuning), 3.6), layout="constrained")
    for axis, (condition, reports) in zip(axes, tuning.items(), strict=True):
        for name, found in reports.items():
            points = np.array([(r["acceleration_error"] / 1000, r["pa_mpjpe"]) for r in found])
            size = 22 if name in GRIDS else 60
            axis.scatter(*points.T, s=size, color=COLOURS[name], edgecolor="black", linewidth=0.4, label=name)
        axis.set(title=condition, xlabel="acceleration error, m/s²", xlim=(0, None))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("PA-MPJPE, mm")
    axes[-1].legend(fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_depth(lifted: dict[str, PoseSet], truth: PoseSet, path: Path) -> None:
    """Depth of a joint relative to the root over some seconds, and the error of each method over the same time.

    The clip is the one of median error, frame by frame, among those of four seconds or more; the joint is the one that
    moves most in depth.
    """
    errors = joint_errors(lifted["single frames"].joints, root_relative(truth.joints, truth.skeleton)).mean(axis=-1)
    long = sorted((clip for clip in clips(truth) if clip.time[-1] >= 4), key=lambda c: np.nanmean(errors[c.rows]))
    clip = long[len(long) // 2]
    rows, seconds = clip.rows[:90], clip.time[:90]
    true = root_relative(truth.joints[rows], truth.skeleton)
    joint = int(np.argmax(true[..., 2].std(axis=0)))
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 5.4), sharex=True, layout="constrained")
    above.plot(seconds, true[:, joint, 2], color="black", linewidth=2.2, label="truth")
    for name, poses in lifted.items():
        if name.endswith(", calm"):
            continue
        style = {
            "color": COLOURS[name.removesuffix(", accurate")],
            "linewidth": 1.3 if name.startswith("temporal") else 0.9,
            "label": name,
        }
        above.plot(seconds, poses.joints[rows, joint, 2], **style)
        below.plot(seconds, np.linalg.norm(poses.joints[rows] - true, axis=-1).mean(axis=1), **style)
    above.set_ylabel(f"depth of the {truth.skeleton.joints[joint].replace('_', ' ')}, mm")
    below.set(xlabel="time, s", ylabel="MPJPE, mm", ylim=(0, None))
    figure.legend(*above.get_legend_handles_labels(), loc="outside upper center", fontsize=8, ncols=6)
    for axis in (above, below):
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    """Tune, measure, write table and figures."""
    arguments = tyro.cli(Arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    lifters = [load(name) for name in arguments.weights]
    val = load_poses(arguments.data / "val.npz")
    part = val.select(np.concatenate([clip.rows for clip in clips(val)[:: arguments.tune_every]]))
    tuned = {condition: tune(lifters[0], part, noise) for condition, noise in CONDITIONS.items()}
    truth = val if arguments.split == "val" else load_poses(arguments.data / f"{arguments.split}.npz")
    reports: dict[str, Reports] = {}
    for condition, noise in CONDITIONS.items():
        rows = reports.setdefault(condition, {})
        for lifter, seed in product(lifters, arguments.noise_seeds):
            poses, results = noise.add(truth, np.random.default_rng(seed)), {}
            for name, lifted, seconds in methods(lifter, poses, tuned[condition][0]):
                report = {**evaluate_sequences(lifted, truth), "microseconds": 1e6 * seconds}
                rows.setdefault(name, []).append(report)
                results[name] = lifted
        if condition == SHOWN:
            draw_depth(results, truth, arguments.out / "depth.png")
        print(table({condition: rows}), flush=True)
    write_text(arguments.out / "table.md", table(reports))
    settings = {c: {name: repr(smoother) for name, smoother in found.items()} for c, (found, _) in tuned.items()}
    parameters = {
        "single frames": sum(p.numel() for p in lifters[0].network.parameters()),
        "temporal": sum(p.numel() for p in lifters[0].temporal.parameters()) if lifters[0].temporal else 0,
    }
    plain = {"split": arguments.split, "parameters": parameters, "smoothers": settings, "reports": reports}
    write_text(arguments.out / "report.json", json.dumps(plain, indent=2))
    draw_tradeoff({condition: found for condition, (_, found) in tuned.items()}, arguments.out / "tradeoff.png")
    print(f"parameters: {parameters}; tables and figures in {arguments.out}")


if __name__ == "__main__":
    main()
