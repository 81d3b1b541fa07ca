"""A million relative depth labels, written and read in every form: seconds, and sizes of the files.

    python benchmarks/labels.py --out FOLDER

Merged labels, five of each image of skeleton lsp14, go through Parquet, nearfar's JSON and CSV, and, with keypoints of
the images, the form of relative_depth_lsp_v1.json. As many raw answers, in a pickle like the study's (Python 2's
protocol, five pairs of five images an assignment), are read. What is read must equal what was written. Prints a
Markdown table. The files stay in the folder.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro

from nearfar.datasets import load_labels
from nearfar.datasets.mturk import STUDY_JOINTS, joint_numbers
from nearfar.datasets.relative_depth_lsp import RelativeDepthLSP, load_relative_depth_lsp, write_relative_depth_lsp
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels, random_pairs
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import get_skeleton
from nearfar.tables import write_labels_csv, write_labels_json

SKELETON = get_skeleton("lsp14")
FILE_JOINTS = STUDY_JOINTS[: SKELETON.num_joints]
PAIRS = 5
IMAGES_A_TASK = 5
LSP_IMAGES = 2000

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Arguments:
    """Write, read, compare, time."""

    out: Path
    """Folder for the files."""
    labels: int = 1_000_000
    """How many: a multiple of 25."""
    seed: int = 0
    """Of the labels."""


@dataclass(frozen=True)
class Seconds:
    """How long something took."""

    wall: float
    cpu: float

    @classmethod
    def of(cls, action: Callable[[], Any]) -> tuple[Any, Seconds]:
        """Do it, and time it; CPU seconds are those of all threads."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = action()
        return result, cls(time.perf_counter() - wall, time.process_time() - cpu)


def images_and_labels(images: int, rng: np.random.Generator) -> RelativeDepthLSP:
    """Images with random keypoints, and random merged labels of them, named as in the published file."""
    pair = random_pairs(SKELETON, images, PAIRS, rng).reshape(-1, 2)
    pose = np.repeat(np.arange(images), PAIRS)
    probability = rng.uniform(size=len(pose))
    labels = RelativeLabels(
        skeleton=SKELETON,
        pose=pose,
        pair=pair,
        relation=np.where(probability < 0.5, -1, 1).astype(np.int8),
        probability=probability,
        risk=np.minimum(probability, 1 - probability),
        source_id=source_ids(pose, pair),
        kind="merged",
    )
    poses = PoseSet(
        SKELETON,
        keypoints=rng.uniform(0, 200, (images, SKELETON.num_joints, 2)),
        occluded=rng.uniform(size=(images, SKELETON.num_joints)) < 0.2,
        sequence=Category.of([f"images/im{i + 1:06d}.jpg" for i in range(images)]),
    )
    return RelativeDepthLSP(poses, labels, rng.uniform(size=images) < 0.5)


def raw_answers(count: int, rng: np.random.Generator) -> RelativeLabels:
    """Random answers, 25 an assignment, as `load_mturk` tells them."""
    trials = count // PAIRS
    tasks = trials // IMAGES_A_TASK
    pose = np.repeat(np.arange(trials) % LSP_IMAGES, PAIRS)
    pair = random_pairs(SKELETON, trials, PAIRS, rng).reshape(-1, 2)
    relation = rng.choice(np.array([-1, 0, 1], np.int8), count, p=[0.45, 0.1, 0.45])

    def of_task(names: list[str]) -> Array:
        return np.repeat(np.array(names), PAIRS * IMAGES_A_TASK)

    return RelativeLabels(
        skeleton=SKELETON,
        pose=pose,
        pair=pair,
        relation=relation,
        annotator=of_task([f"A{rng.integers(1, 500):013d}" for _ in range(tasks)]),
        unsure=(relation == 0) & (rng.uniform(size=count) < 0.5),
        response_time=np.repeat(rng.integers(3000, 30_000, trials) / 1000, PAIRS),
        task=of_task([str(i) for i in range(tasks)]),
        assignment=of_task([f"3{i:029d}" for i in range(tasks)]),
        status=of_task(["rejected" if i % 10 == 9 else "good" for i in range(tasks)]),
        source_id=source_ids(pose, pair),
    )


def in_file(pair: Array) -> list[list[int]]:
    """Pairs as the study numbers joints."""
    numbers: list[list[int]] = np.argsort(joint_numbers(FILE_JOINTS, SKELETON, "benchmark"))[pair].tolist()
    return numbers


def source_ids(pose: Array, pair: Array) -> Array:
    """What the study calls a pair of an image."""
    return np.array([f"{i}_{a},{b}" for i, (a, b) in zip(pose.tolist(), in_file(pair), strict=True)])


