"""How lifters stand what the benchmark spares them: noise, wrong cameras, unusual views, other bodies.

    python benchmarks/robustness.py --data BENCHMARK_FOLDER --weights default=runs/default/weights.safetensors \
        ceiling=runs/ceiling/weights.safetensors --out runs/robustness

Every lifter sees the same poses, evenly chosen from one split, and the same noise; errors are over the joints that the
network was given, so all lifters are measured on the same ones. Writes robustness.json, .md, .png and .pdf. What each
row of the table is, is in docs/robustness.md. Runs of several seeds are averaged where their names differ only after
an ``@``: default@0 default@1 default@2.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import roma
import torch
import tyro

from nearfar.camera import project
from nearfar.datasets import load_poses
from nearfar.errors import InputError
from nearfar.evaluation import evaluate
from nearfar.files import write_text
from nearfar.keypoint_noise import DetectorNoise
from nearfar.lifting import Lifter, load
from nearfar.poses import PoseSet, with_field_of_view
from nearfar.viewing.figures import house_style, new_figure, save_figure
from nearfar.viewing.style import CYCLE

Array = npt.NDArray[Any]
Change = Callable[[PoseSet], PoseSet]
Table = Mapping[str, Mapping[str, Mapping[str, float]]]

PIXELS = (0.0, 5.0, 10.0)
FAULTS = DetectorNoise(jumps=0.05, limb_swaps=0.01, person_swaps=0.01, missing=0.05, cuts=0.05)
FIELDS_OF_VIEW = (30, 40, 50, 60, 75, 90)
ELEVATIONS = (-60, -30, 30, 60, 80)
ROLLS = (15, 45, 90, 180)
HEAD = ("chin", "head_top")
CLEAN = "as it is"

BODIES: dict[str, dict[str, float]] = {
    "a child of about four": {"hip": 0.85, "knee": 0.8, "ankle": 0.8, "elbow": 0.85, "wrist": 0.85, "head": 1.45},
    "long legs": {"knee": 1.15, "ankle": 1.15},
    "short legs": {"knee": 0.85, "ankle": 0.85},
    "long arms": {"elbow": 1.2, "wrist": 1.2},
    "broad": {"hip": 1.3, "shoulder": 1.3},
    "long trunk": {"spine": 1.2, "neck": 1.2},
}
"""Factors on the limbs that end in joints with such a word in their names."""


@dataclass(frozen=True)
class Arguments:
    """Measure lifters on changed poses."""

    data: Path
    """Folder of the CMU benchmark."""
    weights: tuple[str, ...]
    """Lifters as NAME=WEIGHTS, or NAME@SEED=WEIGHTS for several runs of one."""
    out: Path = Path("runs/robustness")
    """Folder of the results."""
    split: Literal["val", "test"] = "val"
    """Poses to measure on."""
    most: int = 4096
    """Number of poses, evenly chosen."""
    seed: int = 0
    """Of the noise."""


@dataclass(frozen=True)
class Condition:
    """One change to the poses: group and name in the table, and the place on the figure's axis."""

    group: str
    name: str
    change: Change
    place: float = math.nan

    @property
    def key(self) -> str:
        """Name in the JSON file."""
        return f"{self.group}: {self.name}"


def noisy(noise: DetectorNoise, seed: int) -> Change:
    """What a detector makes of the poses."""
    return lambda poses: noise.add(poses, np.random.default_rng(seed)) if noise else poses


def turned(axis: tuple[float, float, float], degrees: float) -> Change:
    """The person turned about an axis of the camera through the root, and seen by the same camera."""
    rotation = roma.rotvec_to_rotmat(torch.tensor(axis, dtype=torch.float64) * math.radians(degrees)).numpy()

    def change(poses: PoseSet) -> PoseSet:
        joints = _joints(poses)
        root = joints[:, [poses.skeleton.root_index]]
        return _seen(poses, (joints - root) @ rotation.T + root)

    return change


