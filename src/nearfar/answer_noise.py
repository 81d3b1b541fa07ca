"""How often people answer right: P(answer right | true depth difference), its simulation and its fit.

Every model is chance (1/2) at no difference and rises with the difference d = |Δz| / scale through one link; a share
of answers, the lapses, is given without looking and is a coin's:

    P(right) = lapse / 2 + (1 − lapse)·F(d),  F = min(1, 1/2 + d/2) (line), Φ(d) (probit), 1 / (1 + e⁻ᵈ) (logit).

The line with a scale of 400 mm is the paper's crowd (PAPER.md 5: chance at 0 cm, certain at 40 cm). Probit is
Thurstone's: two depths seen with a normal error each; logit is Bradley and Terry's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.files import read_json, write_text

__all__ = ["PAPER_CROWD", "AnswerNoise", "Link"]

Array = npt.NDArray[Any]
Link = Literal["line", "probit", "logit"]
SCHEMA = "nearfar-answer-noise-1"

GROUPS = 500
"""Answers of like depth difference are fitted together, in at most so many groups of equal size."""

SCALES = (1.0, 1e5)
"""Bounds of a fitted scale, mm."""

_erfc = np.vectorize(math.erfc, otypes=[np.float64])


@dataclass(frozen=True)
class AnswerNoise:
    """A model of how often answers are right.

    Attributes:
        link: shape of the rise: "line", "probit" or "logit".
        scale_mm: depth difference d = 1: where the line is certain, the probit's sigma, the logit's unit; above 0.
        lapse: share of answers given without looking, right half of the time; 0..1.
    """

    link: Link = "line"
    scale_mm: float = 400.0
    lapse: float = 0.0

    def __post_init__(self) -> None:
        if self.link not in get_args(Link):
            raise InputError(f"answer noise: link must be one of {get_args(Link)}, got {self.link!r}")
        if not (np.isfinite(self.scale_mm) and self.scale_mm > 0):
            raise InputError(f"answer noise: scale_mm must be above 0, got {self.scale_mm}")
        if not 0 <= self.lapse <= 1:
            raise InputError(f"answer noise: lapse must be within 0..1, got {self.lapse}")

    def wrong(self, difference_mm: npt.ArrayLike) -> Array:
        """Probability of a wrong answer for depth differences in mm, whose sign does not matter."""
        return _wrong(self.link, np.abs(np.asarray(difference_mm, dtype=np.float64)), self.scale_mm, self.lapse)

    def right(self, difference_mm: npt.ArrayLike) -> Array:
        """Probability of a right answer for depth differences in mm, whose sign does not matter."""
        return 1 - self.wrong(difference_mm)

    def save(self, path: str | Path) -> None:
        """Write as JSON, whole or not at all."""
        write_text(path, json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> AnswerNoise:
        """Read what `save` wrote.

        Raises:
            InputError: no such file, not JSON, or not a noise model.
        """
        data = read_json(path)
        known = {"schema", "link", "scale_mm", "lapse"}
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA or set(data) != known:
            raise InputError(f"{path}: not an answer noise file (expected schema {SCHEMA!r}, link, scale_mm, lapse)")
        numbers = [data["scale_mm"], data["lapse"]]
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in numbers):
            raise InputError(f"{path}: scale_mm and lapse: expected numbers, got {numbers}")
        try:
            return cls(data["link"], float(numbers[0]), float(numbers[1]))
        except (InputError, OverflowError) as error:
            raise InputError(f"{path}: {error}") from None


PAPER_CROWD = AnswerNoise("line", 400.0)
"""P(right) = min(1, 0.5 + 0.0125·|Δz in cm|) (PAPER.md 5)."""


def _wrong(link: Link, size: Array, scale: npt.ArrayLike, lapse: npt.ArrayLike) -> Array:
    """P(wrong) for sizes |Δz|; computed as such, not as 1 − P(right), so that small ones keep their digits."""
    d = size / np.asarray(scale, dtype=np.float64)
    if link == "line":
        unseen = np.maximum(0.0, 0.5 - 0.5 * d)
    elif link == "probit":
        unseen = 0.5 * _erfc(d / math.sqrt(2)) if d.size else d
    else:
        unseen = np.exp(-np.logaddexp(0, d))
    return np.asarray(0.5 * np.asarray(lapse) + (1 - np.asarray(lapse)) * unseen)
