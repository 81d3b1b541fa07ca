"""People through time as motion files want them: each at a constant rate, upright (y up), root and all in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.poses import PoseSet
from nearfar.viewing.clip import to_scene

__all__ = ["DEFAULT_FPS", "Track", "filled", "tracks"]

Array = npt.NDArray[Any]

DEFAULT_FPS = 30.0
"""Frames a second where poses do not say when they were."""
_JITTER = 0.1  # of a step: time stamps that stray no further lie on the grid
_GAP = 1.5  # steps: rows further apart have frames missing between them
_MOST_FRAMES = 1_000_000
_APART = 1000.0  # mm between people whose places are not known


@dataclass(frozen=True, eq=False)
class Track:
    """One person of a clip.

    Attributes:
        person: number of the person.
        name: what files call them, ``person0``.
        start: seconds from the first frame of the clip to the person's first.
        fps: frames a second.
        joints: (T, J, 3) mm, right-handed, y up; NaN where missing. In clips of a camera +z points to the camera and
            +x to the image's right; poses in a world frame have (x, y, z) = world (x, z, −y).
        notes: what was done to get here, a line each.
        camera: (3,) mm, where the camera is that saw the poses; it looks along -z. None where they do not say.
    """

    person: int
    name: str
    start: float
    fps: float
    joints: Array
    notes: tuple[str, ...] = ()
    camera: Array | None = None

    @property
    def time(self) -> Array:
        """(T,) seconds from the first frame of the clip."""
        return np.asarray(self.start + np.arange(len(self.joints)) / self.fps)


def tracks(poses: PoseSet, fps: float | None = None, person: int | None = None) -> list[Track]:
    """The people of one clip, at a constant rate, in one upright space.

    Root-relative poses are put where `root_position` says; where it is unknown throughout, the root stays in one place
    and several people stand a metre apart. Poses that are not in a world frame are moved so that the lowest joint of
    the clip (its first percentile) is at y = 0 and the first pose around x = z = 0: a shift, the same for all people
    and frames, and no turn.

    Without `fps` the rate is that of the median step of time, and frames on that grid (to a tenth of a step) are taken
    as they are. Otherwise joints are interpolated linearly between the frames before and after, and missing where one
    of these is, or where frames are missing between them.

    Args:
        poses: one clip with joints, rows of one person in order of time.
        fps: frames a second; by default the clip's own. Where poses have frame numbers but no time, their rate (30).
        person: only the person of this number, in the place where they are among the others.

    Raises:
        InputError: no joints, a frame rate that is not positive, times that do not increase or are unknown, nobody
            there, or a clip of more than a million frames.
    """
    if poses.joints is None:
        raise InputError("these poses have no 3D joints to export (lift them first)")
    if fps is not None and not (np.isfinite(fps) and 0 < fps <= 1000):
        raise InputError(f"fps: expected frames a second, above 0 and up to 1000, got {fps}")
    people = np.zeros(len(poses), np.int64) if poses.person is None else np.asarray(poses.person)
    numbers = [int(person) for person in np.unique(people)]
    rows = {person: np.flatnonzero(people == person) for person in numbers}
    if person is not None and person not in rows:
        raise InputError(f"no person {person}; there are {', '.join(map(str, numbers))}")
    time = _time(poses, rows, fps)
    rate = _rate([time[r] for r in rows.values()]) if fps is None else fps
    placed, camera, notes = _placed(poses, rows)
    begin = min(time[there[0]] for there in rows.values())
    out = []
    for number, there in rows.items():
        if person not in (None, number):
            continue
        seen = np.flatnonzero(np.isfinite(placed[there]).all(axis=-1).any(axis=-1))
        if not len(seen):
            continue
        inside = there[seen[0] : seen[-1] + 1]
        joints, start, resampled = _on_grid(placed[inside], time[inside] - begin, rate)
        name, said = f"person{number}", [note for about, note in notes if about == number]
        if start:
            said.append(f"{name}: begins {start:.3f} s after the clip")
        if resampled:
            said.append(f"{name}: resampled to {rate:g} frames a second")
        out.append(Track(number, name, start, rate, joints, tuple(said), camera))
    if not out:
        raise InputError("no joint of these poses is ever there: nothing to export")
    return out


def _time(poses: PoseSet, rows: dict[int, Array], fps: float | None) -> Array:
    """(N,) seconds of the rows."""
    if poses.time is not None:
        time = np.array(poses.time, dtype=np.float64)
    elif poses.frame_index is not None:
        time = np.asarray(poses.frame_index) / (fps or DEFAULT_FPS)
    else:
        time = np.zeros(len(poses))
        for there in rows.values():
            time[there] = np.arange(len(there)) / (fps or DEFAULT_FPS)
    for person, there in rows.items():
        if not (np.isfinite(time[there]).all() and (np.diff(time[there]) > 0).all()):
            raise InputError(f"person {person}: expected times that increase from row to row")
    return time


def _rate(times: list[Array]) -> float:
    """Frames a second of the median step, fitted to the whole where its times lie on such a grid."""
    waits = np.concatenate([np.diff(time) for time in times])
    if not waits.size:
        return DEFAULT_FPS
    step = float(np.median(waits))
    longest = max(times, key=len)
    steps = int(np.maximum(1, np.rint(np.diff(longest) / step)).sum())
    fitted = float(longest[-1] - longest[0]) / steps
    return 1 / (fitted if abs(fitted - step) < _JITTER * step else step)


def _placed(poses: PoseSet, rows: dict[int, Array]) -> tuple[Array, Array | None, list[tuple[int, str]]]:
    """(N, J, 3) joints, y up, mm, roots where they belong; where the camera is; and notes, each with its person."""
    joints = to_scene(poses.joints if poses.joints is not None else [], world=poses.frame == "world")
    if poses.frame == "world":
        return joints, None, []
    notes: list[tuple[int, str]] = []
    if poses.frame == "root":
        root = None if poses.root_position is None else to_scene(poses.root_position, world=False)
        for i, (person, there) in enumerate(rows.items()):
            if root is not None and np.isfinite(root[there]).any():
                joints[there] += filled(root[there])[:, None]
            else:
                joints[there] += [i * _APART, 0, 0]
                notes.append((person, f"person{person}: nothing says where the root is; it stays in one place"))
    heights = joints[..., 1][np.isfinite(joints[..., 1])]
    if not heights.size:
        return joints, None, notes
    first = min(int(np.argmax(np.isfinite(joints).any(axis=(1, 2)))), len(joints) - 1)
    start = np.nanmean(joints[first], axis=0)
    shift = np.array([start[0], np.percentile(heights, 1), start[2]])
    return joints - shift, None if notes else -shift, notes


def filled(points: Array) -> Array:
    """(T, 3) points, at least one of them there; those missing are interpolated linearly by row, the ends held."""
    known = np.isfinite(points).all(axis=-1)
    rows = np.arange(len(points))
    return np.stack([np.interp(rows, rows[known], axis[known]) for axis in points.T], axis=-1)


def _on_grid(joints: Array, time: Array, fps: float) -> tuple[Array, float, bool]:
    """Joints (F, J, 3) at times (F,) at a constant rate: (T, J, 3), the first time, whether they were interpolated."""
    places = (time - time[0]) * fps
    whole = np.rint(places).astype(np.int64)
    frames = int(np.floor(places[-1] + _JITTER)) + 1
    if frames > _MOST_FRAMES:
        raise InputError(f"{frames} frames at {fps:g} a second: more than the {_MOST_FRAMES} that are exported")
    if np.abs(places - whole).max() <= _JITTER and (np.diff(whole) > 0).all():
        out = np.full((whole[-1] + 1, *joints.shape[1:]), np.nan)
        out[whole] = joints
        return out, float(time[0]), False
    grid = np.minimum(np.arange(frames), places[-1])
    after = np.clip(np.searchsorted(places, grid), 1, len(places) - 1)
    wait = places[after] - places[after - 1]
    share = ((grid - places[after - 1]) / wait)[:, None, None]
    before, then = joints[after - 1], joints[after]
    mixed = np.where(share < 1e-9, before, np.where(share > 1 - 1e-9, then, (1 - share) * before + share * then))
    typical = float(np.median(np.diff(places)))
    inside = (wait > _GAP * typical)[:, None, None] & (share > 1e-9) & (share < 1 - 1e-9)
    return np.where(inside, np.nan, mixed), float(time[0]), True
