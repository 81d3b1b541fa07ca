"""``nearfar evaluate``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from nearfar.errors import InputError


@dataclass(frozen=True)
class Evaluate:
    """Measure a lifter against 3D truth: errors in mm, depth order, per joint, per action, per subject."""

    data: Path
    """Poses with keypoints and joints: a nearfar .npz, or a file of the CMU benchmark."""
    weights: str = "default"
    """Weights by name, or a .safetensors file."""
    json: Path | None = None
    """Write the whole report here."""
    markdown: Path | None = None
    """Write the table of headline figures here."""
    figure: Path | None = None
    """Draw the report here (.png, .svg or .pdf)."""

    def run(self) -> None:
        """Lift, compare, write."""
        from nearfar.datasets import load_poses
        from nearfar.evaluation import evaluate, report_markdown
        from nearfar.files import write_text
        from nearfar.lifting import load

        if self.figure is not None:
            from nearfar.viewing.figures import check_suffix

            check_suffix(self.figure)
        lifter = load(self.weights)
        poses = load_poses(self.data)
        if poses.joints is None:
            raise InputError(f"{self.data}: has no 3D joints to measure against")
        report = {"weights": self.weights, "data": str(self.data), **evaluate(lifter, poses)}
        table = report_markdown({self.weights: report})
        if self.json is not None:
            write_text(self.json, json.dumps(report, indent=2, allow_nan=False) + "\n")
        if self.markdown is not None:
            write_text(self.markdown, table)
        if self.figure is not None:
            from nearfar.viewing.figures import evaluation_figure, save_figure

            save_figure(evaluation_figure(report), self.figure)
        print(table, end="")


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.cli(Evaluate, prog="nearfar evaluate", args=argv).run()
