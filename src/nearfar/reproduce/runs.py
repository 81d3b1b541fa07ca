"""Training runs and what is measured of them: planned as data, done once, in parallel, resumed when interrupted."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import multiprocessing
import os
import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from nearfar.answer_noise import PAPER_CROWD
from nearfar.errors import InputError
from nearfar.evaluation import evaluate, evaluate_labels
from nearfar.files import read_json, write_npz, write_text
from nearfar.geometry import root_relative, similarity_align
from nearfar.keypoint_noise import KeypointNoise
from nearfar.labels import RelativeLabels, all_pairs, flip, labels_from_joints, random_pairs
from nearfar.lifting import Lifter, load
from nearfar.metrics import joint_errors
from nearfar.poses import PoseSet
from nearfar.presets import TrainingConfig
from nearfar.reproduce.material import FULL, material, photos
from nearfar.training import train

__all__ = [
    "LabelOptions",
    "Measurement",
    "Place",
    "Run",
    "carry_out",
    "finished_lifter",
    "joint_errors_of",
    "run_folder",
    "with_statistics",
]


@dataclass(frozen=True)
class LabelOptions:
    """How the labels of a run are made from known 3D (PAPER.md 4 and 5).

    Attributes:
        pairs: labelled pairs a pose; 0 is all.
        tolerance: mm below which depths are equal.
        flip: probability that an answer is turned round.
        crowd: answers of the paper's simulated crowd.
    """

    pairs: int = 1
    tolerance: float = 0.0
    flip: float = 0.0
    crowd: bool = False


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        config: of the training, with epochs and seed.
        labels: how labels are made; not looked at under full 3D supervision.
        skeleton: of the poses.
        detected: train on detections instead of projected joints.
        photos: train on the photos and their merged labels.
        init: the run whose weights and optimiser it starts from.
    """

    config: TrainingConfig
    labels: LabelOptions = LabelOptions()
    skeleton: str = FULL
    detected: bool = False
    photos: bool = False
    init: Run | None = None


@dataclass(frozen=True)
class Measurement:
    """A run and how it is tested: on the test poses' 3D, or on the photos' labels.

    Attributes:
        run: what is tested.
        noise: added to the test keypoints.
        detected: test on detections.
        photos: measure the order of the photos' labelled pairs, not 3D errors.
    """

    run: Run
    noise: KeypointNoise = KeypointNoise()  # noqa: RUF009 (frozen)
    detected: bool = False
    photos: bool = False


@dataclass(frozen=True)
class Place:
    """Where a study reads and writes.

    Attributes:
        data: as in `material.material`.
        every: keep every n-th training row.
        lsp: folder of LSP's labels, or None for the stand-in.
        out: folder of results; runs go to ``out/runs``.
    """

    data: str
    every: int
    lsp: str | None
    out: Path


def run_folder(run: Run, place: Place) -> Path:
    """The folder of a run: its name says what it is and ends in a digest of everything that decides its result."""
    facts = {"run": dataclasses.asdict(run), "data": place.data.partition(":")[0], "every": place.every}
    if run.photos:
        facts["photos"] = "simulated" if place.lsp is None else "lsp"
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]
    kind = "photos" if run.photos else run.config.network.head
    return place.out / "runs" / f"{kind}-{run.skeleton}-seed{run.config.seed}-{digest}"


def carry_out(measurements: Iterable[Measurement], place: Place, workers: int) -> dict[Measurement, dict[str, Any]]:
    """Train what is not trained and measure what is not measured, on `workers` processes; give all reports.

    Broken off, it goes on where it was: a run from its last checkpoint.

    Raises:
        InputError: a run or a measurement cannot be done.
    """
    asked = list(dict.fromkeys(measurements))
    waiting = list(dict.fromkeys(run for m in asked for run in _with_ancestors(m.run)))
    tests = {run: [m for m in asked if m.run == run] for run in waiting}
    done: set[Run] = set()
    context = multiprocessing.get_context("spawn")  # a forked torch may hang on its thread pool
    with (
        ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker) as pool,
        tqdm(total=len(waiting), desc="runs", unit="run") as bar,
    ):
        going: dict[Future[None], Run] = {}
        try:
            while waiting or going:
                ready = [run for run in waiting if run.init is None or run.init in done]
                for run in ready[: max(0, workers - len(going))]:
                    waiting.remove(run)
                    going[pool.submit(_perform, run, tests[run], place)] = run
                finished, _ = wait(going, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                    done.add(going.pop(future))
                    bar.update()
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt):  # which the children have got too, and save a checkpoint
                for child in multiprocessing.active_children():
                    child.terminate()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return {m: read_json(_report_path(m, place)) for m in asked}


