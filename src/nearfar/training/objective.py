"""The loss of a batch: the terms that a configuration names, weighted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nearfar import losses
from nearfar.errors import InputError
from nearfar.lifting.network import Prediction
from nearfar.poses import PoseSet
from nearfar.presets import LossConfig
from nearfar.skeleton import Skeleton
from nearfar.synthetic import synthetic_poses
from nearfar.training.data import Batch

if TYPE_CHECKING:
    from nearfar.training.store import TrainingStore

__all__ = ["LimbReference", "objective"]

SYNTHETIC_MOMENTS = 10_000
"""Moments of synthetic motion over which limb lengths are averaged: hundreds of people."""


@dataclass(frozen=True, eq=False)
class LimbReference:
    """What limbs are compared with.

    Attributes:
        limbs: (K, 2) joints of the limbs that take part.
        unit: (1, 2) joints of the unit limb.
        lengths: (K,) reference lengths, mm; None for those of each pose.
        unit_length: (1,) mm, of the unit limb, likewise.
    """

    limbs: Tensor
    unit: Tensor
    lengths: Tensor | None
    unit_length: Tensor | None

    @classmethod
    def of(cls, poses: PoseSet | TrainingStore, config: LossConfig, device: torch.device) -> LimbReference | None:
        """The reference that the configuration names, or None where it uses no limbs.

        Raises:
            InputError: the data or the skeleton lack what the configuration asks for.
        """
        if config.limbs == "none":
            return None
        skeleton = poses.skeleton
        unit = skeleton.unit_limb_index
        if unit is None:
            if config.limbs == "proportions":
                raise InputError(f"limb proportions need a unit limb, which skeleton {skeleton.name!r} does not name")
            unit = 0  # not used
        rigid = skeleton.rigid_limbs
        limbs = torch.from_numpy(skeleton.limb_joints[rigid]).to(device)
        unit_joints = torch.from_numpy(skeleton.limb_joints[[unit]]).to(device)
        if config.limb_reference == "sample":
            return cls(limbs, unit_joints, None, None)
        if config.limb_reference == "average_person":
            lengths = average_person_lengths(skeleton)
        elif config.limb_reference == "synthetic_mean":
            lengths = _synthetic_lengths(skeleton)
        elif poses.mean_limb_lengths is not None:
            lengths = np.array(poses.mean_limb_lengths, dtype=np.float64)
        else:
            raise InputError(
                "the data state no mean limb lengths: use limb_reference synthetic_mean or average_person "
                "(--loss.limb-reference synthetic_mean), or give the pose set mean_limb_lengths"
            )
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise InputError(f"limb lengths must be positive numbers of mm, got {lengths.tolist()}")
        known = torch.from_numpy(lengths).float().to(device)
        return cls(limbs, unit_joints, known[torch.from_numpy(rigid).to(device)], known[[unit]])

    def of_batch(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Reference lengths (K,) or (B, K) and that of the unit limb (1,) or (B, 1), mm."""
        if self.lengths is not None and self.unit_length is not None:
            return self.lengths, self.unit_length
        if batch.joints is None:
            raise ValueError("limb proportions of the sample need its 3D joints")
        return losses.limb_lengths(batch.joints, self.limbs), losses.limb_lengths(batch.joints, self.unit)


def average_person_lengths(skeleton: Skeleton) -> np.ndarray:
    """(L,) mm: the skeleton's reference lengths, scaled by the length in mm of its unit limb.

    Raises:
        InputError: the skeleton states no reference lengths, or no length for its unit limb.
    """
    lengths, unit = skeleton.reference_lengths, skeleton.unit_limb_index
    if lengths is None or unit is None or skeleton.unit_limb_mm is None:
        raise InputError(f"skeleton {skeleton.name!r} states no limb proportions of an average person")
    return np.asarray(lengths / lengths[unit] * skeleton.unit_limb_mm)


def _synthetic_lengths(skeleton: Skeleton) -> np.ndarray:
    """(L,) mm: mean limb lengths of synthetic people."""
    lengths = synthetic_poses(SYNTHETIC_MOMENTS, fps=1.0, skeleton=skeleton).mean_limb_lengths
    if lengths is None:
        raise ValueError("synthetic poses come with mean limb lengths")
    return lengths


def objective(
    prediction: Prediction, batch: Batch, config: LossConfig, reference: LimbReference | None, root: int
) -> dict[str, Tensor]:
    """The weighted terms of the loss, by name; their sum is what is minimised.

    Args:
        prediction: of the network, for the batch.
        batch: with what the terms need.
        config: kinds and weights of the terms.
        reference: limbs to compare with, where the configuration uses limbs.
        root: index of the root joint.
    """
    joints = prediction.joints
    terms: dict[str, Tensor] = {}
    pair, relation, labelled = batch.pair, batch.relation, batch.labelled
    if config.order != "none" and pair is not None and relation is not None and labelled is not None and len(pair):
        loss = {
            "batch_normalised": losses.batch_normalised_order_loss,
            "likelihood": losses.order_likelihood_loss,
        }[config.order]
        difference = losses.depth_differences(joints[labelled], pair)
        terms["order"] = config.order_weight * loss(difference, relation, config.order_scale)
    if config.reprojection == "rays":
        if prediction.root is None:
            raise InputError("reprojection 'rays' needs a head that places people (ray_depth)")
        error = losses.ray_reprojection_loss(joints + prediction.root[:, None], batch.pixels, batch.intrinsics, root)
        terms["reprojection"] = config.reprojection_weight * error
    elif config.reprojection != "none":
        if prediction.scale is None:
            raise InputError(f"reprojection {config.reprojection!r} needs a head that predicts the scale (relative)")
        pixels = batch.pixels - batch.pixels[:, root : root + 1]
        if config.reprojection == "scaled_orthographic":
            error = losses.scaled_orthographic_reprojection_loss(joints, prediction.scale, pixels)
        else:
            focal = batch.intrinsics[:, :2]
            error = losses.inverse_distance_reprojection_loss(joints, prediction.scale, pixels, focal)
        terms["reprojection"] = config.reprojection_weight * error
    if config.root_weight:
        terms["root"] = config.root_weight * losses.root_loss(joints, root)
    if reference is not None:
        lengths, unit_length = reference.of_batch(batch)
        if config.limbs == "proportions":
            limb = losses.limb_proportion_loss(joints, reference.limbs, reference.unit, lengths / unit_length)
        else:
            limb = losses.limb_length_loss(joints, reference.limbs, lengths)
        terms["limbs"] = config.limb_weight * limb
    if config.joints != "none" and batch.joints is not None:
        error_of = losses.joint_mse_loss if config.joints == "mse" else losses.joint_l1_loss
        terms["joints"] = config.joints_weight * error_of(joints, batch.joints)
    return terms
