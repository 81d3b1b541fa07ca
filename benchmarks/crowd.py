"""A simulated crowd, whose truth is known: how right merged answers are, how many it takes, what probabilities mean.

    python benchmarks/crowd.py --poses BENCHMARK_FOLDER/test.npz --out docs/results

Every method of `nearfar.consensus`, and crowd-kit's (pip install crowd-kit), merges the same answers. Writes
crowd.json, crowd.md, and crowd_accuracy, crowd_queue and crowd_calibration as .png and .pdf. docs/results/crowd.md says
what is simulated.
"""

from __future__ import annotations

import json
import os
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro
from crowd_report import figures, markdown
from tqdm import tqdm

from nearfar.answer_noise import PAPER_CROWD, AnswerNoise, fit_noise
from nearfar.consensus import METHOD_NAMES, SimulatedCrowd, merge, method, simulate_answers, votes_of
from nearfar.datasets import load_poses
from nearfar.errors import InputError
from nearfar.files import read_json, write_text
from nearfar.labels import RelativeLabels, all_pairs, labels_from_joints, random_pairs
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton
from nearfar.study.calibration import calibration
from nearfar.viewing.figures import save_figure

Array = npt.NDArray[Any]
Merging = Callable[[RelativeLabels], Array]
"""Answers to the (I,) probabilities that the second joint of each pair of `votes_of` is nearer."""

ANSWERS = (1, 2, 3, 5, 7, 9)
MOST_ANSWERS = 20
CLEAR_MM = 100
"""Pairs closer than this are too close to call for the paper's crowd, and are left out of the clear ones."""

TARGET = 0.95
QUEUED = ("majority", "lean", "depth")
THRESHOLDS = (0.02, 0.05, 0.1)
PAST = 0.015
"""The way to the target is followed until it is exceeded by this."""

CALIBRATED_AT = 5
"""Answers a pair that the calibration is looked at with."""


@dataclass(frozen=True)
class Arguments:
    """Simulate, merge, measure, write."""

    poses: Path
    """Poses with joints in the camera's frame: test.npz of the CMU benchmark (tune on val.npz)."""
    out: Path
    """Folder for the results."""
    seeds: int = 5
    """How many crowds, with poses, pairs and answers of their own."""
    pairs: int = 1000
    """Pairs of joints that each crowd is asked about, roughly."""
    threads: int = 1
    """Threads of PyTorch."""
    redraw: bool = False
    """Only write the page and the figures again, from the crowd.json in the folder."""


@dataclass(frozen=True)
class Layout:
    """Which pairs are asked: so many of each pose, and how many poses a worker's task has."""

    name: str
    per_pose: int
    poses_per_task: int


def layouts(skeleton: Skeleton) -> tuple[Layout, Layout]:
    """A few pairs of many poses, 25 to a task as in the paper's study; and all pairs of few poses."""
    every = len(all_pairs(skeleton))
    return Layout("5 pairs a pose", 5, 5), Layout(f"all {every} pairs a pose", every, 1)


def crowds(poses: PoseSet) -> dict[str, SimulatedCrowd]:
    """A noisy one, of the paper's line with careless workers; and a clean one, of the logit that fits the line best."""
    rng = np.random.default_rng(0)
    some = poses.select(np.sort(rng.choice(len(poses), min(5000, len(poses)), replace=False)))
    exact = labels_from_joints(some, random_pairs(some.skeleton, len(some), 5, rng))
    depth = np.asarray(some.joints)[..., 2]
    difference = np.diff(depth[exact.pose[:, None], exact.pair], axis=1)[:, 0]
    right = rng.random(len(difference)) < PAPER_CROWD.right(difference)
    logit: AnswerNoise = fit_noise(difference, right, "logit", bootstrap=0).noise
    plain = SimulatedCrowd(workers=40, spread=0.25, spammers=0.0, answers_per_pair=MOST_ANSWERS)
    return {
        "noisy": replace(plain, noise=PAPER_CROWD, spammers=0.1, one_sided=0.025, reversed=0.025),
        "clean": replace(plain, noise=AnswerNoise("logit", round(logit.scale_mm))),
    }


