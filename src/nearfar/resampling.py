"""Poses at other moments: gaps filled, clips at even steps of time.

What was not observed stays marked: `keypoints` are NaN and `scores` 0 there, whatever `joints` say.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.poses import Category, PoseSet
from nearfar.sequences import Clip, clips

__all__ = ["check_rate", "fill_gaps", "observed", "resample"]

Array = npt.NDArray[Any]

_POINTS = ("joints", "root_position")


def observed(poses: PoseSet) -> Array:
    """(N, J) bool: which joints were seen, rather than filled in or missing: those with a score above 0.

    Without scores those with keypoints, without keypoints those with joints.
    """
    if poses.scores is not None:
        return np.asarray(poses.scores > 0)
    points: Any = poses.keypoints if poses.keypoints is not None else poses.joints
    return np.asarray(np.isfinite(points).all(axis=-1))


def fill_gaps(poses: PoseSet, longest: float = 1.0, *, fps: float = 30.0) -> PoseSet:
    """Fill gaps in `joints` and `root_position` of each clip, in a straight line from the frame before to that after.

    Filled is what lies between, joint by joint, where the gap is no longer than `longest`; what lies before the first
    or after the last sight of a joint stays missing. Rows that a clip lacks (other programs write none for a person
    whom they did not find) are not added; `resample` does that.

    Args:
        poses: poses with joints, in any frame.
        longest: seconds from sight to sight.
        fps: frames a second that `frame_index` counts, where the poses have no `time`.

    Returns:
        The same rows. Keypoints and scores stay as they were, so that `observed` tells what was filled.

    Raises:
        InputError: no joints, or `longest` is not a positive number.
    """
    if poses.joints is None:
        raise InputError("filling gaps needs 3D joints, and these poses have none")
    if not (math.isfinite(longest) and longest > 0):
        raise InputError(f"filling gaps: expected seconds above 0, got {longest}")
    changes: dict[str, Any] = {
        name: np.array(getattr(poses, name)) for name in _POINTS if getattr(poses, name) is not None
    }
    for clip in clips(poses, fps):
        for points in changes.values():
            points[clip.rows] = _at(points[clip.rows], clip.time, clip.time, longest, _frames(poses, clip))
    return dataclasses.replace(poses, **changes, provenance={**poses.provenance, "gaps_filled_s": longest})


def check_rate(rate: float) -> None:
    """Refuse (`InputError`) what `resample` cannot take as a rate."""
    if not (math.isfinite(rate) and 0 < rate <= 10_000):
        raise InputError(f"resampling: expected a rate above 0 and up to 10000 Hz, got {rate}")


def resample(poses: PoseSet, rate: float, *, longest: float = 0.0, fps: float = 30.0) -> PoseSet:
    """The clips at an even rate: joints and keypoints in a straight line between the frames around each moment.

    A moment at which there was a frame has that frame's numbers. A joint that is missing in one of the frames around
    a moment is missing there, unless its own gap is no longer than `longest`. Moments are multiples of 1/rate from the
    first of the whole sequence, so that people in one sequence keep step. Left out are rows in no clip, and
    clips in which no moment lies.

    Args:
        poses: poses that say when they were (`time`, or `frame_index` counted at `fps`).
        rate: frames a second.
        longest: seconds; gaps up to this are filled in `joints`; keypoints and scores stay missing there.
        fps: frames a second that `frame_index` counts, where the poses have no `time`.

    Returns:
        New rows, clip by clip; `frame_index` counts moments, `time` is in seconds. `occluded` is dropped; other columns
        are those of the frame nearest in time.

    Raises:
        InputError: the rate is not a positive number, or there is no clip.
    """
    check_rate(rate)
    found = clips(poses, fps)
    if not found:
        raise InputError("resampling needs a clip: two or more frames of a person that say when they were")
    when = np.asarray(poses.time if poses.time is not None else np.asarray(poses.frame_index) / fps, np.float64)
    parts = [_resampled(poses, clip, when, rate, longest) for clip in found]
    columns: dict[str, Any] = {}
    for name in parts[0]:
        joined = np.concatenate([part[name] for part in parts])
        column = getattr(poses, name)
        columns[name] = Category(joined, column.names) if isinstance(column, Category) else joined
    return dataclasses.replace(poses, occluded=None, **columns, provenance={**poses.provenance, "resampled_hz": rate})


def _resampled(poses: PoseSet, clip: Clip, when: Array, rate: float, longest: float) -> dict[str, Array]:
    """Columns of a clip at even moments."""
    own = when[clip.rows]
    sequence = np.zeros(len(when), np.int64) if poses.sequence is None else poses.sequence.codes
    start = float(when[sequence == sequence[clip.rows[0]]].min())
    slack = 1e-6
    first = math.ceil((own[0] - start) * rate - slack)
    number = np.arange(first, math.floor((own[-1] - start) * rate + slack) + 1)
    moments = np.clip(start + number / rate, own[0], own[-1])
    after = np.searchsorted(own, moments).clip(1, len(own) - 1)
    nearest = clip.rows[np.where(moments - own[after - 1] < own[after] - moments, after - 1, after)]
    frames = _frames(poses, clip)
    columns: dict[str, Array] = {"frame_index": number, "time": number / rate + start}
    for name in ("person", "intrinsics", "image_size"):
        if (column := getattr(poses, name)) is not None:
            columns[name] = column[nearest]
    for name in ("sequence", "subject", "action"):
        if (column := getattr(poses, name)) is not None:
            columns[name] = column.codes[nearest]
    for name, reach in (("joints", longest), ("root_position", longest), ("keypoints", 0.0)):
        if (points := getattr(poses, name)) is not None:
            columns[name] = _at(points[clip.rows], own, moments, reach, frames).astype(points.dtype)
    if poses.scores is not None:
        scores = _at(poses.scores[clip.rows][..., None], own, moments, 0.0, frames)[..., 0]
        if poses.keypoints is not None:
            scores = np.where(np.isfinite(columns["keypoints"]).all(axis=-1), scores, 0.0)
        columns["scores"] = scores.astype(poses.scores.dtype)
    return columns


def _frames(poses: PoseSet, clip: Clip) -> Array:
    """(T,) numbers of a clip's frames, such that those of neighbouring frames differ by one.

    `frame_index` knows best: where the frame rate varies, a long wait need not be a frame that is not there.
    """
    if poses.frame_index is None:
        return clip.place
    number = np.asarray(poses.frame_index)[clip.rows].astype(np.float64)
    return number / max(float(np.median(np.diff(number))), 1.0)


def _at(points: Array, time: Array, moments: Array, longest: float, frames: Array) -> Array:
    """Points (T, ..., D) seen at times (T,) as they were at other moments (M,), each joint for itself.

    NaN before a joint's first sight and after its last, and within gaps: where the two sights around a moment are not
    in neighbouring `frames` (T,) and lie farther apart than `longest`.
    """
    flat = np.asarray(points, np.float64).reshape(len(points), -1, points.shape[-1])
    out = np.full((len(moments), *flat.shape[1:]), np.nan)
    row = np.arange(len(time))
    seen_all: Array = np.asarray(np.isfinite(flat).all(axis=-1))
    for joint in range(flat.shape[1]):
        rows = row[seen_all[:, joint]]
        if not len(rows):
            continue
        t = time[rows]
        after = np.searchsorted(t, moments)
        exact = after.clip(max=len(t) - 1)
        hit = np.abs(t[exact] - moments) < 1e-9
        before, beyond = (after - 1).clip(0), after.clip(max=len(t) - 1)
        bridged = (after > 0) & (after < len(t))
        bridged &= (frames[rows[beyond]] - frames[rows[before]] < 1.5) | (t[beyond] - t[before] <= longest + 1e-9)
        share = (moments - t[before]) / np.where(beyond > before, t[beyond] - t[before], 1.0)
        between = flat[rows[before], joint] + share[:, None] * (flat[rows[beyond], joint] - flat[rows[before], joint])
        out[bridged, joint] = between[bridged]
        out[hit, joint] = flat[rows[exact[hit]], joint]
    return out.reshape(len(moments), *points.shape[1:])
