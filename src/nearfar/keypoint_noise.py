"""Noise on 2D keypoints: the paper's, drawn once for a whole set of poses (PAPER.md 5), and a detector's.

`DetectorNoise` follows the errors that Ronchi and Perona (ICCV 2017) found in detectors: jitter, misses and inversions
(left taken for right), with joints that are missing and people whom the image border cuts. docs/robustness.md has the
equations.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton

if TYPE_CHECKING:  # imported where it is used: presets are read by commands that need no torch
    import torch
    from torch import Tensor

__all__ = ["DetectorNoise", "KeypointNoise", "detect", "hidden_joints", "keypoint_sigmas"]

Kind = Literal["none", "normal", "normal_variance", "uniform", "radial"]


@dataclass(frozen=True)
class KeypointNoise:
    """Independent noise on every keypoint, added before the root is subtracted.

    Attributes:
        kind: "normal": normal in x and y with standard deviation `amount` px. The others are those of Ronchi et al.
            (BMVC 2018): "normal_variance": normal with **variance** `amount` px², as their code has it; "uniform":
            whole numbers 0 to `amount` px in x and y, never negative, as their code has it; "radial": a distance
            uniform in 0 to `amount` px, in a uniform direction (their code for it cannot run).
        amount: px, or px² for "normal_variance".
    """

    kind: Kind = "none"
    amount: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InputError(f"keypoint noise: expected one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        if not (math.isfinite(self.amount) and self.amount >= 0):
            raise InputError(f"keypoint noise: expected an amount of 0 or more, got {self.amount}")

    def add(self, keypoints: npt.NDArray[Any], rng: np.random.Generator) -> npt.NDArray[Any]:
        """Keypoints (..., J, 2) px with noise added, as they were in type; missing ones (NaN) stay missing."""
        shape, amount = keypoints.shape, self.amount
        if self.kind == "none" or amount == 0:
            return keypoints
        if self.kind == "uniform":
            offset = rng.integers(0, int(amount) + 1, size=shape).astype(np.float64)
        elif self.kind == "radial":
            angle = rng.uniform(0, 2 * np.pi, size=shape[:-1])
            distance = rng.uniform(0, amount, size=shape[:-1])
            offset = distance[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        else:
            deviation = amount if self.kind == "normal" else math.sqrt(amount)
            offset = rng.normal(0, deviation, size=shape)
        return (keypoints + offset).astype(keypoints.dtype)


JUMP = 4.0
"""Times its usual spread that a joint which jumps is off."""
AREA_OVER_SIZE = 2.0
"""Square root of a person's area over the RMS distance of the joints from the root, about."""
BLIND_SCORE = 0.3
"""Share of a score that has nothing to do with the error."""
FEWEST_JOINTS = 4
"""Joints that are left of every pose, the root among them: fewer are a person to no lifter."""


@dataclass(frozen=True)
class DetectorNoise:
    """What a 2D detector does to true keypoints; all zeros is nothing.

    Attributes:
        pixels: standard deviation of the jitter in x and in y, px: the mean over the joints, which differ as
            `keypoint_sigmas` says.
        share: the same as a share of the person's apparent size (RMS distance of the joints from the root); the two
            add up.
        jumps: probability that a joint's jitter is 4 times as wide: the heavy tail.
        limb_swaps: probability, for each mirror pair, that left and right are exchanged from there down the limb.
        person_swaps: probability that left and right of the whole person are exchanged.
        missing: probability that a joint other than the root is not found.
        cuts: probability that the image border cuts the person, on any of four sides, between the root and the
            outermost joint; what lies beyond is missing.
    """

    pixels: float = 0.0
    share: float = 0.0
    jumps: float = 0.0
    limb_swaps: float = 0.0
    person_swaps: float = 0.0
    missing: float = 0.0
    cuts: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            most = math.inf if field.name in {"pixels", "share"} else 1.0
            if not (math.isfinite(value) and 0 <= value <= most):
                limits = "of 0 or more" if most == math.inf else "within 0..1"
                raise InputError(f"detector noise: {field.name}: expected a number {limits}, got {value}")

    def __bool__(self) -> bool:
        """Whether it does anything."""
        return any(getattr(self, field.name) for field in dataclasses.fields(self))

    def add(self, poses: PoseSet, rng: np.random.Generator) -> PoseSet:
        """The poses as this detector finds them: other keypoints, and scores. Those without keypoints stay as they are.

        Joints that have a score of 0 already keep it.
        """
        import torch

        if poses.keypoints is None:
            return poses
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        true = torch.from_numpy(np.array(poses.keypoints, np.float64))
        found, scores = (array.numpy() for array in detect(true, self, poses.skeleton, generator))
        scores = scores if poses.scores is None else np.where(poses.scores > 0, scores, 0.0)
        return dataclasses.replace(
            poses, keypoints=found.astype(poses.keypoints.dtype), scores=scores.astype(np.float32)
        )


@cache
def keypoint_sigmas(skeleton: Skeleton) -> npt.NDArray[np.float64]:
    """(J,) how precisely each joint can be placed: COCO's constants by name; others have the mean of those known."""
    constants: dict[str, float] = tomllib.loads(
        (resources.files("nearfar") / "keypoint_sigmas.toml").read_text("utf-8")
    )
    known = [constants[joint] for joint in skeleton.joints if joint in constants]
    mean = float(np.mean(known or list(constants.values())))
    return np.array([constants.get(joint, mean) for joint in skeleton.joints])


