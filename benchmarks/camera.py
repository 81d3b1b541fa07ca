"""What people tell about the camera: its tilt, its field of view, and what a stated height mends (docs/lifting.md).

    python benchmarks/cmu_tilt.py --benchmark BENCHMARK_FOLDER/val.npz --mocap MOCAP.npz --out tilt.npz
    python benchmarks/camera.py --benchmark BENCHMARK_FOLDER/val.npz --tilt tilt.npz [--every 10]

Prints Markdown tables. A clip is one camera's view of a trial of the CMU benchmark.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro

from nearfar.datasets.cmu_benchmark import load_benchmark
from nearfar.errors import InputError
from nearfar.geometry import limb_lengths
from nearfar.level import estimate_level
from nearfar.lifting import Lifter, load
from nearfar.poses import PoseSet, with_field_of_view
from nearfar.stature import statures, with_statures
from nearfar.study import load_rotations

Array = npt.NDArray[Any]
FIELDS = np.array([28.0, 33, 38, 44, 50, 56, 62, 68, 75])


@dataclass(frozen=True)
class Arguments:
    """Lift the benchmark's keypoints, and ask the poses about the camera."""

    benchmark: Path
    """val.npz, or test.npz."""
    tilt: Path
    """Rotations of its cameras, as benchmarks/cmu_tilt.py writes them."""
    noise: float = 5.0
    """px, standard deviation of noise on the keypoints."""
    every: int = 1
    """Take every n-th trial only, with all its cameras: a quick look."""


def main(arguments: Arguments) -> None:
    """Measure and print."""
    truth = load_benchmark(arguments.benchmark)
    rotations = load_rotations(arguments.tilt, len(truth))
    rows = np.flatnonzero(_trials(truth) % arguments.every == 0)
    truth, rotations = truth.select(rows), rotations[rows]
    rng = np.random.default_rng(0)
    noise = arguments.noise * rng.normal(size=np.shape(truth.keypoints))
    poses = dataclasses.replace(truth, keypoints=np.asarray(truth.keypoints + noise, np.float32), joints=None)
    up = rotations[:, :, 2]
    video, single = load("default-video"), load("default")
    assumed = with_field_of_view(poses, 55.0)
    print(f"{arguments.benchmark.name}, {arguments.noise:g} px of noise\n\n## Tilt, degrees between the verticals\n")
    print(
        "| intrinsics | clips | told | mean | median | 90 % within | level assumed, same clips: mean |\n"
        + "|---" * 7
        + "|"
    )
    lifted = {name: video.lift_poses(entry) for name, entry in (("true", poses), ("55 degrees assumed", assumed))}
    for name, entry in lifted.items():
        print(f"| {name} | {_tilt_row(entry, up)} |")
    print("\n## Distance of the root, median error of each clip, mean over clips\n")
    print("| intrinsics | as lifted | true height said |\n|---|---|---|")
    for name, entry in lifted.items():
        print(f"| {name} | {_distance_row(entry, truth, single.card['mean_limb_lengths'])} |")
    print("\n## Focal length, mean |log(estimated / true)|\n")
    print("| from | error | correlation |\n|---|---|---|")
    _focal_rows(poses, truth, single)


def _trials(poses: PoseSet) -> Array:
    """(N,) number of the trial that each row is of, whichever camera saw it."""
    if poses.sequence is None:
        raise InputError("camera: expected a file of the benchmark, which names trials and cameras")
    names = np.array([name.rpartition(" camera ")[0] for name in poses.sequence.names])
    return np.unique(names[poses.sequence.codes], return_inverse=True)[1]


def _clips(poses: PoseSet) -> Iterator[Array]:
    """Rows of each clip that were lifted."""
    codes = np.zeros(len(poses), int) if poses.sequence is None else poses.sequence.codes
    there = np.ones(len(poses), bool) if poses.joints is None else np.isfinite(poses.joints).all(axis=(1, 2))
    for code in np.unique(codes):
        yield np.flatnonzero((codes == code) & there)


