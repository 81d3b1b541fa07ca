"""The supplementary sequence figure: one test clip through time, lifted by both methods, beside the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nearfar.reproduce.experiment import Experiment, Outcome
from nearfar.reproduce.fig4 import plan_two
from nearfar.reproduce.material import material
from nearfar.reproduce.runs import finished_lifter, joint_errors_of
from nearfar.reproduce.writing import same_size, write_result
from nearfar.viewing.pose_figure import pose_grid

__all__ = ["SEQUENCE"]

MOMENTS = 6


def draw(outcome: Outcome, folder: Path) -> None:
    """Draw the clip on which ours errs as it does on the whole, so that the picture flatters nobody."""
    place = outcome.settings.place
    poses = material(place.data, place.every).test
    errors = np.nanmean(joint_errors_of(outcome.plan["ours"][0], place), axis=1)
    rows, name, error = _typical_clip(poses.sequence.codes if poses.sequence else np.zeros(len(poses), int), errors)
    clip = poses.sequence.names[name] if poses.sequence else "all poses"
    chosen = rows[np.linspace(0, len(rows) - 1, MOMENTS).astype(int)]
    part = poses.select(chosen)
    lifted = {
        name: same_size(finished_lifter(tests[0].run, place).lift_poses(part)) for name, tests in outcome.plan.items()
    }
    caption = outcome.settings.caption(
        f"A test clip through time ({clip}): the one whose mean error of ours ({error:.1f} mm) is the median over "
        "clips. Seed 0 is drawn, every pose to one size"
    )
    figure = pose_grid({**lifted, "truth": same_size(part)}, rows=range(MOMENTS))
    write_result(folder, "sequence", caption, {"clip": clip, "pa_mpjpe_ours": error}, figure=figure)


def _typical_clip(clip: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, int, float]:
    """Rows, number and mean error of the clip of median error."""
    codes, inverse = np.unique(clip, return_inverse=True)
    mean = np.bincount(inverse, errors) / np.bincount(inverse)
    place = int(np.argsort(mean, kind="stable")[len(mean) // 2])
    return np.flatnonzero(inverse == place), int(codes[place]), float(mean[place])


SEQUENCE = Experiment("sequence", plan_two, draw)
