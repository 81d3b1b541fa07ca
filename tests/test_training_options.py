"""The paper's training options: what is drawn once, how labels are used, where training starts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nearfar import RelativeLabels, load, train
from nearfar.camera import project
from nearfar.cli import main
from nearfar.errors import InputError
from nearfar.evaluation import evaluate_labels
from nearfar.geometry import limb_lengths
from nearfar.keypoint_noise import KeypointNoise
from nearfar.labels import all_pairs, labels_from_joints, random_pairs
from nearfar.poses import PoseSet
from nearfar.presets import PRESETS, LossConfig, NetworkConfig, TrainingConfig
from nearfar.synthetic import synthetic_poses
from nearfar.training.augment import augment
from nearfar.training.checkpoint import read_progress, read_tensors
from nearfar.training.data import TrainingData
from nearfar.training.limb_reference import LimbReference

CPU = torch.device("cpu")
PAPER = dataclasses.replace(
    PRESETS["paper"], network=dataclasses.replace(PRESETS["paper"].network, width=64), epochs=2, batch_size=64
)


@pytest.fixture(scope="module")
def poses() -> PoseSet:
    return synthetic_poses(600, seed=5)


@pytest.fixture(scope="module")
def labels(poses: PoseSet) -> RelativeLabels:
    rng = np.random.default_rng(0)
    return labels_from_joints(poses, random_pairs(poses.skeleton, len(poses), 3, rng))


def test_noise_dropout_and_share_are_drawn_once_and_by_the_seed(poses: PoseSet, labels: RelativeLabels) -> None:
    config = dataclasses.replace(
        PAPER, input_noise=KeypointNoise("normal", 4.0), input_dropout=0.2, data_share=0.25, seed=3
    )
    data = TrainingData.of(poses, labels, config, CPU)
    offset = data.keypoints.numpy() - poses.keypoints
    assert offset.std() == pytest.approx(4, rel=0.03)
    assert data.hidden.float().mean().item() == pytest.approx(0.2 * 16 / 17, abs=0.02)
    assert not data.hidden[:, poses.skeleton.root_index].any()
    assert len(data.sample) == 150
    again = TrainingData.of(poses, labels, config, CPU)
    assert torch.equal(data.keypoints, again.keypoints)
    assert torch.equal(data.hidden, again.hidden)
    assert torch.equal(data.sample, again.sample)
    other = TrainingData.of(poses, labels, dataclasses.replace(config, seed=4), CPU)
    assert not torch.equal(data.sample, other.sample)
    seen: dict[tuple, tuple] = {}
    for epoch in range(3):
        for batch in data.batches(64, torch.Generator().manual_seed(epoch)):
            for shown, whole in zip(batch.keypoints, batch.pixels, strict=True):
                hidden = tuple(torch.isnan(shown).any(-1).tolist())
                assert seen.setdefault(tuple(whole.flatten().tolist()), hidden) == hidden
                assert torch.isfinite(whole).all()  # reprojection is measured against all joints
    assert len(seen) == 150


def test_statistics_come_from_all_poses_whatever_the_share(poses: PoseSet, labels: RelativeLabels) -> None:
    small = train(poses, labels, dataclasses.replace(PAPER, data_share=0.1), progress=False, device="cpu")
    relative = poses.keypoints - poses.keypoints[:, [poses.skeleton.root_index]]
    mean = relative.reshape(len(poses), -1).mean(axis=0)
    assert np.allclose(small.network.input_mean.numpy(), mean, atol=1e-3)


def test_all_labels_at_once_are_the_poses_own(poses: PoseSet) -> None:
    part = poses.select(slice(0, 50))
    rng = np.random.default_rng(1)
    labels = labels_from_joints(part, random_pairs(part.skeleton, 50, 7, rng)).select(rng.permutation(350)[:200])
    config = dataclasses.replace(PAPER, labels_used="all", mirror=True)
    data = TrainingData.of(part, labels, config, CPU)
    found = []
    for batch in data.batches(16, torch.Generator().manual_seed(0)):
        assert len(batch.labelled) == len(batch.pair) == len(batch.relation)
        for place, pair, relation in zip(batch.labelled, batch.pair, batch.relation, strict=True):
            row = int(
                (torch.from_numpy(np.array(part.keypoints)) == batch.pixels[place]).flatten(1).all(1).nonzero()[0]
            )
            found.append((row, *pair.tolist(), int(relation)))
    expected = zip(labels.pose.tolist(), *labels.pair.T.tolist(), labels.relation.tolist(), strict=True)
    assert sorted(found) == sorted(expected)


def test_merged_labels_count_as_far_as_they_are_known(poses: PoseSet, labels: RelativeLabels) -> None:
    some = dataclasses.replace(labels.select(slice(0, 4)), relation=np.array([1, -1, 1, 0], np.int8))
    p, risk = np.array([0.9, 0.2, 1.0, 0.5]), np.array([0.1, 0.2, 0.0, 0.5])
    expected = {"none": [1, -1, 1, 0], "probability": [0.8, -0.6, 1, 0], "risk": [0.8, -0.6, 1, 0]}
    for name, changes in {"none": {}, "probability": {"probability": p}, "risk": {"risk": risk}}.items():
        data = TrainingData.of(poses, dataclasses.replace(some, **changes), TrainingConfig(), CPU)
        assert data.relation is not None
        assert data.relation.tolist() == pytest.approx(expected[name])


def test_answers_that_cannot_tell_teach_nothing(poses: PoseSet, labels: RelativeLabels) -> None:
    unsure = np.arange(len(labels)) % 3 > 0
    relation = np.where(unsure, 0, labels.relation).astype(np.int8)
    marked = dataclasses.replace(labels, relation=relation, unsure=unsure)
    data = TrainingData.of(poses, marked, PAPER, CPU)
    assert len(data.relation) == len(labels) // 3
    assert (data.relation != 0).all()
    with pytest.raises(InputError, match="there are none"):
        TrainingData.of(poses, marked.select(unsure), PAPER, CPU)


def test_every_label_may_be_a_sample(poses: PoseSet, labels: RelativeLabels) -> None:
    data = TrainingData.of(poses, labels, dataclasses.replace(PAPER, labels_used="each"), CPU)
    assert data.steps(64) == -(-1800 // 64)
    shown = 0
    for batch in data.batches(64, torch.Generator().manual_seed(0)):
        assert len(batch.pair) == len(batch.keypoints)
        shown += len(batch.pair)
    assert shown == 1800


def test_mirroring_keeps_all_labels_true(poses: PoseSet) -> None:
    pairs = np.broadcast_to(all_pairs(poses.skeleton), (len(poses), 136, 2))
    labels = labels_from_joints(poses, pairs)
    config = dataclasses.replace(PAPER, mirror=True, labels_used="all", loss=LossConfig(joints="l1"))
    data = TrainingData.of(poses, labels, config, CPU)
    batch = next(data.batches(32, torch.Generator().manual_seed(0)))
    out = augment(batch, config, poses.skeleton, torch.Generator().manual_seed(0))
    depth = out.joints[out.labelled, :, 2].gather(1, out.pair)
    difference = depth[:, 0] - depth[:, 1]
    assert (torch.sign(difference) == out.relation)[difference.abs() > 1e-3].all()


def test_proportions_of_each_sample_are_its_own(poses: PoseSet, labels: RelativeLabels) -> None:
    loss = dataclasses.replace(PAPER.loss, limb_reference="sample")
    config = dataclasses.replace(PAPER, loss=loss)
    data = TrainingData.of(poses, labels, config, CPU)
    batch = next(data.batches(64, torch.Generator().manual_seed(0)))
    lengths, unit = LimbReference.of(poses, loss, CPU).of_batch(batch)
    true = limb_lengths(batch.joints.numpy(), poses.skeleton)
    assert np.allclose(lengths, true[:, poses.skeleton.rigid_limbs], rtol=1e-4)
    assert np.allclose(unit[:, 0], true[:, poses.skeleton.unit_limb_index], rtol=1e-4)
    train(poses, labels, config, progress=False, device="cpu")
    with pytest.raises(InputError, match="limb_reference sample needs joints"):
        train(dataclasses.replace(poses, joints=None), labels, config, progress=False, device="cpu")


@pytest.mark.parametrize(
    "change",
    [
        {"input_dropout": 1.0},
        {"data_share": 0.0},
        {"data_share": 1.5},
        {"data_share": float("nan")},
    ],
)
def test_options_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        TrainingConfig(**change)


@pytest.fixture(scope="module")
def first_run(poses: PoseSet, labels: RelativeLabels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first") / "run"
    train(poses, labels, PAPER, folder, progress=False, device="cpu")
    return folder


def photos_of(seed: int) -> tuple[PoseSet, RelativeLabels]:
    """Keypoints and labels of other people, without 3D, limb lengths or camera: what a crowd gives."""
    poses = synthetic_poses(300, seed=seed)
    labels = labels_from_joints(poses, random_pairs(poses.skeleton, len(poses), 5, np.random.default_rng(2)))
    bare = dataclasses.replace(poses, joints=None, mean_limb_lengths=None, intrinsics=None, image_size=None)
    return bare, labels


def test_fine_tuning_carries_over_weights_optimiser_and_limb_lengths(
    poses: PoseSet, first_run: Path, tmp_path: Path
) -> None:
    photos, answers = photos_of(9)
    config = dataclasses.replace(PAPER, epochs=1, labels_used="each")
    out = tmp_path / "tuned"
    tuned = train(photos, answers, config, out, init=first_run / "checkpoint.safetensors", progress=False, device="cpu")
    steps_before = read_progress(first_run / "checkpoint.safetensors").step
    _, state = read_tensors(out / "checkpoint.safetensors")
    mine = -(-1500 // 64)
    assert int(state[0]["step"]) == steps_before + mine
    assert read_progress(out / "checkpoint.safetensors").step == mine
    assert tuned.card["mean_limb_lengths"] == pytest.approx(np.asarray(poses.mean_limb_lengths).tolist())
    relative = photos.keypoints - photos.keypoints[:, [photos.skeleton.root_index]]
    mean = relative.reshape(len(photos), -1).mean(axis=0)
    assert np.allclose(tuned.network.input_mean.numpy(), mean, atol=1e-3)  # of the new data, as the paper does it
    from_scratch = load(first_run / "weights.safetensors")
    moved = (tuned.network.head.weight - from_scratch.network.head.weight).abs().max()
    assert 0 < moved < 0.2


def test_fine_tuning_lessens_the_order_error(first_run: Path) -> None:
    photos, answers = photos_of(10)
    start = load(first_run / "weights.safetensors")
    config = dataclasses.replace(PAPER, epochs=20, labels_used="each")
    before = evaluate_labels(start, photos, answers)["order_error"]
    tuned = train(photos, answers, config, init=first_run / "weights.safetensors", progress=False, device="cpu")
    after = evaluate_labels(tuned, photos, answers)["order_error"]
    assert after < before - 0.02


def test_a_tuned_run_that_was_interrupted_ends_the_same(first_run: Path, tmp_path: Path) -> None:
    photos, answers = photos_of(11)
    config = dataclasses.replace(PAPER, epochs=2)
    init = first_run / "checkpoint.safetensors"
    whole = train(photos, answers, config, init=init, progress=False, device="cpu")

    class StopError(Exception):
        pass

    def stop(*_: object) -> None:
        raise StopError

    with pytest.MonkeyPatch.context() as patch:  # a crash after the first epoch's checkpoint
        from nearfar.training.loop import _Run

        save = _Run._save
        patch.setattr(_Run, "_save", lambda run, step: (save(run, step), stop()))
        with pytest.raises(StopError):
            train(photos, answers, config, tmp_path / "run", init=init, progress=False, device="cpu")
    resumed = train(photos, answers, config, tmp_path / "run", init=init, resume=True, progress=False, device="cpu")
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_weights_that_do_not_fit_are_refused(poses: PoseSet, labels: RelativeLabels, first_run: Path) -> None:
    wide = dataclasses.replace(PAPER, network=NetworkConfig(head="relative", width=128))
    with pytest.raises(InputError, match="weights of another network"):
        train(poses, labels, wide, init=first_run / "weights.safetensors", progress=False, device="cpu")
    other = poses.remap("h36m16")
    with pytest.raises(InputError, match="weights for skeleton 'h36m17'"):
        train(
            dataclasses.replace(other, mean_limb_lengths=np.ones(15)),
            labels_from_joints(other, random_pairs(other.skeleton, len(other), 1, np.random.default_rng(0))),
            PAPER,
            init=first_run / "weights.safetensors",
            progress=False,
            device="cpu",
        )
    with pytest.raises(InputError, match="no weights 'nowhere"):
        train(poses, labels, PAPER, init="nowhere.safetensors", progress=False, device="cpu")


def test_the_command_line_tunes_and_measures(
    first_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, answers = photos_of(12)
    photos.save(tmp_path / "photos.npz")
    answers.save(tmp_path / "answers.parquet")
    start = str(first_run / "checkpoint.safetensors")
    files = ["--data", str(tmp_path / "photos.npz"), "--labels", str(tmp_path / "answers.parquet")]
    out = ["--out", str(tmp_path / "run")]
    flags = ["--epochs", "1", "--labels-used", "each", "--batch-size", "64", "--device", "cpu"]
    assert main(["train", *files, *out, "--preset", "paper", "--init", start, *flags]) == 0
    weights = str(tmp_path / "run" / "weights.safetensors")
    assert main(["evaluate", *files, "--weights", weights, "--json", str(tmp_path / "report.json")]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["pairs"] == 1500
    assert 0 < report["order_error"] < 0.5
    assert "in the wrong order" in capsys.readouterr().out
    assert main(["evaluate", *files, "--weights", weights, "--figure", str(tmp_path / "a.png")]) == 2
    assert main(["train", *files, *out, "--preset", "paper", "--init", start, "--skeleton", "lsp14"]) == 2
    assert "the weights of --init are for h36m17" in capsys.readouterr().err
    assert main(["train", *files, *out, "--init", start]) == 2
    assert "not a network of --preset default" in capsys.readouterr().err


def test_few_labelled_poses_are_seen_again_among_others(poses: PoseSet, labels: RelativeLabels) -> None:
    few = labels.select(labels.pose < 70)
    data = TrainingData.of(poses, few, dataclasses.replace(TrainingConfig(), unlabelled=0.25), CPU)
    row = {tuple(points.flatten().tolist()): i for i, points in enumerate(data.keypoints)}
    times, known = np.zeros(len(poses), int), 0
    for batch in data.batches(50, torch.Generator().manual_seed(1)):
        rows = np.array([row[tuple(points.flatten().tolist())] for points in batch.pixels])
        np.add.at(times, rows, 1)
        assert batch.labelled is not None
        assert sorted(rows[batch.labelled.numpy()]) == sorted(rows[rows < 70])
        known += len(batch.labelled)
    assert times.sum() == len(poses)
    assert known == times[:70].sum() == 450
    assert times[:70].min() >= 6  # 450 / 70
    assert times[:70].max() <= 7
    assert times[70:].max() == 1
    plenty = dataclasses.replace(TrainingConfig(), unlabelled=0.95)
    order = torch.cat([b.pixels for b in TrainingData.of(poses, few, plenty, CPU).batches(50, torch.Generator())])
    assert len(torch.unique(order[:, 1:].flatten(1), dim=0)) == len(poses)


def test_limbs_of_synthetic_people_need_no_data(poses: PoseSet) -> None:
    bare = dataclasses.replace(poses, joints=None, mean_limb_lengths=None)
    reference = LimbReference.of(bare, LossConfig(limb_reference="synthetic_mean"), CPU)
    people = synthetic_poses(4000, seed=77, fps=1.0).mean_limb_lengths[poses.skeleton.rigid_limbs]
    assert np.allclose(reference.lengths.numpy(), people, rtol=0.05)
    with pytest.raises(InputError, match="limb_reference keypoints, synthetic_mean or average_person"):
        LimbReference.of(bare, LossConfig(), CPU)


def test_limbs_as_keypoints_show_them() -> None:
    """People with other limbs than any synthetic person are told from their keypoints alone."""
    people = synthetic_poses(3000, seed=5, fps=1.0)
    skeleton, known = people.skeleton, people.mean_limb_lengths
    factors, joints = np.ones(len(known)), people.joints.copy()
    for limb, (parent, child) in enumerate(skeleton.limb_joints):  # from the root outwards
        factors[limb] = {"hip": 0.7, "chin": 1.4, "wrist": 0.85}.get(skeleton.joints[child].split("_")[-1], 1.0)
        joints[:, child] = joints[:, parent] + factors[limb] * (people.joints[:, child] - people.joints[:, parent])
    seen = dataclasses.replace(
        people, joints=None, keypoints=project(joints, people.intrinsics), mean_limb_lengths=None
    )
    found = LimbReference.of(seen, LossConfig(limb_reference="keypoints"), CPU).lengths.numpy()
    true = (known * factors)[skeleton.rigid_limbs]
    true *= known.sum() / (known * factors).sum()  # how large people are, images do not show
    before = np.abs(np.log(known[skeleton.rigid_limbs] / true))
    assert np.abs(np.log(found / true)).mean() < 0.3 * before.mean()
    assert np.abs(np.log(found / true)).max() < 0.3 * before.max()
    few = seen.select(np.arange(99))
    with pytest.raises(InputError, match="at least 100 poses with all joints, got 99"):
        LimbReference.of(few, LossConfig(limb_reference="keypoints"), CPU)
