"""GLAD: ability of workers and difficulty of pairs (Whitehill et al., NIPS 2009)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Glad"]


@dataclass(frozen=True)
class Glad:
    """What GLAD assumes.

    Attributes:
        iterations: of EM, at most.
        tolerance: EM stops when no pair's probability changes by more.
    """

    iterations: int = 500
    tolerance: float = 1e-4
