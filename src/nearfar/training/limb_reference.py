"""What limbs are compared with: mean lengths that come with the data, published ones, or what the keypoints show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nearfar import losses
from nearfar.camera import keypoints_to_rays
from nearfar.errors import InputError
from nearfar.geometry import limb_lengths
from nearfar.lifting.lifter import with_camera
from nearfar.poses import PoseSet
from nearfar.presets import LossConfig
from nearfar.skeleton import Skeleton
from nearfar.synthetic import synthetic_poses
from nearfar.training.data import Batch

if TYPE_CHECKING:
    from nearfar.training.store import TrainingStore

__all__ = ["LimbReference", "average_person_lengths", "lengths_from_keypoints"]

Array = npt.NDArray[np.floating]

SYNTHETIC_MOMENTS = 10_000
"""Moments of synthetic motion over which limb lengths are averaged: hundreds of people."""

SHOWN_POSES = 1 << 16
"""Poses that proportions are taken from, at most."""

LEAST_POSES = 100
"""Fewer complete poses do not show each limb from the side."""

FROM_THE_SIDE = 0.9
"""Quantile of a limb's apparent length at which it is seen from the side, nearly."""


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
            lengths = _synthetic_lengths(_synthetic_people(skeleton))
        elif config.limb_reference == "keypoints":
            lengths = lengths_from_keypoints(_shown(poses))
        elif poses.mean_limb_lengths is not None:
            lengths = np.array(poses.mean_limb_lengths, dtype=np.float64)
        else:
            raise InputError(
                "the data state no mean limb lengths: use limb_reference keypoints, synthetic_mean or average_person "
                "(--loss.limb-reference keypoints), or give the pose set mean_limb_lengths"
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


def lengths_from_keypoints(poses: PoseSet) -> np.ndarray:
    """Mean limb lengths of the people in images, as far as keypoints show them.

    How long a limb looks depends on how it is turned; but of many poses some show it from the side. So the proportions
    of synthetic people, whose limbs are known, are corrected by how much longer or shorter each limb looks here than
    there: by the ratio of the `FROM_THE_SIDE` quantiles of its share of all limbs' apparent lengths. The limbs of both
    sides of a body are taken together. Sizes in mm stay those of the synthetic people: images do not show them.

    Args:
        poses: keypoints and intrinsics; poses with missing joints are left out. Jitter makes short limbs look longer.

    Returns:
        (L,) mm.

    Raises:
        InputError: fewer than `LEAST_POSES` complete poses, or a skeleton that synthetic people do not have.
    """
    people = _synthetic_people(poses.skeleton)
    seen, expected = (_apparent_lengths(some) for some in (poses, people))
    if len(seen) < 2 * LEAST_POSES:
        raise InputError(
            f"limb_reference keypoints: expected at least {LEAST_POSES} poses with all joints, got {len(seen) // 2} "
            "(synthetic_mean needs none)"
        )
    longer = np.quantile(seen, FROM_THE_SIDE, axis=0) / np.quantile(expected, FROM_THE_SIDE, axis=0)
    known = _synthetic_lengths(people)
    lengths = known * longer
    return np.asarray(lengths * (known.sum() / lengths.sum()))


def _apparent_lengths(poses: PoseSet) -> Array:
    """(M, L): how long limbs look, as shares of the sum, of all complete poses and of their mirror images."""
    poses = with_camera(poses, "limb_reference keypoints")
    assert poses.keypoints is not None
    assert poses.intrinsics is not None
    slopes = keypoints_to_rays(poses.keypoints, poses.intrinsics)
    rays = np.concatenate([slopes, np.ones_like(slopes[..., :1])], axis=-1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    lengths = limb_lengths(np.concatenate([rays, rays[:, poses.skeleton.mirror_permutation]]), poses.skeleton)
    lengths = lengths[np.isfinite(lengths).all(axis=1) & (lengths.sum(axis=1) > 0)]
    return np.asarray(lengths / lengths.sum(axis=1, keepdims=True))


def _shown(poses: PoseSet | TrainingStore) -> PoseSet:
    """Some of many poses, evenly chosen; the first ones of a store are."""
    if isinstance(poses, PoseSet):
        return poses.select(np.linspace(0, len(poses) - 1, min(len(poses), SHOWN_POSES)).astype(np.int64))
    return poses.read(0, min(len(poses), SHOWN_POSES))[0]


def _synthetic_people(skeleton: Skeleton) -> PoseSet:
    return synthetic_poses(SYNTHETIC_MOMENTS, fps=1.0, skeleton=skeleton)


def _synthetic_lengths(people: PoseSet) -> np.ndarray:
    """(L,) mm: mean limb lengths of synthetic people."""
    if people.mean_limb_lengths is None:
        raise ValueError("synthetic poses come with mean limb lengths")
    return people.mean_limb_lengths
