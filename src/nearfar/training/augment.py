"""What happens to a batch before the network sees it: mirroring, noise and hidden joints, drawn anew each step."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.keypoint_noise import detect, hidden_joints
from nearfar.presets import TrainingConfig
from nearfar.skeleton import Skeleton
from nearfar.training.data import Batch

__all__ = ["augment"]


def augment(batch: Batch, config: TrainingConfig, skeleton: Skeleton, generator: torch.Generator) -> Batch:
    """Mirror poses, move keypoints and hide joints as the configuration says; labels and joints follow the mirror.

    What the network is asked for stays true: `Batch.pixels` and `Batch.joints` know nothing of the noise.

    Args:
        batch: as it comes from `TrainingData.batches`.
        config: the run.
        skeleton: of the poses; its root is never hidden.
        generator: on the batch's device.
    """
    keypoints, root = batch.keypoints, skeleton.root_index
    if config.mirror:
        turn = torch.rand(len(keypoints), device=keypoints.device, generator=generator) < 0.5
        permutation = torch.from_numpy(skeleton.mirror_permutation).to(keypoints.device)
        batch = _mirrored_batch(batch, turn, permutation)
        keypoints = batch.keypoints
    if config.keypoint_noise:
        offset = keypoints - keypoints[:, root : root + 1]
        apparent = offset.square().sum(-1).nanmean(-1).sqrt()
        noise = torch.randn(keypoints.shape, device=keypoints.device, generator=generator)
        keypoints = keypoints + config.keypoint_noise * apparent[:, None, None] * noise
    if config.detector_noise:
        difficulty = torch.rand(len(keypoints), device=keypoints.device, generator=generator)
        keypoints, _ = detect(keypoints, config.detector_noise, skeleton, generator, difficulty)
    if config.missing_joints:
        chance = torch.rand(keypoints.shape[:2], device=keypoints.device, generator=generator)
        hidden = hidden_joints(keypoints, chance < config.missing_joints, root)
        keypoints = torch.where(hidden[..., None], torch.nan, keypoints)
    return batch._replace(keypoints=keypoints)


def _mirrored_batch(batch: Batch, turn: Tensor, permutation: Tensor) -> Batch:
    """The batch with the poses that `turn` (B,) names mirrored."""
    sign = torch.where(turn, -1.0, 1.0)[:, None]
    keypoints = _mirrored(batch.keypoints, turn, permutation)
    hiding = batch.keypoints is not batch.pixels
    pair, joints = batch.pair, batch.joints
    if pair is not None and batch.labelled is not None:
        pair = torch.where(turn[batch.labelled, None], permutation[pair], pair)
    return batch._replace(
        keypoints=keypoints,
        pixels=_mirrored(batch.pixels, turn, permutation) if hiding else keypoints,
        intrinsics=torch.cat([batch.intrinsics[:, :2], batch.intrinsics[:, 2:3] * sign, batch.intrinsics[:, 3:]], -1),
        pair=pair,
        joints=None if joints is None else _mirrored(joints, turn, permutation),
    )


def _mirrored(points: Tensor, turn: Tensor, permutation: Tensor) -> Tensor:
    """Points (B, J, D), those of the rows that `turn` (B,) names with left and right exchanged and x negated."""
    points = torch.where(turn[:, None, None], points[:, permutation], points)
    sign = torch.where(turn, -1.0, 1.0)[:, None, None]
    return torch.cat([points[..., :1] * sign, points[..., 1:]], dim=-1)
