"""What fine-tuning starts from: trained weights, with the state of their optimiser where it was kept."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nearfar.errors import InputError
from nearfar.lifting.lifter import load
from nearfar.presets import NetworkConfig
from nearfar.skeleton import Skeleton
from nearfar.training.checkpoint import is_checkpoint, read_tensors

__all__ = ["Start", "initial_network", "read_start"]


@dataclass(frozen=True, eq=False)
class Start:
    """Weights to go on from.

    Attributes:
        weights: state of the network.
        optimiser: state of the optimiser by number of parameter; empty where only weights were kept.
        mean_limb_lengths: (L,) mm of the data that they were trained on, where they state it.
    """

    weights: dict[str, Tensor]
    optimiser: dict[int, dict[str, Tensor]]
    mean_limb_lengths: np.ndarray | None

    def put(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Put weights and optimiser state into place."""
        network.load_state_dict(self.weights)
        if self.optimiser:
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": self.optimiser, "param_groups": groups})


def initial_network(init: str | Path) -> tuple[NetworkConfig, Skeleton]:
    """What network weights, or a run's checkpoint, are of.

    Raises:
        InputError: no such weights, or damaged.
    """
    path = Path(init)
    if path.is_file() and is_checkpoint(path):
        init = path.with_name("weights.safetensors")
        if not init.is_file():
            raise InputError(f"{path}: the run is not finished (no {init.name} beside it)")
    lifter = load(init)
    return lifter.network.config, lifter.skeleton


def read_start(init: str | Path, config: NetworkConfig, skeleton: Skeleton) -> Start:
    """Read weights, or a finished run's checkpoint, to train on from.

    Args:
        init: weights by name, a ``weights.safetensors``, or a ``checkpoint.safetensors`` with one beside it.
        config: the network to be trained; only its dropout, scale range and mirror average may differ.
        skeleton: of the data.

    Raises:
        InputError: no such weights, damaged, of another network or of another skeleton.
    """
    path = Path(init)
    theirs, their_skeleton = initial_network(init)
    if _layers(theirs) != _layers(config):
        raise InputError(f"{init}: weights of another network ({theirs}) than the one to be trained ({config})")
    if their_skeleton.joints != skeleton.joints:
        raise InputError(f"{init}: weights for skeleton {their_skeleton.name!r}, but the data are on {skeleton.name!r}")
    from_run = path.is_file() and is_checkpoint(path)
    lifter = load(path.with_name("weights.safetensors") if from_run else init)
    lengths = lifter.card.get("mean_limb_lengths")
    weights, optimiser = read_tensors(path) if from_run else ({"network": lifter.network.state_dict()}, {})
    return Start(weights["network"], optimiser, None if lengths is None else np.array(lengths))


def _layers(config: NetworkConfig) -> NetworkConfig:
    """The configuration without what leaves the layers as they are."""
    return dataclasses.replace(config, dropout=0.0, scale_range=1.0, mirror_average=False)