@dataclass(frozen=True, eq=False)
class Pool:
    """Answers of a crowd, as many of each pair as could be asked for, and the truth.

    Attributes:
        answers: MOST_ANSWERS of each pair, one after the other.
        rank: (M,) whether each is the first, second, ... answer to its pair.
        item: (M,) its pair, as `votes_of` numbers them.
        difference: (I,) true depth difference, first minus second joint of each pair, mm.
    """

    answers: RelativeLabels
    rank: Array
    item: Array
    difference: Array

    @classmethod
    def of(cls, poses: PoseSet, layout: Layout, crowd: SimulatedCrowd, pairs: int, rng: np.random.Generator) -> Pool:
        """Draw poses and pairs, and let the crowd answer."""
        count = round(pairs / layout.per_pose)
        shown = poses.select(np.sort(rng.choice(len(poses), count, replace=False)))
        asked = random_pairs(shown.skeleton, count, layout.per_pose, rng)
        answers = simulate_answers(shown, asked, replace(crowd, poses_per_task=layout.poses_per_task), rng)
        votes = votes_of(answers)
        item = np.empty(len(answers), dtype=np.int64)
        item[votes.row] = votes.item
        depth = np.asarray(shown.joints, dtype=np.float64)[..., 2]
        difference = depth[votes.pose, votes.pair[:, 0]] - depth[votes.pose, votes.pair[:, 1]]
        return cls(answers, np.arange(len(answers)) % MOST_ANSWERS, item, difference)

    def first(self, count: int | Array) -> RelativeLabels:
        """The first `count` answers to each pair, one number for all or (I,)."""
        return self.answers.select(self.rank < np.broadcast_to(count, self.difference.shape)[self.item])

    def measure(self, probability: Array) -> dict[str, float]:
        """Share right of all pairs and of the clear ones; undecided pairs count half."""
        known = self.difference != 0
        right = np.where(np.abs(probability - 0.5) < 1e-9, 0.5, (probability > 0.5) == (self.difference > 0))
        clear = np.abs(self.difference) >= CLEAR_MM
        return {"all": float(right[known].mean()), "clear": float(right[clear].mean())}


def our_method(name: str) -> Merging:
    """A method of ours by name."""
    return lambda answers: np.asarray(merge(answers, method(name)).labels.probability)


def crowdkit_methods() -> dict[str, Merging]:
    """crowd-kit's methods of the same kinds, with their default settings.

    They are told which of the two joints in the skeleton's order was called nearer, and by whom.
    """
    try:
        import pandas
        from crowdkit import aggregation
    except ImportError:
        raise InputError("the comparison needs crowd-kit: pip install crowd-kit") from None

    def of(name: str) -> Merging:
        def run(answers: RelativeLabels) -> Array:
            votes = votes_of(answers)
            label = np.where(votes.relation < 0, "first", "second")
            table = pandas.DataFrame({"task": votes.item, "worker": votes.workers[votes.worker], "label": label})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                shares = getattr(aggregation, name)().fit_predict_proba(table).sort_index()
            second = shares["second"] if "second" in shares else 0 * shares["first"]
            return np.clip(np.nan_to_num(np.asarray(second, dtype=np.float64)), 0, 1)

        return run

    return {f"crowd-kit {name}": of(name) for name in ("MajorityVote", "OneCoinDawidSkene", "DawidSkene", "GLAD")}


def queue(pool: Pool, run: Merging, threshold: float) -> list[dict[str, float]]:
    """Ask one answer a round of every open pair; a pair whose risk is below the threshold is closed.

    All answers so far are merged after each round, and a closed pair is opened again if that raises its risk.

    Returns:
        For each round: answers a pair so far, and the shares right.
    """
    asked = np.ones(len(pool.difference), dtype=np.int64)
    rounds: list[dict[str, float]] = []
    while True:
        probability = run(pool.first(asked))
        rounds.append({"answers": float(asked.mean()), **pool.measure(probability)})
        is_open = (np.minimum(probability, 1 - probability) >= threshold) & (asked < MOST_ANSWERS)
        if not is_open.any() or rounds[-1]["clear"] > TARGET + PAST:
            return rounds
        asked = asked + is_open


def of_all(pool: Pool, run: Merging) -> list[dict[str, float]]:
    """The same with one answer a round of every pair."""
    rounds: list[dict[str, float]] = []
    for count in range(1, MOST_ANSWERS + 1):
        rounds.append({"answers": float(count), **pool.measure(run(pool.first(count)))})
        if rounds[-1]["clear"] > TARGET + PAST:
            break
    return rounds


def answers_needed(points: list[dict[str, float]], target: float = TARGET) -> float | None:
    """Answers a pair at which the clear pairs are right often enough, between the points around it; None if never."""
    for before, after in zip([None, *points], points, strict=False):
        if after["clear"] >= target:
            if before is None or after["clear"] == before["clear"]:
                return after["answers"]
            part = (target - before["clear"]) / (after["clear"] - before["clear"])
            return before["answers"] + part * (after["answers"] - before["answers"])
    return None


