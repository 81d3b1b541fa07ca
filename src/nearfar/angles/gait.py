"""Steps, cadence and the angles of a stride, from poses through time (docs/angles.md).

Zeni, Richards & Higginson (Gait & Posture 27, 2008) find the events of gait in how far the feet are before the pelvis:
a foot is farthest in front when it strikes the ground, and farthest behind when it leaves it. This needs neither a
force plate nor the floor, and holds on a treadmill and before a camera. They take heel and toe against the sacrum; here
the middle of the hips stands in for the sacrum, and on a skeleton without a foot the ankle for heel and toe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.angles.definitions import SIDES, Definitions, angle_definitions
from nearfar.angles.through_time import checked_joints, pose_angles, upwards
from nearfar.errors import InputError
from nearfar.poses import PoseSet
from nearfar.sequences import Clip, clips
from nearfar.smoothing import SavitzkyGolay

__all__ = ["Leg", "Walk", "gait", "gait_record", "strides"]

Array = npt.NDArray[Any]

LEAST_SWING = 0.25
"""Leg lengths that a foot must move forward and back against the pelvis to have made a step."""
STEP_SECONDS = (0.2, 1.5)
"""Times between strikes of the two feet that are taken for steps."""
MOST_LEAN = 60.0
"""Degrees between the pelvis's upward axis and the vertical beyond which nobody walks."""
LONGEST_GAP = 0.25
"""Seconds without a foot beyond which its strikes before and after are not of one stride."""
MOST_MISSING = 0.1
"""Share of a stride's frames that may be missing for its range and peaks to count."""
_SMOOTH = SavitzkyGolay(window=0.25, degree=2)
_HEADING = SavitzkyGolay(window=1.0, degree=1)


@dataclass(frozen=True, eq=False)
class Leg:
    """One leg's part in a walk.

    Attributes:
        strikes: (S,) seconds, the foot strikes the ground.
        toe_offs: (T,) seconds, it leaves it.
        stride_time: seconds from strike to strike, median; the others are medians over strides or steps, too.
        stance: share of the stride from strike to toe-off.
        step_length: mm from the other ankle forward to this one when the foot strikes.
        knee_range: degrees, greatest less least knee flexion in a stride.
        knee_swing: degrees, greatest knee flexion between toe-off and strike.
        hip_range: degrees, greatest less least hip flexion in a stride.

    NaN where no stride or step of the leg was seen in full.
    """

    strikes: Array
    toe_offs: Array
    stride_time: float
    stance: float
    step_length: float
    knee_range: float
    knee_swing: float
    hip_range: float


@dataclass(frozen=True, eq=False)
class Walk:
    """What a clip shows of one person's gait.

    Attributes:
        sequence: name of the clip.
        person: identity within it.
        steps: from a strike of one foot to the next of the other.
        cadence: steps a minute while stepping.
        left, right: the legs.
    """

    sequence: str
    person: int
    steps: int
    cadence: float
    left: Leg
    right: Leg


def gait(
    poses: PoseSet, angles: Mapping[str, Array] | None = None, *, up: npt.ArrayLike | None = None, fps: float = 30.0
) -> list[Walk]:
    """The walks in a pose set: one of each clip (`nearfar.sequences.clips`) in which a person takes two steps in a row.

    Args:
        poses: poses with 3D joints in any frame, with `time` or `frame_index`.
        angles: what `pose_angles` gave for them; computed where not given.
        up: (3,) upwards in the axes of the joints; by default `upwards(poses)`.
        fps: frames a second that `frame_index` counts, where there is no `time`.

    Raises:
        InputError: the poses have no joints, or the skeleton has no hips, knees and ankles.
    """
    joints, defined = checked_joints(poses), angle_definitions(poses.skeleton)
    if lacking := [f"{side}_{part}" for side in SIDES for part in ("hip", "knee", "ankle") if f"{side}_{part}" not in
                   defined.points]:  # fmt: skip
        raise InputError(f"gait needs hips, knees and ankles; skeleton {poses.skeleton.name!r} has no {lacking[0]}")
    vertical = upwards(poses) if up is None else np.asarray(up, dtype=np.float64)
    values = pose_angles(poses, up=vertical, fps=fps) if angles is None else angles
    start = np.zeros(len(poses)) if poses.time is None else np.asarray(poses.time, dtype=np.float64)
    if poses.time is None and poses.frame_index is not None:
        start = np.asarray(poses.frame_index) / fps
    found = []
    for clip in clips(poses, fps):
        row = clip.rows[0]
        walk = _walk(
            clip,
            _Feet.of(clip.spread(joints[clip.rows]), defined, vertical, clip.step),
            {name: clip.spread(column[clip.rows]) for name, column in values.items()},
            float(start[row]),
            "" if poses.sequence is None else poses.sequence.names[poses.sequence.codes[row]],
            0 if poses.person is None else int(poses.person[row]),
        )
        if walk is not None:
            found.append(walk)
    return found


