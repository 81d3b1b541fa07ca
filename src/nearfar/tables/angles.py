"""Joint angles as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.poses import PoseSet
from nearfar.tables.table import cells, write_csv

__all__ = ["write_angles_csv"]

Array = npt.NDArray[Any]

_DECIMALS = 4  # of a degree: far below what joints can say


def write_angles_csv(poses: PoseSet, angles: Mapping[str, Array], path: str | Path) -> None:
    """Write joint angles with one row a pose, whole or not at all.

    Columns: what the pose set has of sequence, subject, action, person, frame and time_s; then one for each angle, in
    degrees, empty where it is not determined.

    Args:
        poses: N poses.
        angles: what `nearfar.angles.pose_angles` gave for them: name -> (N,) degrees.
        path: the file.

    Raises:
        InputError: the file cannot be written.
    """
    columns: dict[str, list[str]] = {}
    for name in ("sequence", "subject", "action"):
        if (category := getattr(poses, name)) is not None:
            columns[name] = category.values().tolist()
    for name, title in (("person", "person"), ("frame_index", "frame"), ("time", "time_s")):
        if (column := getattr(poses, name)) is not None:
            columns[title] = cells(np.asarray(column)).tolist()
    for name, values in angles.items():
        columns[name] = cells(np.round(values, _DECIMALS) + 0.0).tolist()  # no "-0.0"
    write_csv(path, columns)
