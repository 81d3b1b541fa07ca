"""Training through time: windows, mirrored and noisy batches, losses, and a run that learns."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import nearfar
from nearfar import InputError, PoseSet, RelativeLabels, get_skeleton, losses
from nearfar.keypoint_noise import DetectorNoise
from nearfar.lifting import Lifter
from nearfar.lifting.network import build_network
from nearfar.lifting.temporal import TemporalConfig
from nearfar.presets import LossConfig, NetworkConfig, OptimiserConfig
from nearfar.sequence_evaluation import evaluate_sequences
from nearfar.skeleton import Limb, Skeleton
from nearfar.synthetic import synthetic_poses
from nearfar.training import TemporalTrainingConfig, read_log, temporal, train_temporal
from nearfar.training.sequence_data import SequenceData

SKELETON = get_skeleton("h36m17")
CPU = torch.device("cpu")
PERMUTATION = torch.from_numpy(SKELETON.mirror_permutation)


@pytest.fixture(scope="module")
def poses() -> PoseSet:
    return synthetic_poses(400, views=1, fps=15.0, seed=3)


@pytest.fixture(scope="module")
def labels(poses: PoseSet) -> RelativeLabels:
    rng = np.random.default_rng(0)
    pose = np.sort(rng.integers(len(poses), size=600))
    pair = np.stack([np.arange(600) % 17, (np.arange(600) % 17 + 1 + rng.integers(16, size=600)) % 17], axis=1)
    difference = poses.joints[pose, pair[:, 0], 2] - poses.joints[pose, pair[:, 1], 2]
    return RelativeLabels(SKELETON, pose, pair, np.sign(difference).astype(np.int8))


@pytest.fixture(scope="module")
def data(poses: PoseSet, labels: RelativeLabels) -> SequenceData:
    return SequenceData.of(poses, labels, device=CPU, joints=True)


def random_lifter() -> Lifter:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(width=32), SKELETON)
    network.initialise()
    return Lifter(network.eval(), {"name": "random", "mean_limb_lengths": [300.0] * 16})


def draw(data: SequenceData, length: int = 16, strides: tuple[int, ...] = (1,), size: int = 12):
    return data.draw(size, length, strides, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("stride", [1, 2])
def test_windows_are_runs_of_their_clips(data: SequenceData, poses: PoseSet, stride: int) -> None:
    batch = draw(data, strides=(stride,))
    assert torch.allclose(batch.step, torch.tensor(stride / 15))
    by_keypoints = {row.tobytes(): i for i, row in enumerate(np.asarray(poses.keypoints))}
    for window in batch.pixels.numpy():
        there = np.isfinite(window).all(axis=(1, 2))
        rows = np.array([by_keypoints[frame.tobytes()] for frame in window[there]])
        assert (np.diff(rows) == stride).all()
        assert (np.diff(np.flatnonzero(there)) == 1).all()  # what is missing is before or after the clip
        assert len(set(poses.sequence.codes[rows])) == 1


def test_windows_reach_over_both_ends(data: SequenceData) -> None:
    there = torch.isfinite(draw(data, size=200).pixels).all(-1).all(-1)
    assert (~there[:, 0]).any()
    assert (~there[:, -1]).any()
    assert there.float().mean() > 0.8


def test_labels_follow_their_frames_into_the_mirror(data: SequenceData) -> None:
    batch = draw(data)
    turn = torch.arange(12) % 2 == 0
    for some in (batch, batch.mirrored(turn, PERMUTATION)):
        assert len(some.frame) > 50
        depths = some.joints.flatten(0, 1)[some.frame, :, 2]
        difference = (depths.gather(1, some.pair[:, :1]) - depths.gather(1, some.pair[:, 1:]))[:, 0]
        assert (difference.sign() == some.relation).all()


def test_a_mirrored_batch_projects_onto_its_pixels(data: SequenceData, poses: PoseSet) -> None:
    absolute = dataclasses.replace(data, joints=torch.from_numpy(np.array(poses.joints)))
    batch = draw(absolute).mirrored(torch.ones(12, dtype=torch.bool), PERMUTATION)
    projected = batch.joints[..., :2] / batch.joints[..., 2:] * batch.intrinsics[:, :, None, :2]
    projected = projected + batch.intrinsics[:, :, None, 2:]
    there = torch.isfinite(projected)
    assert torch.allclose(projected[there], batch.pixels[there], atol=0.05)


def test_noise_leaves_the_truth_and_some_windows_alone(data: SequenceData) -> None:
    batch = draw(data, size=40)
    noise = DetectorNoise(share=0.1, missing=0.1)
    noisy = batch.noisy(noise, 0.5, SKELETON, torch.Generator().manual_seed(0))
    assert torch.equal(noisy.pixels.nan_to_num(), batch.pixels.nan_to_num())
    same = (noisy.keypoints.nan_to_num() == batch.pixels.nan_to_num()).flatten(1).all(1)
    assert 5 < same.sum() < 35
    gone = torch.isnan(noisy.keypoints).all(-1).all(-1) & torch.isfinite(batch.pixels).all(-1).all(-1)
    assert gone[~same].any()
    assert not gone[same].any()


def test_steady_limbs_cost_nothing_and_unsteady_ones_their_deviation() -> None:
    limbs = torch.tensor([[0, 1]])
    joints = torch.zeros(1, 4, 2, 3)
    joints[0, :, 1, 0] = torch.tensor([100.0, 100, 100, 100])
    assert losses.limb_steadiness_loss(joints, limbs) == 0
    joints[0, :, 1, 0] = 100 * torch.tensor([0.1, -0.1, 0.1, -0.1]).exp()
    assert losses.limb_steadiness_loss(joints, limbs).item() == pytest.approx(0.1)
    joints[0, 0] = torch.nan
    joints.requires_grad_()
    losses.limb_steadiness_loss(joints, limbs).backward()
    assert torch.isfinite(joints.grad).all()


def test_velocity_loss_sees_change_alone() -> None:
    error = torch.full((2, 5, 3), 7.0)
    assert losses.velocity_loss(error) == 0
    error[0, 2] = 9
    error[1, 3] = torch.nan
    assert losses.velocity_loss(error).item() == pytest.approx(2 * 3 * 2 / (4 * 3 + 2 * 3))


def test_ray_offsets_are_what_reprojection_measures() -> None:
    rng = torch.Generator().manual_seed(0)
    points = torch.randn(6, 17, 3, generator=rng) * 200 + torch.tensor([0, 0, 4000.0])
    pixels = torch.rand(6, 17, 2, generator=rng) * 1000
    pixels[2, 3] = torch.nan
    cameras = torch.tensor([1000.0, 1100, 500, 480]).expand(6, -1)
    lengths = losses.ray_offsets(points, pixels, cameras, 0).norm(dim=-1)
    assert losses.ray_reprojection_loss(points, pixels, cameras, 0).item() == pytest.approx(lengths.nanmean().item())


TINY = TemporalTrainingConfig(
    network=TemporalConfig(width=16, ray_dilations=(1, 2), depth_dilations=(1, 2)),
    loss=LossConfig(reprojection="rays", reprojection_weight=0.1),
    optimiser=OptimiserConfig(learning_rate=3e-3, gradient_clip=1.0),
    steps=60,
    frames=192,
    synthetic_moments=300,
    exact=0.0,
    precision="float32",
)


def test_a_short_run_already_calms_noise(poses: PoseSet, labels: RelativeLabels) -> None:
    frames = random_lifter()
    before = [p.clone() for p in frames.network.parameters()]
    lifter = train_temporal(frames, poses, labels, TINY, val=poses, device="cpu", progress=False, card={"of": "test"})
    assert all(torch.equal(a, b) for a, b in zip(before, lifter.network.parameters(), strict=True))
    assert lifter.card["temporal_training"]["steps"] == 60
    assert lifter.card["name"] == "random"
    assert lifter.card["of"] == "test"
    noisy = DetectorNoise(share=0.06).add(poses, np.random.default_rng(0))
    alone = evaluate_sequences(Lifter(frames.network).lift_poses(noisy), poses)
    for causal in (False, True):
        report = evaluate_sequences(lifter.lift_poses(noisy, causal=causal), poses)
        assert report["acceleration_error"] < 0.8 * alone["acceleration_error"]


def test_the_same_seed_gives_the_same_weights(poses: PoseSet, labels: RelativeLabels) -> None:
    short = dataclasses.replace(TINY, steps=3)
    one, two = (train_temporal(random_lifter(), poses, labels, short, device="cpu", progress=False) for _ in range(2))
    for a, b in zip(one.temporal.parameters(), two.temporal.parameters(), strict=True):
        assert torch.equal(a, b)
    other = train_temporal(
        random_lifter(), poses, labels, dataclasses.replace(short, seed=1), device="cpu", progress=False
    )
    assert not torch.equal(other.temporal.ray_head.weight, one.temporal.ray_head.weight)


def test_without_labels_the_rest_is_still_learnt(poses: PoseSet) -> None:
    bare = dataclasses.replace(poses, joints=None)  # no 3D of the data is looked at
    lifter = train_temporal(
        random_lifter(), bare, None, dataclasses.replace(TINY, steps=2), device="cpu", progress=False
    )
    assert lifter.temporal is not None


def test_a_run_that_was_broken_off_ends_the_same(poses: PoseSet, labels: RelativeLabels, tmp_path: Path) -> None:
    short = dataclasses.replace(TINY, steps=6)

    def run(out: Path | None, **options: bool) -> Lifter:
        return train_temporal(random_lifter(), poses, labels, short, out, device="cpu", progress=False, **options)

    whole = run(None)
    with pytest.MonkeyPatch.context() as patch:
        save = temporal.save_checkpoint

        def save_and_crash(*arguments: object) -> None:
            save(*arguments)
            raise RuntimeError("power cut")

        patch.setattr(temporal, "save_checkpoint", save_and_crash)
        with pytest.raises(RuntimeError, match="power cut"):
            train_temporal(
                random_lifter(), poses, labels, short, tmp_path, device="cpu", progress=False, checkpoint_seconds=0
            )
    assert not (tmp_path / "weights.safetensors").exists()
    with pytest.raises(InputError, match="--resume"):
        run(tmp_path)
    with pytest.raises(InputError, match="other data"):
        train_temporal(random_lifter(), poses, labels.select(slice(0, 9)), short, tmp_path, resume=True, device="cpu")
    resumed = run(tmp_path, resume=True)
    saved = nearfar.load(tmp_path / "weights.safetensors")
    for name, value in whole.temporal.state_dict().items():
        assert torch.equal(value, resumed.temporal.state_dict()[name]), name
        assert torch.allclose(value, saved.temporal.state_dict()[name], atol=1e-3), name
    assert [row["step"] for row in read_log(tmp_path / "log.jsonl")] == [6]


def test_a_creature_without_synthetic_motion_can_be_trained(poses: PoseSet, labels: RelativeLabels) -> None:
    names = tuple(f"joint_{number}" for number in range(SKELETON.num_joints))
    limbs = tuple(Limb(limb.parent, limb.child) for limb in SKELETON.limbs)
    creature = Skeleton("creature", names, names[SKELETON.root_index], limbs, ())
    of_creature = dataclasses.replace(poses, skeleton=creature, joints=None)
    answers = dataclasses.replace(labels, skeleton=creature)
    network = build_network(NetworkConfig(width=32), creature)
    network.initialise()
    lifter = Lifter(network.eval(), {"mean_limb_lengths": [300.0] * 16})
    short = dataclasses.replace(TINY, steps=2)
    with pytest.raises(InputError, match="--synthetic-moments 0"):
        train_temporal(lifter, of_creature, answers, short, device="cpu", progress=False)
    without = dataclasses.replace(short, synthetic_moments=0)
    trained = train_temporal(lifter, of_creature, answers, without, device="cpu", progress=False)
    assert np.isfinite(trained.lift_poses(of_creature).joints).any()


def test_what_does_not_fit_is_refused(poses: PoseSet, labels: RelativeLabels) -> None:
    def train(lifter: Lifter, poses: PoseSet) -> Lifter:
        return train_temporal(lifter, poses, labels, TINY, device="cpu", progress=False)

    with pytest.raises(InputError, match="no clip"):
        train(random_lifter(), dataclasses.replace(poses, time=None, frame_index=None))
    with pytest.raises(InputError, match="head ray_depth"):
        train(Lifter(build_network(NetworkConfig(head="relative", width=8), SKELETON)), poses)
    with pytest.raises(InputError, match="lsp14"):
        train(random_lifter(), poses.remap("lsp14"))
    for useless, why in (
        (dataclasses.replace(poses, time=None, frame_index=None), "needs clips"),
        (dataclasses.replace(poses, joints=None), "joints in the camera's frame"),
        (poses.remap("lsp14"), "lsp14"),
    ):
        with pytest.raises(InputError, match=f"validation through time: .*{why}"):
            train_temporal(random_lifter(), poses, None, TINY, val=useless, device="cpu", progress=False)
    with pytest.raises(InputError, match="joints"):
        SequenceData.of(dataclasses.replace(poses, joints=None), None, device=CPU, joints=True)
    with pytest.raises(InputError, match="3D"):
        TemporalTrainingConfig(loss=LossConfig(joints="l1"))
    with pytest.raises(InputError, match="the relative head's"):
        TemporalTrainingConfig(loss=LossConfig(reprojection="scaled_orthographic"))
    for wrong in ({"steps": 0}, {"frames": 10}, {"causal": 1.5}, {"exact": -0.1}, {"steady_weight": float("nan")}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            TemporalTrainingConfig(**wrong)


def test_the_command_trains_and_resumes(
    poses: PoseSet, labels: RelativeLabels, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nearfar.cli import main

    random_lifter().save(tmp_path / "frames.safetensors")
    dataclasses.replace(poses, joints=None).save(tmp_path / "clips.npz")
    labels.save(tmp_path / "answers.parquet")
    command = ["train-video", "--data", str(tmp_path / "clips.npz"), "--labels", str(tmp_path / "answers.parquet")]
    command += ["--weights", str(tmp_path / "frames.safetensors"), "--steps", "2", "--frames", "96", "--device", "cpu"]
    command += ["--synthetic-moments", "100", "--network.width", "8", "--name", "mine"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    lifter = nearfar.load(tmp_path / "run" / "weights.safetensors")
    assert lifter.temporal.config.width == 8
    assert lifter.card["name"] == "mine"
    assert "600 relative depth labels" in lifter.card["temporal_supervision"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "run"), "--resume"]) == 0