def _tilt_row(lifted: PoseSet, up: Array) -> str:
    errors, level, clips = [], [], 0
    for rows in _clips(lifted):
        clips += 1
        true = up[rows].mean(axis=0)
        true /= np.linalg.norm(true)
        try:
            found = estimate_level(lifted.select(rows)).rotation[:, 2]
        except InputError:
            continue
        errors.append(np.degrees(np.arccos(min(found @ true, 1.0))))
        level.append(np.degrees(np.arccos(-true[1])))
    figures = (np.mean(errors), np.median(errors), np.percentile(errors, 90), np.mean(level))
    return " | ".join([str(clips), str(len(errors)), *(f"{figure:.1f}" for figure in figures)])


def _distance_row(lifted: PoseSet, truth: PoseSet, mean: Array) -> str:
    before, after = [], []
    for rows in _clips(lifted):
        one, real = lifted.select(rows), truth.select(rows)
        true = np.linalg.norm(np.asarray(real.joints)[:, real.skeleton.root_index], axis=-1)
        tall = with_statures(one, [statures(real, mean)[0] / 1000], mean)
        for errors, entry in ((before, one), (after, tall)):
            errors.append(np.median(np.abs(np.linalg.norm(np.asarray(entry.root_position), axis=-1) / true - 1)))
    return f"{100 * np.mean(before):.1f} % | {100 * np.mean(after):.1f} %"


def _focal_rows(poses: PoseSet, truth: PoseSet, lifter: Lifter) -> None:
    """How well limbs tell the focal length, against a constant, and against the person's size in the image alone."""
    clips = list(_clips(truth))
    true = np.log([float(np.asarray(truth.intrinsics)[rows[0], 0]) for rows in clips])
    focal = np.log(500 / np.tan(np.deg2rad(FIELDS) / 2))
    mean = np.asarray(lifter.card["mean_limb_lengths"])
    cost = np.zeros((len(clips), len(FIELDS)))
    for i, field in enumerate(FIELDS):
        lifted = lifter.lift_poses(with_field_of_view(poses, float(field)))
        limbs = np.abs(np.log(limb_lengths(lifted.joints, lifted.skeleton) / mean)).mean(axis=1)
        cost[:, i] = [np.nanmean(limbs[rows]) for rows in clips]
    offsets = np.asarray(poses.keypoints) - np.asarray(poses.keypoints)[:, [poses.skeleton.root_index]]
    size = np.log([np.median(np.sqrt(np.square(offsets[rows]).sum(-1).mean(-1))) for rows in clips])
    constant = np.median(true)
    trial = _trials(truth)[[rows[0] for rows in clips]]
    rows = {
        "the median of all clips": np.full(len(clips), constant),
        "limbs likest to the mean person's": focal[cost.argmin(axis=1)],
        "the same, drawn to the median": focal[(cost + 0.02 * (focal - constant) ** 2).argmin(axis=1)],
        "size in the image alone, regressed": _held_out(size[:, None], true, trial),
        "size, and limbs at all fields of view, regressed": _held_out(np.column_stack([size, cost]), true, trial),
    }
    for name, found in rows.items():
        correlation = "" if np.ptp(found) == 0 else f"{np.corrcoef(found, true)[0, 1]:.2f}"
        print(f"| {name} | {np.mean(np.abs(found - true)):.3f} | {correlation} |")


def _held_out(features: Array, values: Array, trial: Array) -> Array:
    """Linear regression, each clip predicted from four fifths of the trials, its own not among them."""
    x, fold = np.column_stack([features, np.ones(len(features))]), trial % 5
    found = np.zeros(len(values))
    for part in range(5):
        rest = fold != part
        normal = x[rest].T @ x[rest] + 1e-6 * np.eye(x.shape[1])
        found[~rest] = x[~rest] @ np.linalg.solve(normal, x[rest].T @ values[rest])
    return found


if __name__ == "__main__":
    main(tyro.cli(Arguments))