def write_study(path: Path, answers: RelativeLabels) -> None:
    """The study's pickle with these answers."""
    lists: dict[str, list[Any]] = {f"_{name}_assignments": [] for name in ("all", "good", "rejected")}
    columns = {field.name: getattr(answers, field.name) for field in fields(answers)}
    pose, relation = answers.pose.tolist(), answers.relation.tolist()
    milliseconds = np.round(columns["response_time"] * 1000).astype(int).tolist()
    pair, unsure = in_file(answers.pair), columns["unsure"].tolist()
    for start in range(0, len(answers), PAIRS * IMAGES_A_TASK):
        trials = []
        for first in range(start, start + PAIRS * IMAGES_A_TASK, PAIRS):
            rows = range(first, first + PAIRS)
            keys = [f"{pair[row][0]},{pair[row][1]}" for row in rows]
            results = {key: relation[row] for key, row in zip(keys, rows, strict=True)}
            not_sure = [key for key, row in zip(keys, rows, strict=True) if unsure[row]]
            depth = {"keypoint_comparisons_res": results, "keypoint_comparisons_unsure": not_sure}
            trials.append({"img_id": pose[first], "response_time": milliseconds[first], "depth": depth})
        entry = {
            "worker_id": str(columns["annotator"][start]),
            "worker_exp": 0,
            "assignment_id": str(columns["assignment"][start]),
            "hit_id": int(columns["task"][start]),
            "response_time": 61_500,
            "hit_it": 31_000,
            "hit_comment": "",
            "gui_rating": 9,
            "lsp_subj_ids": [trial["img_id"] for trial in trials],
            "trials": trials,
        }
        lists["_all_assignments"].append(entry)
        lists[f"_{columns['status'][start]}_assignments"].append(entry)
    with path.open("wb") as file:
        pickle.dump(lists, file, protocol=0)


def check_same(read: Any, written: Any, where: str) -> None:
    """Compare the arrays of two pose sets or two sets of labels.

    Raises:
        InputError: they differ.
    """
    for field in fields(written):
        ours, theirs = (getattr(value, field.name) for value in (written, read))
        if isinstance(ours, Category):
            ours, theirs = ours.values(), theirs.values()
        if isinstance(ours, np.ndarray) and not np.array_equal(ours, theirs):
            raise InputError(f"{where}: {field.name}: read something else than was written")


def main(arguments: Arguments) -> None:
    """Make the table."""
    if arguments.labels < 1 or arguments.labels % (PAIRS * IMAGES_A_TASK):
        raise InputError(f"--labels: expected a multiple of {PAIRS * IMAGES_A_TASK}, got {arguments.labels}")
    rng = np.random.default_rng(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, Seconds | None, Seconds, float]] = []

    def measure(form: str, path: Path, write: Callable[[], None], read: Callable[[], Any]) -> Any:
        _, writing = Seconds.of(write)
        result, reading = Seconds.of(read)
        rows.append((form, writing, reading, path.stat().st_size / 1e6))
        return result

    data = images_and_labels(arguments.labels // PAIRS, rng)
    writers: dict[str, Callable[[RelativeLabels, Path], None]] = {
        "parquet": RelativeLabels.save,
        "json": write_labels_json,
        "csv": write_labels_csv,
    }
    for suffix, write in writers.items():
        path = arguments.out / f"labels.{suffix}"
        read = measure(suffix, path, lambda: write(data.labels, path), lambda: load_labels(path))  # noqa: B023
        check_same(read, data.labels, str(path))
    path = arguments.out / "relative_depth_lsp_v1.json"
    lsp = measure(
        "relative_depth_lsp_v1.json, with keypoints",
        path,
        lambda: write_relative_depth_lsp(path, data),
        lambda: load_relative_depth_lsp(path),
    )
    check_same(lsp.labels, data.labels, str(path))
    check_same(lsp.poses, data.poses, str(path))
    if not np.array_equal(lsp.is_train, data.is_train):
        raise InputError(f"{path}: is_train: read something else than was written")
    answers = raw_answers(arguments.labels, rng)
    path = arguments.out / "answers.pkl"
    write_study(path, answers)
    study, reading = Seconds.of(lambda: load_labels(path))
    check_same(study, answers, str(path))
    rows.append(("raw answers of the study, pickled", None, reading, path.stat().st_size / 1e6))

    print(f"{arguments.labels:,} labels of {len(data.poses):,} images\n")
    print("| form | write, s | CPU, s | read, s | CPU, s | MB |\n|---|---|---|---|---|---|")
    for form, writing, reading, megabytes in rows:
        cells = [f"{s.wall:.2f} | {s.cpu:.2f}" if s is not None else "– | –" for s in (writing, reading)]
        print(f"| {form} | {' | '.join(cells)} | {megabytes:.1f} |")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
