"""Poses through time: which rows of a `PoseSet` are one person in one clip, and when each of them was."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.poses import PoseSet

__all__ = ["Clip", "clips", "most_seen"]

Array = npt.NDArray[Any]

LONGEST_GAP = 1.0
"""Seconds without a row after which a clip ends: what was before says nothing of what comes then."""

RECENT = 15
"""Waits between rows from which a causal call takes its step."""


@dataclass(frozen=True, eq=False)
class Clip:
    """Two or more rows of one person in one clip, in order of time.

    Attributes:
        rows: (T,) row numbers in the pose set.
        place: (T,) place of each row among equal steps of time, from 0; a step without a row is a frame that is not
            there.
        step: seconds from one place to the next.
        time: (T,) seconds since the first row, as the rows say.
    """

    rows: Array
    place: Array
    step: float
    time: Array

    @property
    def length(self) -> int:
        """Steps from the first row to the last, both counted."""
        return int(self.place[-1]) + 1

    def spread(self, values: Array) -> Array:
        """Values (T, ...) of the rows on the grid of equal steps, (length, ...), NaN where there is no row."""
        grid = np.full((self.length, *values.shape[1:]), np.nan, values.dtype)
        grid[self.place] = values
        return grid

    def causal(self) -> tuple[Clip, Array]:
        """The clip on a grid of which no part depends on what comes later.

        The step is at each row the median of the `RECENT` waits before it (at the first row, that of the second), and
        so many of those steps, rounded, lie between it and the row before.

        Returns:
            The clip with its places so determined, and the step at each place, (length,) seconds.
        """
        wait = np.diff(self.time)
        early = [np.median(wait[: i + 1]) for i in range(min(RECENT - 1, len(wait)))]
        later = np.lib.stride_tricks.sliding_window_view(wait, RECENT) if len(wait) >= RECENT else np.empty((0, 1))
        step = np.concatenate([early, np.median(later, axis=1)])
        place = _places(wait, step)
        grid = np.repeat(np.concatenate([step[:1], step]), np.diff(place, prepend=-1))
        return dataclasses.replace(self, place=place), grid


def clips(poses: PoseSet, fps: float = 30.0) -> list[Clip]:
    """The clips of a pose set: rows of one `sequence` and one `person`, in order of time.

    A clip ends where time does not go on, or not for a second. Its step is the median time between its rows. Rows
    that stand alone, and poses that do not say when they were (neither `time` nor `frame_index`), are in no clip.

    Args:
        poses: any poses; the rows of one person in one clip must be in order of time.
        fps: frames a second that `frame_index` counts, where there is no `time`.

    Raises:
        InputError: fps is not a positive number.
    """
    if not (np.isfinite(fps) and fps > 0):
        raise InputError(f"fps: expected a positive number of frames a second, got {fps}")
    if poses.time is not None:
        time = np.asarray(poses.time, dtype=np.float64)
    elif poses.frame_index is not None:
        time = np.asarray(poses.frame_index, dtype=np.float64) / fps
    else:
        return []
    n = len(poses)
    sequence = np.zeros(n, np.int64) if poses.sequence is None else poses.sequence.codes
    person = np.zeros(n, np.int64) if poses.person is None else np.asarray(poses.person)
    order = np.lexsort((person, sequence))  # stable: rows of one clip stay in order of time
    wait = np.diff(time[order])
    goes_on = (np.diff(sequence[order]) == 0) & (np.diff(person[order]) == 0) & (wait > 0) & (wait <= LONGEST_GAP)
    parts = np.split(order, np.flatnonzero(~goes_on) + 1)
    return [_clip(rows, time[rows]) for rows in parts if len(rows) > 1]


def most_seen(poses: PoseSet, most: int) -> PoseSet:
    """The poses of the people who are seen in most rows: up to `most` of each sequence, all rows of each.

    Raises:
        InputError: `most` is not positive.
    """
    if most < 1:
        raise InputError(f"people must be at least 1, got {most}")
    if poses.person is None:
        return poses
    points: Any = poses.keypoints if poses.keypoints is not None else poses.joints
    seen = np.isfinite(points).all(axis=-1).any(axis=-1)
    sequence = np.zeros(len(poses), np.int64) if poses.sequence is None else poses.sequence.codes
    people, who = np.unique(np.stack([sequence, poses.person]), axis=1, return_inverse=True)
    order = np.lexsort((-np.bincount(who.ravel(), seen), people[0]))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.searchsorted(people[0], people[0][order])
    return poses.select(rank[who.ravel()] < most)


def _clip(rows: Array, time: Array) -> Clip:
    wait = np.diff(time)
    step = float(np.median(wait))
    return Clip(rows, _places(wait, step), step, time - time[0])


def _places(wait: Array, step: float | Array) -> Array:
    """Places of rows: each wait is rounded to whole steps on its own, since time stamps jitter; no two rows collide."""
    return np.concatenate([[0], np.cumsum(np.maximum(1, np.rint(wait / step).astype(np.int64)))])
