"""TRC files (.trc): marker trajectories as OpenSim reads them; mm, y up, one person.

Tab-separated text: five lines of header, an empty one, and a line a frame: its number from 1, its time in seconds, and
x, y, z of each marker; nothing where a marker is missing (as OpenSim's TRCFileAdapter has it).
OpenSim's people face along +x, and its inverse kinematics start there: so the person is turned about the vertical to
face +x on the mean.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nearfar.export.opensim import facing_x, one_track
from nearfar.files import write_text
from nearfar.poses import PoseSet

__all__ = ["write_trc"]


def write_trc(
    poses: PoseSet, path: str | Path, *, fps: float | None = None, person: int | None = None
) -> tuple[str, ...]:
    """Write one person of a clip as a TRC file, a marker a joint; whole or not at all.

    Args:
        poses: one clip.
        path: the file.
        fps: frames a second; by default the clip's own.
        person: which, where there are several.

    Returns:
        What was done on the way.

    Raises:
        InputError: as `nearfar.export.tracks.tracks`, or several people.
    """
    track, notes = facing_x(one_track(poses, path, fps, person), poses.skeleton)
    count, markers = track.joints.shape[:2]
    rate = f"{track.fps:.6g}"
    names = "".join(f"{name}\t\t\t" for name in poses.skeleton.joints)
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{Path(path).name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate}\t{rate}\t{count}\t{markers}\tmm\t{rate}\t1\t{count}",
        f"Frame#\tTime\t{names}".rstrip("\t"),
        "\t\t" + "\t".join(f"{axis}{i}" for i in range(1, markers + 1) for axis in "XYZ"),
        "",
    ]
    for number, (time, frame) in enumerate(zip(track.time, track.joints, strict=True), start=1):
        cells = ["" if np.isnan(value) else f"{value:.5f}" for value in frame.ravel()]
        lines.append("\t".join([str(number), f"{time:.6f}", *cells, ""]))  # OpenSim drops an empty cell at the very end
    write_text(path, "\n".join(lines) + "\n")
    return notes
