"""MOT files (.mot): joint angles as coordinates of an OpenSim model, in degrees, metres and seconds; one person.

A header of ``key=value`` lines up to ``endheader``, the names of the columns, and a line a frame, tabs between them
(OpenSim's storage format). Names and signs are those of Rajagopal's full-body model (``opensim.toml``). The pelvis
turns by

    R = Rz(pelvis_tilt) Rx(pelvis_list) Ry(pelvis_rotation)

as in all of OpenSim's gait models, in a ground with x forward and y up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.angles import angle_definitions, joint_angles, segment_frames, z_x_y
from nearfar.errors import InputError
from nearfar.export.opensim import both_sides, facing_x, model_names, one_track
from nearfar.export.tracks import Track, filled
from nearfar.files import write_text
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton

__all__ = ["write_mot"]

Array = npt.NDArray[Any]


def write_mot(
    poses: PoseSet, path: str | Path, *, fps: float | None = None, person: int | None = None
) -> tuple[str, ...]:
    """Write the joint angles of one person of a clip as a MOT file; whole or not at all.

    OpenSim wants a number in every frame: what joints do not determine (`nearfar.angles.joint_angles`) or lack is
    interpolated linearly in time, and the notes say how much of it. A coordinate that is never determined is left out.

    Args:
        poses: one clip.
        path: the file.
        fps: frames a second; by default the clip's own.
        person: which, where there are several.

    Returns:
        What was done on the way.

    Raises:
        InputError: as `nearfar.export.tracks.tracks`, several people, or a skeleton without joint angles.
    """
    track, notes = facing_x(one_track(poses, path, fps, person), poses.skeleton)
    found = _coordinates(track, poses.skeleton)
    missing = {name: int(np.isnan(values).sum()) for name, values in found.items()}
    frames = len(track.joints)
    columns = {name: filled(found[name][:, None])[:, 0] for name, count in missing.items() if count < frames}
    if not columns:
        raise InputError(f"{path}: no joint angle of {track.name} is ever determined")
    if nobody := min(missing.values()):
        notes += (f"{track.name}: nobody there in {nobody} of {frames} frames: interpolated",)
    if made_up := [f"{name} {count}" for name, count in missing.items() if nobody < count < frames]:
        notes += (f"{track.name}: interpolated where not determined, of {frames} frames: {', '.join(made_up)}",)
    if never := [name for name in found if name not in columns]:
        notes += (f"{track.name}: never determined, left out: {', '.join(never)}",)
    header = ["version=1", f"nRows={len(track.joints)}", f"nColumns={1 + len(columns)}", "inDegrees=yes", "endheader"]
    rows = np.stack([track.time, *columns.values()], axis=1).tolist()
    lines = ["\t".join(["time", *columns]), *("\t".join(f"{value:.6f}" for value in row) for row in rows)]
    write_text(path, "\n".join([Path(path).stem, *header, *lines]) + "\n")
    return notes


def _coordinates(track: Track, skeleton: Skeleton) -> dict[str, Array]:
    """Coordinate -> (T,) degrees, or metres for the pelvis's place; NaN where not determined."""
    defined, names = angle_definitions(skeleton), model_names()
    out: dict[str, Array] = {}
    if (pelvis := segment_frames(track.joints, skeleton).get("pelvis")) is not None:
        turns = z_x_y(pelvis[..., 1], pelvis[..., 2])
        out |= dict(zip(("pelvis_tilt", "pelvis_list", "pelvis_rotation"), turns, strict=True))
        hips = track.joints[:, list(defined.points["hip_centre"])].mean(axis=1) / 1000
        place = hips - pelvis @ np.array(names["pelvis"]["hips"])
        out |= dict(zip(("pelvis_tx", "pelvis_ty", "pelvis_tz"), place.T, strict=True))
    angles = joint_angles(track.joints, skeleton)
    for name, angle in names["coordinates"].items():
        for suffix, _, signed in both_sides(angle):
            if (values := angles.get(signed.removeprefix("-"))) is not None:
                out[name.removesuffix("_r") + suffix] = -values if signed.startswith("-") else values
    return out
