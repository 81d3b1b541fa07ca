"""``nearfar study``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Study:
    """Measure people's answers against known 3D: accuracy by depth difference, of whom, where; and fit noise models.

    Writes study.json, study.md, study.pdf and .png, response_time.pdf and .png where the answers have times, and
    noise.json: the fitted noise model, which label simulation reads.
    """

    answers: Annotated[Path, tyro.conf.Positional]
    """Raw answers: a label file (Parquet, CSV, JSON) with annotators."""
    poses: Path
    """The poses that the answers speak of, with 3D joints in the camera's frame."""
    out: Path
    """Folder of the results."""
    tilt: Path | None = None
    """World-to-camera rotations of the poses, to undo the cameras' tilt: a .npz with `rotation` (N, 3, 3) or (3, 3)."""
    experts: Path | None = None
    """Answers of experts about the same poses, to compare with each other and with the crowd."""
    bootstrap: int = 200
    """Resamplings of annotators for the intervals of the noise models; 0 for none."""

    def run(self) -> None:
        """Load, measure, write."""
        from nearfar.answer_noise import AnswerNoise
        from nearfar.datasets import load_labels, load_poses
        from nearfar.files import write_text
        from nearfar.study import load_rotations, report_markdown, study_answers
        from nearfar.study.figures import response_time_figure, user_study_figure
        from nearfar.viewing.figures import save_figure

        poses = load_poses(self.poses)
        answers = load_labels(self.answers, poses=poses)
        experts = None if self.experts is None else load_labels(self.experts, poses=poses)
        rotations = None if self.tilt is None else load_rotations(self.tilt, len(poses))
        report = study_answers(answers, poses, rotations=rotations, experts=experts, bootstrap=self.bootstrap)
        report = {"answers_file": self.answers.name, "poses_file": self.poses.name, **report}
        figures = {"study": user_study_figure(report)}
        if report["response_time"]:
            figures["response_time"] = response_time_figure(report)
        text = report_markdown(report)
        write_text(self.out / "study.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
        write_text(self.out / "study.md", text)
        AnswerNoise(**report["noise"]["fits"][0]["noise"]).save(self.out / "noise.json")
        for name, figure in figures.items():
            for suffix in (".pdf", ".png"):
                save_figure(figure, self.out / f"{name}{suffix}")
        print(text, end="")


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.cli(Study, prog="nearfar study", args=argv).run()
