"""From the poses of a clip to the motion of armatures: what the writers of BVH and GLB have in common."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.export.armature import Armature
from nearfar.export.inverse import solve
from nearfar.export.rest import fixed_lengths, rest_pose
from nearfar.export.tracks import Track, filled, tracks
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton

__all__ = ["Motion", "motions", "solve_track"]

Array = npt.NDArray[Any]

_SHOWN = 5  # runs of frames that a note names
_WORTH_SAYING = 1.0  # mm


@dataclass(frozen=True, eq=False)
class Motion:
    """One person's motion as rotations.

    Attributes:
        name: what files call the person, ``person0``.
        armature: N nodes with their offsets in the rest pose, mm, y up.
        rotations: (T, N, 3, 3) of the nodes in their parents' frames.
        root: (T, 3) mm, y up, where the root node is.
        rest_height: mm of the root above the lowest joint in the rest pose.
        start: seconds from the first frame of the clip to the person's first.
        fps: frames a second.
        error: (T, N) mm from where the nodes are to where their joints were, NaN where these were missing.
        notes: what was done to get here, a line each.
        camera: as `Track.camera`.
    """

    name: str
    armature: Armature
    rotations: Array
    root: Array
    rest_height: float
    start: float
    fps: float
    error: Array
    notes: tuple[str, ...]
    camera: Array | None = None

    def positions(self) -> Array:
        """(T, N, 3) mm, y up, of the nodes."""
        return self.armature.forward(self.rotations, self.root)[0]


def motions(poses: PoseSet, fps: float | None = None, person: int | None = None) -> list[Motion]:
    """The people of one clip as moving armatures, with limbs of fixed lengths (`nearfar.export.inverse`).

    Missing joints are interpolated, and the notes say which.

    Raises:
        InputError: as `nearfar.export.tracks.tracks`, or a limb whose length nothing says.
    """
    return [solve_track(track, poses.skeleton) for track in tracks(poses, fps, person)]


def solve_track(track: Track, skeleton: Skeleton) -> Motion:
    """The motion of one person.

    Raises:
        InputError: a limb whose length nothing says, or a root that is never there.
    """
    if not np.isfinite(track.joints[:, skeleton.root_index]).all(axis=-1).any():
        raise InputError(f"{track.name}: the root ({skeleton.root}) is never there; the motion needs it")
    rest = rest_pose(skeleton, track.joints)
    lengths = fixed_lengths(skeleton, track.joints, rest)
    root = filled(track.joints[:, skeleton.root_index])
    armature, rotations = solve(skeleton, track.joints, root, rest, lengths, track.fps)
    height = -float(armature.rest_positions()[:, 1].min())
    error = np.linalg.norm(armature.forward(rotations, root)[0] - track.joints[:, armature.joints], axis=-1)
    notes = track.notes + _gaps(track, skeleton)
    mean, most = np.nanmean(error), np.nanpercentile(error, 95)
    if most > _WORTH_SAYING:
        notes += (f"{track.name}: limbs keep one length; that moves joints by {mean:.0f} mm (95 % below {most:.0f})",)
    if rest.source != "table":
        notes += (f"{track.name}: skeleton {skeleton.name!r} has no known rest pose; it rests as in {rest.source}",)
    return Motion(track.name, armature, rotations, root, height, track.start, track.fps, error, notes, track.camera)


def _gaps(track: Track, skeleton: Skeleton) -> tuple[str, ...]:
    """What is missing and will be interpolated: joints that are missing in the same frames share a line."""
    missing = np.asarray(np.isnan(track.joints).any(axis=-1))
    nobody = np.asarray(missing.all(axis=1))
    by_frames: dict[bytes, list[int]] = {}
    for joint, gone in enumerate((missing & ~nobody[:, None]).T):
        if gone.any():
            by_frames.setdefault(gone.tobytes(), []).append(joint)
    lines = [f"{track.name}: nobody there in {_runs(nobody)}: filled in"] if nobody.any() else []
    for joints in by_frames.values():
        names, gone = ", ".join(skeleton.joints[j] for j in joints), missing[:, joints[0]]
        if gone.all():
            lines.append(f"{track.name}: {names} never there: left as in the rest pose")
        else:
            lines.append(f"{track.name}: {names} missing in {_runs(gone & ~nobody)}: filled in")
    return tuple(lines)


def _runs(mask: Array) -> str:
    """``26 of 229 frames (138-163)``."""
    frames = np.flatnonzero(mask)
    runs = [list(run) for _, run in groupby(frames.tolist(), key=lambda frame: frame - np.searchsorted(frames, frame))]
    shown = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs[:_SHOWN]]
    return f"{len(frames)} of {len(mask)} frames ({', '.join(shown)}{', ...' if len(runs) > _SHOWN else ''})"
