"""``nearfar evaluate``."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from nearfar.errors import InputError
from nearfar.keypoint_noise import DetectorNoise, KeypointNoise

if TYPE_CHECKING:
    from nearfar.lifting import Lifter
    from nearfar.poses import PoseSet


@dataclass(frozen=True)
class Evaluate:
    """Measure a lifter against 3D truth, or against relative labels where there is no 3D.

    Against 3D: errors in mm, depth order, per joint, per action, per subject. Against labels: the share of labelled
    pairs in the wrong order, from easy to hard.
    """

    data: Path
    """Poses with keypoints, and joints unless --labels is given: any file of poses that nearfar reads."""
    labels: Path | None = None
    """Relative labels of these poses to measure against, instead of 3D."""
    protocol: Literal["default", "mpi_inf_3dhp"] = "default"
    """How to measure against 3D: "mpi_inf_3dhp" as the code published with that data set does, on its test files."""
    noise: KeypointNoise = KeypointNoise()  # noqa: RUF009 (frozen)
    """Noise to add to the keypoints first."""
    detector_noise: DetectorNoise = DetectorNoise()  # noqa: RUF009 (frozen)
    """What a 2D detector would make of them."""
    seed: int = 0
    """Of both."""
    field_of_view: float | None = None
    """Assume cameras of so many degrees along the longer side of the image, instead of the known ones."""
    without: tuple[str, ...] = ()
    """Joints without which PA-MPJPE and N-MPJPE are given, too."""
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
        import numpy as np

        from nearfar.datasets import load_labels, load_poses
        from nearfar.evaluation import evaluate_labels
        from nearfar.files import write_text
        from nearfar.lifting import load
        from nearfar.poses import with_field_of_view

        if self.labels is not None and (self.figure is not None or self.markdown is not None):
            raise InputError("--figure and --markdown are for 3D errors; with --labels use --json")
        if self.protocol != "default" and (self.figure is not None or self.labels is not None):
            raise InputError(
                f"--protocol {self.protocol} goes with --json and --markdown, not with --figure or --labels"
            )
        if self.figure is not None:
            from nearfar.viewing.figures import check_suffix

            check_suffix(self.figure)
        lifter = load(self.weights)
        poses = load_poses(self.data)
        if poses.keypoints is not None:
            rng = np.random.default_rng(self.seed)
            poses = dataclasses.replace(poses, keypoints=self.noise.add(np.asarray(poses.keypoints), rng))
            if self.detector_noise:
                poses = self.detector_noise.add(poses, rng)
        if self.field_of_view is not None:
            poses = with_field_of_view(poses, self.field_of_view)
        report: dict[str, Any] = {"weights": self.weights, "data": str(self.data)}
        if self.labels is not None:
            report |= evaluate_labels(lifter, poses, load_labels(self.labels, poses=poses))
            self._write_json(report)
            print(f"{report['pairs']} labelled pairs, {100 * report['order_error']:.2f} % in the wrong order")
            return
        if poses.joints is None:
            raise InputError(f"{self.data}: has no 3D joints to measure against; with relative labels, give --labels")
        measured, table = self._measure(lifter, poses)
        report |= measured
        self._write_json(report)
        if self.markdown is not None:
            write_text(self.markdown, table)
        if self.figure is not None:
            from nearfar.viewing.figures import evaluation_figure, save_figure

            save_figure(evaluation_figure(report), self.figure)
        print(table, end="")

    def _measure(self, lifter: Lifter, poses: PoseSet) -> tuple[dict[str, Any], str]:
        """The report, and its headline figures as a Markdown table."""
        if self.protocol == "mpi_inf_3dhp":
            from nearfar.datasets.mpi_inf_3dhp import mpi_inf_3dhp_markdown, mpi_inf_3dhp_report

            report = mpi_inf_3dhp_report(lifter.lift_poses(poses), poses)
            return {"protocol": self.protocol, **report}, mpi_inf_3dhp_markdown(report)
        from nearfar.evaluation import evaluate, report_markdown

        report = evaluate(lifter, poses, without=self.without)
        return report, report_markdown({self.weights: report})

    def _write_json(self, report: dict[str, Any]) -> None:
        from nearfar.files import write_text

        if self.json is not None:
            write_text(self.json, json.dumps(report, indent=2, allow_nan=False) + "\n")


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.cli(Evaluate, prog="nearfar evaluate", args=argv).run()
