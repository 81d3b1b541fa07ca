"""C3D files (.c3d): marker trajectories in the binary format of biomechanics; mm, z up, all people of a clip.

Written by ezc3d. ``POINT:UNITS`` is mm; ``POINT:X_SCREEN`` and ``Y_SCREEN`` say that +Y points to the right of the
screen and +Z up; a missing marker has a residual of -1, as the format has it (c3d.org). With several people the labels
begin with the person: ``person0:left_knee``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nearfar.errors import InputError
from nearfar.export.tracks import tracks
from nearfar.files import replacing
from nearfar.poses import PoseSet

__all__ = ["write_c3d"]

_MOST_FRAMES = 65_535  # the header counts them in 16 bits


def write_c3d(
    poses: PoseSet, path: str | Path, *, fps: float | None = None, person: int | None = None
) -> tuple[str, ...]:
    """Write the people of a clip as a C3D file, a point a joint; whole or not at all.

    The axes are those of a world with z up (`nearfar.viewing.clip.to_scene`, with its +z now along -y). Coordinates are
    stored as 32-bit floats.

    Args:
        poses: one clip.
        path: the file.
        fps: frames a second; by default the clip's own.
        person: only the person of this number.

    Returns:
        What was done on the way.

    Raises:
        InputError: as `nearfar.export.tracks.tracks`, more than 65535 frames, or ezc3d is not installed.
    """
    try:
        import ezc3d
    except ImportError:
        raise InputError('writing C3D files needs ezc3d: pip install "nearfar[biomechanics]"') from None
    people = tracks(poses, fps, person)
    rate = people[0].fps
    begins = [round(track.start * rate) for track in people]
    first = min(begins)
    count = max(begin + len(track.joints) for begin, track in zip(begins, people, strict=True)) - first
    if count > _MOST_FRAMES:
        raise InputError(f"{path}: {count} frames; a C3D file holds up to {_MOST_FRAMES}: export at a lower rate (fps)")
    points = np.full((count, len(people), poses.skeleton.num_joints, 3), np.nan)
    for i, (begin, track) in enumerate(zip(begins, people, strict=True)):
        points[begin - first : begin - first + len(track.joints), i] = track.joints
    prefixes = [f"{track.name}:" if len(people) > 1 else "" for track in people]
    labels = [prefix + joint for prefix in prefixes for joint in poses.skeleton.joints]
    z_up = points.reshape(count, -1, 3)[..., [0, 2, 1]] * [1, -1, 1]
    missing = np.isnan(z_up).any(axis=-1)
    file = ezc3d.c3d()
    file["header"]["points"]["first_frame"] = first
    file.add_parameter("POINT", "RATE", [rate])
    file.add_parameter("POINT", "UNITS", ["mm"])
    file.add_parameter("POINT", "LABELS", labels)
    file.add_parameter("POINT", "X_SCREEN", ["+Y"])
    file.add_parameter("POINT", "Y_SCREEN", ["+Z"])
    file["data"]["points"] = np.concatenate([z_up.transpose(2, 1, 0), np.ones((1, len(labels), count))])
    file["data"]["meta_points"]["residuals"] = np.where(missing.T, -1.0, 0.0)[None]
    with replacing(path) as temporary:
        file.write(str(temporary))
    return tuple(note for track in people for note in track.notes)
