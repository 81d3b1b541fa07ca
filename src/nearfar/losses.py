"""Losses: pure functions of torch tensors, each returning a scalar.

Depths and joints are in mm in the camera's axes; a relation is +1 where joint b is nearer (depth(a) > depth(b)),
-1 where a is nearer, 0 where they are equally far, and in between where that is known with a probability only.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "batch_normalised_order_loss",
    "depth_differences",
    "inverse_distance_reprojection_loss",
    "joint_l1_loss",
    "joint_mse_loss",
    "limb_length_loss",
    "limb_lengths",
    "limb_proportion_loss",
    "limb_steadiness_loss",
    "order_likelihood_loss",
    "ray_offsets",
    "ray_reprojection_loss",
    "root_loss",
    "scaled_orthographic_reprojection_loss",
    "velocity_loss",
]

_EXPONENT_CAP = 85.0
"""Largest exponent before exp; float32 overflows at 88 (released code of Ronchi et al.)."""


def depth_differences(joints: Tensor, pair: Tensor) -> Tensor:
    """z_a - z_b (B,) mm for joints (B, J, 3) and pairs (B, 2)."""
    depths = joints[..., 2].gather(1, pair)
    return depths[:, 0] - depths[:, 1]


def batch_normalised_order_loss(difference: Tensor, relation: Tensor, multiplier: float = 2.5) -> Tensor:
    """The paper's relative loss (Ronchi et al., BMVC 2018; after Chen et al., NeurIPS 2016).

    d = difference / mean |difference| over the batch; log(1 + exp(-r·multiplier·d)) where r is not 0, else d².

    Args:
        difference: (B,) predicted z_a - z_b, mm.
        relation: (B,) -1, 0, +1; of others the sign counts.
        multiplier: steepness.
    """
    relation = relation.sign()
    d = difference / difference.abs().mean().clamp(min=1e-9)
    ranked = torch.log1p(torch.exp((-relation * multiplier * d).clamp(max=_EXPONENT_CAP)))
    return torch.where(relation != 0, ranked, d.square()).mean()


def order_likelihood_loss(difference: Tensor, relation: Tensor, scale: float = 30.0) -> Tensor:
    """Negative log likelihood of answers under P(b nearer) = 1 / (1 + exp(-difference / scale)), mean over the batch.

    The logistic model of paired comparisons (Bradley & Terry, 1952). Its scale is the difference at which answers are
    right 73 % of the time: about 30 mm, where only the prediction is uncertain, for exact answers, and that fitted to
    people's answers for theirs (`answer_noise.fit_noise`, link "logit"). However wrong the answer, no label pulls
    harder than 1 / scale, and a pair that is satisfied by more than a few scales is left alone. For relations between
    -1 and +1 it is the expected value (cross entropy): 2 P(b nearer) - 1 of merged answers, or 0 for "the same".

    Args:
        difference: (B,) predicted z_a - z_b, mm.
        relation: (B,) expected relation, -1 to +1.
        scale: mm.
    """
    d = difference / scale
    return (F.softplus(-d) + (1 - relation) / 2 * d).mean()


def scaled_orthographic_reprojection_loss(joints: Tensor, scale: Tensor, pixels: Tensor) -> Tensor:
    """Mean over joints of ‖s·(x, y) - (u, v)‖ in pixels (PAPER.md 3).

    Args:
        joints: (B, J, 3) mm.
        scale: (B,) pixels per mm.
        pixels: (B, J, 2) relative to the root's; missing joints (NaN) take no part.
    """
    return _mean_distance(scale[:, None, None] * joints[..., :2], pixels)


def inverse_distance_reprojection_loss(
    joints: Tensor, inverse_distance: Tensor, pixels: Tensor, focal: Tensor
) -> Tensor:
    """The paper's reprojection with known focal length: ‖f·(x, y) / (z + 1/s) - (u, v)‖ (PAPER.md 3).

    Args:
        joints: (B, J, 3) mm.
        inverse_distance: (B,) s in 1/mm.
        pixels: (B, J, 2) relative to the root's; missing joints (NaN) take no part.
        focal: (B, 2) fx, fy in pixels.
    """
    depth = joints[..., 2:] + 1 / inverse_distance[:, None, None].clamp(min=1e-9)
    return _mean_distance(focal[:, None] * joints[..., :2] / depth, pixels)


def ray_reprojection_loss(points: Tensor, pixels: Tensor, intrinsics: Tensor, root: int) -> Tensor:
    """Mean distance of joints from their true rays, in mm at the root's depth.

    Args:
        points: (B, J, 3) mm, in the camera frame.
        pixels: (B, J, 2) where the joints truly are in the image; missing ones (NaN) take no part.
        intrinsics: (B, 4) fx, fy, cx, cy in pixels.
        root: index of the root joint; no gradient passes through its depth, or people would shrink.
    """
    return _mean_distance(*_across_rays(points, pixels, intrinsics, root))


def ray_offsets(points: Tensor, pixels: Tensor, intrinsics: Tensor, root: int) -> Tensor:
    """What `ray_reprojection_loss` takes the mean length of: (B, J, 2) mm, NaN where a joint is missing."""
    placed, true = _across_rays(points, pixels, intrinsics, root)
    return placed - true


def _across_rays(points: Tensor, pixels: Tensor, intrinsics: Tensor, root: int) -> tuple[Tensor, Tensor]:
    """Where joints are, and should be, across the image plane at the root's depth: (B, J, 2) mm each."""
    distance = points[:, root, 2].detach()[:, None, None]
    slopes = points[..., :2] / torch.maximum(points[..., 2:], 0.1 * distance.abs())
    rays = (pixels - intrinsics[:, None, 2:]) / intrinsics[:, None, :2]
    return slopes * distance, rays * distance


