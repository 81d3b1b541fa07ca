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
from pathlib import Path

import torch
import tyro

from benchmarks.speed.section import Curve, Figure, Section, Setting, keep
from nearfar.files import write_text
from nearfar.viewing.figures import house_style, new_figure, save_figure

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
    return "\n".join([*lines, "", *section.notes, ""])


def draw(curve: Curve, path: Path) -> None:
    """A curve's lines, with a dot where something was measured."""
    with house_style():
        figure = new_figure(6.4, 4.0)
        ax = figure.subplots()
        for name, points in curve.lines.items():
            ax.plot(*zip(*points, strict=True), "o-", label=name)
        if curve.logarithmic:
            ax.set(xscale="log", yscale="log")
        ax.set(xlabel=curve.x, ylabel=curve.y, title=curve.title)
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
    for name, section in sections.items():
        for i, curve in enumerate(section.curves):
            draw(curve, arguments.out / f"{name}_{i}.png")
    written = "\n".join([f"Measured on: {machine()}.\n", *(table(section) for section in sections.values())])
    write_text(arguments.out / "speed.md", written)
    whole = {name: dataclasses.asdict(section) for name, section in sections.items()} | {"machine": machine()}
    write_text(arguments.out / "speed.json", json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
