"""Samples with known 3D beside those of the data: synthetic people, and lifted poses seen by other cameras."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nearfar.errors import InputError
from nearfar.geometry import root_relative
from nearfar.lifting.network import LiftingNetwork
from nearfar.lifting.rays import rotate
from nearfar.presets import SyntheticConfig, TurnConfig
from nearfar.skeleton import Skeleton
from nearfar.synthetic import synthetic_poses
from nearfar.training.data import Batch

__all__ = ["SyntheticSamples", "Teacher"]

VIEWS = 2
FPS = 3.0
NEAREST = 0.2
"""Joints nearer to a turned pose's camera than this share of the person's distance are left out."""


@dataclass(frozen=True, eq=False)
class SyntheticSamples:
    """Synthetic people before synthetic cameras.

    Attributes:
        keypoints: (N, J, 2) pixels.
        intrinsics: (N, 4).
        joints: (N, J, 3) mm, root-relative, the camera's axes.
    """

    keypoints: Tensor
    intrinsics: Tensor
    joints: Tensor

    @classmethod
    def of(
        cls, config: SyntheticConfig, skeleton: Skeleton, seed: int, steps: int, device: torch.device
    ) -> SyntheticSamples | None:
        """Make them, no more than `steps` steps can show; None where the configuration wants none.

        Raises:
            InputError: the skeleton is not a person's.
        """
        if not (config.poses and config.weight):
            return None
        rows = min(config.poses, steps * config.batch_size)
        try:
            poses = synthetic_poses(-(-rows // VIEWS), seed=seed % 2**32, views=VIEWS, fps=FPS, skeleton=skeleton)
        except InputError as error:
            raise InputError(
                f"synthetic motion is that of people, and gives no skeleton {skeleton.name!r} ({error}): "
                "leave it out with --synthetic.poses 0"
            ) from None
        if poses.keypoints is None or poses.joints is None or poses.intrinsics is None:
            raise ValueError("synthetic poses come with keypoints, joints and intrinsics")
        joints = root_relative(poses.joints, skeleton)
        arrays = (poses.keypoints, poses.intrinsics, joints)
        return cls(*(torch.from_numpy(np.array(array, np.float32)).to(device) for array in arrays))

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """A random batch; the generator is on the samples' device."""
        rows = torch.randint(len(self.keypoints), (size,), generator=generator, device=self.keypoints.device)
        return _batch(self.keypoints[rows], self.intrinsics[rows], self.joints[rows])


class Teacher:
    """A running mean of a network's weights, whose lifted poses are samples when another camera sees them.

    Mean teacher: Tarvainen & Valpola, NeurIPS 2017; lifting, turning and lifting again: Chen et al., CVPR 2019, and
    Drover et al., 2018, who ask the second lift to agree with the first. Here no gradient passes through the first.

    Attributes:
        network: the mean, in evaluation mode.
    """

    def __init__(self, network: LiftingNetwork, config: TurnConfig) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.config = config

    def follow(self, network: LiftingNetwork, step: int) -> None:
        """Move towards the network; early steps, counted from 0, move further."""
        decay = min(self.config.decay, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)
            for mean, value in zip(self.network.buffers(), network.buffers(), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - decay)
                else:
                    mean.copy_(value)

    def turned(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The poses of a batch as the teacher lifts them, each seen by another camera as far away.

        The camera goes round the person by a random angle about the image's vertical and is tilted a little. Missing
        joints stay missing.
        """
        with torch.no_grad():
            lifted = self.network.lift(batch.pixels, batch.intrinsics)
            if lifted.root is None:
                raise ValueError("the teacher must place its people (head ray_depth)")
            missing = ~torch.isfinite(batch.pixels).all(-1, keepdim=True)
            joints = rotate(self._turn(batch, generator), torch.where(missing, torch.nan, lifted.joints))
            distance = torch.linalg.vector_norm(lifted.root, dim=-1)[:, None, None]
            depth = joints[..., 2:] + distance
            joints = torch.where(depth > NEAREST * distance, joints, torch.nan)
            keypoints = joints[..., :2] / depth * batch.intrinsics[:, None, :2] + batch.intrinsics[:, None, 2:]
        return _batch(keypoints, batch.intrinsics, joints)

    def _turn(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """(B, 3, 3) rotations R_x(tilt) R_y(about)."""
        size, device = len(batch.pixels), batch.pixels.device
        about = 2 * math.pi * torch.rand(size, generator=generator, device=device)
        tilt = math.radians(self.config.tilt) * torch.randn(size, generator=generator, device=device)
        zero, c, s, ct, st = torch.zeros_like(about), about.cos(), about.sin(), tilt.cos(), tilt.sin()
        rows = [c, zero, s, st * s, ct, -st * c, -ct * s, st, ct * c]
        return torch.stack(rows, dim=-1).view(-1, 3, 3)


def _batch(keypoints: Tensor, intrinsics: Tensor, joints: Tensor) -> Batch:
    return Batch(keypoints, intrinsics, None, None, None, joints, keypoints)