def main(arguments: Arguments) -> None:
    """Simulate, merge, measure, write."""
    import torch

    if arguments.redraw:
        write_page(read_json(arguments.out / "crowd.json"), arguments.out)
        return
    torch.set_num_threads(arguments.threads)
    began, cpu = time.perf_counter(), time.process_time()
    poses = load_poses(arguments.poses)
    if poses.joints is None or poses.frame == "world":
        raise InputError(f"{arguments.poses}: expected poses with joints in the camera's frame")
    methods = {name: our_method(name) for name in METHOD_NAMES} | crowdkit_methods()
    places, asked = layouts(poses.skeleton), crowds(poses)
    accuracy: list[dict[str, Any]] = []
    queues: list[dict[str, Any]] = []
    reliability: list[dict[str, Any]] = []
    clear: dict[str, list[float]] = {layout.name: [] for layout in places}
    bar = tqdm(total=len(places) * len(asked) * arguments.seeds, desc="crowds", disable=None)
    for layout in places:
        for crowd_name, crowd in asked.items():
            where = {"layout": layout.name, "crowd": crowd_name}
            pooled: dict[str, list[tuple[Array, Array]]] = {name: [] for name in methods}
            for seed in range(arguments.seeds):
                pool = Pool.of(poses, layout, crowd, arguments.pairs, np.random.default_rng([seed, layout.per_pose]))
                clear[layout.name].append(float((np.abs(pool.difference) >= CLEAR_MM).mean()))
                for name, run in methods.items():
                    for count in ANSWERS:
                        probability = run(pool.first(count))
                        measured = pool.measure(probability)
                        accuracy.append({**where, "method": name, "answers": count, "seed": seed, **rounded(measured)})
                        if count == CALIBRATED_AT:
                            known = pool.difference != 0
                            pooled[name].append((probability[known], pool.difference[known] > 0))
                queues += [{**where, "seed": seed, **record} for record in queue_records(pool)]
                bar.update()
            for name, parts in pooled.items():
                p, positive = (np.concatenate(column) for column in zip(*parts, strict=True))
                reliability.append({**where, "method": name, "calibration": calibration(p, positive)})
    bar.close()
    results = {
        "command": f"python benchmarks/crowd.py --poses {arguments.poses.name} --seeds {arguments.seeds}"
        f" --pairs {arguments.pairs}",
        "poses": arguments.poses.name,
        "seeds": arguments.seeds,
        "pairs": arguments.pairs,
        "clear_mm": CLEAR_MM,
        "clear_share": {name: float(np.mean(shares)) for name, shares in clear.items()},
        "target": TARGET,
        "most_answers": MOST_ANSWERS,
        "calibrated_at": CALIBRATED_AT,
        "layouts": [asdict(layout) for layout in places],
        "crowds": {name: asdict(crowd) for name, crowd in asked.items()},
        "accuracy": accuracy,
        "queue": queues,
        "reliability": reliability,
        "machine": f"{machine()}, {arguments.threads} thread(s)",
        "versions": {name: version(name) for name in ("nearfar", "crowd-kit", "numpy", "torch")},
        "wall_s": round(time.perf_counter() - began),
        "cpu_s": round(time.process_time() - cpu),
    }
    write_text(arguments.out / "crowd.json", as_json(results))
    write_page(results, arguments.out)


def write_page(results: dict[str, Any], out: Path) -> None:
    """The page and the figures."""
    write_text(out / "crowd.md", markdown(results))
    for name, figure in figures(results).items():
        for suffix in (".png", ".pdf"):
            save_figure(figure, out / f"{name}{suffix}")
    print(out / "crowd.md")


def rounded(values: dict[str, float]) -> dict[str, float]:
    """Shares with the digits that mean something."""
    return {key: round(value, 5) for key, value in values.items()}


def queue_records(pool: Pool) -> list[dict[str, Any]]:
    """Answers needed with so many of every pair ("fixed") and with risk-based stopping, and the way there."""
    records: list[dict[str, Any]] = []
    for name in QUEUED:
        run = our_method(name)
        # A majority's risk says nothing (a pair with one answer has none), so it cannot tell when to stop.
        for threshold in (None,) if name == "majority" else (None, *THRESHOLDS):
            rounds = of_all(pool, run) if threshold is None else queue(pool, run, threshold)
            way = {key: [round(point[key], 4) for point in rounds] for key in ("answers", "clear")}
            records.append({"method": name, "threshold": threshold, "needed": answers_needed(rounds), **way})
    return records


def as_json(results: dict[str, Any]) -> str:
    """JSON with one record a line."""
    encode = json.JSONEncoder(allow_nan=False).encode
    lists = {key: value for key, value in results.items() if isinstance(value, list)}
    parts = [f"{encode(key)}: {encode(value)}" for key, value in results.items() if key not in lists]
    parts += [f"{encode(key)}: [\n" + ",\n".join(map(encode, rows)) + "\n]" for key, rows in lists.items()]
    return "{" + ",\n".join(parts) + "}\n"


def machine() -> str:
    """The processor, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.machine()
    return f"{model}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main(tyro.cli(Arguments))