@cache
def _limbs_below(skeleton: Skeleton) -> npt.NDArray[np.float32]:
    """(P, J) 1 where an exchange that starts at a mirror pair takes a joint along: the pair and what hangs on it."""
    taken = np.zeros((len(skeleton.mirror_pairs), len(skeleton)), np.float32)
    for row, pair in zip(taken, skeleton.mirror_pairs, strict=True):
        row[[skeleton.index(joint) for joint in pair]] = 1
        for _ in range(len(skeleton)):
            row[:] = np.maximum(row, np.where(skeleton.parents < 0, 0, row[skeleton.parents]))
    return np.maximum(taken, taken[:, skeleton.mirror_permutation])


def detect(
    keypoints: Tensor,
    noise: DetectorNoise,
    skeleton: Skeleton,
    generator: torch.Generator,
    difficulty: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """What a detector makes of true keypoints.

    Args:
        keypoints: (B, J, 2) px, NaN where missing.
        noise: of the detector.
        skeleton: of the J joints.
        generator: on the keypoints' device.
        difficulty: (B,) 0..1, factors on all amounts and probabilities of a pose; None for 1.

    Returns:
        Keypoints (B, J, 2) px and scores (B, J). A score is 0 where the joint is missing, else COCO's keypoint
        similarity of the jitter, blurred. Exchanged sides keep theirs: a detector is no less sure of them.
    """
    import torch

    size, joints = keypoints.shape[:2]
    hard = keypoints.new_ones(size, 1) if difficulty is None else difficulty[:, None].to(keypoints)

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, device=keypoints.device, generator=generator)

    apparent = _offsets(keypoints, skeleton).square().sum(-1).nanmean(-1, keepdim=True).sqrt().nan_to_num(0.0)
    sigmas = torch.from_numpy(keypoint_sigmas(skeleton)).to(keypoints)
    wide = torch.where(rand(size, joints) < noise.jumps * hard, JUMP, 1.0)
    usual = hard * (noise.pixels + noise.share * apparent)
    jitter = torch.randn(keypoints.shape, device=keypoints.device, generator=generator).to(keypoints)
    jitter = jitter * (usual * wide * sigmas / sigmas.mean())[..., None]
    found = keypoints + jitter
    exponent = jitter.square().sum(-1) / (2 * (2 * sigmas * AREA_OVER_SIZE * apparent).square())
    similarity = torch.exp(-exponent.nan_to_num(0.0))  # 0 / 0 where there is no root, and so no size
    scores = (1 - BLIND_SCORE) * similarity + BLIND_SCORE * rand(size, joints)

    below = torch.from_numpy(_limbs_below(skeleton)).to(keypoints)
    exchanged = (rand(size, len(below)) < noise.limb_swaps * hard).to(keypoints) @ below > 0
    exchanged = exchanged != (rand(size, 1) < noise.person_swaps * hard)
    opposite = torch.from_numpy(skeleton.mirror_permutation).to(keypoints.device)
    found = torch.where(exchanged[..., None], found[:, opposite], found)
    scores = torch.where(exchanged, scores[:, opposite], scores)

    lost = rand(size, joints) < noise.missing * hard
    lost |= _beyond_border(found, rand(size), rand(size), skeleton) & (rand(size, 1) < noise.cuts * hard)
    lost = hidden_joints(found, lost, skeleton.root_index)
    found = torch.where(lost[..., None], torch.nan, found)
    return found, torch.where(torch.isnan(found).any(-1), 0.0, scores)


def hidden_joints(keypoints: Tensor, chosen: Tensor, root: int) -> Tensor:
    """Of the joints (B, J) chosen to be hidden those that may be: never the root, never too many of a pose.

    Args:
        keypoints: (B, J, 2), NaN where missing.
        chosen: (B, J) to be hidden.
        root: index of the root.
    """
    import torch

    chosen = chosen.clone()
    chosen[:, root] = False
    return chosen & ((torch.isfinite(keypoints).all(-1) & ~chosen).sum(1, keepdim=True) >= FEWEST_JOINTS)


def _offsets(keypoints: Tensor, skeleton: Skeleton) -> Tensor:
    return keypoints - keypoints[:, skeleton.root_index : skeleton.root_index + 1]


def _beyond_border(keypoints: Tensor, side: Tensor, place: Tensor, skeleton: Skeleton) -> Tensor:
    """(B, J) joints beyond a border on one of four sides, at a share of the way from the root to the outermost joint.

    Args:
        keypoints: (B, J, 2).
        side: (B,) 0..1: its quarters are right, left, bottom and top.
        place: (B,) 0..1: the share.
        skeleton: of the joints.
    """
    import torch

    offsets = _offsets(keypoints, skeleton).nan_to_num(0.0)
    outward = torch.cat([offsets, -offsets], dim=-1)[..., [0, 2, 1, 3]]
    outward = outward[torch.arange(len(side)), :, (4 * side).long().clamp(max=3)]
    return outward > place[:, None] * outward.amax(1, keepdim=True)
