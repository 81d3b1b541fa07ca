"""The loss of a batch: the terms that a configuration names, weighted."""

from __future__ import annotations

from torch import Tensor

from nearfar import losses
from nearfar.errors import InputError
from nearfar.lifting.network import Prediction
from nearfar.presets import LossConfig
from nearfar.training.data import Batch
from nearfar.training.limb_reference import LimbReference

__all__ = ["objective"]


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
