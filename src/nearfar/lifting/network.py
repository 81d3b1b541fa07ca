"""The networks that lift 2D keypoints to 3D: one trunk, three heads.

All heads take pixels and intrinsics and give root-relative joints in mm (`Prediction`), and each keeps its own
normalisation in buffers, so that a saved network needs nothing but itself.

- `RelativeNetwork`: Ronchi et al., BMVC 2018, trained from relative depth labels (PAPER.md 2).
- `SupervisedNetwork`: its fully supervised counterpart, after Martinez et al., ICCV 2017.
- `RayDepthNetwork`: joint depths along calibrated rays, so that reprojection is exact by construction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nearfar.lifting.rays import TurnedView
from nearfar.presets import Head, NetworkConfig
from nearfar.skeleton import Skeleton

__all__ = ["MIN_JOINTS", "LiftingNetwork", "Prediction", "build_network", "part_of_batch"]

_PART: ContextVar[tuple[int, slice] | None] = ContextVar("part of the batch", default=None)


MIN_JOINTS = 4
"""Fewest keypoints (the root among them) from which a pose is lifted."""


class Prediction(NamedTuple):
    """What a network says of B poses.

    Attributes:
        joints: (B, J, 3) mm, root-relative, the camera's axes.
        root: (B, 3) mm, the root joint in the camera frame, or None where the head does not give it.
        scale: (B,) image scale or inverse distance (relative head), or None.
    """

    joints: Tensor
    root: Tensor | None = None
    scale: Tensor | None = None

    def split(self, sizes: Sequence[int]) -> list[Prediction]:
        """Predictions for consecutive poses, so many each."""
        ends = np.cumsum(sizes)
        return [
            Prediction(*(None if field is None else field[end - size : end] for field in self))  # type: ignore[arg-type]
            for size, end in zip(sizes, ends, strict=True)
        ]


@contextmanager
def part_of_batch(rows: int, part: slice) -> Iterator[None]:
    """Networks called herein see this part of a batch of so many rows: dropout draws what it would for all of them."""
    token = _PART.set((rows, part))
    try:
        yield
    finally:
        _PART.reset(token)


class Dropout(nn.Dropout):
    """Dropout whose share is rounded to 1/256, so that one random byte a feature decides: a third less time a step.

    torch's own draws a double for each, one after the other, which on a CPU takes longer than the matrix products.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """As `torch.nn.Dropout`."""
        dropped = min(round(self.p * 256), 255)
        if not self.training or not dropped:
            return input
        rows, part = _PART.get() or (len(input), slice(None))
        count = rows * input.shape[1:].numel()
        words = torch.empty(-(-count // 8), dtype=torch.int64, device=input.device).random_(-(2**63), None)
        kept = (words.view(torch.uint8)[:count].view(rows, *input.shape[1:]) >= dropped)[part]
        return input * kept.to(input.dtype).mul_(256 / (256 - dropped))


class Trunk(nn.Module):
    """Linear layer and residual blocks of linear layer, batch norm, ReLU, dropout (Martinez et al., ICCV 2017)."""

    def __init__(self, inputs: int, width: int, blocks: int, dropout: float) -> None:
        super().__init__()
        self.entry = self._layer(inputs, width, dropout)
        self.blocks = nn.ModuleList(
            nn.Sequential(*self._layer(width, width, dropout), *self._layer(width, width, dropout))
            for _ in range(blocks)
        )

    @staticmethod
    def _layer(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True), Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) to (B, width)."""
        x = self.entry(x)
        for block in self.blocks:
            x = x + block(x)
        return x


class LiftingNetwork(nn.Module):
    """What the three networks share: the trunk, Kaiming initialisation, the mirror."""

    mirror_permutation: Tensor

    def __init__(self, config: NetworkConfig, skeleton: Skeleton, outputs: int) -> None:
        super().__init__()
        self.config, self.skeleton = config, skeleton
        self.trunk = Trunk(2 * skeleton.num_joints, config.width, config.blocks, config.dropout)
        self.head = nn.Linear(config.width, outputs)
        self.register_buffer("mirror_permutation", torch.from_numpy(skeleton.mirror_permutation), persistent=False)

    def initialise(self) -> None:
        """Kaiming-normal weights and zero biases in every linear layer (drawn from torch's global generator)."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)

    def fit_statistics(self, keypoints: Tensor, joints: Tensor | None) -> None:  # noqa: ARG002
        """Take the normalisation from training data: keypoints (N, J, 2) px, joints (N, J, 3) mm root-relative.

        Only `SupervisedNetwork` looks at joints. The ray-depth network has nothing to fit.
        """
        self.fit_input_statistics(keypoints)

    def fit_input_statistics(self, keypoints: Tensor) -> None:
        """Take the normalisation of the input alone from keypoints (N, J, 2) px."""

    def forward(self, keypoints: Tensor, intrinsics: Tensor) -> Prediction:
        """Lift (B, J, 2) pixels seen with (B, 4) intrinsics fx, fy, cx, cy; missing keypoints are NaN.

        A missing joint's input is filled in, so its own output means little (`Lifter` reports it as missing).
        """
        raise NotImplementedError

    def lift(self, keypoints: Tensor, intrinsics: Tensor) -> Prediction:
        """`forward`, averaged with the mirrored pose where the configuration says so."""
        prediction = self(keypoints, intrinsics)
        if not self.config.mirror_average:
            return cast("Prediction", prediction)
        mirrored = self(*self.mirror(keypoints, intrinsics))
        flip = torch.tensor([-1.0, 1.0, 1.0], device=keypoints.device)
        joints = (prediction.joints + mirrored.joints[:, self.mirror_permutation] * flip) / 2
        root = None if prediction.root is None else (prediction.root + mirrored.root * flip) / 2
        scale = None if prediction.scale is None else (prediction.scale + mirrored.scale) / 2
        return Prediction(joints, root, scale)

    def mirror(self, keypoints: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
        """The same poses in a mirror: x negated in the image, with the principal point."""
        keypoints = keypoints[:, self.mirror_permutation] * torch.tensor([-1.0, 1.0], device=keypoints.device)
        return keypoints, intrinsics * torch.tensor([1.0, 1.0, -1.0, 1.0], device=intrinsics.device)


class _StandardisedNetwork(LiftingNetwork):
    """Input of the paper's networks: root-subtracted pixels, standardised with the training set's statistics."""

    input_mean: Tensor
    input_std: Tensor

    def __init__(self, config: NetworkConfig, skeleton: Skeleton, outputs: int) -> None:
        super().__init__(config, skeleton, outputs)
        size = 2 * skeleton.num_joints
        self.register_buffer("input_mean", torch.zeros(size))
        self.register_buffer("input_std", torch.ones(size))

    def relative_pixels(self, keypoints: Tensor) -> Tensor:
        """(B, J, 2) pixels relative to the root's."""
        root = self.skeleton.root_index
        return keypoints - keypoints[:, root : root + 1]

    def fit_input_statistics(self, keypoints: Tensor) -> None:
        """Mean and standard deviation of each root-subtracted coordinate (in double precision), NaN left out."""
        mean, std = _statistics(self.relative_pixels(keypoints).flatten(1))
        self.input_mean.copy_(mean)
        self.input_std.copy_(std)

    def features(self, keypoints: Tensor) -> Tensor:
        """(B, width); inputs of zero deviation (the root) and missing joints become 0."""
        centred = self.relative_pixels(keypoints).flatten(1) - self.input_mean
        standardised = torch.where(self.input_std > 0, centred / self.input_std, 0.0)
        return cast("Tensor", self.trunk(torch.nan_to_num(standardised, nan=0.0)))


class RelativeNetwork(_StandardisedNetwork):
    """The paper's relative model: joints times a learned vector, and a head for the image scale.

    It may use no 3D statistics, so each output is scaled by a learned number that starts at 100.
    """

    def __init__(self, config: NetworkConfig, skeleton: Skeleton) -> None:
        super().__init__(config, skeleton, 3 * skeleton.num_joints)
        self.output_scale = nn.Parameter(torch.full((3 * skeleton.num_joints,), 100.0))
        self.scale_head = nn.Linear(config.width, 1)

    def forward(self, keypoints: Tensor, intrinsics: Tensor) -> Prediction:  # noqa: ARG002
        """See `LiftingNetwork.forward`; the joints are as the network gives them, its root only near the origin."""
        features = self.features(keypoints)
        joints = (self.head(features).float() * self.output_scale).unflatten(1, (-1, 3))
        scale = torch.sigmoid(self.scale_head(features).float())[:, 0] * self.config.scale_range
        return Prediction(joints, scale=scale)


class SupervisedNetwork(_StandardisedNetwork):
    """The paper's supervised model: standardised joints, un-standardised with the training set's statistics."""

    output_mean: Tensor
    output_std: Tensor

    def __init__(self, config: NetworkConfig, skeleton: Skeleton) -> None:
        super().__init__(config, skeleton, 3 * skeleton.num_joints)
        self.register_buffer("output_mean", torch.zeros(3 * skeleton.num_joints))
        self.register_buffer("output_std", torch.ones(3 * skeleton.num_joints))

    def fit_statistics(self, keypoints: Tensor, joints: Tensor | None) -> None:
        """Input statistics, and mean and deviation of the root-relative joints."""
        super().fit_statistics(keypoints, joints)
        if joints is None:
            raise ValueError("the supervised network takes its output statistics from 3D joints")
        mean, std = _statistics(joints.flatten(1))
        self.output_mean.copy_(mean)
        self.output_std.copy_(std)

    def forward(self, keypoints: Tensor, intrinsics: Tensor) -> Prediction:  # noqa: ARG002
        """See `LiftingNetwork.forward`."""
        standardised = self.head(self.features(keypoints)).float()
        return Prediction((standardised * self.output_std + self.output_mean).unflatten(1, (-1, 3)))


class RayDepthNetwork(LiftingNetwork):
    """Joint depths along calibrated rays.

    The camera is first turned about its centre so that it looks at the root: where in the image a person stands then
    changes nothing (the view of a turned camera follows from the view before). With r_j = (x_j, y_j, 1) the turned
    rays, the input is their offsets from the root's (0, 0, 1), divided by their RMS; the network gives the depth z_j
    of each joint relative to the root (mm) and a bounded factor for the root's distance D, which follows from the
    apparent size; P_j = (D + z_j) r_j, turned back. Image size, focal length, place in the image and the person's size
    drop out of the input, perspective is right, and reprojection is exact whatever the network says.

    That is as right as the keypoints are. With `correct_rays` the network says besides how far each joint is from its
    keypoint in the image, in the unit of the input, and r_j are the rays that it takes for the true ones: of noisy
    keypoints and of missing ones.
    """

    depth_unit = 300.0
    """mm of depth for one unit of network output."""
    body_radius = 400.0
    """mm: typical RMS distance of the joints from the root, seen from the front; D is about this over the RMS."""
    distance_bounds = (0.25, 1.75)
    """Bounds of the factor on D."""
    offset_unit = 0.2
    """RMS offsets of the rays for one unit of a correction."""

    fill_joint: Tensor

    def __init__(self, config: NetworkConfig, skeleton: Skeleton) -> None:
        super().__init__(config, skeleton, (3 if config.correct_rays else 1) * skeleton.num_joints + 1)
        parents = np.where(skeleton.parents < 0, skeleton.root_index, skeleton.parents)
        self.register_buffer("fill_joint", torch.from_numpy(parents), persistent=False)
        self.depth = _depth(parents)

    def initialise(self) -> None:
        """As for the others; corrections start at nothing."""
        super().initialise()
        with torch.no_grad():
            self.head.weight[self.skeleton.num_joints + 1 :] = 0

    def rays(self, keypoints: Tensor, intrinsics: Tensor) -> Tensor:
        """(B, J, 2) slopes of the rays; a missing joint gets the ray of its nearest present ancestor."""
        rays = (keypoints - intrinsics[:, None, 2:]) / intrinsics[:, None, :2]
        # Exported graphs have no data-dependent branches; elsewhere most batches miss nothing, and looking is cheaper.
        if torch.compiler.is_compiling() or torch.isnan(rays).any():
            for _ in range(self.depth):
                rays = torch.where(torch.isnan(rays), rays[:, self.fill_joint], rays)
        return rays

    def forward(self, keypoints: Tensor, intrinsics: Tensor) -> Prediction:
        """See `LiftingNetwork.forward`; `root` lies on the root's ray, as corrected."""
        root, joints = self.skeleton.root_index, self.skeleton.num_joints
        view = TurnedView.of(self.rays(keypoints, intrinsics), root)
        features = self.trunk(view.offsets().flatten(1))
        output = self.head(features).float()
        depths = self.depth_unit * (output[:, :joints] - output[:, root : root + 1])
        low, high = self.distance_bounds
        distance = (low + (high - low) * torch.sigmoid(output[:, joints])) * self.body_radius / view.size
        if self.config.correct_rays:
            view = view.moved(self.offset_unit * output[:, joints + 1 :].reshape(-1, joints, 2))
        points = view.points(distance[:, None] + depths)
        return Prediction(points - points[:, root : root + 1], root=points[:, root])


def build_network(config: NetworkConfig, skeleton: Skeleton) -> LiftingNetwork:
    """The network that a configuration describes, with torch's own initial weights."""
    kinds: dict[Head, type[RelativeNetwork | SupervisedNetwork | RayDepthNetwork]] = {
        "relative": RelativeNetwork,
        "supervised": SupervisedNetwork,
        "ray_depth": RayDepthNetwork,
    }
    return kinds[config.head](config, skeleton)


def _depth(parents: npt.NDArray[Any]) -> int:
    """Limbs between the root, its own parent here, and the joint farthest from it."""
    depth, above = 0, np.arange(len(parents))
    while (parents[above] != above).any():
        depth, above = depth + 1, parents[above]
    return depth


def _statistics(values: Tensor) -> tuple[Tensor, Tensor]:
    """Column means and standard deviations of (N, D), in double precision, NaN left out; tiny deviations are 0."""
    values = values.double()
    present = ~torch.isnan(values)
    count = present.sum(0).clamp(min=1)
    mean = torch.where(present, values, 0).sum(0) / count
    std = (torch.where(present, values - mean, 0).square().sum(0) / count).sqrt()
    return mean, torch.where(std > 1e-6, std, 0.0)
