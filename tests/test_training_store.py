"""Training from a store on disk: every pose once an epoch, in random order, with its own labels."""

from __future__ import annotations

import dataclasses
import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nearfar import InputError, PoseSet, RelativeLabels, cli, evaluate, load, preset, synthetic_poses, train
from nearfar.labels import labels_from_joints, random_pairs
from nearfar.presets import LossConfig, NetworkConfig, TrainingConfig
from nearfar.training import TrainingStore, pack, store
from nearfar.training.data import TrainingData
from nearfar.training.streaming import StreamedData

CPU = torch.device("cpu")
SMALL = TrainingConfig(network=NetworkConfig(width=64), epochs=2, batch_size=32, precision="float32")


@pytest.fixture(scope="module")
def poses() -> PoseSet:
    return synthetic_poses(600, seed=3)


@pytest.fixture(scope="module")
def labels(poses: PoseSet) -> RelativeLabels:
    return labels_from_joints(poses, random_pairs(poses.skeleton, len(poses), 2, np.random.default_rng(0)))


@pytest.fixture
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BUCKET_ROWS", 100)


def packed(poses: PoseSet, labels: RelativeLabels | None, out: Path, **more: Any) -> TrainingStore:
    """In two parts, as two files would be."""
    half = len(poses) // 2
    first, second = np.arange(len(poses)) < half, np.arange(len(poses)) >= half
    parts = [(poses.select(mine), None if labels is None else labels.of_poses(mine)) for mine in (first, second)]
    return pack(parts, out, rows=len(poses), progress=False, **more)


def by_keypoints(keypoints: Any) -> np.ndarray:
    flat = np.asarray(keypoints).reshape(len(keypoints), -1)
    return flat[np.lexsort(flat.T)]


@pytest.mark.usefixtures("small_buckets")
def test_an_epoch_shows_every_pose_once_with_its_own_labels(
    poses: PoseSet, labels: RelativeLabels, tmp_path: Path
) -> None:
    made = packed(poses, labels, tmp_path / "store")
    assert (made.rows, made.labels) == (600, 1200)
    config = dataclasses.replace(SMALL, labels_used="all")
    data = StreamedData.of(made, config, CPU, window_rows=200)
    assert data.window_rows == 192  # whole batches
    batches = list(data.batches(32, torch.Generator().manual_seed(1)))
    assert len(batches) == data.steps(32) == 19
    shown = torch.cat([batch.keypoints for batch in batches])
    assert (by_keypoints(shown) == by_keypoints(poses.keypoints)).all()
    depth = {poses.keypoints[i].tobytes(): poses.joints[i, :, 2] for i in range(len(poses))}
    for batch in batches:
        assert batch.pair.shape == (2 * len(batch.keypoints), 2)
        for (a, b), relation, row in zip(batch.pair, batch.relation, batch.labelled, strict=True):
            z = depth[batch.keypoints[row].numpy().tobytes()]
            assert relation == np.sign(z[a] - z[b])


@pytest.mark.usefixtures("small_buckets")
def test_order_is_random_and_a_run_begins_anywhere(poses: PoseSet, labels: RelativeLabels, tmp_path: Path) -> None:
    data = StreamedData.of(packed(poses, labels, tmp_path / "store"), SMALL, CPU, window_rows=200)

    def shown(seed: int, first: int = 0) -> list[torch.Tensor]:
        return [batch.keypoints for batch in data.batches(32, torch.Generator().manual_seed(seed), first=first)]

    whole = shown(1)
    for first in (3, 6, 7, 18):
        rest = shown(1, first)
        assert len(rest) == len(whole) - first
        assert all(torch.equal(a, b) for a, b in zip(rest, whole[first:], strict=True))
    assert not torch.equal(whole[0], shown(2)[0])
    place = {row.tobytes(): i for i, row in enumerate(poses.keypoints)}
    order = np.array([place[row.numpy().tobytes()] for batch in whole for row in batch])
    assert abs(np.corrcoef(order, np.arange(len(order)))[0, 1]) < 0.15
    parts = [order[:192], order[192:384], order[384:576]]
    assert all(250 < part.mean() < 350 for part in parts)  # each window is a sample of all


@pytest.mark.slow
def test_it_teaches_as_well_as_from_memory(tmp_path: Path) -> None:
    poses, held_out = synthetic_poses(6_000, seed=1), synthetic_poses(500, seed=2)
    labels = labels_from_joints(poses, random_pairs(poses.skeleton, len(poses), 1, np.random.default_rng(0)))
    config = TrainingConfig(network=NetworkConfig(width=128), epochs=6, batch_size=128, precision="float32")
    made = packed(dataclasses.replace(poses, joints=None), labels, tmp_path / "store")
    errors = {
        name: evaluate(train(data, given, config, progress=False), held_out)["pa_mpjpe"]
        for name, data, given in (("memory", poses, labels), ("store", made, None))
    }
    assert errors["store"] == pytest.approx(errors["memory"], rel=0.08)


def test_full_supervision_and_statistics_come_from_the_store(poses: PoseSet, tmp_path: Path) -> None:
    made = packed(poses, None, tmp_path / "store")
    assert made.has_joints
    config = dataclasses.replace(
        preset("supervised"), network=dataclasses.replace(preset("supervised").network, width=64)
    )
    config = dataclasses.replace(config, epochs=1)
    data = StreamedData.of(made, config, CPU)
    whole = TrainingData.of(poses, None, config, CPU)
    assert torch.allclose(data.joints.mean(0), whole.joints.mean(0), atol=0.01)
    assert np.isfinite(train(made, None, config, progress=False).lift_poses(poses).joints).all()


