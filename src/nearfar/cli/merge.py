"""``nearfar merge``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from nearfar.datasets.saving import LabelForm, label_form, save_labels
from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.consensus import Consensus, Model
    from nearfar.labels import RelativeLabels
    from nearfar.poses import PoseSet

MethodName = Literal["majority", "dawid-skene-1", "dawid-skene-2", "glad", "lean", "depth"]


@dataclass(frozen=True)
class Merge:
    """Merge raw answers into one label a pair, with its probability and risk; report on labels and workers.

    Prints a short table. With --report also writes report.json, report.md, workers.csv, and figures of calibration,
    risk and workers as .png and .pdf.
    """

    answers: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Files of raw answers about the same poses, in any form that nearfar reads; their answers are put together."""
    out: Path
    """The file of merged labels to write."""
    method: MethodName = "depth"
    """By the depths of the joints, which reads all answers on a pose together; or pair by pair: a majority vote; Dawid
    and Skene with one or two skills a worker; GLAD; Lean, which knows that pairs differ in difficulty."""
    format: LabelForm | None = None
    """Form of the file to write, where its name does not say it (.parquet, .csv, .json, .jsonl)."""
    skeleton: str | None = None
    """Skeleton of the answers, where their files do not say it."""
    poses: Path | None = None
    """The poses that the answers speak of, which the form of relative_depth_lsp_v1.json holds too."""
    risk: float = 0.02
    """A pair is finished when the risk that its label is wrong is below this."""
    report: Path | None = None
    """Folder for the report."""
    truth: Path | None = None
    """The poses with 3D joints in the camera's frame, to measure the merged labels against in the report."""
    seed: int = 0
    """Other seeds hide other answers from the merging to see how well it predicts them, where there is no truth."""

    def run(self) -> None:
        """Read, merge, write, report."""
        from nearfar.consensus import merge, method
        from nearfar.datasets import load_poses
        from nearfar.study.merge_markdown import summary_markdown
        from nearfar.study.merge_report import merge_summary

        form = label_form(self.out, self.format)
        if form == "relative-depth-lsp" and self.poses is None:
            raise InputError("--format relative-depth-lsp: the form holds the poses too: say --poses")
        if not 0 < self.risk <= 0.5:
            raise InputError(f"--risk: expected a probability above 0, of 0.5 at most, got {self.risk}")
        if self.truth is not None and self.report is None:
            raise InputError("--truth is for the report: say --report too")
        poses = None if self.poses is None else load_poses(self.poses)
        truth = None if self.truth is None else load_poses(self.truth)
        answers = _joined(self.answers, self.skeleton, poses or truth)
        model = method(self.method)
        if self.method != "majority":
            _check_named(answers, self.method)
        consensus = merge(answers, model)
        labels = consensus.labels
        if form == "relative-depth-lsp":  # which has no place for them
            labels = labels.select(labels.relation != 0)
        report = None if self.report is None else self._report(answers, consensus, model, truth)
        save_labels(labels, self.out, form=form, poses=poses)
        if self.report is not None and report is not None:
            _write(report, self.report)
        print(summary_markdown(merge_summary(consensus, self.risk)), end="")
        left_out = len(consensus.labels) - len(labels)
        print(f"\n{self.out}: {len(labels)} labels" + (f"; {left_out} undecided ones left out" if left_out else ""))

    def _report(
        self, answers: RelativeLabels, consensus: Consensus, model: Model, truth: PoseSet | None
    ) -> dict[str, Any]:
        import numpy as np

        from nearfar.study.merge_report import merge_report
        from nearfar.viewing.figures import house_style

        with house_style():  # that there is no matplotlib is told before the work
            pass
        rng = np.random.default_rng(self.seed)
        report = merge_report(answers, consensus, model, truth=truth, finished_risk=self.risk, rng=rng)
        return {"answers_files": [path.name for path in self.answers], "method": self.method, **report}


def _write(report: dict[str, Any], folder: Path) -> None:
    """Write a report and its figures into a folder."""
    from nearfar.files import write_text
    from nearfar.study.merge_figures import merge_figures
    from nearfar.study.merge_markdown import merge_markdown
    from nearfar.study.merge_report import worker_table
    from nearfar.tables.table import write_csv
    from nearfar.viewing.figures import save_figure

    figures = merge_figures(report)
    write_text(folder / "report.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
    write_text(folder / "report.md", merge_markdown(report, [f"{name}.png" for name in figures]))
    if report["per_worker"] is not None:
        write_csv(folder / "workers.csv", worker_table(report["per_worker"]))
    for name, figure in figures.items():
        for suffix in (".png", ".pdf"):
            save_figure(figure, folder / f"{name}{suffix}")


def _joined(paths: tuple[Path, ...], skeleton: str | None, poses: PoseSet | None) -> RelativeLabels:
    """The answers of all files; an error names the file that does not fit."""
    from nearfar.datasets import load_labels
    from nearfar.labels import join_labels

    if not paths:
        raise InputError("merge: no files of answers were given")
    parts: list[RelativeLabels] = []
    for i, path in enumerate(paths):
        if path.resolve() in [other.resolve() for other in paths[:i]]:
            raise InputError(f"{path}: given twice; its answers would count twice")
        part = load_labels(path, skeleton=skeleton, poses=poses)
        if part.kind != "answers":
            raise InputError(f"{path}: labels that are merged already; expected raw answers")
        if parts and part.skeleton.joints != parts[0].skeleton.joints:
            names = f"{part.skeleton.name!r}, but {paths[0]} on {parts[0].skeleton.name!r}"
            raise InputError(f"{path}: answers on skeleton {names}")
        if parts and (part.annotator is None) != (parts[0].annotator is None):
            raise InputError(f"{path}, {paths[0]}: only one of them names who answered (annotator)")
        parts.append(part)
    joined = join_labels(parts, {"files": [path.name for path in paths]} if len(parts) > 1 else None)
    if not len(joined):
        raise InputError(f"{', '.join(map(str, paths))}: no answers in it")
    return joined


def _check_named(answers: RelativeLabels, method: str) -> None:
    if answers.annotator is None:
        raise InputError(
            f"merge: method {method!r} needs to know who gave each answer (annotator); 'majority' does not"
        )
    if (nameless := answers.annotator == "").any():
        raise InputError(
            f"merge: {int(nameless.sum())} answers, the first in row {int(nameless.argmax())}, name nobody"
        )


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.cli(Merge, prog="nearfar merge", args=argv).run()
