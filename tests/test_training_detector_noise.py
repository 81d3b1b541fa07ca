"""Training on what a detector would make of the keypoints: what the network sees, is asked for, and learns."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from nearfar import InputError, PoseSet, synthetic_poses, train
from nearfar.camera import project
from nearfar.keypoint_noise import DetectorNoise
from nearfar.labels import RelativeLabels, labels_from_joints, random_pairs
from nearfar.lifting.lifter import predict
from nearfar.lifting.network import build_network
from nearfar.losses import ray_reprojection_loss
from nearfar.presets import LossConfig, NetworkConfig, OptimiserConfig, SyntheticConfig, TrainingConfig
from nearfar.training.augment import augment
from nearfar.training.companions import SyntheticSamples
from nearfar.training.data import TrainingData

CPU = torch.device("cpu")
NOISE = DetectorNoise(share=0.1, jumps=0.1, limb_swaps=0.02, missing=0.1, cuts=0.1)
ROBUST = TrainingConfig(
    network=NetworkConfig(width=128, dropout=0.0, correct_rays=True),
    loss=LossConfig(limb_weight=20.0, reprojection="rays", reprojection_weight=0.2),
    optimiser=OptimiserConfig(learning_rate=3e-3),
    detector_noise=NOISE,
    epochs=20,
    batch_size=64,
    precision="float32",
)


@pytest.fixture(scope="module")
def poses() -> PoseSet:
    return synthetic_poses(1500, seed=8, fps=2.0)


@pytest.fixture(scope="module")
def labels(poses: PoseSet) -> RelativeLabels:
    return labels_from_joints(poses, random_pairs(poses.skeleton, len(poses), 1, np.random.default_rng(0)))


def test_only_what_the_network_sees_is_noisy(poses: PoseSet) -> None:
    config = dataclasses.replace(ROBUST, loss=LossConfig(order="none", limbs="none", joints="l1"), mirror=False)
    data = TrainingData.of(poses, None, config, CPU)
    batch = next(data.batches(512, torch.Generator().manual_seed(0)))
    first, second = (augment(batch, config, poses.skeleton, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert torch.equal(first.pixels, batch.pixels)
    assert torch.equal(first.joints, batch.joints)
    assert torch.isnan(first.keypoints).any()
    assert not torch.equal(first.keypoints.nan_to_num(0), second.keypoints.nan_to_num(0))
    offsets = (first.keypoints - first.pixels).square().sum(-1).nanmean(-1).sqrt()
    assert 0.2 < (offsets == 0).float().mean() < 0.4


def test_corrections_move_joints_in_the_image_only() -> None:
    """With corrections of nothing the network is the plain one; others leave the depths alone."""
    poses = synthetic_poses(20, seed=1)
    keypoints, intrinsics = torch.from_numpy(poses.keypoints), torch.from_numpy(poses.intrinsics)
    torch.manual_seed(0)
    network = build_network(NetworkConfig(width=32, correct_rays=True), poses.skeleton).eval()
    network.initialise()
    with torch.no_grad():
        joints = poses.skeleton.num_joints
        plain = network(keypoints, intrinsics)
        seen = project((plain.joints + plain.root[:, None]).double().numpy(), poses.intrinsics)
        assert np.allclose(seen, poses.keypoints, atol=0.05)
        network.head.bias[joints + 1 :] = torch.randn(2 * joints)
        moved = network(keypoints, intrinsics)
    seen = project((moved.joints + moved.root[:, None]).double().numpy(), poses.intrinsics)
    assert np.abs(seen - poses.keypoints).mean() > 5


def test_trained_on_noise_the_network_finds_the_true_keypoints(poses: PoseSet, labels: RelativeLabels) -> None:
    """From labels alone: joints lie nearer to the true keypoints than the noisy ones do."""
    lifter = train(dataclasses.replace(poses, joints=None), labels, ROBUST, progress=False, device="cpu")
    held_out = synthetic_poses(300, seed=9, fps=2.0)
    noisy = DetectorNoise(share=0.1).add(held_out, np.random.default_rng(0))
    joints, root = predict(lifter.network, noisy.keypoints, noisy.intrinsics)
    seen = project((joints + root[:, None]).astype(np.float64), noisy.intrinsics)
    error = np.linalg.norm(seen - held_out.keypoints, axis=-1)
    given = np.linalg.norm(noisy.keypoints - held_out.keypoints, axis=-1)
    assert error.mean() < 0.95 * given.mean()


def test_distance_from_the_rays() -> None:
    intrinsics = torch.tensor([[1000.0, 1000.0, 500.0, 500.0]])
    pixels = torch.tensor([[[500.0, 500.0], [600.0, 500.0], [float("nan"), 500.0]]])
    points = torch.tensor([[[0.0, 0.0, 4000.0], [410.0, 0.0, 4100.0], [9.0, 9.0, 4000.0]]], requires_grad=True)
    loss = ray_reprojection_loss(points, pixels, intrinsics, 0)
    assert float(loss.detach()) == pytest.approx(0, abs=1e-3)
    moved = points.detach() + torch.tensor([0.0, 30.0, 0.0])
    assert float(ray_reprojection_loss(moved, pixels, intrinsics, 0)) == pytest.approx((30 + 30 * 4000 / 4100) / 2)
    behind = (points.detach() * torch.tensor([1.0, 1.0, -1.0])).requires_grad_()
    ray_reprojection_loss(behind, pixels, intrinsics, 0).backward()
    assert torch.isfinite(behind.grad).all()


def test_corrections_need_something_that_holds_them() -> None:
    with pytest.raises(InputError, match="nothing holds the joints to the image"):
        TrainingConfig(network=NetworkConfig(correct_rays=True))
    for wrong in (
        {"network": NetworkConfig(head="relative", correct_rays=True)},
        {"loss": LossConfig(reprojection="rays")},
    ):
        network = wrong.get("network", NetworkConfig(head="relative"))
        with pytest.raises(InputError, match=r"need network\.head ray_depth"):
            TrainingConfig(network=network, loss=wrong.get("loss", LossConfig()))


def test_rolled_poses_stay_true(poses: PoseSet) -> None:
    """Joints of rolled poses still lie on their rays, as deep as before; about the stated share is rolled."""
    config = TrainingConfig(loss=LossConfig(joints="l1", order="none", limbs="none"), mirror=False, rolled=0.4)
    data = TrainingData.of(poses, None, config, CPU)
    batch = next(data.batches(512, torch.Generator().manual_seed(0)))
    rolled = augment(batch, config, poses.skeleton, torch.Generator().manual_seed(0))
    touched = ~torch.isclose(rolled.joints, batch.joints, atol=1e-3).all(-1).all(-1)
    assert 0.3 < touched.float().mean() < 0.5
    assert torch.allclose(rolled.joints[..., 2], batch.joints[..., 2])
    assert torch.equal(rolled.keypoints, rolled.pixels)
    row = int((poses.keypoints == batch.keypoints[touched][0].numpy()).all((1, 2)).argmax())
    root = torch.from_numpy(poses.joints[row, poses.skeleton.root_index])
    turned = rolled.joints[touched][0]
    slopes = (rolled.pixels[touched][0] - rolled.intrinsics[touched][0][2:]) / rolled.intrinsics[touched][0][:2]
    before = (batch.pixels[touched][0] - rolled.intrinsics[touched][0][2:]) / rolled.intrinsics[touched][0][:2]
    assert torch.allclose(slopes.norm(dim=-1), before.norm(dim=-1), atol=1e-5)
    depths = turned[:, 2:] + root[2]
    assert torch.allclose((slopes * depths) - (slopes * depths)[poses.skeleton.root_index], turned[:, :2], atol=0.5)


def test_synthetic_people_from_above_and_below(poses: PoseSet) -> None:
    """Heads of tilted views come towards the camera or go from it; joints stay on their rays."""
    usual, tilted = (
        SyntheticSamples.of(SyntheticConfig(poses=600, tilted=share), poses.skeleton, 0, 1000, CPU)
        for share in (0.0, 1.0)
    )
    head = poses.skeleton.index("head_top")
    spread = [samples.joints[:, head, 2].abs().mean() for samples in (usual, tilted)]
    assert spread[1] > 1.5 * spread[0]
    slopes = (tilted.keypoints - tilted.intrinsics[:, None, 2:]) / tilted.intrinsics[:, None, :2]
    root = poses.skeleton.root_index
    depth = torch.linalg.lstsq(
        (slopes - slopes[:, [root]]).flatten(1)[..., None],
        (tilted.joints[..., :2] - slopes * tilted.joints[..., 2:]).flatten(1)[..., None],
    ).solution[:, 0]
    error = slopes * (tilted.joints[..., 2:] + depth[:, None]) - slopes[:, [root]] * depth[:, None]
    assert (error - tilted.joints[..., :2]).abs().max() < 1
