"""Training data as whole tensors: no Python object a sample, batches by indexing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nearfar.errors import InputError
from nearfar.geometry import root_relative
from nearfar.keypoint_noise import hidden_joints
from nearfar.labels import RelativeLabels
from nearfar.lifting.lifter import with_camera
from nearfar.lifting.network import MIN_JOINTS
from nearfar.poses import PoseSet
from nearfar.presets import TrainingConfig
from nearfar.skeleton import Skeleton

__all__ = ["Batch", "TrainingData", "expected_relation", "trainable"]

Array = npt.NDArray[Any]


class Batch(NamedTuple):
    """B training poses.

    Attributes:
        keypoints: (B, J, 2) pixels, NaN where missing.
        intrinsics: (B, 4) fx, fy, cx, cy in pixels.
        pair: (M, 2) joints compared, or None without labels.
        relation: (M,) expected relation, -1 to +1, or None without labels.
        labelled: (M,) the pose of the batch that each label speaks of, or None without labels.
        joints: (B, J, 3) mm, root-relative, or None where the loss does not look at 3D.
        pixels: (B, J, 2) keypoints as they were before noise and hiding: what reprojection is measured against.
    """

    keypoints: Tensor
    intrinsics: Tensor
    pair: Tensor | None
    relation: Tensor | None
    labelled: Tensor | None
    joints: Tensor | None
    pixels: Tensor


@dataclass(frozen=True, eq=False)
class TrainingData:
    """All poses and labels of a run, resident on one device.

    With several labels a pose, one is drawn for each pose and epoch (Ronchi et al., BMVC 2018), or all are used.

    Attributes:
        keypoints: (N, J, 2) float32, noise of the configuration included.
        hidden: (N, J) joints that the network does not see, or None.
        intrinsics: (N, 4) float32.
        joints: (N, J, 3) float32 mm, root-relative, or None.
        pair: (M, 2) int64, in order of pose, or None.
        relation: (M,) float32, the relation that is expected by the labels' probabilities, or None.
        pose_of_label: (M,) int64, or None.
        first_label: (N + 1,) int64: pose i has labels first_label[i] to first_label[i + 1]; or None.
        sample: (S,) poses that are trained on: those with a label, or all where others take part too or under full
            supervision; of them a share. Where each label is a sample of its own, labels instead.
        labels_used: "one", "all" or "each", as in `TrainingConfig`.
        unlabelled: largest share of an epoch that is poses without a label.
    """

    keypoints: Tensor
    hidden: Tensor | None
    intrinsics: Tensor
    joints: Tensor | None
    pair: Tensor | None
    relation: Tensor | None
    pose_of_label: Tensor | None
    first_label: Tensor | None
    sample: Tensor
    labels_used: str
    unlabelled: float

    @classmethod
    def of(
        cls, poses: PoseSet, labels: RelativeLabels | None, config: TrainingConfig, device: torch.device
    ) -> TrainingData:
        """Gather what the configuration needs of poses and labels.

        Raises:
            InputError: labels, joints or intrinsics that the configuration needs are missing or do not fit together.
        """
        calibrated = config.network.head == "ray_depth" or config.loss.reprojection == "inverse_distance"
        poses = with_camera(poses, "training", needed=calibrated)
        if poses.keypoints is None or poses.intrinsics is None or len(poses) < 2:
            raise InputError(f"training needs at least 2 poses, got {len(poses)}")
        rng = np.random.default_rng([config.seed, 0])
        keypoints = _tensor(config.input_noise.add(poses.keypoints, rng), device)
        hidden = None
        if config.input_dropout:
            chance = _tensor(rng.random(keypoints.shape[:2]), device)
            hidden = hidden_joints(keypoints, chance < config.input_dropout, poses.skeleton.root_index)
        joints = None
        if config.loss.needs_joints:
            if poses.joints is None or poses.frame == "world":
                what = "full 3D supervision needs" if config.loss.joints != "none" else "limb_reference sample needs"
                raise InputError(f"{what} joints in the camera's frame, which the data do not have")
            joints = _tensor(root_relative(poses.joints, poses.skeleton), device)
        pair = relation = pose_of_label = first_label = None
        sample = torch.arange(len(poses), device=device)
        if config.loss.order != "none":
            if labels is None or not len(labels.sure()):
                raise InputError("training from relative depth needs labels, and there are none")
            labels.check_poses(poses)
            labels = labels.sure()
            order = np.argsort(labels.pose, kind="stable")
            pair = torch.from_numpy(labels.pair[order].astype(np.int64)).to(device)
            relation = _tensor(expected_relation(labels)[order], device)
            pose_of_label = torch.from_numpy(labels.pose[order].astype(np.int64)).to(device)
            counts = np.bincount(labels.pose, minlength=len(poses))
            first_label = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])).to(device)
            if config.labels_used == "each":
                chosen = np.arange(len(labels))
            elif config.unlabelled:
                chosen = np.flatnonzero(trainable(poses) | (counts > 0))
            else:
                chosen = np.flatnonzero(counts)
            sample = torch.from_numpy(chosen).to(device)
        _check_keypoints(keypoints, poses.skeleton, pose_of_label)
        if config.data_share < 1:
            kept = max(2, round(config.data_share * len(sample)))
            part = np.sort(rng.permutation(len(sample))[:kept])
            sample = sample[torch.from_numpy(part).to(device)]
        return cls(
            keypoints,
            hidden,
            _tensor(poses.intrinsics, device),
            joints,
            pair,
            relation,
            pose_of_label,
            first_label,
            sample,
            config.labels_used,
            config.unlabelled,
        )

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """What is trained on, to tell data apart."""
        return (self.keypoints, self.intrinsics, self.joints, self.pair, self.relation, self.first_label)

    def steps(self, batch_size: int) -> int:
        """Batches in an epoch; a last one of fewer than two poses is left out."""
        full, rest = divmod(len(self.sample), batch_size)
        return full + (rest >= 2)

    def batches(self, batch_size: int, generator: torch.Generator, first: int = 0) -> Iterator[Batch]:
        """One epoch in random order, from batch `first` on; the generator (on the CPU) decides order and labels."""
        order = self._order(generator)
        chance = torch.rand(len(order), generator=generator, dtype=torch.float64).to(order.device)
        for step in range(first, self.steps(batch_size)):
            part = slice(step * batch_size, (step + 1) * batch_size)
            rows = order[part]
            pair = relation = labelled = None
            if self.first_label is not None and self.pair is not None and self.relation is not None:
                if self.labels_used == "each" and self.pose_of_label is not None:
                    label, rows = rows, self.pose_of_label[rows]
                    labelled = torch.arange(len(rows), device=rows.device)
                else:
                    label, labelled = self._labels(self.first_label, rows, chance[part])
                pair, relation = self.pair[label], self.relation[label]
            pixels = self.keypoints[rows]
            keypoints = pixels if self.hidden is None else torch.where(self.hidden[rows, :, None], torch.nan, pixels)
            joints = None if self.joints is None else self.joints[rows]
            yield Batch(keypoints, self.intrinsics[rows], pair, relation, labelled, joints, pixels)

    def _order(self, generator: torch.Generator) -> Tensor:
        """The sample in random order; too many poses without a label make room for others that have one, again."""
        order = _shuffled(self.sample, generator)
        if self.first_label is None or self.labels_used == "each":
            return order
        has_label = self.first_label[order + 1] > self.first_label[order]
        labelled, others = order[has_label], order[~has_label]
        room = int(self.unlabelled * len(order))
        if len(others) <= room or not len(labelled):
            return order
        wanted = len(order) - room
        again = [labelled, *(_shuffled(labelled, generator) for _ in range(wanted // len(labelled)))]
        return _shuffled(torch.cat([torch.cat(again)[:wanted], others[:room]]), generator)

    def _labels(self, first_label: Tensor, rows: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
        """The labels (M,) of some poses that a step uses, and the place in `rows` (M,) of the pose of each."""
        low, high = first_label[rows], first_label[rows + 1]
        place = torch.arange(len(rows), device=rows.device)
        if self.labels_used == "one":
            labelled = place[high > low]
            return (low + (chance * (high - low)).long())[labelled], labelled
        count = high - low
        labelled = torch.repeat_interleave(place, count)
        before = torch.cumsum(count, 0) - count
        return torch.arange(len(labelled), device=rows.device) + (low - before)[labelled], labelled


def expected_relation(labels: RelativeLabels) -> Array:
    """(M,) -1 to +1: merged labels that may be wrong are known with a probability only."""
    if labels.probability is not None:
        return np.asarray(2 * labels.probability - 1)
    return np.asarray(labels.relation if labels.risk is None else labels.relation * (1 - 2 * labels.risk))


def trainable(poses: PoseSet) -> Array:
    """(N,) the poses that a network can learn from: with a root, enough keypoints, and nothing infinite.

    Raises:
        InputError: no keypoints.
    """
    if poses.keypoints is None:
        raise InputError("training needs keypoints, and the poses have none")
    faults = _faults(torch.from_numpy(np.array(poses.keypoints, np.float32)), poses.skeleton)
    return np.asarray(~torch.stack(list(faults.values())).any(0).numpy())


def _check_keypoints(keypoints: Tensor, skeleton: Skeleton, labelled: Tensor | None) -> None:
    """Refuse poses that no network can learn from; without labels a pose is not learnt from, and may be anything."""
    learnt = torch.ones(len(keypoints), dtype=torch.bool, device=keypoints.device)
    if labelled is not None:
        learnt = torch.zeros_like(learnt).index_fill_(0, labelled, True)
    for fault, faulty in _faults(keypoints, skeleton).items():
        rows = faulty & learnt
        if rows.any():
            raise InputError(
                f"training: {fault} in {int(rows.sum())} poses, first in row {int(rows.nonzero()[0, 0])}: "
                "leave those rows out"
            )


def _faults(keypoints: Tensor, skeleton: Skeleton) -> dict[str, Tensor]:
    """(N,) rows that would spoil the statistics of their whole batch, by what is wrong with them."""
    root = keypoints[:, skeleton.root_index : skeleton.root_index + 1]
    present = torch.isfinite(keypoints).all(-1)
    apart = (keypoints - root).abs().amax(-1).nan_to_num(0.0, 0.0, 0.0).amax(-1)
    return {
        "an infinite keypoint": torch.isinf(keypoints).flatten(1).any(1),
        f"no root ({skeleton.root})": ~present[:, skeleton.root_index],
        f"fewer than {MIN_JOINTS} keypoints": present.sum(1) < MIN_JOINTS,
        "all keypoints in one spot": apart == 0,
    }


def _shuffled(rows: Tensor, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator).to(rows.device)]


def _tensor(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32)).to(device)