def gait_record(walks: list[Walk]) -> dict[str, Any]:
    """Walks as plain data (JSON-safe): seconds, mm, degrees; null for what was not seen."""

    def plain(value: Any) -> Any:
        match value:
            case Leg() | Walk():
                return {name: plain(entry) for name, entry in value.__dict__.items()}
            case np.ndarray():
                return [round(float(entry), 4) for entry in value]
            case float():
                return round(value, 4) if np.isfinite(value) else None
        return value

    unit = {"strikes": "s", "toe_offs": "s", "stride_time": "s", "stance": "share of the stride", "step_length": "mm"}
    degrees = dict.fromkeys(("knee_range", "knee_swing", "hip_range"), "degrees")
    return {
        "schema": "nearfar-gait-1",
        "unit": {"cadence": "steps a minute", **unit, **degrees},
        "walks": [plain(walk) for walk in walks],
    }


def strides(time: Array, values: Array, strikes: Array, points: int = 101) -> Array:
    """Values resampled over each stride, from strike (0 %) to strike (100 %).

    Args:
        time: (T,) seconds, ascending.
        values: (T,), NaN where missing.
        strikes: (S,) seconds, of one foot.
        points: how many a stride.

    Returns:
        (S', points) of the strides without missing values and not longer than two steps may be.
    """
    cycles = []
    for start, end in pairwise(strikes):
        inside = (time >= start - 1e-6) & (time <= end + 1e-6)
        if end - start <= 2 * STEP_SECONDS[1] and inside.sum() > 3 and np.isfinite(values[inside]).all():
            cycles.append(np.interp(np.linspace(start, end, points), time[inside], values[inside]))
    return np.array(cycles).reshape(-1, points)


@dataclass(frozen=True, eq=False)
class _Feet:
    """On a clip's grid: mm that the feet are before the middle of the hips, (T,); leg length, mm; who does not lean."""

    heel: Mapping[str, Array]
    toe: Mapping[str, Array]
    ankle: Mapping[str, Array]
    leg: float
    upright: Array

    @classmethod
    def of(cls, joints: Array, defined: Definitions, up: Array, step: float) -> _Feet:
        def point(name: str) -> Array:
            return np.asarray(joints[:, list(defined.points[name])].mean(axis=1))

        time = np.arange(len(joints)) * step
        hips = point("hip_centre")
        ahead = _HEADING(np.cross(up, point("right_hip") - point("left_hip")), time)
        ahead /= np.maximum(np.linalg.norm(ahead, axis=-1, keepdims=True), 1e-9)

        def lengths(side: str) -> Array:
            hip, knee, ankle = (point(f"{side}_{part}") for part in ("hip", "knee", "ankle"))
            return np.asarray(np.linalg.norm(knee - hip, axis=-1) + np.linalg.norm(ankle - knee, axis=-1))

        spine = point("lower_spine") - hips if "lower_spine" in defined.points else np.full(hips.shape, np.nan)
        upright = ~(spine @ up < np.cos(np.deg2rad(MOST_LEAN)) * np.linalg.norm(spine, axis=-1))
        legs = np.concatenate([lengths(side) for side in SIDES])
        legs = legs[np.isfinite(legs)]
        toe = "toe" if {"left_toe", "right_toe"} <= set(defined.points) else "ankle"
        places = [np.sum((point(f"{side}_{part}") - hips) * ahead, axis=-1)
                  for part in ("heel", toe, "ankle") for side in SIDES]  # fmt: skip
        heels, toes, ankles = _SMOOTH(np.stack(places, axis=1)[..., None], time)[..., 0].T.reshape(3, 2, -1)
        return cls(
            heel=dict(zip(SIDES, heels, strict=True)),
            toe=dict(zip(SIDES, toes, strict=True)),
            ankle=dict(zip(SIDES, ankles, strict=True)),
            leg=float(np.median(legs)) if len(legs) else np.nan,
            upright=upright,
        )


