"""Synthetic samples and turned poses: known 3D that fits its picture, and a teacher that follows."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from nearfar import InputError, PoseSet, RelativeLabels, evaluate, synthetic_poses, train
from nearfar.labels import labels_from_joints, random_pairs
from nearfar.lifting.network import Dropout, LiftingNetwork, build_network
from nearfar.presets import LossConfig, NetworkConfig, SyntheticConfig, TrainingConfig, TurnConfig
from nearfar.skeleton import Limb, Skeleton
from nearfar.training import loop
from nearfar.training.companions import SyntheticSamples, Teacher
from nearfar.training.data import Batch, TrainingData

CPU = torch.device("cpu")
SMALL = TrainingConfig(network=NetworkConfig(width=64, dropout=0.1), epochs=2, batch_size=64, precision="float32")


@pytest.fixture(scope="module")
def poses() -> PoseSet:
    return synthetic_poses(400, seed=3)


@pytest.fixture(scope="module")
def labels(poses: PoseSet) -> RelativeLabels:
    rng = np.random.default_rng(0)
    return labels_from_joints(poses, random_pairs(poses.skeleton, len(poses), 1, rng))


def network(poses: PoseSet) -> LiftingNetwork:
    torch.manual_seed(0)
    made = build_network(NetworkConfig(width=32), poses.skeleton)
    made.initialise()
    return made


def batch_of(poses: PoseSet) -> Batch:
    keypoints, intrinsics = (torch.from_numpy(np.array(array)) for array in (poses.keypoints, poses.intrinsics))
    return Batch(keypoints, intrinsics, None, None, None, None, keypoints)


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5])
def test_dropout_keeps_the_mean_and_drops_its_share(p: float) -> None:
    layer, x = Dropout(p), torch.ones(301, 997)
    torch.manual_seed(0)
    y = layer.train()(x)
    assert abs(float((y == 0).float().mean()) - p) < 0.004
    assert abs(float(y.mean()) - 1) < 0.004
    torch.manual_seed(0)
    assert torch.equal(y, layer(x))
    assert torch.equal(layer.eval()(x), x)


def test_turned_poses_are_the_lifted_ones_seen_by_another_camera(poses: PoseSet) -> None:
    made, batch = network(poses), batch_of(poses)
    with torch.no_grad():
        made.head.weight.mul_(0.3)  # nobody so deep that a turn puts part of them beside the camera
    teacher = Teacher(made, TurnConfig(weight=1.0))
    batch.pixels[5, 3] = torch.nan
    lifted = teacher.network.lift(batch.pixels, batch.intrinsics)
    turned = teacher.turned(batch, torch.Generator().manual_seed(1))
    assert turned.joints is not None
    assert lifted.root is not None
    there = torch.isfinite(turned.joints).all(-1).all(-1)
    assert there.float().mean() > 0.9
    assert len(there) == len(batch.pixels)
    # The same shape, in another attitude.
    torch.testing.assert_close(
        torch.cdist(turned.joints[there], turned.joints[there]),
        torch.cdist(lifted.joints[there], lifted.joints[there]),
        rtol=1e-3,
        atol=0.5,
    )
    assert (turned.joints[there] - lifted.joints[there]).abs().mean() > 50
    # Its picture is that of a camera as far away as the first one was.
    distance = torch.linalg.vector_norm(lifted.root, dim=-1)[:, None]
    placed = turned.joints + torch.stack([torch.zeros_like(distance)] * 2 + [distance], dim=-1)
    seen = placed[..., :2] / placed[..., 2:] * batch.intrinsics[:, None, :2] + batch.intrinsics[:, None, 2:]
    torch.testing.assert_close(turned.keypoints, seen, equal_nan=True)
    assert torch.isnan(turned.keypoints[5, 3]).all()
    assert torch.isnan(turned.joints[5, 3]).all()


def test_poses_that_a_turn_would_put_beside_the_camera_are_left_out(poses: PoseSet) -> None:
    made = network(poses)
    with torch.no_grad():
        made.head.weight.mul_(30.0)  # metres deep
    batch = batch_of(poses)
    turned = Teacher(made, TurnConfig(weight=1.0)).turned(batch, torch.Generator().manual_seed(1))
    assert turned.joints is not None
    assert 0 < len(turned.joints) < len(batch.pixels)
    assert torch.isfinite(turned.joints).all()
    assert torch.isfinite(turned.keypoints).all()


def test_the_teacher_follows_the_network(poses: PoseSet) -> None:
    student = network(poses)
    teacher = Teacher(student, TurnConfig(weight=1.0, decay=0.9))
    start = copy.deepcopy(teacher.network.state_dict())
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1.0)
    for step in range(1000, 1010):
        teacher.follow(student, step)
    moved = (teacher.network.state_dict()["head.bias"] - start["head.bias"]).mean()
    assert float(moved) == pytest.approx(1 - 0.9**10, rel=1e-4)
    assert not any(parameter.requires_grad for parameter in teacher.network.parameters())


def test_synthetic_samples_reproject_and_are_no_more_than_needed(poses: PoseSet) -> None:
    config = SyntheticConfig(poses=1000, batch_size=16)
    samples = SyntheticSamples.of(config, poses.skeleton, seed=1, steps=4, device=CPU)
    assert samples is not None
    assert len(samples.keypoints) == 64
    batch = samples.draw(16, torch.Generator().manual_seed(0))
    assert batch.joints is not None
    assert batch.keypoints.shape == (16, 17, 2)
    offset = (batch.keypoints - batch.keypoints[:, :1]) / batch.intrinsics[:, None, :2]
    rays, flat = offset[:, 1:].flatten(1), batch.joints[:, 1:, :2].flatten(1)
    assert float(torch.nn.functional.cosine_similarity(rays, flat).min()) > 0.9
    assert SyntheticSamples.of(SyntheticConfig(), poses.skeleton, seed=1, steps=4, device=CPU) is None


def test_synthetic_people_teach_no_other_animal() -> None:
    dog = Skeleton("dog", ("body", "nose", "tail"), "body", (Limb(0, 1), Limb(0, 2)), ())
    with pytest.raises(InputError, match=r"no skeleton 'dog'.*--synthetic.poses 0"):
        SyntheticSamples.of(SyntheticConfig(poses=10), dog, seed=0, steps=1, device=CPU)


def test_a_single_label_is_said_to_be_too_few(poses: PoseSet, labels: RelativeLabels, tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, synthetic=SyntheticConfig(poses=10))
    with pytest.raises(InputError, match="fewer than two poses to train on"):
        train(poses, labels.select(slice(0, 1)), config, tmp_path / "run", progress=False, device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_run_with_a_teacher_resumes_bit_for_bit(
    poses: PoseSet, labels: RelativeLabels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(
        SMALL, synthetic=SyntheticConfig(poses=100, weight=0.1, batch_size=16), turn=TurnConfig(weight=0.1), rolled=0.1
    )
    whole = train(poses, labels, config, progress=False, device="cpu")
    one_step = loop._Run._step

    def stopped(run: loop._Run, batch: Batch, step: int, total: int) -> dict[str, torch.Tensor]:
        if step == 9:  # in the second epoch, with turned poses
            run._save(step)
            raise KeyboardInterrupt
        return one_step(run, batch, step, total)

    monkeypatch.setattr(loop._Run, "_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(poses, labels, config, tmp_path, progress=False, device="cpu")
    monkeypatch.undo()
    resumed = train(poses, labels, config, tmp_path, resume=True, progress=False, device="cpu")
    for name, value in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name


def test_the_teacher_needs_a_network_that_places_people() -> None:
    with pytest.raises(InputError, match=r"turn\.weight needs network\.head ray_depth"):
        TrainingConfig(network=NetworkConfig(head="relative"), turn=TurnConfig(weight=1.0))


def test_unlabelled_poses_take_part_where_asked(poses: PoseSet, labels: RelativeLabels) -> None:
    few = labels.select(slice(0, 50))
    config = dataclasses.replace(SMALL, unlabelled=1.0)
    assert TrainingData.of(poses, few, SMALL, CPU).sample.tolist() == list(range(50))
    data = TrainingData.of(poses, few, config, CPU)
    assert len(data.sample) == len(poses)
    labelled = 0
    for batch in data.batches(64, torch.Generator().manual_seed(0)):
        assert batch.labelled is not None
        assert batch.pair is not None
        assert len(batch.pair) == len(batch.labelled)
        labelled += len(batch.labelled)
        rows = [
            int((data.keypoints == batch.pixels[place]).all(-1).all(-1).nonzero()[0, 0]) for place in batch.labelled
        ]
        assert [few.pair[list(few.pose).index(row)].tolist() for row in rows] == batch.pair.tolist()
    assert labelled == 50
    with pytest.raises(InputError, match="unlabelled: where each label is a sample"):
        dataclasses.replace(config, labels_used="each")
    with pytest.raises(InputError, match="unlabelled: no term but the order"):
        dataclasses.replace(config, loss=LossConfig(limbs="none"))


def test_unlabelled_poses_that_cannot_be_learnt_from_stay_out(poses: PoseSet, labels: RelativeLabels) -> None:
    assert poses.keypoints is not None
    keypoints = np.array(poses.keypoints)
    keypoints[300, poses.skeleton.root_index] = np.nan
    data = TrainingData.of(
        dataclasses.replace(poses, keypoints=keypoints),
        labels.select(slice(0, 50)),
        dataclasses.replace(SMALL, unlabelled=1.0),
        CPU,
    )
    assert sorted(set(range(400)) - set(data.sample.tolist())) == [300]


@pytest.mark.slow
def test_synthetic_people_teach_where_labels_are_few() -> None:
    data, held_out = synthetic_poses(2_000, seed=1), synthetic_poses(500, seed=2)
    rng = np.random.default_rng(0)
    labels = labels_from_joints(data, random_pairs(data.skeleton, len(data), 1, rng))
    alone = dataclasses.replace(SMALL, network=NetworkConfig(width=256), loss=LossConfig(), epochs=12)
    helped = dataclasses.replace(
        alone, synthetic=SyntheticConfig(poses=6_000, weight=0.2), turn=TurnConfig(weight=0.05)
    )
    blind = dataclasses.replace(data, joints=None)
    without, with_help = (
        evaluate(train(blind, labels, config, progress=False), held_out)["pa_mpjpe"] for config in (alone, helped)
    )
    assert with_help < 0.9 * without
