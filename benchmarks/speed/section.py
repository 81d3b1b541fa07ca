"""What a section of `python -m benchmarks` gives back: figures side by side, and curves."""

from __future__ import annotations

import dataclasses
import importlib
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from nearfar.files import write_text

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: what was measured.
        value: median.
        unit: of the value.
        low, high: least and greatest of the repetitions.
        than: what it is compared with, measured in turns with it.
        ratio: how many times as good as that.
        goal: least ratio, or with `at_most` the greatest value, that was aimed at; None where there is none.
        at_most: whether the goal is of the value, and not of the ratio.
    """

    name: str
    value: float
    unit: str
    low: float
    high: float
    than: str = ""
    ratio: float | None = None
    goal: float | None = None
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the goal was reached; None where there is none."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.at_most else (self.ratio or 0.0) >= self.goal


@dataclass(frozen=True)
class Curve:
    """Lines of a figure: name of each, and its points.

    Attributes:
        title, x, y: title and axes, with units.
        lines: points (x, y) by name.
        logarithmic: both axes.
    """

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    logarithmic: bool = True


@dataclass(frozen=True)
class Section:
    """What one module measured.

    Attributes:
        title: in the report.
        figures: lines of its table.
        curves: its figures.
        notes: what a reader must know, a sentence each.
    """

    title: str
    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """How much is measured, and where.

    Attributes:
        folder: of temporary files; what it holds is used again.
        quick: a hundredth of everything, to see that it runs.
        repetitions: of each thing.
        benchmark: folder of the CMU benchmark, or None where it is absent; sections then use synthetic motion.
        video: a real video, or None.
    """

    folder: Path
    quick: bool = False
    repetitions: int = 5
    benchmark: Path | None = None
    video: Path | None = None


def keep(name: str, setting: Setting, path: Path) -> None:
    """Measure a section and write what it says as JSON: the work of a process of its own."""
    section: Section = importlib.import_module(f"benchmarks.speed.{name}").measure(setting)
    write_text(path, json.dumps(dataclasses.asdict(section), indent=1) + "\n")


def in_turns(work: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, list[float]]:
    """Seconds of each piece of work, one after the other and again: what slows one down slows all."""
    for one in work.values():
        one()  # warm
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repetitions):
        for name, one in work.items():
            start = time.perf_counter()
            one()
            taken[name].append(time.perf_counter() - start)
    return taken


def rate(
    name: str,
    seconds: Sequence[float],
    count: float,
    unit: str,
    than: str = "",
    other: Sequence[float] | None = None,
    other_count: float | None = None,
    goal: float | None = None,
) -> Figure:
    """A figure of `count` things in each of `seconds`, as things a second, against another's."""
    rates = [count / one for one in seconds]
    median = statistics.median(rates)
    ratio = None
    if other is not None:
        ratio = median / statistics.median((other_count or count) / one for one in other)
    return Figure(name, median, unit, min(rates), max(rates), than, ratio, goal)


def span(
    name: str,
    seconds: Sequence[float],
    than: str = "",
    other: Sequence[float] | None = None,
    *,
    scale: float = 1.0,
    unit: str = "s",
    goal: float | None = None,
    at_most: float | None = None,
) -> Figure:
    """A figure of how long something took: `scale` times the seconds, against what took `other` seconds.

    `goal` is of the ratio (how many times as fast), `at_most` of the time.
    """
    times = [scale * one for one in seconds]
    ratio = None if other is None else statistics.median(other) / statistics.median(seconds)
    bound = goal if at_most is None else at_most
    return Figure(name, statistics.median(times), unit, min(times), max(times), than, ratio, bound, at_most is not None)


def apart(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What a function gives in a fresh process of its own, which inherits no memory."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments, **named).result()


def metered(work: Callable[[], T]) -> tuple[T, float, float]:
    """What some work gives, the seconds it took, and the GB of memory it held at once beside what was held before."""
    before = memory_gb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start, memory_gb("VmHWM") - before


def memory_gb(what: str = "VmHWM") -> float:
    """GB of this process, from Linux's /proc: "VmRSS" what it holds now, "VmHWM" the most it held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) * 1024 / 1e9
