"""``nearfar reproduce``."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from nearfar.errors import InputError

Name = Literal[
    "table1", "table2", "fig1d", "fig2", "fig3", "fig4a", "fig4b", "fig4c", "fig4d", "fig5", "sequence", "all"
]  # fmt: skip


@dataclass(frozen=True)
class Reproduce:
    """Repeat a table or figure of Ronchi et al. (BMVC 2018), or all of them, on data of your choice.

    Runs that several experiments share are trained once. A study that was broken off goes on where it was when the
    same command is given again; more seeds add to it.
    """

    name: Annotated[Name, tyro.conf.Positional]
    """Which table or figure."""
    data: str
    """cmu:FOLDER (the CMU benchmark), h36m:FOLDER (Human3.6M in any of its forms), or synthetic."""
    out: Path = Path("results")
    """Folder of the results; training runs go to OUT/runs."""
    epochs: int = 25
    """Epochs of every full training run."""
    seeds: int = 1
    """Number of seeds; means and standard deviations are over them."""
    every: int = 1
    """Keep every n-th training pose, to save time."""
    lsp: str | None = None
    """Folder with relative_depth_lsp_v1.json, for figures 3 and 5; without it simulated labels stand in."""
    answers: Path | None = None
    """Answers of people for figure 2, about the test poses of --data; without it a simulated crowd stands in."""
    tilt: Path | None = None
    """World-to-camera rotations of the test poses, for figure 2: a .npz with `rotation` (N, 3, 3); Human3.6M's are
    known."""
    experts: Path | None = None
    """Answers of experts about the training images of --lsp, for figure 3."""
    workers: int = 0
    """Runs at a time; 0 is one a core."""

    def run(self) -> None:
        """Plan, train what is missing, draw."""
        from nearfar.datasets import load_labels
        from nearfar.reproduce import EXPERIMENTS
        from nearfar.reproduce.experiment import Outcome, Settings
        from nearfar.reproduce.fig2 import fig2
        from nearfar.reproduce.fig3 import fig3
        from nearfar.reproduce.material import material, photos
        from nearfar.reproduce.runs import Place, carry_out
        from nearfar.study import load_rotations

        for field, value in (("epochs", self.epochs), ("seeds", self.seeds), ("every", self.every)):
            if value < 1:
                raise InputError(f"--{field}: expected at least 1, got {value}")
        if self.experts is not None and self.lsp is None:
            raise InputError("--experts: speaks of the images of --lsp, which was not given")
        started = time.monotonic()
        settings = Settings(Place(self.data, self.every, self.lsp, self.out), self.epochs, self.seeds)
        own = material(self.data, self.every)
        chosen = [experiment for experiment in EXPERIMENTS if self.name in {experiment.name, "all"}]
        plans = [experiment.plan(settings) for experiment in chosen]
        asked = [measurement for plan in plans for tests in plan.values() for measurement in tests]
        if asked:
            reports = carry_out(asked, settings.place, self.workers or os.cpu_count() or 1)
            for experiment, plan in zip(chosen, plans, strict=True):
                experiment.draw(Outcome(settings, plan, reports), self.out)
                print(self.out / f"{experiment.name}.md")
        if self.name in {"fig2", "all"}:
            answers = None if self.answers is None else load_labels(self.answers, poses=own.test)
            rotations = own.rotations if self.tilt is None else load_rotations(self.tilt, len(own.test))
            fig2(own.test, answers, self.out, rotations=rotations)
            print(self.out / "fig2.md")
        if self.name in {"fig3", "all"}:
            if self.lsp is None:
                fig3(own.test, None, self.out)
            else:
                seen = photos(self.lsp)
                experts = None if self.experts is None else load_labels(self.experts, poses=seen.train)
                fig3(seen.train, seen.train_labels, self.out, experts=experts)
            print(self.out / "fig3.md")
        print(f"{(time.monotonic() - started) / 60:.1f} minutes")


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.cli(Reproduce, prog="nearfar reproduce", args=argv).run()
