"""The network that lifts sequences: it refines through time what a single-frame network sees, and what it says.

Dilated convolutions over time first correct the rays of the keypoints, where those are noisy; a `RayDepthNetwork` lifts
every frame; more convolutions then correct the depths and the distance of the root. All corrections start at zero: an
untrained `TemporalNetwork` gives the single-frame answer. docs/video.md says more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nearfar.errors import InputError
from nearfar.lifting.network import MIN_JOINTS, Prediction, RayDepthNetwork
from nearfar.lifting.rays import TurnedView, rotate
from nearfar.sequences import Clip
from nearfar.skeleton import Skeleton

__all__ = ["TemporalConfig", "TemporalNetwork", "refine"]

FloatArray = npt.NDArray[np.floating[Any]]

STEP_TOLERANCE = 1.05
"""Where steps are longer than this times the longest that a network is trained for, it has nothing to say."""

CHUNK = 2048
"""Frames lifted at a time; what a chunk needs of its neighbours is lifted with it."""


@dataclass(frozen=True)
class TemporalConfig:
    """What a temporal network is made of.

    Attributes:
        width: features of the hidden layers.
        ray_dilations: of the residual blocks before lifting, which correct the rays: in each a frame sees those so many
            frames before and after it.
        depth_dilations: of those after lifting, which correct the depths.
        mirror_average: at test time, average the results of the sequence and of its mirror image.
    """

    width: int = 192
    ray_dilations: tuple[int, ...] = (1, 2, 4, 8)
    depth_dilations: tuple[int, ...] = (1, 2, 4, 8, 16)
    mirror_average: bool = True

    def __post_init__(self) -> None:
        if self.width < 1:
            raise InputError(f"width: expected a number of at least 1, got {self.width}")
        for name in ("ray_dilations", "depth_dilations"):
            dilations = tuple(getattr(self, name))
            object.__setattr__(self, name, dilations)  # JSON has lists
            if not dilations or min(dilations) < 1:
                raise InputError(f"{name}: expected one or more numbers of at least 1, got {dilations}")


class TemporalBlock(nn.Module):
    """Residual block: layer norm, a convolution of three taps (t - d, t, t + d), ReLU, linear layer.

    Frames outside the sequence count as zero; to a causal call the future is outside.
    """

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.norm = nn.LayerNorm(width)
        self.taps = nn.Linear(3 * width, width)
        self.mix = nn.Linear(width, width)

    def forward(self, x: Tensor, *, causal: bool) -> Tensor:
        """(B, T, width) to the same."""
        h = self.norm(x)
        length = h.shape[1]
        outside = torch.zeros_like(h[:, :1]).expand(-1, self.dilation, -1)
        past = torch.cat([outside, h], dim=1)[:, :length]
        future = torch.zeros_like(h) if causal else torch.cat([h, outside], dim=1)[:, -length:]
        hidden = torch.relu(self.taps(torch.cat([past, h, future], dim=-1)))
        mixed: Tensor = self.mix(hidden)
        return x + mixed


class TemporalNetwork(nn.Module):
    """Refines single-frame poses through time, offline (with past and future) or causally, with the same weights.

    Frames stand on a grid of equal steps in time, and the network is told how long a step is. Together the blocks reach
    `reach` frames into the past and, offline, as many into the future. What is not there (before the first frame, after
    the last, the future of a causal call, frames without a person) is zero.

    Dilated convolutions give every joint of every frame a filter w of its own and a correction, first for its ray
    (slope q), then, when the single-frame network has lifted the filtered rays, for its depth z relative to the root;
    and the frame one for the logarithm of the root's distance D:

        q_j(t) becomes q_j(t) + sum over k of w_jk·(q_j(t + k) - q_j(t)) + 0.1·s·c_j

    with s the RMS offset of the rays from the root's, and so on. Of a filter only the differences count, so it keeps
    what stands still, and a network that gives zeros changes nothing.
    """

    fastest, slowest = 1 / 60, 1 / 6
    """Shortest and longest step, in seconds, that the network is trained for."""
    taps = (-8, -6, -4, -3, -2, -1, 1, 2, 3, 4, 6, 8)
    """Frames that the filters see, besides the one they are for."""
    correction = 0.1
    """Of all units of output: small, since Adam's first steps are as large for an output that should stay near zero."""

    def __init__(self, config: TemporalConfig, skeleton: Skeleton) -> None:
        super().__init__()
        self.config, self.skeleton = config, skeleton
        joints, taps = skeleton.num_joints, len(self.taps)
        self.ray_entry = nn.Linear(5 * joints + 2, config.width)
        self.ray_blocks = nn.ModuleList(TemporalBlock(config.width, d) for d in config.ray_dilations)
        self.ray_head = nn.Linear(config.width, joints * (taps + 2))
        self.depth_entry = nn.Linear(3 * joints + 1, config.width)
        self.depth_blocks = nn.ModuleList(TemporalBlock(config.width, d) for d in config.depth_dilations)
        self.depth_head = nn.Linear(config.width, (joints + 1) * (taps + 1))
        for head in (self.ray_head, self.depth_head):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    @property
    def reach(self) -> int:
        """Frames before (and after) a frame that its result depends on: the blocks', two filters', one for changes."""
        return sum(self.config.ray_dilations) + sum(self.config.depth_dilations) + 2 * max(self.taps) + 1

    def lift(
        self, frames: RayDepthNetwork, keypoints: Tensor, intrinsics: Tensor, step: Tensor, *, causal: bool = False
    ) -> Prediction:
        """`forward`, averaged with the mirrored sequences where the configuration says so."""
        prediction: Prediction = self(frames, keypoints, intrinsics, step, causal=causal)
        if not self.config.mirror_average or prediction.root is None:
            return prediction
        shape = keypoints.shape[:2]
        points, cameras = frames.mirror(keypoints.flatten(0, 1), intrinsics.flatten(0, 1))
        mirrored = self(frames, _timed(points, shape), _timed(cameras, shape), step, causal=causal)
        flip = torch.tensor([-1.0, 1.0, 1.0], device=keypoints.device)
        joints = (prediction.joints + mirrored.joints[:, :, frames.mirror_permutation] * flip) / 2
        return Prediction(joints, (prediction.root + mirrored.root * flip) / 2)

    def forward(
        self, frames: RayDepthNetwork, keypoints: Tensor, intrinsics: Tensor, step: Tensor, *, causal: bool = False
    ) -> Prediction:
        """Lift B sequences of T frames.

        Args:
            frames: the single-frame network, which is not trained here.
            keypoints: (B, T, J, 2) pixels; NaN where missing.
            intrinsics: (B, T, 4) fx, fy, cx, cy.
            step: (B,) or (B, T) seconds from frame to frame.
            causal: a frame sees no later ones.

        Returns:
            `Prediction` with two leading dimensions (B, T); NaN in frames without a person.
        """
        shape, root, joints = keypoints.shape[:2], self.skeleton.root_index, self.skeleton.num_joints
        points, cameras = keypoints.flatten(0, 1), intrinsics.flatten(0, 1)
        seen = torch.isfinite(points).all(-1)
        slopes = frames.rays(points, cameras)
        view = TurnedView.of(slopes, root)
        there = seen[:, root] & (seen.sum(1) >= MIN_JOINTS) & torch.isfinite(view.size)
        # Where nobody is, some rays stand in: NaN spoils gradients, and in bfloat16 even its neighbours.
        nobody = torch.arange(2 * joints, dtype=slopes.dtype, device=slopes.device).reshape(joints, 2) / joints
        slopes = torch.where(there[:, None, None], slopes, nobody)
        view = TurnedView.of(slopes, root)
        known, seen = _timed(there, shape), _timed(seen & there[:, None], shape)

        x = self.ray_entry(self._seen(view, slopes, seen, known, step))
        for block in self.ray_blocks:
            x = block(x, causal=causal)
        output = self.correction * self.ray_head(x).float().reshape(*shape, joints, -1)
        timed = _timed(slopes, shape)
        slopes = timed + self._filtered(timed, output[..., 2:], seen, causal=causal)
        slopes = slopes + output[..., :2] * _timed(view.size, shape)[..., None, None]

        view = TurnedView.of(slopes.flatten(0, 1), root)
        with torch.no_grad():
            pinhole = torch.tensor([1.0, 1.0, 0.0, 0.0], device=slopes.device).expand(there.shape[0], -1)
            single = frames.lift(slopes.flatten(0, 1), pinhole)
            if single.root is None:
                raise ValueError("the single-frame network must place the root")
            lifted = rotate(view.turn, single.joints + single.root[:, None])
            own = lifted / lifted[..., 2:] - view.rays
            distance = lifted[:, root, 2]
            depths = _timed((lifted[..., 2] - distance[:, None]) / frames.depth_unit, shape)
            log_distance = _timed((distance / frames.body_radius).log(), shape)
            offsets = _timed(view.offsets().flatten(1), shape)
            relative = log_distance + _timed(view.size, shape).log()
            said = torch.where(known[..., None], torch.cat([depths, offsets, relative[..., None]], dim=-1), 0.0)

        x = x + self.depth_entry(said)
        for block in self.depth_blocks:
            x = block(x, causal=causal)
        output = self.correction * self.depth_head(x).float().reshape(*shape, joints + 1, -1)
        values = torch.cat([depths, log_distance[..., None]], dim=-1)
        there_all = known[..., None].expand(values.shape)
        values = values + self._filtered(values[..., None], output[..., 1:], there_all, causal=causal)[..., 0]
        values = (values + output[..., 0]).flatten(0, 1)
        depths = frames.depth_unit * (values[:, :joints] - values[:, root : root + 1])
        distance = frames.body_radius * values[:, joints:].exp()
        placed = view._replace(rays=view.rays + own).points(distance + depths)
        placed = _timed(torch.where(there[:, None, None], placed, torch.nan), shape)
        return Prediction(placed - placed[:, :, root : root + 1], placed[:, :, root])

    def _seen(self, view: TurnedView, slopes: Tensor, seen: Tensor, there: Tensor, step: Tensor) -> Tensor:
        """(B, T, 5J + 2): the rays of each frame and how they changed; zero where nobody is there (B, T)."""
        log_step = (step.clamp(self.fastest, self.slowest) * 15).log()
        log_step = (log_step[:, None] if log_step.ndim == 1 else log_step)[..., None].expand(*there.shape, 1)
        rays = _timed(slopes, there.shape)
        # In tenths of the person's size; the cap is far beyond movement between frames.
        change = (rays[:, 1:] - rays[:, :-1]) / (self.correction * _timed(view.size, there.shape)[:, 1:, None, None])
        change = torch.where((seen[:, 1:] & seen[:, :-1])[..., None], change.clamp(-10, 10), 0.0)
        change = nn.functional.pad(change, (0, 0, 0, 0, 1, 0)).flatten(2)
        offsets = _timed(view.offsets().flatten(1), there.shape)
        features = torch.cat([offsets, change, seen.float(), log_step, torch.ones_like(log_step)], dim=-1)
        return torch.where(there[..., None], features, 0.0)

    def _filtered(self, values: Tensor, weights: Tensor, seen: Tensor, *, causal: bool) -> Tensor:
        """Sum over taps k of weights (B, T, N, K) times values(t + k) - values(t), of values (B, T, N, D).

        Values that were not seen (B, T, N), that lie outside or, to a causal call, ahead take no part.
        """
        length = values.shape[1]
        taps = torch.tensor(self.taps, device=values.device)
        place = torch.arange(length, device=values.device)[:, None] + taps
        there = (place >= 0) & (place < length) & ((taps < 0) | (not causal))
        place = place.clamp(0, length - 1)
        difference = values[:, place] - values[:, :, None]  # (B, T, K, N, D)
        taken = seen[:, place] & there[:, :, None]
        difference = torch.where(taken[..., None], difference, 0.0)
        return (weights.transpose(2, 3)[..., None] * difference).sum(2)


