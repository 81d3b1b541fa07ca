"""Training the network that lifts clips: a frozen single-frame network inside, labels and synthetic motion outside.

The labels are those that the single-frame network was trained from, one a row: none are added, and no 3D of the data is
looked at. What time adds are losses that need no labels (limbs of one length, rays where they were before noise) and
synthetic motion, whose 3D is known. docs/video.md has the equations.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from nearfar import losses
from nearfar.errors import InputError
from nearfar.interrupts import postponed_interrupt
from nearfar.keypoint_noise import DetectorNoise
from nearfar.labels import RelativeLabels
from nearfar.lifting.lifter import Lifter, resolve_device
from nearfar.lifting.network import Prediction, RayDepthNetwork
from nearfar.lifting.temporal import TemporalConfig, TemporalNetwork
from nearfar.poses import PoseSet
from nearfar.presets import LossConfig, OptimiserConfig
from nearfar.sequence_evaluation import evaluate_sequences
from nearfar.sequences import clips
from nearfar.skeleton import Skeleton
from nearfar.synthetic import synthetic_poses
from nearfar.training.checkpoint import save_checkpoint
from nearfar.training.data import Batch
from nearfar.training.limb_reference import LimbReference
from nearfar.training.log import RunLog
from nearfar.training.objective import objective
from nearfar.training.run_folder import fingerprint_of, open_run_folder, starting_step
from nearfar.training.sequence_data import SequenceBatch, SequenceData
from nearfar.training.stepping import (
    denormals_as_zero,
    finite,
    learning_rate,
    resolve_precision,
    step_seed,
)

__all__ = ["TemporalTrainingConfig", "train_temporal"]

WINDOWS = (16, 32, 64, 96)
"""Frames of a window; a step takes one of them, and as many windows as its number of frames allows."""
STRIDES = (1, 1, 2)
"""Of windows in a clip: every frame, or every second, as at half the frame rate."""
RATES = (15.0, 30.0, 60.0)
"""Frames a second of the synthetic motion."""
LOG_EVERY = 50
VAL_FRAMES = 6000


@dataclass(frozen=True)
class TemporalTrainingConfig:
    """One training run of a temporal network.

    Attributes:
        network: the network.
        loss: the terms for the data: order of labelled pairs, limb lengths, distance from the true rays.
        steady_weight: weight of how much log limb lengths vary within a window of the data.
        synthetic_weight: weight of the L1 error of synthetic joints, 1/mm.
        velocity_weight: weight of the error of velocities, of synthetic joints and of all joints across their rays,
            1/(mm/frame).
        optimiser: optimiser and schedule.
        steps: steps of the optimiser.
        frames: frames of the data in a step, and as many synthetic ones.
        causal: share of the steps in which no frame sees later ones.
        noise: what a 2D detector would make of the keypoints.
        exact: share of the windows whose keypoints stay exact; the others are noisy to any degree up to `noise`.
        synthetic_moments: moments of synthetic motion at each of 15, 30 and 60 frames a second, two views of each; 0 is
            for skeletons that synthetic people do not have.
        seed: of weights, windows, noise and synthetic motion.
        precision: "bfloat16" runs the linear layers in bfloat16; "auto" takes it where the hardware has the units.
    """

    network: TemporalConfig = field(default_factory=TemporalConfig)
    loss: LossConfig = field(
        default_factory=lambda: LossConfig(limb_weight=3.0, reprojection="rays", reprojection_weight=0.1)
    )
    steady_weight: float = 20.0
    synthetic_weight: float = 0.05
    velocity_weight: float = 0.2
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(gradient_clip=1.0))
    steps: int = 3000
    frames: int = 768
    causal: float = 0.5
    noise: DetectorNoise = field(
        default_factory=lambda: DetectorNoise(share=0.08, jumps=0.03, limb_swaps=0.01, missing=0.05)
    )
    exact: float = 0.5
    synthetic_moments: int = 40_000
    seed: int = 0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    def __post_init__(self) -> None:
        for name in ("steady_weight", "synthetic_weight", "velocity_weight"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"{name}: expected a number of 0 or more, got {getattr(self, name)}")
        for name, least in (("steps", 1), ("frames", max(WINDOWS)), ("synthetic_moments", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: expected a whole number of at least {least}, got {getattr(self, name)}")
        if self.loss.reprojection not in {"none", "rays"}:
            raise InputError(
                f"loss.reprojection {self.loss.reprojection} is the relative head's; expected none or rays"
            )
        if self.loss.needs_joints:
            raise InputError("loss: training through time looks at no 3D joints of the data")
        for name in ("causal", "exact"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}: expected a share within 0..1, got {getattr(self, name)}")


def train_temporal(
    frames: Lifter,
    poses: PoseSet,
    labels: RelativeLabels | None,
    config: TemporalTrainingConfig,
    out: str | Path | None = None,
    *,
    val: PoseSet | None = None,
    device: str = "auto",
    resume: bool = False,
    progress: bool = True,
    checkpoint_seconds: float = 60.0,
    card: Mapping[str, Any] | None = None,
) -> Lifter:
    """Train a temporal network around a single-frame one, which stays as it is.

    Args:
        frames: the lifter whose network lifts single frames (head "ray_depth").
        poses: clips with keypoints, on the lifter's skeleton.
        labels: relative depth labels of some of those poses; None for none.
        config: the run.
        out: folder as that of `train`; None keeps everything in memory.
        val: clips with joints to measure at the end and half-way, for the eyes only.
        device: "auto", "cpu" or "cuda".
        resume: continue the run in `out` from its last checkpoint.
        progress: show a progress bar on stderr.
        checkpoint_seconds: write a checkpoint after so many seconds.
        card: what is known about the data, for the model card inside the weights.

    Returns:
        The lifter with both networks.

    Raises:
        InputError: data, lifter and configuration do not fit, `out` holds another run, or the loss is not finite.
    """
    place = resolve_device(device)
    config = dataclasses.replace(config, precision=resolve_precision(config.precision, place))
    single, skeleton = frames.network, frames.skeleton
    if not isinstance(single, RayDepthNetwork):
        raise InputError(f"training through time needs a lifter of head ray_depth, not {single.config.head!r}")
    if poses.skeleton.joints != skeleton.joints:
        raise InputError(f"training through time: poses on {poses.skeleton.name!r}, lifter on {skeleton.name!r}")
    if val is not None:
        val = _measurable(val, skeleton)
    if poses.mean_limb_lengths is None and "mean_limb_lengths" in frames.card:
        poses = dataclasses.replace(poses, mean_limb_lengths=np.array(frames.card["mean_limb_lengths"]))
    if labels is None or not len(labels.sure()):
        config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, order="none"))
    single = single.to(place).eval()
    data = SequenceData.of(poses, labels, device=place)
    reference = LimbReference.of(poses, config.loss, place)
    torch.manual_seed(config.seed)
    network = TemporalNetwork(config.network, skeleton).to(place)
    facts = {**frames.card, **(card or {}), "temporal_training": dataclasses.asdict(config)}
    lifter = Lifter(single, facts, network)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=config.optimiser.weight_decay, fused=True)
    folder = None if out is None else Path(out)
    fingerprint = fingerprint_of(skeleton, (*data.tensors, *single.state_dict().values()), reference)
    modules = {"network": network}
    with open_run_folder(folder):
        done = starting_step(folder, modules, optimiser, config, fingerprint, resume=resume)
        run = _Run(lifter, network, single, data, _synthetic(config, skeleton, place), reference, config)
        with RunLog(folder, done) as log, postponed_interrupt() as interrupted, denormals_as_zero():
            saved_at = time.monotonic()
            bar = tqdm(total=config.steps, initial=done, unit="step", disable=not progress, dynamic_ncols=True)
            with bar:
                while done < config.steps:
                    terms = run.step(done, optimiser)
                    done += 1
                    bar.update()
                    last = done == config.steps
                    if done % LOG_EVERY == 0 or last:
                        values = finite(terms, done)
                        bar.set_postfix(loss=f"{sum(values.values()):.4g}")
                        log.write(done, {"loss": sum(values.values())}, values)
                    stop = interrupted.is_set()
                    if folder is not None and (stop or last or time.monotonic() - saved_at > checkpoint_seconds):
                        log.flush()
                        save_checkpoint(
                            folder / "checkpoint.safetensors", modules, optimiser, done, config, fingerprint
                        )
                        saved_at = time.monotonic()
                    if stop:
                        raise KeyboardInterrupt
                    if val is not None and (last or done * 2 == config.steps):
                        _validate(lifter, val, done)
        network.eval()
        if folder is not None:
            lifter.save(folder / "weights.safetensors")
    return lifter


def _synthetic(config: TemporalTrainingConfig, skeleton: Skeleton, device: torch.device) -> list[SequenceData]:
    """Synthetic clips at each rate; none where the configuration wants none.

    Raises:
        InputError: the skeleton is not one that synthetic people have.
    """
    if not config.synthetic_moments:
        return []
    try:
        made = [
            synthetic_poses(config.synthetic_moments, seed=config.seed, views=2, fps=fps, skeleton=skeleton)
            for fps in RATES
        ]
    except InputError as error:
        raise InputError(f"{error}: leave it out with --synthetic-moments 0") from None
    return [SequenceData.of(poses, None, device=device, joints=True) for poses in made]


@dataclass(frozen=True, eq=False)
class _Run:
    lifter: Lifter
    network: TemporalNetwork
    single: RayDepthNetwork
    data: SequenceData
    synthetic: list[SequenceData]
    reference: LimbReference | None
    config: TemporalTrainingConfig

    def step(self, number: int, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
        """One step; every random number is a function of seed and step."""
        config, network, skeleton = self.config, self.network, self.lifter.skeleton
        place = self.data.keypoints.device
        chance = torch.Generator().manual_seed(step_seed(config.seed, 2, number))
        noise = torch.Generator(device=place).manual_seed(step_seed(config.seed, 3, number))
        length = WINDOWS[int(torch.randint(len(WINDOWS), (1,), generator=chance))]
        causal = bool(torch.rand(1, generator=chance) < config.causal)
        sources = [self.data]
        if self.synthetic:
            sources.append(self.synthetic[int(torch.randint(len(self.synthetic), (1,), generator=chance))])
        batches = [
            _augmented(source.draw(config.frames // length, length, STRIDES, chance), config, skeleton, noise)
            for source in sources
        ]
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(config.optimiser, number, config.steps)
        network.train()
        keypoints, intrinsics, steps = (
            torch.cat([getattr(batch, name) for batch in batches]) for name in ("keypoints", "intrinsics", "step")
        )
        with torch.autocast(place.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            prediction = network(self.single, keypoints, intrinsics, steps, causal=causal)
        terms = _terms(prediction, batches, config, self.reference, skeleton.root_index)
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        if config.optimiser.gradient_clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.optimiser.gradient_clip)
        optimiser.step()
        return terms


def _augmented(
    batch: SequenceBatch, config: TemporalTrainingConfig, skeleton: Skeleton, generator: torch.Generator
) -> SequenceBatch:
    """Half of the windows in a mirror; some as a detector sees them."""
    device = batch.pixels.device
    turn = torch.rand(len(batch.pixels), generator=generator, device=device) < 0.5
    batch = batch.mirrored(turn, torch.from_numpy(skeleton.mirror_permutation).to(device))
    return batch.noisy(config.noise, config.exact, skeleton, generator)


def _terms(
    prediction: Prediction,
    batches: list[SequenceBatch],
    config: TemporalTrainingConfig,
    reference: LimbReference | None,
    root: int,
) -> dict[str, Tensor]:
    """The weighted terms of the loss of a batch of the data and, where there is one, a synthetic batch."""
    if prediction.root is None:
        raise ValueError("the temporal network places the root")
    data, *others = batches
    joints = prediction.joints[: len(data.step)]
    points = prediction.joints + prediction.root[:, :, None]
    pixels, intrinsics = (torch.cat([getattr(b, name) for b in batches]) for name in ("pixels", "intrinsics"))

    # The single-frame terms are for frames with a person, in a row.
    there = torch.isfinite(joints[:, :, root]).all(-1).flatten()
    order = torch.cumsum(there, 0) - 1
    told = there[data.frame]
    some = Prediction(joints.flatten(0, 1)[there], prediction.root[: len(joints)].flatten(0, 1)[there])
    seen = data.pixels.flatten(0, 1)[there]
    row = Batch(
        seen,
        data.intrinsics.flatten(0, 1)[there],
        data.pair[told],
        data.relation[told],
        order[data.frame[told]],
        None,
        seen,
    )
    terms = objective(some, row, config.loss, reference, root)

    if reference is not None:
        terms["steady"] = config.steady_weight * losses.limb_steadiness_loss(joints, reference.limbs)
    for made in others:
        if made.joints is None:
            raise ValueError("synthetic clips come with joints")
        made_joints = prediction.joints[len(data.step) :]
        known = torch.where(torch.isfinite(made_joints), made.joints, torch.nan)
        error = made_joints.nan_to_num(0.0) - known
        terms["synthetic"] = config.synthetic_weight * losses.joint_l1_loss(made_joints.nan_to_num(0.0), known)
        terms["velocity"] = config.velocity_weight * losses.velocity_loss(error)
    across = losses.ray_offsets(points.flatten(0, 1), pixels.flatten(0, 1), intrinsics.flatten(0, 1), root)
    terms["ray_velocity"] = config.velocity_weight * losses.velocity_loss(across.reshape(*points.shape[:3], 2))
    return terms


def _measurable(val: PoseSet, skeleton: Skeleton) -> PoseSet:
    """Some of the clips of val; what cannot be measured is refused before the training, not half-way through it."""
    found = clips(val)
    if not found or val.keypoints is None or val.joints is None or val.frame == "world":
        raise InputError("validation through time: needs clips with keypoints, and joints in the camera's frame")
    if val.skeleton.joints != skeleton.joints:
        raise InputError(f"validation through time: poses on {val.skeleton.name!r}, lifter on {skeleton.name!r}")
    every = max(1, round(sum(len(clip.rows) for clip in found) / VAL_FRAMES))
    return val.select(np.concatenate([clip.rows for clip in found[::every]]))


def _validate(lifter: Lifter, val: PoseSet, step: int) -> None:
    """Print how the lifter does on val."""
    if lifter.temporal is not None:
        lifter.temporal.eval()
    for causal in (False, True):
        report = evaluate_sequences(lifter.lift_poses(val, causal=causal), val)
        shown = f"PA-MPJPE {report['pa_mpjpe']:.2f} mm, acceleration error {report['acceleration_error']:.0f} mm/s²"
        tqdm.write(f"step {step}, {'causal' if causal else 'offline'}: {shown}", file=sys.stderr)