def with_body(factors: Mapping[str, float]) -> Change:
    """The same postures on a body whose limbs are longer or shorter, by words in the names of their far ends."""

    def change(poses: PoseSet) -> PoseSet:
        old, skeleton = _joints(poses), poses.skeleton
        new = old.copy()
        for limb in _outwards(poses):
            name = skeleton.joints[limb[1]]
            factor = next((factor for word, factor in factors.items() if word in name), 1.0)
            new[:, limb[1]] = new[:, limb[0]] + factor * (old[:, limb[1]] - old[:, limb[0]])
        return _seen(poses, new)

    return change


def conditions(seed: int) -> list[Condition]:
    """All rows of the table."""
    rows = [Condition("true input", CLEAN, lambda poses: poses)]
    for faults, group in ((DetectorNoise(), "jitter"), (FAULTS, "jitter and faults")):
        for pixels in PIXELS:
            noise = dataclasses.replace(faults, pixels=pixels)
            rows.append(Condition(group, f"{pixels:g} px", noisy(noise, seed), pixels))
    for degrees in FIELDS_OF_VIEW:
        rows.append(Condition("assumed field of view", f"{degrees}°", _field_of_view(degrees), degrees))
    for degrees in ELEVATIONS:
        side = "above" if degrees > 0 else "below"
        rows.append(Condition("camera moved", f"{abs(degrees)}° {side}", turned((1, 0, 0), degrees), degrees))
    for degrees in ROLLS:
        rows.append(Condition("camera rolled", f"{degrees}°", turned((0, 0, 1), degrees), degrees))
    for name, factors in BODIES.items():
        rows.append(Condition("other bodies", name, with_body(factors)))
    return rows


def measure(lifter: Lifter, poses: PoseSet) -> dict[str, float]:
    """Headline errors, mm."""
    report = evaluate(lifter, poses, without=HEAD)
    return {name: report[name] for name in ("pa_mpjpe", "pa_mpjpe_without", "n_mpjpe", "mpjpe")}


def main() -> None:
    """Measure, and write table and figure."""
    arguments = tyro.cli(Arguments)
    lifters = [(name, load(path)) for name, path in (_named(text) for text in arguments.weights)]
    poses = load_poses(arguments.data / f"{arguments.split}.npz")
    poses = poses.select(np.linspace(0, len(poses) - 1, min(arguments.most, len(poses))).astype(np.int64))
    rows = conditions(arguments.seed)
    runs: dict[str, dict[str, list[dict[str, float]]]] = {}
    for row in rows:
        changed = row.change(poses)
        for name, lifter in lifters:
            runs.setdefault(name, {}).setdefault(row.key, []).append(measure(lifter, changed))
    means, spreads = (
        {name: {key: _over_seeds(seeds, what) for key, seeds in table.items()} for name, table in runs.items()}
        for what in (np.mean, _deviation)
    )
    record = {"split": arguments.split, "poses": len(poses), "mean": means, "deviation": spreads, "runs": runs}
    write_text(arguments.out / "robustness.json", json.dumps(record, indent=1) + "\n")
    table = markdown(rows, means, spreads)
    write_text(arguments.out / "robustness.md", table)
    for suffix in (".png", ".pdf"):
        draw(rows, means, arguments.out / f"robustness{suffix}")
    print(table)