def refine(
    network: TemporalNetwork,
    frames: RayDepthNetwork,
    clip: Clip,
    keypoints: FloatArray,
    intrinsics: FloatArray,
    *,
    causal: bool = False,
) -> tuple[FloatArray, FloatArray]:
    """Lift a clip, of any length.

    Args:
        network: the temporal network, in evaluation mode.
        frames: the single-frame network, in evaluation mode.
        clip: which of the N rows it is.
        keypoints: (N, J, 2) pixels on the network's skeleton.
        intrinsics: (N, 4).
        causal: a frame sees no later ones, and knows of none: not even how long steps will be.

    Returns:
        (T, J, 3) root-relative joints and (T, 3) root positions, mm, of the clip's rows; NaN where nobody is, and where
        steps are too long for the network: there, and causally at the first row, time says nothing.
    """
    if causal:
        clip, steps = clip.causal()
    else:
        steps = np.full(clip.length, clip.step)
    device = next(network.parameters()).device
    points = torch.from_numpy(clip.spread(np.asarray(keypoints[clip.rows], np.float32))).to(device)
    cameras = torch.from_numpy(clip.spread(np.asarray(intrinsics[clip.rows], np.float32))).to(device)
    step = torch.from_numpy(steps.astype(np.float32))[None].to(device)
    parts: list[tuple[Tensor, Tensor]] = []
    with torch.inference_mode():
        for start in range(0, clip.length, CHUNK):
            low = max(0, start - network.reach)
            some, wanted = slice(low, start + CHUNK + network.reach), slice(start - low, start - low + CHUNK)
            lifted = network.lift(frames, points[None, some], cameras[None, some], step[:, some], causal=causal)
            if lifted.root is not None:
                parts.append((lifted.joints[0, wanted], lifted.root[0, wanted]))
    joints, root = (torch.cat(part).cpu().numpy()[clip.place] for part in zip(*parts, strict=True))
    silent = steps[clip.place] > network.slowest * STEP_TOLERANCE
    silent[0] |= causal
    joints[silent], root[silent] = np.nan, np.nan
    return joints, root


def _timed(values: Tensor, shape: torch.Size) -> Tensor:
    """Values (B·T, ...) of frames as (B, T, ...)."""
    return values.reshape(*shape, *values.shape[1:])
