"""What the files for OpenSim have in common: one person who faces +x, and the names of a full-body model."""

from __future__ import annotations

import dataclasses
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.angles import segment_frames
from nearfar.errors import InputError
from nearfar.export.tracks import Track, tracks
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton

__all__ = ["both_sides", "facing_x", "model_names", "one_track"]

Array = npt.NDArray[Any]


def one_track(poses: PoseSet, path: str | Path, fps: float | None, person: int | None) -> Track:
    """The one person of a clip.

    Raises:
        InputError: as `nearfar.export.tracks.tracks`, or several people.
    """
    people = tracks(poses, fps, person)
    if len(people) > 1:
        names = ", ".join(str(track.person) for track in people)
        raise InputError(f"{path}: holds one person, and these poses have {len(people)} ({names}): choose one")
    return people[0]


def facing_x(track: Track, skeleton: Skeleton) -> tuple[Track, tuple[str, ...]]:
    """A person turned about the vertical through the origin to face +x on the mean, as OpenSim's models do; and notes.

    Where nothing says which way the person faces, nothing is turned.
    """
    pelvis = segment_frames(track.joints, skeleton).get("pelvis", np.zeros((0, 3, 3)))
    right = pelvis[np.isfinite(pelvis).all(axis=(1, 2)), :, 2]
    x, _, z = np.cross([0.0, 1.0, 0.0], right).sum(axis=0) if len(right) else (0.0, 0.0, 0.0)
    length = float(np.hypot(x, z))
    if not length:
        return track, (*track.notes, f"{track.name}: which way they face is unknown, so they are not turned to +x")
    cos, sin = x / length, z / length
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    said = f"{track.name}: turned by {np.rad2deg(np.arctan2(sin, cos)):.0f} degrees about the vertical, to face +x"
    return dataclasses.replace(track, joints=track.joints @ turn.T), (*track.notes, said)


@cache
def model_names() -> dict[str, Any]:
    """``opensim.toml``: markers, the pelvis, coordinates."""
    return tomllib.loads((resources.files("nearfar.export") / "opensim.toml").read_text("utf-8"))


def both_sides(name: str) -> list[tuple[str, str, str]]:
    """(suffix, side, name) of a name on the right side, for both sides; of another name, for neither."""
    if "right_" not in name:
        return [("", "", name)]
    return [("_r", "right", name), ("_l", "left", name.replace("right_", "left_"))]
