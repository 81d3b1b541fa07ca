"""Motion in time: clips made of tasks that follow one another, key poses joined by splines, cycles on top of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.synthetic.body import COLUMNS, LIMITS, clamp, mirror_pose
from nearfar.synthetic.draw import spread
from nearfar.synthetic.tasks import TASKS, Task

__all__ = ["Timeline", "clip_lengths", "move", "perform"]

Array = npt.NDArray[Any]

BLEND_SECONDS = 0.8
"""Time over which one task gives way to the next."""

_TASK_SECONDS = (3.0, 8.0)


def clip_lengths(rng: np.random.Generator, frames: int, fps: float) -> Array:
    """Numbers of frames of successive clips of 4 to 20 seconds that add up to `frames` (the last may be shorter)."""
    shortest, longest = 4 * fps, 20 * fps
    count = int(np.ceil(frames / shortest)) + 1
    lengths = np.maximum(1, np.round(rng.uniform(shortest, longest, count))).astype(np.int64)
    ends = np.minimum(np.cumsum(lengths), frames)
    lengths = np.diff(ends, prepend=0)
    return np.asarray(lengths[lengths > 0])


@dataclass(frozen=True)
class Timeline:
    """Which task each clip does when.

    Attributes:
        starts: (C + 1,) first row of each clip, and the number of rows.
        clip: (N,) clip of each row.
        time: (N,) seconds since the clip began.
        task: (S,) task number of each segment; segments stand clip after clip, in order of time.
        segment_clip: (S,) clip of each segment.
        begin: (S,) seconds into the clip at which the segment begins.
    """

    starts: Array
    clip: Array
    time: Array
    task: Array
    segment_clip: Array
    begin: Array

    @classmethod
    def sample(cls, rng: np.random.Generator, lengths: Array, fps: float) -> Timeline:
        """Draw the tasks of clips of given numbers of frames."""
        starts = np.concatenate([[0], np.cumsum(lengths)])
        clip = np.repeat(np.arange(len(lengths)), lengths)
        time = (np.arange(starts[-1]) - starts[clip]) / fps
        segments = np.maximum(1, np.round(lengths / fps / rng.uniform(*_TASK_SECONDS, len(lengths)))).astype(np.int64)
        segment_clip = np.repeat(np.arange(len(lengths)), segments)
        first = np.cumsum(segments) - segments
        share = np.array([task.share for task in TASKS])
        task = rng.choice(len(TASKS), len(segment_clip), p=share / share.sum())
        length = (lengths / fps / segments)[segment_clip]
        number = np.arange(len(segment_clip)) - first[segment_clip]
        begin = length * (number + np.where(number > 0, rng.uniform(-0.25, 0.25, len(number)), 0))
        return cls(starts, clip, time, task, segment_clip, begin)

    def rows_of(self, segments: Array) -> tuple[Array, Array, Array]:
        """Rows in which some segments have a part.

        Returns:
            (R,) row, (R,) position of its segment in `segments`, (R,) weight in 0..1; at any moment the weights of all
            segments add up to one.
        """
        last = np.append(self.segment_clip[1:] != self.segment_clip[:-1], True)
        end = np.where(last, np.inf, np.append(self.begin[1:], np.inf))[segments]
        begin, clip = self.begin[segments], self.segment_clip[segments]
        first = np.append(True, last[:-1])[segments]
        begin = np.where(first, -np.inf, begin)
        length = np.diff(self.starts)[clip]
        row = np.repeat(self.starts[clip] - (np.cumsum(length) - length), length) + np.arange(length.sum())
        owner = np.repeat(np.arange(len(segments)), length)
        weight = _ramp(self.time[row] - begin[owner]) - _ramp(self.time[row] - end[owner])
        used = weight > 0
        return row[used], owner[used], weight[used]

    def tasks(self) -> Array:
        """(N,) number of the task that each row mostly shows."""
        best, weight = np.zeros(len(self.clip), np.int32), np.full(len(self.clip), -1.0)
        for number in range(len(TASKS)):
            row, _, w = self.rows_of(np.flatnonzero(self.task == number))
            share = np.bincount(row, w, minlength=len(weight))
            better = share > weight
            best[better], weight[better] = number, share[better]
        return best


def _ramp(seconds: Array) -> Array:
    """Smooth step from 0 to 1 around 0 seconds."""
    x = np.clip(seconds / BLEND_SECONDS + 0.5, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))


def spline(keys: Array, owner: Array, position: Array) -> Array:
    """Uniform cubic B-spline through time: twice differentiable, and always inside the hull of its keys.

    Args:
        keys: (S, K, D) key poses.
        owner: (R,) which of the S splines.
        position: (R,) 0 to K - 3.

    Returns:
        (R, D).
    """
    knot = np.minimum(position.astype(np.int64), keys.shape[1] - 4)
    t = position - knot
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    flat = keys.reshape(-1, keys.shape[-1])
    at = owner * keys.shape[1] + knot
    return np.asarray(sum(flat[at + i] * (w / 6)[:, None] for i, w in enumerate(weights)))


def perform(rng: np.random.Generator, task: Task, owner: Array, since: Array, count: int) -> Array:
    """(R, D) poses of `count` performances of a task, at seconds `since` their beginning."""
    quickest, slowest = np.log(task.seconds_per_key)
    tempo = np.exp(rng.uniform(quickest, slowest, count))
    position = np.maximum(since, 0) / tempo[owner]
    keys = task.keys(rng, count, int(position.max(initial=0)) + 4)
    pose = spline(clamp(keys), owner, position)
    if task.cycle is not None:
        pose += task.cycle(rng, count, owner, since)
    mirrored = (rng.random(count) < 0.5)[owner]
    pose[mirrored] = mirror_pose(pose[mirrored])
    return pose


def move(rng: np.random.Generator, timeline: Timeline) -> Array:
    """(N, D) poses of all clips: their tasks, blended where one gives way to the next, with small wanderings."""
    pose = np.zeros((len(timeline.clip), LIMITS.shape[1]))
    for number, task in enumerate(TASKS):
        segments = np.flatnonzero(timeline.task == number)
        row, owner, weight = timeline.rows_of(segments)
        if len(row):
            since = timeline.time[row] - timeline.begin[segments][owner] + BLEND_SECONDS / 2
            performed = perform(rng, task, owner, since, len(segments))
            np.add.at(pose, row, performed * weight[:, None])
    clips = len(timeline.starts) - 1
    tempo = np.exp(rng.uniform(np.log(0.5), np.log(1.5), clips))
    position = timeline.time / tempo[timeline.clip]
    keys = _wander(rng, clips, int(position.max()) + 4)
    return clamp(pose + spline(keys, timeline.clip, position))


_RESTLESS = (
    ("shoulder_flexion", 4), ("shoulder_abduction", 4), ("shoulder_rotation", 7), ("elbow_flexion", 5),
    ("clavicle_elevation", 3), ("clavicle_protraction", 4), ("hip_rotation", 4), ("hip_flexion", 2),
    ("hip_abduction", 2), ("knee_flexion", 3), ("pelvis_tilt", 3), ("pelvis_roll", 2), ("lumbar_flexion", 4),
    ("lumbar_bend", 2), ("lumbar_twist", 2), ("thorax_flexion", 4), ("thorax_bend", 2), ("thorax_twist", 3),
    ("neck_flexion", 6), ("neck_bend", 3), ("neck_twist", 7), ("head_flexion", 5), ("head_bend", 3), ("head_twist", 8),
)  # fmt: skip


def _wander(rng: np.random.Generator, clips: int, keys: int) -> Array:
    """(C, K, D) small deviations, partly the performer's habit and partly changing through the clip."""
    out = np.zeros((clips, keys, LIMITS.shape[1]))
    for name, sd in _RESTLESS:
        columns = out[..., COLUMNS[name]]
        columns += spread(rng, columns.shape, 0, sd)
    return out
