"""Noise on 2D keypoints, in pixels, drawn once for a whole set of poses (PAPER.md 5)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError

__all__ = ["KeypointNoise"]

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
