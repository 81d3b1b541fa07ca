"""Training by several processes: the result of one, whoever wrote the checkpoint and whoever is killed."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from nearfar import PoseSet, load, synthetic_poses
from nearfar.labels import labels_from_joints, random_pairs
from nearfar.lifting.network import Dropout, part_of_batch
from nearfar.training import read_log
from nearfar.training.ranks import Ranks


@pytest.fixture(scope="module")
def poses() -> PoseSet:
    return synthetic_poses(600, seed=3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, poses: PoseSet) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("training_data")
    labels = labels_from_joints(poses, random_pairs(poses.skeleton, len(poses), 1, np.random.default_rng(0)))
    dataclasses.replace(poses, joints=None).save(folder / "poses.npz")
    labels.save(folder / "labels.parquet")
    return folder / "poses.npz", folder / "labels.parquet"


def arguments(files: tuple[Path, Path], out: Path, *more: str) -> list[str]:
    return [
        "-m", "nearfar.cli", "train", "--data", str(files[0]), "--labels", str(files[1]), "--out", str(out),
        "--network.width", "64", "--batch-size", "63", "--synthetic.poses", "500", "--synthetic.batch-size", "16",
        "--turn.weight", "0.05", "--turn.start", "0.2", "--precision", "float32", *more,
    ]  # fmt: skip


def begin(*commands: Sequence[str]) -> list[subprocess.Popen[str]]:
    """Processes such as torchrun starts, without its agent, which ends all as soon as one has failed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(len(commands)),
        "OMP_NUM_THREADS": "1",
    }
    return [
        subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, command in enumerate(commands)
    ]


def finish(processes: Sequence[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each."""
    found = []
    for process in processes:
        output, errors = process.communicate(timeout=120)
        found.append((process.returncode, output, errors))
    return found


def far(poses: PoseSet, first: Path, second: Path) -> float:
    """mm, between the joints that two runs' weights lift."""
    lifted = [load(run / "weights.safetensors").lift_poses(poses).joints for run in (first, second)]
    return float(np.abs(lifted[0] - lifted[1]).max())


def test_two_processes_give_the_result_of_one(files: tuple[Path, Path], poses: PoseSet, tmp_path: Path) -> None:
    """Batches of 63 and turned poses left out: parts of unequal size. torchrun itself starts them."""
    one, two, other = tmp_path / "one", tmp_path / "two", tmp_path / "other"
    subprocess.run([sys.executable, *arguments(files, one, "--epochs", "1")], check=True, capture_output=True)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ran = subprocess.run(
        [*torchrun, *arguments(files, two, "--epochs", "1")], check=True, capture_output=True, text=True, timeout=120
    )
    assert ran.stdout.count("weights.safetensors") == 1
    subprocess.run(
        [sys.executable, *arguments(files, other, "--epochs", "1", "--seed", "1")], check=True, capture_output=True
    )
    assert far(poses, one, two) < 0.01 * far(poses, one, other)
    logs = [read_log(run / "log.jsonl") for run in (one, two)]
    assert [row["step"] for row in logs[0]] == [row["step"] for row in logs[1]]
    assert logs[1][-1]["loss"] == pytest.approx(logs[0][-1]["loss"], rel=1e-3)


def test_a_process_is_killed_and_another_number_goes_on(
    files: tuple[Path, Path], poses: PoseSet, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    often = ("--epochs", "6", "--checkpoint-seconds", "0.05")
    for ended, output, errors in finish(begin(*2 * [arguments(files, whole, *often)])):
        assert ended == 0, (output, errors)
    processes = begin(*2 * [arguments(files, broken, *often)])
    while not (broken / "checkpoint.safetensors").exists() and processes[0].poll() is None:
        time.sleep(0.01)
    processes[1].kill()
    (ended, _, errors), _ = finish(processes)
    assert ended == 2
    assert "start all again with --resume" in errors
    assert "Traceback" not in errors
    assert not list(broken.glob("*.partial*"))
    assert not (broken / "weights.safetensors").exists()
    alone = tmp_path / "alone"
    shutil.copytree(broken, alone)
    assert [ended for ended, *_ in finish(begin(*2 * [arguments(files, broken, *often, "--resume")]))] == [0, 0]
    first, second = (load_file(run / "weights.safetensors") for run in (whole, broken))
    assert all(torch.equal(first[name], second[name]) for name in first)
    subprocess.run([sys.executable, *arguments(files, alone, *often, "--resume")], check=True, capture_output=True)
    assert np.isfinite(load(alone / "weights.safetensors").lift_poses(poses).joints).all()
    steps = [row["step"] for row in read_log(alone / "log.jsonl")]
    assert steps == [row["step"] for row in read_log(whole / "log.jsonl")]


def test_ctrl_c_of_one_stops_all_after_the_same_step(files: tuple[Path, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    processes = begin(*2 * [arguments(files, run, "--epochs", "5000")])
    while not (run / "checkpoint.safetensors").exists() and processes[0].poll() is None:
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGINT)
    ended = finish(processes)
    assert [code for code, *_ in ended] == [130, 130]
    assert not any("Traceback" in errors for *_, errors in ended)


def test_processes_that_see_different_data_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "poses.npz"
    synthetic_poses(600, seed=4).save(other)
    started = begin(*(arguments((data, files[1]), tmp_path / "run", "--epochs", "1") for data in (files[0], other)))
    for code, _, errors in finish(started):
        assert code == 2
        assert "the processes of this run differ in data" in errors


@pytest.mark.parametrize(("rows", "count"), [(7, 2), (2, 3), (640, 4)])
def test_parts_cover_a_batch(rows: int, count: int) -> None:
    parts = [Ranks(rank, count).part(rows) for rank in range(count)]
    assert np.concatenate([np.arange(rows)[part] for part in parts]).tolist() == list(range(rows))


def test_dropout_of_a_part_is_that_of_the_whole() -> None:
    layer, x = Dropout(0.5), torch.ones(13, 10)
    torch.manual_seed(1)
    whole = layer(x)
    for part in (slice(0, 6), slice(6, 13)):
        torch.manual_seed(1)
        with part_of_batch(13, part):
            assert torch.equal(layer(x[part]), whole[part])


def test_one_process_keeps_torchs_batch_normalisation() -> None:
    network = nn.Sequential(nn.BatchNorm1d(3))
    Ranks().share(network)
    assert type(network[0]) is nn.BatchNorm1d
