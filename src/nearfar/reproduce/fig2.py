"""Figure 2: the user study. How right single and merged answers are, against known 3D."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.consensus import SimulatedCrowd, simulate_answers
from nearfar.labels import RelativeLabels, random_pairs
from nearfar.poses import PoseSet
from nearfar.reproduce.writing import Table, acknowledgement, write_result
from nearfar.study import study_answers
from nearfar.study.figures import user_study_figure
from nearfar.study.markdown import difference_rows
from nearfar.study.tilt import check_rotations

__all__ = ["IMAGES", "PAIRS", "fig2", "some_poses"]

IMAGES, PAIRS = 1000, 5
"""The paper asked about 1,000 images and 5 random pairs of joints in each, and wanted 5 answers a pair."""


def fig2(
    poses: PoseSet,
    answers: RelativeLabels | None,
    out: Path,
    *,
    rotations: npt.ArrayLike | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Write fig2.json, .md, .tex, .pdf and .png.

    Args:
        poses: with joints in the camera's frame.
        answers: people's answers about them; None lets a simulated crowd answer (`SimulatedCrowd`).
        out: folder.
        rotations: (N, 3, 3) world-to-camera rotations of the poses, where they are known: then everything is also
            measured with the camera's tilt undone.
        seed: of the simulation and the bootstrap.

    Returns:
        What fig2.json holds.

    Raises:
        InputError: poses without 3D, or answers that do not speak of them.
    """
    rng = np.random.default_rng([2, seed])
    who = "people's answers"
    if answers is None:
        rows = some_poses(poses, IMAGES, rng)
        rotations = None if rotations is None else check_rotations(rotations, len(poses))[rows]
        poses = poses.select(rows)
        crowd = SimulatedCrowd()
        answers = simulate_answers(poses, random_pairs(poses.skeleton, len(poses), PAIRS, rng), crowd, rng)
        who = (
            f"a simulated crowd, no people ({crowd.workers} workers, right as often as the paper's line says, skills "
            f"spread by {crowd.spread:g}, {crowd.spammers:.0%} answer by a coin)"
        )
    report = study_answers(answers, poses, rotations=rotations, rng=rng)
    source = poses.provenance.get("source", "poses with known 3D")
    caption = (
        f"Accuracy of {report['answers']:,} single answers ({report['single']['accuracy']:.1%}) and of the merged "
        f"labels of {report['pairs']:,} pairs on {report['poses']:,} images against true depth. Answers: {who}. "
        f"Poses: {source}."
        + (" Camera rotations are not known here: the tilt is not undone." if rotations is None else "")
        + acknowledgement(poses)
    )
    data = {"simulated": answers.provenance.get("from") == "simulated crowd", **report}
    columns, lines = difference_rows(report)
    write_result(out, "fig2", caption, data, table=Table(columns, lines), figure=user_study_figure(report))
    return {"caption": caption, **data}


def some_poses(poses: PoseSet, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Rows of so many poses drawn at random from those without missing joints, rising."""
    whole = np.flatnonzero(np.isfinite(np.asarray(poses.joints)).all(axis=(1, 2)))
    return np.sort(rng.permutation(whole)[:count])