def _mean_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean over joints of the distance, joints with a NaN target left out (without a NaN in the gradient)."""
    present = ~torch.isnan(target).any(-1)
    offset = torch.where(present[..., None], predicted - target, 1.0)
    return (_norm(offset) * present).sum() / present.sum().clamp(min=1)


def root_loss(joints: Tensor, root: int) -> Tensor:
    """Mean distance (mm) of the predicted root from the origin (PAPER.md 3)."""
    return _norm(joints[:, root]).mean()


def limb_lengths(joints: Tensor, limbs: Tensor) -> Tensor:
    """Lengths (B, K) mm of limbs (K, 2) of joints (B, J, 3)."""
    return _norm(joints[:, limbs[:, 1]] - joints[:, limbs[:, 0]])


def _norm(vectors: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(vectors, dim=-1)
    return length


def limb_proportion_loss(joints: Tensor, limbs: Tensor, unit: Tensor, reference: Tensor) -> Tensor:
    """Mean over limbs of |l / l_unit - L / L_unit| (PAPER.md 3).

    Args:
        joints: (B, J, 3) mm.
        limbs: (K, 2) joints of the limbs compared.
        unit: (1, 2) joints of the unit limb.
        reference: (K,) or (B, K) reference proportions L / L_unit; NaN where not known: those limbs take no part.
    """
    ratio = limb_lengths(joints, limbs) / limb_lengths(joints, unit).clamp(min=1e-6)
    known = torch.isfinite(reference)
    return _mean_where(known, (ratio - torch.where(known, reference, 1.0)).abs())


def limb_length_loss(joints: Tensor, limbs: Tensor, reference: Tensor) -> Tensor:
    """Mean over limbs of |log(l / L)|, L the mean limb lengths of a population.

    Args:
        joints: (B, J, 3) mm.
        limbs: (K, 2) joints of the limbs compared.
        reference: (K,) or (B, K) L in mm; NaN where not known: those limbs take no part.
    """
    known = torch.isfinite(reference)
    error = torch.log(limb_lengths(joints, limbs).clamp(min=1.0) / torch.where(known, reference, 1.0)).abs()
    return _mean_where(known, error)


def _mean_where(known: Tensor, error: Tensor) -> Tensor:
    """Mean of error (B, K) where known (K,) or (B, K); 0 where nothing is."""
    known = known.expand_as(error)
    return (error * known).sum() / known.sum().clamp(min=1)


def limb_steadiness_loss(joints: Tensor, limbs: Tensor) -> Tensor:
    """Mean over limbs and frames of |log l - mean over time of log l|: whoever they are, their limbs do not change.

    Args:
        joints: (B, T, J, 3) mm; frames with a missing joint (NaN) take no part.
        limbs: (K, 2) joints of the limbs.
    """
    there = torch.isfinite(joints).flatten(2).all(-1)[..., None]
    lengths = limb_lengths(joints.nan_to_num(0.0).flatten(0, 1), limbs).reshape(*joints.shape[:2], -1)
    size = lengths.clamp(min=1.0).log()
    mean = (size * there).sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)
    return ((size - mean).abs() * there).sum() / (there.sum() * len(limbs)).clamp(min=1)


def velocity_loss(error: Tensor) -> Tensor:
    """Mean absolute change of an error from frame to frame (Pavllo et al., CVPR 2019): what jitters, not what is off.

    Args:
        error: (B, T, ...), NaN where it is not known.
    """
    change = error[:, 1:] - error[:, :-1]
    known = torch.isfinite(change)
    return torch.where(known, change, 0.0).abs().sum() / known.sum().clamp(min=1)


def joint_mse_loss(joints: Tensor, target: Tensor) -> Tensor:
    """Mean squared error per coordinate, mm², of (B, J, 3) joints; missing targets (NaN) take no part."""
    return _masked_mean(joints, target, squared=True)


def joint_l1_loss(joints: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error per coordinate, mm, of (B, J, 3) joints; missing targets (NaN) take no part."""
    return _masked_mean(joints, target, squared=False)


def _masked_mean(joints: Tensor, target: Tensor, *, squared: bool) -> Tensor:
    present = ~torch.isnan(target)
    error = torch.where(present, joints - target, 0.0)
    return (error.square() if squared else error.abs()).sum() / present.sum().clamp(min=1)
