"""What happens to a batch before the network sees it: mirrored, rolled, noisy and hidden joints, anew each step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from nearfar.keypoint_noise import detect, hidden_joints
from nearfar.presets import TrainingConfig
from nearfar.skeleton import Skeleton
from nearfar.training.data import Batch

__all__ = ["augment"]

EXACT = 0.3
"""Share of the poses that a detector's noise leaves alone: without them, exact keypoints would be lifted worse."""


def augment(batch: Batch, config: TrainingConfig, skeleton: Skeleton, generator: torch.Generator) -> Batch:
    """Mirror and roll poses, move keypoints and hide joints as the configuration says; labels and joints follow.

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
    if config.rolled:
        rolled, angle = torch.rand(2, len(keypoints), device=keypoints.device, generator=generator)
        batch = _rolled_batch(batch, torch.where(rolled < config.rolled, 2 * math.pi * angle, 0.0))
    keypoints = batch.keypoints
    if config.keypoint_noise:
        offset = keypoints - keypoints[:, root : root + 1]
        apparent = offset.square().sum(-1).nanmean(-1).sqrt()
        noise = torch.randn(keypoints.shape, device=keypoints.device, generator=generator)
        keypoints = keypoints + config.keypoint_noise * apparent[:, None, None] * noise
    if config.detector_noise:
        exact, difficulty = torch.rand(2, len(keypoints), device=keypoints.device, generator=generator)
        difficulty = torch.where(exact < EXACT, 0.0, difficulty)
        keypoints, _ = detect(keypoints, config.detector_noise, skeleton, generator, difficulty)
    if config.missing_joints:
        chance = torch.rand(keypoints.shape[:2], device=keypoints.device, generator=generator)
        hidden = hidden_joints(keypoints, chance < config.missing_joints, root)
        keypoints = torch.where(hidden[..., None], torch.nan, keypoints)
    return batch._replace(keypoints=keypoints)


def _mirrored_batch(batch: Batch, turn: Tensor, permutation: Tensor) -> Batch:
    """The batch with the poses that `turn` (B,) names mirrored."""
    sign = torch.where(turn, -1.0, 1.0)[:, None]
    pair, joints = batch.pair, batch.joints
    if pair is not None and batch.labelled is not None:
        pair = torch.where(turn[batch.labelled, None], permutation[pair], pair)
    return _moved(batch, lambda points: _mirrored(points, turn, permutation))._replace(
        intrinsics=torch.cat([batch.intrinsics[:, :2], batch.intrinsics[:, 2:3] * sign, batch.intrinsics[:, 3:]], -1),
        pair=pair,
        joints=None if joints is None else _mirrored(joints, turn, permutation),
    )


def _rolled_batch(batch: Batch, angle: Tensor) -> Batch:
    """The batch as cameras see it that were rolled about their axes by angles (B,); depths stay as they are."""
    c, s = angle.cos()[:, None], angle.sin()[:, None]
    focal, centre = batch.intrinsics[:, None, :2], batch.intrinsics[:, None, 2:]

    def roll(points: Tensor) -> Tensor:
        x, y = points[..., 0], points[..., 1]
        return torch.stack([c * x - s * y, s * x + c * y], dim=-1)

    moved = _moved(batch, lambda pixels: roll((pixels - centre) / focal) * focal + centre)
    if batch.joints is None:
        return moved
    return moved._replace(joints=torch.cat([roll(batch.joints), batch.joints[..., 2:]], dim=-1))


def _moved(batch: Batch, move: Callable[[Tensor], Tensor]) -> Batch:
    """The batch with keypoints and pixels moved; they stay one tensor where they are."""
    keypoints = move(batch.keypoints)
    return batch._replace(
        keypoints=keypoints, pixels=keypoints if batch.pixels is batch.keypoints else move(batch.pixels)
    )


def _mirrored(points: Tensor, turn: Tensor, permutation: Tensor) -> Tensor:
    """Points (B, J, D), those of the rows that `turn` (B,) names with left and right exchanged and x negated."""
    points = torch.where(turn[:, None, None], points[:, permutation], points)
    sign = torch.where(turn, -1.0, 1.0)[:, None, None]
    return torch.cat([points[..., :1] * sign, points[..., 1:]], dim=-1)
