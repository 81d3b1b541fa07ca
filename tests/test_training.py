"""Training: it learns from labels alone, resumes bit for bit after kill -9, and refuses what does not fit."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nearfar import InputError, PoseSet, RelativeLabels, evaluate, load, preset, synthetic_poses, train
from nearfar.labels import all_pairs, labels_from_joints, random_pairs
from nearfar.presets import LossConfig, NetworkConfig, OptimiserConfig, TrainingConfig
from nearfar.training import read_log
from nearfar.training.augment import augment
from nearfar.training.data import TrainingData
from nearfar.training.limb_reference import average_person_lengths
from nearfar.training.stepping import learning_rate

CPU = torch.device("cpu")
SMALL = TrainingConfig(network=NetworkConfig(width=64, dropout=0.1), epochs=3, batch_size=64, precision="float32")


@pytest.fixture(scope="module")
def poses() -> PoseSet:
    return synthetic_poses(600, seed=3)


@pytest.fixture(scope="module")
def labels(poses: PoseSet) -> RelativeLabels:
    rng = np.random.default_rng(0)
    return labels_from_joints(poses, random_pairs(poses.skeleton, len(poses), 1, rng))


@pytest.fixture(scope="module")
def files(tmp_path_factory, poses: PoseSet, labels: RelativeLabels) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("training_data")
    dataclasses.replace(poses, joints=None).save(folder / "poses.npz")
    labels.save(folder / "labels.parquet")
    return folder / "poses.npz", folder / "labels.parquet"


def command(files: tuple[Path, Path], out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "nearfar.cli", "train", "--data", str(files[0]), "--labels", str(files[1]), "--out", str(out),
        "--network.width", "256", "--batch-size", "8", "--synthetic.poses", "500", "--synthetic.batch-size", "4",
        "--turn.weight", "0.05", *more,
    ]  # fmt: skip


def wait_for_checkpoint(run: Path) -> None:
    deadline = time.monotonic() + 60
    while not (run / "checkpoint.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.slow
def test_labels_alone_teach_depth() -> None:
    poses, held_out = synthetic_poses(12_000, seed=1), synthetic_poses(1_000, seed=2)
    rng = np.random.default_rng(0)
    labels = labels_from_joints(poses, random_pairs(poses.skeleton, len(poses), 1, rng))
    config = TrainingConfig(network=NetworkConfig(width=256), epochs=12, batch_size=128)
    untrained = evaluate(
        train(
            poses.select(slice(0, 256)),
            labels.select(slice(0, 256)),
            dataclasses.replace(config, epochs=1),
            progress=False,
        ),
        held_out,
    )
    report = evaluate(train(dataclasses.replace(poses, joints=None), labels, config, progress=False), held_out)
    assert report["relative_depth_accuracy_100mm"] > 0.8
    assert report["pa_mpjpe"] < 0.75 * untrained["pa_mpjpe"]


@pytest.mark.parametrize("name", ["default", "crowd", "ceiling", "paper", "supervised"])
def test_every_preset_trains(name: str, poses: PoseSet, labels: RelativeLabels, tmp_path: Path) -> None:
    config = preset(name)
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, width=64), epochs=6, batch_size=64)
    full = config.loss.joints != "none"
    lifter = train(poses, None if full else labels, config, tmp_path, val=poses, val_labels=labels, progress=False)
    rows = read_log(tmp_path / "log.jsonl")
    losses = [row["loss"] for row in rows if "loss" in row]
    accuracies = [row["val_label_accuracy"] for row in rows if "val_label_accuracy" in row]
    assert len(losses) == 6  # the last step of every epoch
    assert losses[-1] < losses[0]
    assert accuracies[-1] > 0.5
    assert len(accuracies) == 6
    assert json.loads((tmp_path / "config.json").read_text())["network"]["head"] == config.network.head
    again = load(tmp_path / "weights.safetensors")
    assert (again.lift_poses(poses).joints == lifter.lift_poses(poses).joints).all()
    assert again.card["training"]["epochs"] == 6


def test_known_focal_length_and_average_person(poses: PoseSet, labels: RelativeLabels) -> None:
    paper = preset("paper")
    config = dataclasses.replace(
        paper,
        network=dataclasses.replace(paper.network, width=64, scale_range=0.001),
        loss=dataclasses.replace(paper.loss, reprojection="inverse_distance", limb_reference="average_person"),
        epochs=1,
    )
    assert np.isfinite(train(poses, labels, config, progress=False).lift_poses(poses).joints).all()


def test_kill_and_resume_gives_the_same_weights(files: tuple[Path, Path], tmp_path: Path) -> None:
    """SIGKILL in the middle of an epoch, after a checkpoint in the middle of an epoch."""
    often = ("--epochs", "6", "--checkpoint-seconds", "0.2")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(command(files, whole, *often), check=True, capture_output=True)
    process = subprocess.Popen(command(files, broken, *often), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_checkpoint(broken)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (broken / "weights.safetensors").exists()
    refused = subprocess.run(command(files, broken, "--epochs", "6"), capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    subprocess.run(command(files, broken, "--epochs", "6", "--resume"), check=True, capture_output=True)
    first, second = (load_file(folder / "weights.safetensors") for folder in (whole, broken))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    steps = [row["step"] for row in read_log(broken / "log.jsonl")]
    assert steps == sorted(steps) == [row["step"] for row in read_log(whole / "log.jsonl")]


def test_ctrl_c_saves_and_exits_with_130(files: tuple[Path, Path], tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(files, tmp_path / "run", "--epochs", "5000"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_checkpoint(tmp_path / "run")
    busy = subprocess.run(
        command(files, tmp_path / "run", "--epochs", "5000", "--resume"), capture_output=True, text=True, check=False
    )
    assert busy.returncode == 2
    assert "another process is training there" in busy.stderr
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert not list((tmp_path / "run").glob("*.partial*"))


def test_resuming_after_ctrl_c_gives_the_same_weights(files: tuple[Path, Path], tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    arguments = ("--epochs", "8", "--checkpoint-seconds", "0.2")
    subprocess.run(command(files, whole, *arguments), check=True, capture_output=True)
    process = subprocess.Popen(command(files, broken, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_checkpoint(broken)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    subprocess.run(command(files, broken, *arguments, "--resume"), check=True, capture_output=True)
    first, second = (load_file(folder / "weights.safetensors") for folder in (whole, broken))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_resuming_something_else_is_refused(poses: PoseSet, labels: RelativeLabels, tmp_path: Path) -> None:
    train(poses, labels, SMALL, tmp_path, progress=False)
    with pytest.raises(InputError, match="holds a training run already"):
        train(poses, labels, SMALL, tmp_path, progress=False)
    with pytest.raises(InputError, match=r"another configuration \(different: seed\)"):
        train(poses, labels, dataclasses.replace(SMALL, seed=1), tmp_path, resume=True, progress=False)
    with pytest.raises(InputError, match="other data"):
        train(poses, labels.select(slice(0, 500)), SMALL, tmp_path, resume=True, progress=False)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"half a checkpoint")
    with pytest.raises(InputError, match="not a nearfar training checkpoint"):
        train(poses, labels, SMALL, tmp_path, resume=True, progress=False)


def test_the_seed_decides(poses: PoseSet, labels: RelativeLabels) -> None:
    one, same = (train(poses, labels, SMALL, progress=False).network.state_dict() for _ in range(2))
    other = train(poses, labels, dataclasses.replace(SMALL, seed=1), progress=False).network.state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_what_does_not_fit_is_named(poses: PoseSet, labels: RelativeLabels) -> None:
    with pytest.raises(InputError, match="needs labels"):
        train(poses, None, SMALL, progress=False)
    with pytest.raises(InputError, match="needs joints"):
        train(dataclasses.replace(poses, joints=None), None, preset("ceiling"), progress=False)
    with pytest.raises(InputError, match="needs intrinsics"):
        train(dataclasses.replace(poses, intrinsics=None, image_size=None), labels, SMALL, progress=False)
    with pytest.raises(InputError, match="validation: joints must be in the camera's frame"):
        train(poses, labels, SMALL, val=dataclasses.replace(poses, frame="world"), progress=False)
    with pytest.raises(InputError, match="mean limb lengths"):
        train(dataclasses.replace(poses, mean_limb_lengths=None), labels, SMALL, progress=False)
    with pytest.raises(InputError, match=r"rows 0\.\.9"):
        train(poses.select(slice(0, 10)), labels, SMALL, progress=False)
    hidden = np.array(poses.keypoints)
    hidden[7, poses.skeleton.root_index] = np.nan
    with pytest.raises(InputError, match=r"no root \(mid_hip\) in 1 poses, first in row 7"):
        train(dataclasses.replace(poses, keypoints=hidden), labels, SMALL, progress=False)
    others = labels.select(labels.pose != 7)  # without a label it is not learnt from
    train(dataclasses.replace(poses, keypoints=hidden), others, SMALL, progress=False)
    with pytest.raises(InputError, match="device"):
        train(poses, labels, SMALL, device="tpu", progress=False)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.keypoints.__setitem__((5, 3), np.inf), "an infinite keypoint in 1 poses, first in row 5"),
        (
            lambda p: p.keypoints.__setitem__((5, slice(1, None)), np.nan),
            "fewer than 4 keypoints in 1 poses, first in row 5",
        ),
        (lambda p: p.keypoints.__setitem__(5, 300.0), "all keypoints in one spot in 1 poses, first in row 5"),
        (lambda p: p.intrinsics.__setitem__((5, 0), 0.0), "focal lengths must be positive"),
        (lambda p: p.intrinsics.__setitem__((5, 0), np.nan), "finite"),
        (lambda p: p.mean_limb_lengths.__setitem__(3, 0.0), "limb lengths must be positive"),
    ],
)
def test_one_bad_row_is_refused(poses: PoseSet, labels: RelativeLabels, spoil, message: str) -> None:
    """A single row that cannot be learnt from would turn its whole batch, and then all weights, into NaN."""
    names = ("keypoints", "intrinsics", "mean_limb_lengths")
    copy = dataclasses.replace(poses, **{name: np.array(getattr(poses, name)) for name in names})
    spoil(copy)
    with pytest.raises(InputError, match=message):
        train(copy, labels, SMALL, progress=False)


def test_weights_that_are_not_finite_are_never_saved(poses: PoseSet, labels: RelativeLabels, tmp_path: Path) -> None:
    wild = dataclasses.replace(SMALL, optimiser=OptimiserConfig(learning_rate=1e30))
    with pytest.raises(InputError, match=r"no longer finite|loss is not finite"):
        train(poses, labels, wild, tmp_path, progress=False)
    assert not list(tmp_path.glob("*.safetensors"))


def test_nearly_everything_hidden_still_trains(poses: PoseSet, labels: RelativeLabels) -> None:
    lifter = train(poses, labels, dataclasses.replace(SMALL, missing_joints=0.95), progress=False)
    assert all(torch.isfinite(value).all() for value in lifter.network.state_dict().values())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OptimiserConfig(learning_rate=float("nan")), "learning_rate: expected a number above 0, got nan"),
        (lambda: OptimiserConfig(weight_decay=-1), "weight_decay: expected a number at least 0"),
        (lambda: NetworkConfig(blocks=-1), "blocks"),
        (lambda: NetworkConfig(dropout=1), "dropout: expected a number at least 0 and below 1"),
        (lambda: LossConfig(order_scale=-30), "order_scale"),
        (lambda: LossConfig(order_weight=float("inf")), "order_weight"),
        (lambda: TrainingConfig(seed=2**70), "seed"),
        (lambda: TrainingConfig(batch_size=1), "batch_size"),
        (lambda: TrainingConfig(loss=LossConfig(order="none", limbs="none")), "nothing is left to learn from"),
        (lambda: TrainingConfig(network=NetworkConfig(head="supervised")), "3D joints"),
        (lambda: TrainingConfig(loss=LossConfig(reprojection="scaled_orthographic")), "predicts a scale"),
        (lambda: preset("papr"), "no preset 'papr'"),
    ],
)
def test_configurations_are_checked(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_training_without_calibration_and_on_a_skeleton_of_ones_own(tmp_path: Path) -> None:
    """A tripod with three joints: no unit limb, no intrinsics, no human."""
    from nearfar import get_skeleton

    (tmp_path / "tripod.toml").write_text(
        'name = "tripod"\nroot = "top"\njoints = ["top", "a", "b", "c"]\nmirror_pairs = [["a", "b"]]\n'
        'limbs = [{ parent = "top", child = "a" }, { parent = "top", child = "b" }, { parent = "top", child = "c" }]\n'
    )
    skeleton = get_skeleton(tmp_path / "tripod.toml")
    rng = np.random.default_rng(0)
    joints = rng.normal(scale=300, size=(200, 4, 3)) + [0, 0, 4000]
    poses = PoseSet(
        skeleton,
        keypoints=joints[..., :2] / joints[..., 2:] * 900 + [500, 400],
        joints=joints,
        image_size=np.full((200, 2), [1000, 800]),
        mean_limb_lengths=np.full(3, 500.0),
    )
    labels = labels_from_joints(poses, random_pairs(skeleton, 200, 2, rng))
    lifter = train(poses, labels, SMALL, progress=False)
    assert lifter.lift(poses.keypoints, skeleton=skeleton, image_size=(1000, 800)).shape == (200, 4, 3)


def test_one_label_a_pose_is_drawn_from_several(poses: PoseSet) -> None:
    rng = np.random.default_rng(1)
    part = poses.select(slice(0, 40))
    labels = labels_from_joints(part, random_pairs(part.skeleton, 40, 5, rng)).select(np.arange(100, 200))
    data = TrainingData.of(part, labels, SMALL, CPU)
    assert data.sample.tolist() == list(range(20, 40))
    drawn = set()
    for epoch in range(60):
        for batch in data.batches(8, torch.Generator().manual_seed(epoch)):
            for pair, relation, keypoints in zip(batch.pair, batch.relation, batch.keypoints, strict=True):
                row = int((torch.from_numpy(np.array(part.keypoints)) == keypoints).all(-1).all(-1).nonzero()[0])
                drawn.add((row, *pair.tolist(), int(relation)))
    rows = zip(labels.pose.tolist(), *labels.pair.T.tolist(), labels.relation.tolist(), strict=True)
    assert drawn == set(rows)


def test_augmentation_keeps_labels_true(poses: PoseSet) -> None:
    """After mirroring, every relation still agrees with the (mirrored) joints, and these with the rays."""
    pairs = np.broadcast_to(all_pairs(poses.skeleton)[:50], (len(poses), 50, 2))
    labels = labels_from_joints(poses, pairs)
    both = dataclasses.replace(SMALL, loss=LossConfig(joints="l1"), keypoint_noise=0.0, missing_joints=0.1)
    data = TrainingData.of(poses, labels, both, CPU)
    batch = next(data.batches(256, torch.Generator().manual_seed(0)))
    permutation = torch.from_numpy(poses.skeleton.mirror_permutation)
    out = augment(batch, both, poses.skeleton, torch.Generator().manual_seed(0))
    depth = out.joints[..., 2].gather(1, out.pair)
    difference = depth[:, 0] - depth[:, 1]
    assert (torch.sign(difference) == out.relation)[difference.abs() > 1e-3].all()
    turned = (out.joints != batch.joints).any(-1).any(-1)
    assert 0.3 < turned.float().mean() < 0.7
    rays = (out.pixels - out.intrinsics[:, None, 2:]) / out.intrinsics[:, None, :2]
    true = (batch.keypoints - batch.intrinsics[:, None, 2:]) / batch.intrinsics[:, None, :2]
    mirrored = true[:, permutation] * torch.tensor([-1.0, 1.0])
    assert torch.allclose(rays, torch.where(turned[:, None, None], mirrored, true), atol=1e-5)
    hidden = torch.isnan(out.keypoints).any(-1)
    assert 0.05 < hidden.float().mean() < 0.15
    assert not hidden[:, poses.skeleton.root_index].any()


def test_schedules() -> None:
    one_cycle = [learning_rate(OptimiserConfig(), step, 1000) for step in range(1000)]
    assert np.argmax(one_cycle) == 300
    assert one_cycle[300] == pytest.approx(1e-3)
    assert one_cycle[-1] == pytest.approx(4e-9)
    step = OptimiserConfig(schedule="step")
    assert learning_rate(step, 99_999, 10**6) == 1e-3
    assert learning_rate(step, 200_000, 10**6) == pytest.approx(1e-3 * 0.96**2)


def test_average_person_lengths_are_millimetres() -> None:
    from nearfar import get_skeleton

    lengths = average_person_lengths(get_skeleton("h36m17"))
    assert lengths[2] == pytest.approx(430)
    assert lengths[1] == pytest.approx(430 * 19 / 20)
    with pytest.raises(InputError, match="no limb proportions"):
        average_person_lengths(get_skeleton("human19"))
