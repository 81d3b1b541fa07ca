"""Named configurations: what a training run is, as frozen dataclasses. Every field is a flag of `nearfar train`."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Literal

from nearfar.errors import InputError
from nearfar.keypoint_noise import DetectorNoise, KeypointNoise

__all__ = [
    "PRESETS",
    "LossConfig",
    "NetworkConfig",
    "OptimiserConfig",
    "SyntheticConfig",
    "TrainingConfig",
    "TurnConfig",
    "preset",
]


Head = Literal["relative", "supervised", "ray_depth"]


@dataclass(frozen=True)
class NetworkConfig:
    """What a lifting network is made of.

    Attributes:
        head: "relative" and "supervised" are the paper's two; "ray_depth" gives depths along calibrated rays.
        width: features of the hidden layers.
        blocks: residual blocks of two layers each.
        dropout: share of hidden features dropped in training.
        scale_range: upper bound of the relative head's image scale (pixels per mm), or of its inverse distance (1/mm).
        correct_rays: the ray-depth network also moves joints in the image, for keypoints that are a detector's.
        mirror_average: at test time, average the results of the pose and of its mirror image.
    """

    head: Head = "ray_depth"
    width: int = 1024
    blocks: int = 1
    dropout: float = 0.1
    scale_range: float = 1.0
    correct_rays: bool = False
    mirror_average: bool = True

    def __post_init__(self) -> None:
        _check("width", self.width, at_least=1)
        _check("blocks", self.blocks, at_least=0)
        _check("dropout", self.dropout, at_least=0, below=1)
        _check("scale_range", self.scale_range, above=0)


@dataclass(frozen=True)
class LossConfig:
    """The terms of the loss and their weights; a term of kind "none" is left out.

    Attributes:
        order: how labels act: "likelihood" (of exact, noisy or merged answers, by its scale), or "batch_normalised",
            the paper's.
        order_weight: weight of the order term.
        order_scale: its scale: mm of "likelihood", the multiplier of "batch_normalised".
        limbs: "proportions" (to the unit limb, the paper's) or "lengths" (log lengths in mm).
        limb_weight: weight of the limb term.
        limb_reference: "train_mean": the mean limb lengths that come with the data (or with the weights that training
            starts from); "average_person": the skeleton's; "synthetic_mean": those of nearfar's synthetic people, drawn
            after published anthropometry (docs/synthetic.md); "keypoints": these, corrected by how long limbs look in
            the data; "sample": each pose's own, from its 3D joints.
        reprojection: "scaled_orthographic", or "inverse_distance" (known focal length), for the relative head; "rays",
            the distance in mm of joints from the rays of the keypoints as they were before noise, for corrected rays.
        reprojection_weight: weight of the reprojection term.
        root_weight: weight of the predicted root's distance from the origin.
        joints: full 3D supervision: "mse" or "l1", in mm. Labels are then not used unless `order` says so.
        joints_weight: weight of the joints term.
    """

    order: Literal["none", "batch_normalised", "likelihood"] = "likelihood"
    order_weight: float = 1.0
    order_scale: float = 30.0
    limbs: Literal["none", "proportions", "lengths"] = "lengths"
    limb_weight: float = 10.0
    limb_reference: Literal["train_mean", "average_person", "synthetic_mean", "keypoints", "sample"] = "train_mean"
    reprojection: Literal["none", "scaled_orthographic", "inverse_distance", "rays"] = "none"
    reprojection_weight: float = 1.0
    root_weight: float = 0.0
    joints: Literal["none", "mse", "l1"] = "none"
    joints_weight: float = 1.0

    @property
    def needs_joints(self) -> bool:
        """Whether the loss looks at 3D joints: full supervision, or limb proportions of each sample."""
        return self.joints != "none" or (self.limbs != "none" and self.limb_reference == "sample")

    def __post_init__(self) -> None:
        _check("order_scale", self.order_scale, above=0)
        for name in ("order_weight", "limb_weight", "reprojection_weight", "root_weight", "joints_weight"):
            _check(name, getattr(self, name), at_least=0)


@dataclass(frozen=True)
class OptimiserConfig:
    """How the weights are changed.

    Attributes:
        learning_rate: the highest learning rate.
        weight_decay: decoupled weight decay (AdamW); 0 is Adam.
        schedule: "step" is the paper's (times 0.96 every 100,000 steps); "one_cycle" warms up over 30 % of the steps
            and falls along a cosine (Smith 2018).
        gradient_clip: largest norm of the gradient; 0 for no limit.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    schedule: Literal["step", "one_cycle"] = "one_cycle"
    gradient_clip: float = 0.0

    def __post_init__(self) -> None:
        _check("learning_rate", self.learning_rate, above=0)
        _check("weight_decay", self.weight_decay, at_least=0)
        _check("gradient_clip", self.gradient_clip, at_least=0)


@dataclass(frozen=True)
class SyntheticConfig:
    """Synthetic motion (docs/synthetic.md) mixed into every step, under full 3D supervision: a prior on 3D poses.

    Attributes:
        poses: views of synthetic people to draw from; 0 for none. They are made anew for each run, from its seed.
        tilted: share of the views from a random elevation, straight above to straight below.
        batch_size: synthetic poses a step, besides those of the data.
        weight: of their L1 error, 1/mm.
    """

    poses: int = 0
    tilted: float = 0.0
    batch_size: int = 128
    weight: float = 0.05

    def __post_init__(self) -> None:
        _check("synthetic.poses", self.poses, at_least=0)
        _check("synthetic.tilted", self.tilted, at_least=0, at_most=1)
        _check("synthetic.batch_size", self.batch_size, at_least=1)
        _check("synthetic.weight", self.weight, at_least=0)


@dataclass(frozen=True)
class TurnConfig:
    """Lift, turn, project, lift again: what the network says of a pose should not depend on who looks at it.

    A running mean of the network's weights (the teacher, Tarvainen & Valpola 2017) lifts each pose; seen by another
    camera, the lifted pose is a sample whose 3D is known.

    Attributes:
        weight: of the L1 error of such samples, 1/mm; 0 for none.
        start: share of the steps before the first one.
        decay: share of the teacher's weights that a step keeps.
        tilt: standard deviation of the other camera's tilt, degrees; its turn about the vertical is uniform.
    """

    weight: float = 0.0
    start: float = 0.15
    decay: float = 0.999
    tilt: float = 6.0

    def __post_init__(self) -> None:
        _check("turn.weight", self.weight, at_least=0)
        _check("turn.start", self.start, at_least=0, at_most=1)
        _check("turn.decay", self.decay, at_least=0, below=1)
        _check("turn.tilt", self.tilt, at_least=0)


@dataclass(frozen=True)
class TrainingConfig:
    """One training run.

    Attributes:
        network: the network.
        loss: the terms of the loss.
        synthetic: synthetic motion that is mixed in.
        turn: learning from lifted poses seen by other cameras.
        optimiser: optimiser and schedule.
        epochs: passes over the poses.
        batch_size: poses a step.
        mirror: mirror every pose with probability one half.
        rolled: share of poses that a camera sees which was rolled by a random angle, drawn anew each time.
        keypoint_noise: standard deviation of normal noise on the keypoints, drawn anew each time, as a share of the
            person's apparent size (RMS distance from the root).
        detector_noise: what a 2D detector would make of the keypoints, drawn anew each time. Three poses in ten stay
            exact; the others draw a factor, uniform in 0..1, on all amounts and probabilities.
        missing_joints: probability that a joint other than the root is hidden from the network, drawn anew each time.
        input_noise: noise on the keypoints, in pixels, drawn once before training (PAPER.md 4 and 5).
        input_dropout: probability that a joint is hidden, drawn once before training (PAPER.md 4); turned poses
            are not hidden.
        data_share: share of the poses to train on, drawn once; statistics come from all of them (PAPER.md 4).
        labels_used: of several labels of a pose, "one" drawn anew each epoch (the paper's on Human3.6M), "all" at once,
            or "each" as a sample of its own (the paper's on LSP).
        unlabelled: poses without a label take part too, in all terms but the order of labelled pairs, and make up
            this share of an epoch at most: the labelled are repeated where they are fewer. 0 leaves the others out.
        seed: of weights, order and noise.
        precision: "bfloat16" runs the linear layers in bfloat16; "auto" takes it where the hardware has the units.
    """

    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    turn: TurnConfig = field(default_factory=TurnConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    epochs: int = 24
    batch_size: int = 256
    mirror: bool = True
    rolled: float = 0.0
    keypoint_noise: float = 0.0
    detector_noise: DetectorNoise = field(default_factory=DetectorNoise)
    missing_joints: float = 0.0
    input_noise: KeypointNoise = field(default_factory=KeypointNoise)
    input_dropout: float = 0.0
    data_share: float = 1.0
    labels_used: Literal["one", "all", "each"] = "one"
    unlabelled: float = 0.0
    seed: int = 0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    def __post_init__(self) -> None:
        _check("epochs", self.epochs, at_least=1)
        _check("batch_size", self.batch_size, at_least=2)  # batch normalisation needs two
        _check("rolled", self.rolled, at_least=0, at_most=1)
        _check("keypoint_noise", self.keypoint_noise, at_least=0)
        _check("missing_joints", self.missing_joints, at_least=0, below=1)
        _check("input_dropout", self.input_dropout, at_least=0, below=1)
        _check("data_share", self.data_share, above=0, at_most=1)
        _check("unlabelled", self.unlabelled, at_least=0, at_most=1)
        _check("seed", self.seed, at_least=0, below=2**63)
        loss = self.loss
        if loss.order == loss.limbs == loss.reprojection == loss.joints == "none" and not loss.root_weight:
            raise InputError("loss: every term is none; nothing is left to learn from")
        if self.network.head == "supervised" and loss.joints == "none":
            raise InputError("network.head supervised takes its output statistics from 3D joints: set loss.joints")
        if self.network.head != "relative" and loss.reprojection not in {"none", "rays"}:
            raise InputError(
                f"loss.reprojection {loss.reprojection} needs network.head relative, which predicts a scale"
            )
        if self.network.head != "ray_depth" and (self.network.correct_rays or loss.reprojection == "rays"):
            raise InputError("network.correct_rays and loss.reprojection rays need network.head ray_depth")
        if self.network.correct_rays and loss.reprojection == loss.joints == "none":
            raise InputError("network.correct_rays: nothing holds the joints to the image: set loss.reprojection rays")
        if self.turn.weight and self.network.head != "ray_depth":
            raise InputError(f"turn.weight needs network.head ray_depth, which places people; got {self.network.head}")
        if self.unlabelled and self.labels_used == "each":
            raise InputError("unlabelled: where each label is a sample (labels_used each), poses without one cannot be")
        if self.unlabelled and loss.limbs == loss.reprojection == loss.joints == "none":
            raise InputError("unlabelled: no term but the order of labels; nothing is learnt from poses without one")


def _check(
    name: str,
    value: float,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    at_most: float = math.inf,
) -> None:
    if not (math.isfinite(value) and at_least <= value <= at_most and above < value < below):
        limits = [f"at least {at_least:g}"] * (at_least > -math.inf) + [f"above {above:g}"] * (above > -math.inf)
        limits += [f"below {below:g}"] * (below < math.inf) + [f"at most {at_most:g}"] * (at_most < math.inf)
        raise InputError(f"{name}: expected a number {' and '.join(limits)}, got {value}")


_PAPER_OPTIMISER = OptimiserConfig(weight_decay=0.0, schedule="step", gradient_clip=1.0)

_PAPER = TrainingConfig(
    network=NetworkConfig(head="relative", dropout=0.5, mirror_average=False),
    loss=LossConfig(
        order="batch_normalised",
        order_scale=2.5,
        limbs="proportions",
        limb_weight=1.0,
        reprojection="scaled_orthographic",
        reprojection_weight=0.1,
        root_weight=1.0,
    ),
    optimiser=_PAPER_OPTIMISER,
    epochs=25,
    batch_size=64,
    mirror=False,
    precision="float32",
)

_SUPERVISED = TrainingConfig(
    network=NetworkConfig(head="supervised", dropout=0.5, mirror_average=False),
    loss=LossConfig(order="none", limbs="none", joints="mse"),
    optimiser=_PAPER_OPTIMISER,
    epochs=25,
    batch_size=64,
    mirror=False,
    precision="float32",
)

_DEFAULT = TrainingConfig(
    synthetic=SyntheticConfig(poses=500_000, tilted=0.2, weight=0.1), turn=TurnConfig(weight=0.1), rolled=0.1
)
_CEILING = TrainingConfig(loss=LossConfig(order="none", limbs="none", joints="l1"))


def _robust(config: TrainingConfig) -> TrainingConfig:
    """A configuration for keypoints that are a detector's."""
    return dataclasses.replace(
        config,
        network=dataclasses.replace(config.network, correct_rays=True),
        loss=dataclasses.replace(config.loss, reprojection="rays", reprojection_weight=0.05),
        detector_noise=DetectorNoise(
            share=0.1, jumps=0.05, limb_swaps=0.01, person_swaps=0.01, missing=0.05, cuts=0.05
        ),
    )


PRESETS: dict[str, TrainingConfig] = {
    "default": _DEFAULT,
    "crowd": dataclasses.replace(_DEFAULT, loss=LossConfig(order_weight=3.0, order_scale=150.0)),
    "ceiling": _CEILING,
    "paper": _PAPER,
    "supervised": _SUPERVISED,
    "robust": _robust(_DEFAULT),
    "robust_ceiling": _robust(_CEILING),
}
"""By name: "default" learns from exact answers and "crowd" from noisy ones; "ceiling" is the same network under
full 3D supervision; "paper" and "supervised" are the two models of Ronchi et al., BMVC 2018 (PAPER.md 2 to 4);
"robust" and "robust_ceiling" are "default" and "ceiling" for keypoints that are a detector's (docs/robustness.md)."""


def preset(name: str) -> TrainingConfig:
    """A named configuration.

    Raises:
        InputError: there is no preset of that name.
    """
    if name not in PRESETS:
        raise InputError(f"no preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