def _walk(
    clip: Clip, feet: _Feet, angles: Mapping[str, Array], start: float, sequence: str, person: int
) -> Walk | None:
    least, gap = LEAST_SWING * feet.leg, max(1, round(LONGEST_GAP / clip.step))
    strikes = {side: _turning_points(feet.heel[side], least, gap)[0] for side in SIDES}
    toe_offs = {side: _turning_points(feet.toe[side], least, gap)[1] for side in SIDES}
    at = np.concatenate([strikes[side] for side in SIDES]).astype(int)
    is_left = np.repeat([side == "left" for side in SIDES], [len(strikes[side]) for side in SIDES])
    order = np.argsort(at, kind="stable")
    at, is_left = at[order], is_left[order]
    wait = np.diff(at) * clip.step
    step = (is_left[1:] != is_left[:-1]) & (wait >= STEP_SECONDS[0]) & (wait <= STEP_SECONDS[1])
    step &= np.array([feet.upright[first : last + 1].mean() > 0.9 for first, last in pairwise(at)], dtype=bool)
    step &= np.append(step[1:], False) | np.insert(step[:-1], 0, False)  # one alone is no walk
    if not step.any():
        return None
    of_walk = np.append(step, False) | np.insert(step, 0, False)
    first, last = at[of_walk][[0, -1]]
    legs = {}
    for side in SIDES:
        mine = at[of_walk & (is_left == (side == "left"))]
        lifts = toe_offs[side][(toe_offs[side] > first) & (toe_offs[side] < last)]
        legs[side] = _leg(side, mine, lifts, feet, angles, clip.step, start)
    return Walk(sequence, person, int(step.sum()), float(60 / wait[step].mean()), legs["left"], legs["right"])


def _leg(
    side: str, strikes: Array, toe_offs: Array, feet: _Feet, angles: Mapping[str, Array], step: float, start: float
) -> Leg:
    other = feet.ankle["right" if side == "left" else "left"]
    knee, hip = angles.get(f"{side}_knee_flexion"), angles.get(f"{side}_hip_flexion")
    times, stances, ranges, swings, hips = [], [], [], [], []
    for first, last in pairwise(strikes):
        between = toe_offs[(toe_offs > first) & (toe_offs < last)]
        if len(between) != 1 or (last - first) * step > 2 * STEP_SECONDS[1]:
            continue  # the foot rested, or was lost
        times.append((last - first) * step)
        stances.append((between[0] - first) / (last - first))
        if knee is not None:
            low, high = _extremes(knee[first : last + 1])
            ranges.append(high - low)
            swings.append(_extremes(knee[between[0] : last + 1])[1])
        if hip is not None:
            low, high = _extremes(hip[first : last + 1])
            hips.append(high - low)
    return Leg(
        strikes=start + strikes * step,
        toe_offs=start + toe_offs * step,
        stride_time=_median(times),
        stance=_median(stances),
        step_length=_median(feet.ankle[side][strikes] - other[strikes]),
        knee_range=_median(ranges),
        knee_swing=_median(swings),
        hip_range=_median(hips),
    )


def _extremes(values: Array) -> tuple[float, float]:
    """Least and greatest value; NaN where too many are missing."""
    known = values[np.isfinite(values)]
    if len(known) < (1 - MOST_MISSING) * len(values):
        return float("nan"), float("nan")
    return float(known.min()), float(known.max())


def _median(values: Any) -> float:
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if len(known) else float("nan")


def _turning_points(signal: Array, least: float, gap: int) -> tuple[Array, Array]:
    """Places of the maxima and minima of a signal (T,) that rises and falls by at least `least` on both sides of each.

    NaNs are passed over, but beyond `gap` of them in a row the signal begins anew.
    """
    turns: tuple[list[int], list[int]] = ([], [])
    rising: bool | None = None  # not known yet
    high = low = last = -1
    for i in np.flatnonzero(np.isfinite(signal)).tolist():
        if last < 0 or i - last > gap:
            rising, high, low = None, i, i
        last = i
        high, low = (i if signal[i] > signal[high] else high), (i if signal[i] < signal[low] else low)
        if rising is not False and signal[high] - signal[i] >= least:
            if rising:
                turns[0].append(high)
            rising, low = False, i
        elif rising is not True and signal[i] - signal[low] >= least:
            if rising is False:
                turns[1].append(low)
            rising, high = True, i
    return np.array(turns[0], dtype=int), np.array(turns[1], dtype=int)
