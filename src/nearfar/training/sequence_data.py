"""Training data through time: windows of clips, as whole tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nearfar.errors import InputError
from nearfar.geometry import root_relative
from nearfar.keypoint_noise import DetectorNoise, detect
from nearfar.labels import RelativeLabels
from nearfar.lifting.lifter import with_camera
from nearfar.poses import PoseSet
from nearfar.sequences import clips
from nearfar.skeleton import Skeleton

__all__ = ["SequenceBatch", "SequenceData"]

FEWEST_FRAMES = 8
"""Shorter clips are not trained on."""
OUTSIDE = 0.25
"""Share of a window that may lie before or after its clip, so that beginnings and ends are trained for."""
GAPS = 0.05
"""Share of the frames without a person, in sequences that are not exact."""


class SequenceBatch(NamedTuple):
    """B windows of T frames; frames outside the clip, or without a row, are NaN.

    Attributes:
        keypoints: (B, T, J, 2) pixels, as the network sees them.
        pixels: (B, T, J, 2) as they were before noise.
        intrinsics: (B, T, 4).
        step: (B,) seconds from frame to frame.
        joints: (B, T, J, 3) mm, root-relative; or None.
        frame: (M,) place among the B·T frames of what each label speaks of.
        pair: (M, 2) joints compared.
        relation: (M,) -1, 0, +1.
    """

    keypoints: Tensor
    pixels: Tensor
    intrinsics: Tensor
    step: Tensor
    joints: Tensor | None
    frame: Tensor
    pair: Tensor
    relation: Tensor

    def mirrored(self, turn: Tensor, permutation: Tensor) -> SequenceBatch:
        """The batch with the windows that `turn` (B,) names in a mirror; labels follow."""
        sign = torch.where(turn, -1.0, 1.0)[:, None, None]

        def flip(points: Tensor) -> Tensor:
            points = torch.where(turn[:, None, None, None], points[:, :, permutation], points)
            return torch.cat([points[..., :1] * sign[..., None], points[..., 1:]], dim=-1)

        of_label = turn[self.frame // self.pixels.shape[1]]
        return self._replace(
            keypoints=flip(self.keypoints),
            pixels=flip(self.pixels),
            intrinsics=torch.cat(
                [self.intrinsics[..., :2], self.intrinsics[..., 2:3] * sign, self.intrinsics[..., 3:]], dim=-1
            ),
            joints=None if self.joints is None else flip(self.joints),
            pair=torch.where(of_label[:, None], permutation[self.pair], self.pair),
        )

    def noisy(
        self, noise: DetectorNoise, exact: float, skeleton: Skeleton, generator: torch.Generator
    ) -> SequenceBatch:
        """The batch as a detector sees it: a share of the windows exact, the others more or less noisy, with gaps."""
        batch, length = self.pixels.shape[:2]
        chance, difficulty = torch.rand(2, batch, generator=generator, device=self.pixels.device)
        difficulty = torch.where(chance < exact, 0.0, difficulty).repeat_interleave(length)
        found, _ = detect(self.pixels.flatten(0, 1), noise, skeleton, generator, difficulty)
        gone = torch.rand(len(found), generator=generator, device=found.device) < GAPS
        found = torch.where((gone & (difficulty > 0))[:, None, None], torch.nan, found)
        return self._replace(keypoints=found.unflatten(0, (batch, length)))  # type: ignore[no-untyped-call]


@dataclass(frozen=True, eq=False)
class SequenceData:
    """The clips of a pose set, resident on one device.

    Attributes:
        keypoints: (N, J, 2) pixels.
        intrinsics: (N, 4).
        joints: (N, J, 3) mm, root-relative; or None.
        grids: of each clip, the row of every equal step of time; -1 where there is none.
        steps: seconds from step to step, of each clip.
        pair: (M, 2) of the labels, in order of row.
        relation: (M,).
        first_label: (N + 1,): row i has labels first_label[i] to first_label[i + 1].
    """

    keypoints: Tensor
    intrinsics: Tensor
    joints: Tensor | None
    grids: tuple[Tensor, ...]
    steps: tuple[float, ...]
    pair: Tensor
    relation: Tensor
    first_label: Tensor

    @classmethod
    def of(
        cls, poses: PoseSet, labels: RelativeLabels | None, *, device: torch.device, joints: bool = False
    ) -> SequenceData:
        """The clips of poses, with their labels, and with their joints where asked for.

        Raises:
            InputError: no keypoints, no camera, no joints, labels of other poses, or no clips.
        """
        poses = with_camera(poses, "training through time")
        found = [clip for clip in clips(poses) if clip.length >= FEWEST_FRAMES]
        if not found:
            raise InputError(
                f"training through time: no clip of {FEWEST_FRAMES} frames or more (the poses need time or frame_index)"
            )
        if joints and (poses.joints is None or poses.frame == "world"):
            raise InputError("training through time: needs joints in the camera's frame")
        grids = []
        for clip in found:
            grid = np.full(clip.length, -1, np.int64)
            grid[clip.place] = clip.rows
            grids.append(torch.from_numpy(grid).to(device))
        n = len(poses)
        pair, relation, pose = np.zeros((0, 2), np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64)
        if labels is not None:
            labels.check_poses(poses)
            labels = labels.sure()
            order = np.argsort(labels.pose, kind="stable")
            pair, relation, pose = labels.pair[order], labels.relation[order], labels.pose[order]
        first_label = np.concatenate([[0], np.cumsum(np.bincount(pose, minlength=n))])

        def tensor(array: npt.ArrayLike | None, kind: type = np.float32) -> Tensor:
            return torch.from_numpy(np.array(array, dtype=kind)).to(device)

        return cls(
            tensor(poses.keypoints),
            tensor(poses.intrinsics),
            tensor(root_relative(poses.joints, poses.skeleton)) if joints and poses.joints is not None else None,
            tuple(grids),
            tuple(clip.step for clip in found),
            tensor(pair, np.int64),
            tensor(relation),
            tensor(first_label, np.int64),
        )

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """What is trained on, to tell data apart."""
        return (self.keypoints, self.intrinsics, self.pair, self.relation, self.first_label, *self.grids)

    def draw(self, size: int, length: int, strides: Sequence[int], generator: torch.Generator) -> SequenceBatch:
        """Random windows: long clips are drawn more often; of each every first, second ... frame as a stride says.

        Args:
            size: windows.
            length: frames of each.
            strides: to choose from.
            generator: on the CPU.
        """
        lengths = torch.tensor([float(len(grid)) for grid in self.grids])
        chosen = torch.multinomial(lengths, size, replacement=True, generator=generator).tolist()
        stride = torch.tensor(strides)[torch.randint(len(strides), (size,), generator=generator)].tolist()
        place = torch.rand(size, generator=generator).tolist()
        windows = [
            _window(self.grids[clip], length, every, where)
            for clip, every, where in zip(chosen, stride, place, strict=True)
        ]
        rows = torch.stack(windows)
        step = torch.tensor([self.steps[clip] * every for clip, every in zip(chosen, stride, strict=True)])
        there = rows >= 0
        some = rows.clamp(min=0)

        def shown(values: Tensor) -> Tensor:
            return torch.where(there[..., None, None], values[some], torch.nan)

        pixels = shown(self.keypoints)
        low, high = self.first_label[some], self.first_label[some + 1]
        frame = (there & (high > low)).flatten().nonzero()[:, 0]
        chance = torch.rand(there.numel(), generator=generator, dtype=torch.float64).to(rows.device)
        label = (low.flatten() + (chance * (high - low).flatten()).long())[frame]
        return SequenceBatch(
            pixels,
            pixels,
            self.intrinsics[some],
            step.to(rows.device),
            None if self.joints is None else shown(self.joints),
            frame,
            self.pair[label],
            self.relation[label],
        )


def _window(grid: Tensor, length: int, stride: int, place: float) -> Tensor:
    """(length,) rows of a window at a place 0..1 between the first and the last that a clip allows; -1 outside it."""
    span = (length - 1) * stride + 1
    over = round(OUTSIDE * span)
    first, last = -over, len(grid) - span + over
    if last < first:  # the clip is much shorter than the window: anywhere inside it
        first, last = len(grid) - span, 0
    index = first + round(place * (last - first)) + stride * torch.arange(length, device=grid.device)
    inside = (index >= 0) & (index < len(grid))
    return torch.where(inside, grid[index.clamp(0, len(grid) - 1)], -1)
