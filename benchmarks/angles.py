"""Joint angles of real walks against what is published, and of lifted poses against the true ones (docs/angles.md).

    python benchmarks/angles.py --mocap cmu_h36m17.npz --data BENCHMARK_FOLDER --weights default-video --out runs/angles

The first table is of motion capture alone: trials of the file whose description is "walk", at 30 frames a second. The
second and third lift the keypoints of the CMU benchmark's split (15 frames a second), exact and with noise, and compare
angle by angle and walk by walk; vertical is the camera's for both.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from nearfar.angles import Leg, Walk, gait, pose_angles
from nearfar.datasets import load_poses
from nearfar.files import write_text
from nearfar.keypoint_noise import DetectorNoise
from nearfar.lifting import load
from nearfar.poses import PoseSet
from nearfar.viewing import angle_figure, save_figure

CONDITIONS = {"exact": DetectorNoise(), "5 px": DetectorNoise(pixels=5.0)}
LEGS = {
    "knee_swing": ("greatest knee flexion in swing, °", 1.0),
    "knee_range": ("knee range in a stride, °", 1.0),
    "hip_range": ("hip range in a stride, °", 1.0),
    "stance": ("stance, % of the stride", 100.0),
    "step_length": ("step length, mm", 1.0),
}


@dataclass(frozen=True)
class Arguments:
    """Measure joint angles."""

    mocap: Path
    """Motion capture of CMU as 17 joints (cmu_h36m17.npz)."""
    data: Path | None = None
    """Folder of the CMU benchmark; without it nothing is lifted."""
    weights: str = "default-video"
    """Weights to lift with."""
    split: Literal["val", "test"] = "val"
    """Split to lift."""
    figure_of: str = "05_01"
    """Trial to draw."""
    out: Path = Path("runs/angles")
    """Folder to write to."""


def walks_of(poses: PoseSet) -> tuple[PoseSet, list[Walk]]:
    """The trials that are described as "walk" and nothing else, and what gait finds in them."""
    if poses.action is None:
        raise SystemExit("the motion capture has no descriptions")
    walking = poses.select(poses.action.values() == "walk")
    return walking, gait(walking)


def leg_values(walks: list[Walk], key: str) -> np.ndarray:
    """One figure of all legs, NaN where not seen."""
    return np.array([getattr(leg, key) for walk in walks for leg in (walk.left, walk.right)], dtype=float)


def walk_table(walks: list[Walk]) -> str:
    """Median and the middle nine tenths over walks, or over their legs."""
    rows = {"cadence, steps a minute": np.array([walk.cadence for walk in walks])}
    rows |= {title: factor * leg_values(walks, key) for key, (title, factor) in LEGS.items()}
    lines = ["| | median | 5 % to 95 % | n |", "|---|---|---|---|"]
    for title, values in rows.items():
        known = values[np.isfinite(values)]
        low, high = np.percentile(known, [5, 95])
        lines.append(f"| {title} | {np.median(known):.0f} | {low:.0f} to {high:.0f} | {len(known)} |")
    return "\n".join(lines) + "\n"


def angle_errors(lifted: PoseSet, truth: PoseSet) -> dict[str, np.ndarray]:
    """Degrees that each angle is off, (N,), by its name without the side (both sides one after the other)."""
    found, true = pose_angles(lifted, fps=15), pose_angles(truth, fps=15)
    errors: dict[str, list[np.ndarray]] = {}
    for name, values in true.items():
        turned = np.abs((found[name] - values + 180) % 360 - 180)
        errors.setdefault(name.removeprefix("left_").removeprefix("right_"), []).append(turned)
    return {name: np.concatenate(parts) for name, parts in errors.items()}


def error_table(errors: dict[str, dict[str, np.ndarray]]) -> str:
    """Median and mean absolute error of each angle, in each condition."""
    lines = ["| | " + " | ".join(f"{name}: median, ° | mean, °" for name in errors) + " |"]
    lines.append("|---|" + "---|---|" * len(errors))
    for angle in next(iter(errors.values())):
        cells = [f"{np.nanmedian(e[angle]):.1f} | {np.nanmean(e[angle]):.1f}" for e in errors.values()]
        lines.append(f"| {angle.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def gait_table(lifted: dict[str, list[Walk]], truth: list[Walk]) -> str:
    """Mean absolute error of the figures of gait over walks that are found in both."""
    lines = ["| | " + " | ".join(lifted) + " |", "|---|" + "---|" * len(lifted)]
    rows: dict[str, list[str]] = {"walks found": [], "cadence, steps a minute": []}
    rows |= {title: [] for title, _ in LEGS.values()}
    known = {(walk.sequence, walk.person): walk for walk in truth}
    for walks in lifted.values():
        pairs = [(walk, known[walk.sequence, walk.person]) for walk in walks if (walk.sequence, walk.person) in known]
        rows["walks found"].append(f"{len(pairs)} of {len(truth)}")
        rows["cadence, steps a minute"].append(f"{np.mean([abs(a.cadence - b.cadence) for a, b in pairs]):.1f}")
        for key, (title, factor) in LEGS.items():
            off = leg_values([a for a, _ in pairs], key) - leg_values([b for _, b in pairs], key)
            rows[title].append(f"{factor * np.nanmean(np.abs(off)):.1f}")
    return "\n".join([*lines, *(f"| {title} | " + " | ".join(cells) + " |" for title, cells in rows.items())]) + "\n"


def main() -> None:
    """Measure, write tables and a figure."""
    arguments = tyro.cli(Arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    walking, walks = walks_of(load_poses(arguments.mocap))
    tables = {f"Walks: {len(walks)} of motion capture": walk_table(walks)}
    report: dict[str, Any] = {"walks": [legs(walk) for walk in walks]}
    names = [] if walking.sequence is None else [n for n in walking.sequence.names if n.endswith(arguments.figure_of)]
    if names and walking.sequence is not None:
        one = walking.select(walking.sequence.codes == walking.sequence.names.index(names[0]))
        save_figure(angle_figure(one, pose_angles(one), gait(one)), arguments.out / "angles_cmu.png")
    if arguments.data is not None:
        truth, lifter = load_poses(arguments.data / f"{arguments.split}.npz"), load(arguments.weights)
        errors, found = {}, {}
        for condition, noise in CONDITIONS.items():
            lifted = lifter.lift_poses(noise.add(truth, np.random.default_rng(0)))
            errors[condition] = angle_errors(lifted, truth)
            found[condition] = walks_of(lifted)[1]
        tables["Angles of lifted poses, all motions"] = error_table(errors)
        tables["Gait from lifted poses: mean absolute error"] = gait_table(found, walks_of(truth)[1])
        report["errors"] = {c: {a: float(np.nanmean(v)) for a, v in e.items()} for c, e in errors.items()}
    text = "\n".join(f"## {title}\n\n{table}" for title, table in tables.items())
    write_text(arguments.out / "table.md", text)
    write_text(arguments.out / "report.json", json.dumps(report, indent=1) + "\n")
    print(text)


def legs(walk: Walk) -> dict[str, Any]:
    """A walk's figures by name."""

    def of(leg: Leg) -> dict[str, float | None]:
        return {key: None if np.isnan(value := getattr(leg, key)) else round(value, 3) for key in LEGS}

    return {
        "sequence": walk.sequence,
        "cadence": round(walk.cadence, 1),
        "left": of(walk.left),
        "right": of(walk.right),
    }


if __name__ == "__main__":
    main()
