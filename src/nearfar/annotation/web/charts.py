"""Small charts, laid out on the server: templates write them as SVG with percentages, without scripts or styles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Bar", "Chart", "bar_chart", "percent"]


@dataclass(frozen=True)
class Bar:
    """One bar, in percent of the chart's width and height from its top left corner."""

    x: float
    y: float
    width: float
    height: float
    label: str
    value: float


@dataclass(frozen=True)
class Chart:
    """Bars beside each other.

    Attributes:
        bars: from left to right.
        lines: (y in percent, value) of the horizontal lines.
        marks: (x in percent, label) of the labels below.
    """

    bars: tuple[Bar, ...]
    lines: tuple[tuple[float, str], ...]
    marks: tuple[tuple[float, str], ...]


def bar_chart(labels: Sequence[str], values: Sequence[float], *, most_marks: int = 6) -> Chart:
    """Lay out bars.

    Args:
        labels: of the bars.
        values: their heights, 0 or more.
        most_marks: labels below the chart, at most.
    """
    top, step = _scale(max(values, default=0))
    width = 100 / max(1, len(values))
    bars = tuple(
        Bar(round(i * width + 0.1 * width, 3), round(100 * (1 - value / top), 3), round(0.8 * width, 3),
            round(100 * value / top, 3), label, value)
        for i, (label, value) in enumerate(zip(labels, values, strict=True))
    )  # fmt: skip
    lines = tuple(
        (round(100 * (1 - i * step / top), 3), f"{i * step:,.10g}") for i in range(math.floor(top / step + 0.5) + 1)
    )
    every = max(1, math.ceil(len(labels) / most_marks))
    marks = tuple((round((i + 0.5) * width, 3), labels[i]) for i in range(0, len(labels), every))
    return Chart(bars, lines, marks)


def percent(value: float) -> float:
    """A share as a place in percent, within the picture."""
    return round(100 * min(1.0, max(0.0, value)), 2)


def _scale(most: float) -> tuple[float, float]:
    """The top of a scale that begins at 0, and the step between its lines: 1, 2 or 5 times a power of ten."""
    if most <= 0:
        return 1.0, 1.0
    rough = most / 3
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    step = max(1.0, step)
    return math.ceil(most / step - 1e-9) * step, step
