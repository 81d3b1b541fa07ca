"""Merging by depth: all answers on one pose are read together."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DepthModel"]


@dataclass(frozen=True)
class DepthModel:
    """What is assumed of depths and of those who judge them.

    Attributes:
        iterations: of EM, at most.
        tolerance: EM stops when no pair's probability changes by more.
    """

    iterations: int = 100
    tolerance: float = 1e-3
