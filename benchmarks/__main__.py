"""Speed and size, side by side: writes speed.json, speed.md and a picture of every curve.

    python -m benchmarks --out runs/speed --benchmark BENCHMARK_FOLDER --video VIDEO
    python -m benchmarks --out runs/speed --only training labels --quick

Each section is a module of benchmarks/speed with a function `measure(setting)`. It runs in a process of its own, so
that none inherits the memory of another. Sections that the folder holds already are not measured again.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import platform
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
import tyro
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.speed.section import Curve, Figure, Section, Setting, keep
from nearfar.files import write_text
from nearfar.viewing.figures import house_style, new_figure, save_figure
from nearfar.viewing.style import CYCLE

SECTIONS = tuple(sorted(path.stem for path in Path(__file__).with_name("speed").glob("*.py") if path.stem != "section"))


@dataclass(frozen=True)
class Arguments:
    """Measure speed and size."""

    out: Path = Path("runs/speed")
    """Folder of the report, and of temporary files."""
    only: tuple[str, ...] = SECTIONS
    """Sections to measure."""
    quick: bool = False
    """Measure a hundredth of everything, to see that it runs."""
    repetitions: int = 5
    """Of each thing; figures are medians."""
    benchmark: Path | None = None
    """Folder of the CMU benchmark; without it sections use synthetic motion."""
    video: Path | None = None
    """A real video, for the video pipeline."""


def read(path: Path) -> Section:
    """A section that was kept."""
    kept = json.loads(path.read_text("utf-8"))
    figures = tuple(Figure(**one) for one in kept["figures"])
    return Section(kept["title"], figures, tuple(Curve(**one) for one in kept["curves"]), tuple(kept["notes"]))


def short(value: float) -> str:
    """Three digits, and no more zeros than needed."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(section: Section) -> str:
    """Markdown."""
    lines = [f"## {section.title}\n", "| | median | least to greatest | | goal |", "|---|---|---|---|---|"]
    for one in section.figures:
        ratio = "" if one.ratio is None else f"{short(one.ratio)} x {one.than}"
        goal = ""
        if one.goal is not None:
            bound = f"at most {short(one.goal)} {one.unit}" if one.at_most else f"at least {short(one.goal)} x"
            goal = f"{bound}: {'met' if one.met else 'not met'}"
        spread = f"{short(one.low)} to {short(one.high)}"
        lines.append(f"| {one.name} | {short(one.value)} {one.unit} | {spread} | {ratio} | {goal} |")
    return "\n".join([*lines, "", " ".join(section.notes), ""])


def draw(curve: Curve, path: Path) -> None:
    """A curve's lines, with a mark where something was measured."""
    with house_style():
        figure = new_figure(6.4, 4.0)
        ax = figure.subplots()
        for (name, points), colour, mark in zip(curve.lines.items(), cycle(CYCLE), cycle("osD^vP"), strict=False):
            # Logarithms show no nothing, which small amounts of memory are measured as.
            shown = [point for point in points if not curve.logarithmic or min(point) > 0]
            ax.plot(*np.reshape(shown, (-1, 2)).T, color=colour, marker=mark, label=name)
        ax.set(xlabel=curve.x, ylabel=curve.y, title=curve.title)
        if curve.logarithmic:
            ax.set(xscale="log", yscale="log")
        for axis in (ax.xaxis, ax.yaxis):
            if curve.logarithmic:
                low, high = axis.get_view_interval()
                axis.set_major_locator(LogLocator(subs=(1,) if high > 300 * low else (1, 2, 5)))
                axis.set_minor_formatter(NullFormatter())
            axis.set_major_formatter(lambda value, _: short(value))
        if len(curve.lines) > 1:
            ax.legend()
        save_figure(figure, path)


def machine() -> str:
    """What it was measured on."""
    processor = getattr(torch.cpu, "get_capabilities", dict)().get("cpu_name") or platform.processor()
    return f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}, PyTorch {torch.__version__}"


def main() -> None:
    """Measure what is asked for and write the report of all there is."""
    arguments = tyro.cli(Arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    setting = Setting(
        arguments.out / "files", arguments.quick, arguments.repetitions, arguments.benchmark, arguments.video
    )
    setting.folder.mkdir(exist_ok=True)
    fresh = multiprocessing.get_context("spawn")
    for name in arguments.only:
        path = arguments.out / f"{name}{'.quick' if arguments.quick else ''}.json"
        if not path.exists():
            print(f"{name} ...", flush=True)
            process = fresh.Process(target=keep, args=(name, setting, path))
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(f"section {name} failed")
        print(table(read(path)), flush=True)
    sections = {
        name: read(arguments.out / f"{name}.json") for name in SECTIONS if (arguments.out / f"{name}.json").exists()
    }
    parts = ["# Speed, measured\n", f"Measured on: {machine()}.\n"]
    for name, section in sections.items():
        parts.append(table(section))
        for i, curve in enumerate(section.curves):
            picture = f"speed_{name}_{i}.png"
            draw(curve, arguments.out / picture)
            parts.append(f"![{curve.title}: {curve.x}, {curve.y}]({picture})\n")
    write_text(arguments.out / "speed.md", "\n".join(parts))
    whole = {name: dataclasses.asdict(section) for name, section in sections.items()} | {"machine": machine()}
    write_text(arguments.out / "speed.json", json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