def markdown(rows: list[Condition], means: Table, spreads: Table) -> str:
    """PA-MPJPE of every lifter under every condition, its deviation over seeds, and how much it grew."""
    names = list(means)

    def cell(name: str, key: str, error: str = "pa_mpjpe") -> str:
        spread = spreads[name][key][error]
        return f"{means[name][key][error]:.1f}" + (f" ± {spread:.1f}" if spread else "")

    lines = ["| PA-MPJPE, mm | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    clean = rows[0].key
    for row in rows:
        growth = [means[name][row.key]["pa_mpjpe"] - means[name][clean]["pa_mpjpe"] for name in names]
        more = [f" ({grown:+.1f})" if row.key != clean else "" for grown in growth]
        cells = [cell(name, row.key) + text for name, text in zip(names, more, strict=True)]
        lines.append(f"| {row.key} | " + " | ".join(cells) + " |")
    cells = [cell(name, clean, "pa_mpjpe_without") for name in names]
    lines.insert(3, f"| true input: without {' and '.join(HEAD)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(rows: list[Condition], means: Table, path: Path) -> None:
    """Six panels, one a group of conditions; a colour a lifter."""
    clean = rows[0].key
    panels = (
        ("jitter", "Jitter", "mean over the joints, px", None),
        ("jitter and faults", "Jitter, jumps, swaps, missing joints", "mean over the joints, px", None),
        ("assumed field of view", "Wrong camera", "assumed field of view, degrees", None),
        ("camera moved", "Camera from below and from above", "degrees", 0.0),
        ("camera rolled", "Camera rolled", "degrees", 0.0),
    )
    with house_style():
        figure = new_figure(13, 7.4)
        axes = figure.subplots(2, 3).ravel()
        for (name, table), colour in zip(means.items(), CYCLE, strict=False):
            for axis, (group, _, _, usual) in zip(axes, panels, strict=False):
                points = [(row.place, table[row.key]["pa_mpjpe"]) for row in rows if row.group == group]
                if usual is not None:
                    points = sorted([*points, (usual, table[clean]["pa_mpjpe"])])
                axis.plot(*zip(*points, strict=True), color=colour, marker="o", label=name)
            axes[2].axhline(table[clean]["pa_mpjpe"], color=colour, linestyle=":", linewidth=1.2)
            bodies = [table[row.key]["pa_mpjpe"] for row in rows if row.group in ("true input", "other bodies")]
            axes[5].plot(bodies, range(len(bodies)), "o", color=colour, markersize=7)
        for axis, (group, title, label, usual) in zip(axes, panels, strict=False):
            axis.set(title=title, xlabel=label, ylabel="PA-MPJPE, mm", ylim=(0, 1.06 * axis.dataLim.ymax))
            places = {row.place for row in rows if row.group == group}
            axis.set_xticks(sorted(places if usual is None else places | {usual}))
        axes[1].set_ylim(axes[0].set_ylim(0, max(axis.get_ylim()[1] for axis in axes[:2])))
        axes[2].plot([], [], color="#6b6b6b", linestyle=":", linewidth=1.2, label="the true camera")
        axes[2].legend(handles=axes[2].lines[-1:])
        axes[5].set(title="Other bodies", xlabel="PA-MPJPE, mm", yticks=range(len(BODIES) + 1))
        axes[5].set_xlim(0, 1.06 * axes[5].dataLim.xmax)
        axes[5].set_yticklabels([CLEAN, *BODIES])
        axes[5].invert_yaxis()
        axes[0].legend()
        save_figure(figure, path)


def _field_of_view(degrees: float) -> Change:
    return lambda poses: with_field_of_view(poses, degrees)


def _joints(poses: PoseSet) -> Array:
    if poses.joints is None or poses.frame != "camera":
        raise InputError("these poses have no joints in the camera's frame")
    return np.asarray(poses.joints, dtype=np.float64)


def _seen(poses: PoseSet, joints: Array) -> PoseSet:
    """The poses with other joints, and the keypoints where their cameras see those."""
    keypoints = project(joints, np.asarray(poses.intrinsics))
    return dataclasses.replace(poses, joints=joints.astype(np.float32), keypoints=keypoints.astype(np.float32))


def _outwards(poses: PoseSet) -> list[tuple[int, int]]:
    """Limbs (parent, child), those nearer to the root first."""
    skeleton, order = poses.skeleton, [poses.skeleton.root_index]
    limbs = []
    for joint in order:
        below = [(joint, int(child)) for child in np.flatnonzero(skeleton.parents == joint)]
        limbs += below
        order += [child for _, child in below]
    return limbs


def _named(text: str) -> tuple[str, str]:
    name, found, path = text.partition("=")
    if not found:
        raise InputError(f"--weights {text}: expected NAME=WEIGHTS")
    return name.partition("@")[0], path


def _over_seeds(seeds: list[dict[str, float]], what: Callable[[list[float]], Any]) -> dict[str, float]:
    return {key: float(what([seed[key] for seed in seeds])) for key in seeds[0]}


def _deviation(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


if __name__ == "__main__":
    main()