def test_pack_and_train_from_the_command_line(poses: PoseSet, labels: RelativeLabels, tmp_path: Path) -> None:
    first, second = np.arange(len(poses)) < 300, np.arange(len(poses)) >= 300
    for name, mine in (("a", first), ("b", second)):
        dataclasses.replace(poses.select(mine), joints=None).save(tmp_path / f"{name}.npz")
        labels.of_poses(mine).save(tmp_path / f"{name}.parquet")
    out, run = tmp_path / "store", tmp_path / "run"
    command = ["data", "pack", str(tmp_path / "a.npz"), str(tmp_path / "b.npz"), "--out", str(out)]
    command += ["--labels", str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]
    assert cli.main(command) == 0
    assert cli.main(command) == 2  # is there already
    small = ["--network.width", "64", "--synthetic.poses", "0", "--turn.weight", "0"]
    begin = ["train", "--data", str(out), "--out", str(run), *small, "--batch-size", "64"]
    assert cli.main([*begin, "--epochs", "2"]) == 0
    card = load(run / "weights.safetensors").card
    assert card["supervision"] == "1200 relative depth labels"
    assert card["poses"] == 600
    assert cli.main([*begin, "--epochs", "2", "--resume"]) == 0


def test_what_does_not_fit_is_named(poses: PoseSet, labels: RelativeLabels, tmp_path: Path) -> None:
    without = packed(poses, None, tmp_path / "without")
    with pytest.raises(InputError, match="the store has none"):
        train(without, None, SMALL, progress=False)
    made = packed(poses, labels, tmp_path / "store")
    with pytest.raises(InputError, match="labels_used each: not from a store"):
        train(made, None, dataclasses.replace(SMALL, labels_used="each"), progress=False)
    flat = dataclasses.replace(SMALL, loss=LossConfig(order="none", limbs="none", joints="l1"))
    nowhere = packed(dataclasses.replace(poses, joints=None), labels, tmp_path / "flat")
    with pytest.raises(InputError, match="full 3D supervision needs joints"):
        train(nowhere, None, flat, progress=False)
    parts = [(poses, labels), (dataclasses.replace(poses, joints=None), labels)]
    with pytest.raises(InputError, match="the parts differ in has_joints"):
        pack(parts, tmp_path / "mixed", rows=1200, progress=False)
    assert not (tmp_path / "mixed").exists()
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(InputError, match="0 poses to learn from"):
        pack([(poses, labels.select(slice(0, 0)))], tmp_path / "nothing", rows=600, progress=False)
    (made.folder / "rows.bin").write_bytes(b"cut off")
    with pytest.raises(InputError, match=r"rows\.bin: expected 213600 bytes"):
        TrainingStore.open(made.folder)
    (made.folder / "header.json").write_text('{"schema": "other"}')
    with pytest.raises(InputError, match="not a store of training data"):
        TrainingStore.open(made.folder)


def test_a_full_disk_leaves_nothing(
    poses: PoseSet, labels: RelativeLabels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "_append", full)
    with pytest.raises(InputError, match="cannot write \\(No space left on device\\)"):
        packed(poses, labels, tmp_path / "store")
    assert not list(tmp_path.iterdir())


def test_unsure_labels_and_poses_without_one_are_left_out(
    poses: PoseSet, labels: RelativeLabels, tmp_path: Path
) -> None:
    few = labels.select(labels.pose >= 100)
    unsure = few.pose < 150
    few = dataclasses.replace(few, unsure=unsure, relation=np.where(unsure, 0, few.relation))
    made = packed(poses, few, tmp_path / "store")
    assert (made.rows, made.labels) == (450, 900)


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Ten times the rows, the same windows: a process of its own tells its greatest resident size."""
    script = (
        "import resource, sys, torch, numpy as np\n"
        "from nearfar import synthetic_poses\n"
        "from nearfar.labels import labels_from_joints, random_pairs\n"
        "from nearfar.presets import TrainingConfig\n"
        "from nearfar.training import pack, store\n"
        "from nearfar.training.streaming import StreamedData\n"
        "store.BUCKET_ROWS = 10_000\n"
        "poses = synthetic_poses(10_000, seed=1)\n"
        "labels = labels_from_joints(poses, random_pairs(poses.skeleton, len(poses), 1, np.random.default_rng(0)))\n"
        "made = pack([(poses, labels)] * int(sys.argv[2]), sys.argv[1], rows=10_000 * int(sys.argv[2]), progress=False)\n"
        "data = StreamedData.of(made, TrainingConfig(), torch.device('cpu'), window_rows=10_000)\n"
        "assert sum(len(b.keypoints) for b in data.batches(256, torch.Generator())) >= made.rows - 1\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    sizes = [
        int(
            subprocess.run(
                [sys.executable, "-c", script, str(tmp_path / name), name], check=True, capture_output=True
            ).stdout
        )
        for name in ("4", "40")
    ]
    assert sizes[1] - sizes[0] < 20_000  # KiB; the rows alone are 51,000 more
