"""Checkpoints of a running training: safetensors and JSON, never pickle."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from nearfar.errors import InputError
from nearfar.files import write_safetensors

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "Progress",
    "is_checkpoint",
    "load_checkpoint",
    "optimiser_steps",
    "read_progress",
    "read_tensors",
    "save_checkpoint",
]

SCHEMA = "nearfar-checkpoint-1"


@dataclass(frozen=True)
class Progress:
    """How far a run has come, and what run it is.

    Attributes:
        step: optimiser steps done.
        config: the resolved configuration, as plain data.
        data: fingerprint of poses and labels.
    """

    step: int
    config: dict[str, Any]
    data: str


def save_checkpoint(
    path: Path,
    modules: Mapping[str, nn.Module],
    optimiser: torch.optim.Optimizer,
    step: int,
    config: DataclassInstance,
    data: str,
) -> None:
    """Write the weights of modules by name (one is "network"), optimiser state and progress, whole or not at all.

    Random numbers are a function of seed and step (see `nearfar.training.stepping`), so no generator state is needed.
    """
    tensors = {f"{module}.{name}": value for module in modules for name, value in modules[module].state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
    header = {"schema": SCHEMA, "step": step, "config": dataclasses.asdict(config), "data": data}
    write_safetensors(path, tensors, header)


def read_progress(path: Path) -> Progress:
    """How far the checkpoint is.

    Raises:
        InputError: not a nearfar checkpoint, or a damaged one.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["nearfar"])
        if header["schema"] != SCHEMA:
            raise KeyError(f"schema {header['schema']!r}")
        return Progress(header["step"], header["config"], header["data"])
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a nearfar training checkpoint, or a damaged one ({error})") from None


def load_checkpoint(path: Path, modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer) -> None:
    """Put weights and optimiser state back.

    Raises:
        InputError: the checkpoint is of another network.
    """
    weights, states = read_tensors(path)
    try:
        for name, module in modules.items():
            module.load_state_dict(weights.get(name, {}))
        optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path}: the checkpoint is of another network ({error})") from None


def read_tensors(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[int, dict[str, Tensor]]]:
    """The state of each module by its name, and that of the optimiser by number of parameter."""
    weights: dict[str, dict[str, Tensor]] = {}
    states: dict[int, dict[str, Tensor]] = {}
    with safe_open(path, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 (not a dict)
            kind, rest = key.split(".", 1)
            if kind == "optimiser":
                number, name = rest.split(".", 1)
                states.setdefault(int(number), {})[name] = file.get_tensor(key)
            else:
                weights.setdefault(kind, {})[rest] = file.get_tensor(key)
    return weights, states


def is_checkpoint(path: Path) -> bool:
    """Whether a file is a training checkpoint."""
    try:
        read_progress(path)
    except InputError:
        return False
    return True


def optimiser_steps(optimiser: torch.optim.Optimizer) -> int:
    """Steps that an optimiser has made, those of a run whose state it carries on included."""
    return max((int(state["step"]) for state in optimiser.state.values() if "step" in state), default=0)
