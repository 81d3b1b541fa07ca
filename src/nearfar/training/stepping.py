"""What every training loop needs: learning rate and seed of a step, denormals, precision."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from nearfar.errors import InputError
from nearfar.presets import OptimiserConfig

__all__ = ["denormals_as_zero", "finite", "learning_rate", "resolve_precision", "step_seed"]


def learning_rate(config: OptimiserConfig, step: int, total: int, carried: int = 0) -> float:
    """The learning rate of a step, counted from 0; "step" goes on from the `carried` steps of an earlier run."""
    highest = config.learning_rate
    if config.schedule == "step":
        return float(highest * 0.96 ** ((carried + step) // 100_000))
    warm = max(1.0, 0.3 * total)
    if step < warm:
        low, high, share = highest / 25, highest, step / warm
    else:
        low, high, share = highest, highest / 250_000, (step - warm) / max(1.0, total - 1 - warm)
    return low + (high - low) * (1 - math.cos(math.pi * min(1.0, share))) / 2


def finite(terms: Mapping[str, torch.Tensor], step: int) -> dict[str, float]:
    """The terms of a loss as numbers.

    Raises:
        InputError: their sum is not one.
    """
    values = {name: float(value.detach()) for name, value in terms.items()}
    if not math.isfinite(sum(values.values())):
        raise InputError(f"training: the loss is not finite at step {step} ({values}); look at the data")
    return values


def resolve_precision(precision: str, device: torch.device) -> Any:
    """What a configuration's precision means on a device: "float32" or "bfloat16"."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    # On a CPU bfloat16 pays only where there are instructions for it: AMX on Intel's, AVX-512 on AMD's.
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return "bfloat16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "float32"


def step_seed(seed: int, purpose: int, number: int) -> int:
    """A seed for one purpose and step, far from its neighbours'."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "little")


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Let the CPU take denormal numbers for zero.

    The moments that Adam keeps of dead units' weights halve and halve until they are denormal, where a CPU adds up many
    times as slowly: the paper's network came to spend two thirds of its time on them.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
