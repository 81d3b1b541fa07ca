"""Samples with known 3D beside those of the data: synthetic people, and lifted poses seen by other cameras."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nearfar.camera import project
from nearfar.errors import InputError
from nearfar.geometry import root_relative
from nearfar.lifting.network import LiftingNetwork
from nearfar.lifting.turning import NEAREST, random_turns, turned_view
from nearfar.presets import SyntheticConfig, TurnConfig
from nearfar.skeleton import Skeleton
from nearfar.synthetic import synthetic_poses
from nearfar.training.data import Batch
from nearfar.training.ranks import Ranks

__all__ = ["SyntheticSamples", "Teacher"]

VIEWS = 2
FPS = 3.0


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
            InputError: the skeleton is not one that synthetic people have.
        """
        if not (config.poses and config.weight):
            return None
        rows = min(config.poses, steps * config.batch_size)
        try:
            poses = synthetic_poses(-(-rows // VIEWS), seed=seed % 2**32, views=VIEWS, fps=FPS, skeleton=skeleton)
        except InputError as error:
            raise InputError(f"{error}: leave it out with --synthetic.poses 0") from None
        if poses.keypoints is None or poses.joints is None or poses.intrinsics is None:
            raise ValueError("synthetic poses come with keypoints, joints and intrinsics")
        rng = np.random.default_rng([seed, 3])
        joints = _tilted(np.asarray(poses.joints), skeleton.root_index, rng.random(len(poses)) < config.tilted, rng)
        arrays = (project(joints, poses.intrinsics), poses.intrinsics, root_relative(joints, skeleton))
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

    def __init__(self, network: LiftingNetwork, config: TurnConfig, ranks: Ranks = Ranks()) -> None:  # noqa: B008 (frozen)
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.config, self.ranks = config, ranks

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
        joints stay missing; poses of which another joint would be beside the camera are left out.
        """
        with torch.no_grad():
            lifted = self.ranks.lift(self.network.lift, batch.pixels, batch.intrinsics)
            missing = ~torch.isfinite(batch.pixels).all(-1, keepdim=True)
            lifted = lifted._replace(joints=torch.where(missing, torch.nan, lifted.joints))
            turns = random_turns(len(batch.pixels), self.config.tilt, generator)
            keypoints, joints = turned_view(lifted, turns, batch.intrinsics)
            whole = (torch.isfinite(joints) | missing).flatten(1).all(1)
        return _batch(keypoints[whole], batch.intrinsics[whole], joints[whole])


def _tilted(
    joints: npt.NDArray[Any], root: int, chosen: npt.NDArray[Any], rng: np.random.Generator
) -> npt.NDArray[Any]:
    """Camera-frame joints (N, J, 3), those of the rows chosen (N,) turned by up to 90 degrees about a level axis.

    The axis is the camera's x through the root: the same people, seen from above or from below. Rows of which a joint
    would come too near to the camera stay as they are.
    """
    angle = rng.uniform(-np.pi / 2, np.pi / 2, (len(joints), 1))
    c, s = np.cos(angle), np.sin(angle)
    x, y, z = np.moveaxis(joints - joints[:, [root]], -1, 0)
    turned = np.stack([x, c * y - s * z, s * y + c * z], axis=-1) + joints[:, [root]]
    near = np.min(turned[..., 2], axis=1) < NEAREST * joints[:, root, 2]
    return np.where((chosen & ~near)[:, None, None], turned, joints)


def _batch(keypoints: Tensor, intrinsics: Tensor, joints: Tensor) -> Batch:
    return Batch(keypoints, intrinsics, None, None, None, joints, keypoints)