def finished_lifter(run: Run, place: Place) -> Lifter:
    """The lifter of a run that was carried out."""
    return load(run_folder(run, place) / "weights.safetensors")


def joint_errors_of(measurement: Measurement, place: Place) -> np.ndarray:
    """(N, J) mm: distance of every joint of every test pose from its truth, after Procrustes alignment."""
    with np.load(_report_path(measurement, place).with_suffix(".npz")) as arrays:
        return np.asarray(arrays["joint_errors"])


def _with_ancestors(run: Run) -> list[Run]:
    return [*([] if run.init is None else _with_ancestors(run.init)), run]


def _prepare_worker() -> None:
    torch.set_num_threads(1)  # small networks: a core a run is faster than two cores on each
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """End a worker whose parent was killed: its run goes on from the checkpoint when the study does."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _report_path(measurement: Measurement, place: Place) -> Path:
    facts = json.dumps(dataclasses.asdict(dataclasses.replace(measurement, run=None)), sort_keys=True)  # type: ignore[arg-type]
    where = "photos" if measurement.photos else "detections" if measurement.detected else "test"
    name = f"{where}-{hashlib.sha256(facts.encode()).hexdigest()[:8]}.json"
    return run_folder(measurement.run, place) / name


def _perform(run: Run, tests: list[Measurement], place: Place) -> None:
    folder = run_folder(run, place)
    if not (folder / "weights.safetensors").exists():
        _train(run, place, folder)
    for test in tests:
        if not _report_path(test, place).exists():
            _measure(test, place)


def _train(run: Run, place: Place, folder: Path) -> None:
    poses, labels = _training_data(run, place)
    init = None if run.init is None else run_folder(run.init, place) / "checkpoint.safetensors"
    card = {"data": dict(poses.provenance), "poses": len(poses)}
    train(poses, labels, run.config, folder, init=init, device="cpu", resume=True, progress=False, card=card)


def _training_data(run: Run, place: Place) -> tuple[PoseSet, RelativeLabels | None]:
    if run.photos:
        own = photos(place.lsp)
        return own.train, own.train_labels
    poses = material(place.data, place.every).part("train", run.skeleton, detected=run.detected)
    if run.config.loss.order == "none":
        return poses, None
    rng = np.random.default_rng([run.config.seed, 1])
    options = run.labels
    if options.pairs:
        pairs = random_pairs(poses.skeleton, len(poses), options.pairs, rng)
    else:
        pairs = np.broadcast_to(all_pairs(poses.skeleton), (len(poses), *all_pairs(poses.skeleton).shape))
    noise = PAPER_CROWD if options.crowd else None
    labels = labels_from_joints(poses, pairs, tolerance=options.tolerance, noise=noise, rng=rng)
    return poses, flip(labels, options.flip, rng) if options.flip else labels


def _measure(test: Measurement, place: Place) -> None:
    lifter = finished_lifter(test.run, place)
    path = _report_path(test, place)
    if test.photos:
        own = photos(place.lsp)
        # The paper standardises the inputs with the statistics of the photos, whatever the weights were trained on.
        lifter = with_statistics(lifter, own.train)
        report = evaluate_labels(lifter, own.test, own.test_labels)
        if own.truth is not None:
            report["pa_mpjpe"] = evaluate(lifter, own.truth)["pa_mpjpe"]
    else:
        poses = material(place.data, place.every).part("test", test.run.skeleton, detected=test.detected)
        keypoints = test.noise.add(np.asarray(poses.keypoints), np.random.default_rng([test.run.config.seed, 2]))
        poses = dataclasses.replace(poses, keypoints=keypoints)
        report = evaluate(lifter, poses)
        joints, truth = lifter.lift_poses(poses).joints, poses.joints
        if joints is None or truth is None:
            raise InputError("reproduce: the test poses have no 3D")
        target = root_relative(np.asarray(truth, dtype=np.float64), poses.skeleton)
        aligned = similarity_align(np.asarray(joints, dtype=np.float64), target)[0]
        write_npz(path.with_suffix(".npz"), {"joint_errors": joint_errors(aligned, target).astype(np.float32)})
    write_text(path, json.dumps(report, indent=2, allow_nan=False) + "\n")


def with_statistics(lifter: Lifter, poses: PoseSet) -> Lifter:
    """A copy of the lifter, its inputs standardised with the statistics of other poses."""
    network = copy.deepcopy(lifter.network)
    keypoints = torch.from_numpy(np.asarray(poses.keypoints, dtype=np.float32))
    network.fit_input_statistics(keypoints)
    return Lifter(network.eval(), lifter.card)
