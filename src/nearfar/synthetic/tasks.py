"""What the synthetic people do: each task draws key poses, and some add a cycle (steps, a waving hand)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nearfar.synthetic import gait
from nearfar.synthetic.arms import ARM_DOFS, gesture
from nearfar.synthetic.body import COLUMNS, DOFS, LIMITS
from nearfar.synthetic.draw import neutral, put, spread

__all__ = ["TASKS", "Task"]

Array = npt.NDArray[Any]
Keys = Callable[[np.random.Generator, int, int], Array]


class Task(NamedTuple):
    """Something to do for a few seconds.

    Attributes:
        name: the action of the rows that show it.
        share: relative frequency.
        seconds_per_key: least and greatest time from one key pose to the next; each performance has its own.
        keys: (generator, performances S, key poses K) to (S, K, D) poses.
        cycle: (generator, S, owner (R,), seconds (R,)) to (R, D), added to the splined keys; or None.
    """

    name: str
    share: float
    seconds_per_key: tuple[float, float]
    keys: Keys
    cycle: Callable[[np.random.Generator, int, Array, Array], Array] | None = None


def _look_and_lean(rng: np.random.Generator, pose: Array, amount: float = 1.0) -> None:
    """Bend and turn trunk, neck and head a little, in place."""
    for name, sd in (
        ("pelvis_tilt", 6), ("pelvis_roll", 3), ("lumbar_flexion", 8), ("lumbar_bend", 5), ("thorax_flexion", 8),
        ("thorax_bend", 5), ("thorax_twist", 10), ("neck_flexion", 8), ("neck_twist", 14), ("head_flexion", 6),
        ("head_twist", 12),
    ):  # fmt: skip
        columns = pose[..., COLUMNS[name]]
        columns += spread(rng, columns.shape, 0, amount * sd)


def _stance(rng: np.random.Generator, pose: Array, height: tuple[float, float] = (0.975, 0.02)) -> None:
    """Stand on both feet, more or less apart, in place."""
    pose[..., COLUMNS["planted"]] = 1
    put(rng, pose, "pelvis_height", *height)
    stride = spread(rng, (*pose.shape[:2], 1), 0, 0.13, habit=0.9)
    pose[..., COLUMNS["foot_forward"]] = stride * [1, -1]
    pose[..., COLUMNS["foot_out"]] = 0.07 + np.abs(spread(rng, (*pose.shape[:2], 1), 0.08, 0.1, habit=0.9))
    put(rng, pose, "hip_rotation", -8, 10)
    put(rng, pose, "sway_side", 0, 0.05)


def _stand(rng: np.random.Generator, s: int, k: int) -> Array:
    pose = neutral(s, k)
    _stance(rng, pose)
    gesture(rng, pose)
    _look_and_lean(rng, pose)
    return pose


def _turn(rng: np.random.Generator, s: int, k: int) -> Array:
    pose = gait.walk_keys(rng, s, k)
    some = rng.random((s, 1, 1)) < 0.5
    gesturing = pose.copy()
    gesture(rng, gesturing)
    pose = np.where(some, gesturing, pose)
    rate = np.where(rng.random((s, k)) < 0.75, rng.uniform(50, 200, (s, 1)), 0)
    pose[..., COLUMNS["turn_rate"]] = rate[..., None]
    pose[..., COLUMNS["neck_twist"]] += 0.1 * rate[..., None]
    pose[..., COLUMNS["thorax_twist"]] += 0.06 * rate[..., None]
    return pose


def _reach(rng: np.random.Generator, s: int, k: int) -> Array:
    """One hand, or both, goes to places all around while the trunk follows and the knees give way to low ones."""
    pose = neutral(s, k)
    _stance(rng, pose)
    gesture(rng, pose)
    up, aside = rng.uniform(-0.9, 1.6, (s, k)), rng.uniform(-0.7, 1.4, (s, k))  # radians, from the left shoulder
    raised = np.rad2deg(np.arccos(np.clip(-np.sin(up), -1, 1)))
    flexion, abduction = raised * np.cos(aside), raised * np.sin(aside)
    both = rng.random((s, 1)) < 0.3
    for name, value in (
        ("shoulder_flexion", flexion), ("shoulder_abduction", abduction),
        ("shoulder_rotation", rng.normal(5, 25, (s, k))), ("elbow_flexion", np.abs(rng.normal(15, 25, (s, k)))),
    ):  # fmt: skip
        columns = pose[..., COLUMNS[name]]
        columns[..., 0] = value
        columns[..., 1] = np.where(both, value + rng.normal(0, 15, (s, k)), columns[..., 1])
    low = np.maximum(0, -up + 0.2)
    depth = low * rng.uniform(0, 1, (s, 1))
    pose[..., COLUMNS["pelvis_height"]] -= (0.35 * depth)[..., None]
    put(rng, pose, "pelvis_tilt", 4 + 35 * low[..., None] * rng.uniform(0, 1, (s, 1, 1)), 6)
    put(rng, pose, "lumbar_flexion", 18 * low[..., None], 8)
    put(rng, pose, "thorax_flexion", 12 * low[..., None], 7)
    put(rng, pose, "thorax_twist", 14 * aside[..., None] - 4, 8)
    put(rng, pose, "lumbar_bend", -6 * aside[..., None], 5)
    put(rng, pose, "neck_flexion", 12 - 20 * up[..., None], 10)
    put(rng, pose, "neck_twist", 12 * aside[..., None], 12)
    put(rng, pose, "pelvis_turn", 0, 12)
    return pose


def _crouch(rng: np.random.Generator, s: int, k: int) -> Array:
    """Half and deep squats, and kneeling on one knee or both."""
    pose = neutral(s, k)
    _stance(rng, pose)
    depth = np.clip(spread(rng, (s, k, 1), 0.5, 0.4), 0, 1)
    pose[..., COLUMNS["pelvis_height"]] = 0.95 - 0.68 * depth
    put(rng, pose, "pelvis_tilt", 8 + 20 * depth, 12)
    put(rng, pose, "lumbar_flexion", 8 + 15 * depth, 9)
    put(rng, pose, "thorax_flexion", 6 + 8 * depth, 9)
    put(rng, pose, "neck_flexion", -5, 12)
    put(rng, pose, "hip_rotation", -12, 12)
    gesture(rng, pose)
    kneeling = rng.choice(3, (s, 1, 1), p=[0.65, 0.2, 0.15])  # no, on one knee, on both
    upright = rng.uniform(0, 1, (s, 1, 1))
    kneel = pose.copy()
    kneel[..., COLUMNS["planted"]] = 0
    one = kneeling == 1
    hip = np.where(one, [[[88, -5]]], 75 * (1 - upright))
    knee = np.where(one, [[[90, 95]]], 92 + 55 * (1 - upright))
    put(rng, kneel, "hip_flexion", hip + kneel[..., COLUMNS["pelvis_tilt"]], 7)
    put(rng, kneel, "knee_flexion", knee, 7)
    put(rng, kneel, "hip_abduction", 8, 6)
    put(rng, kneel, "ankle_dorsiflexion", np.where(one, [[[0, -20]]], -35), 10)
    return np.where(kneeling > 0, kneel, pose)


def _sit(rng: np.random.Generator, s: int, k: int) -> Array:
    """On chairs of several heights, legs together, apart, stretched or crossed; a quarter on the floor."""
    pose = neutral(s, k)
    pose[..., COLUMNS["planted"]] = 1
    pose[..., COLUMNS["balance"]] = 0
    pose[..., COLUMNS["pelvis_height"]] = rng.uniform(0.38, 0.68, (s, 1, 1))
    pose[..., COLUMNS["foot_forward"]] = spread(rng, (s, k, 2), 0.42, 0.16)
    pose[..., COLUMNS["foot_out"]] = 0.06 + np.abs(spread(rng, (s, k, 2), 0.06, 0.09))
    put(rng, pose, "hip_rotation", -3, 12)
    lean = spread(rng, (s, k, 1), 0, 1)
    put(rng, pose, "pelvis_tilt", -6 + 12 * lean, 6)
    put(rng, pose, "lumbar_flexion", 12 + 8 * lean, 8)
    put(rng, pose, "thorax_flexion", 8 + 7 * lean, 8)
    put(rng, pose, "neck_flexion", 2 - 8 * lean, 10)
    put(rng, pose, "thorax_twist", 0, 12)
    put(rng, pose, "thorax_bend", 0, 6)
    put(rng, pose, "neck_twist", 0, 16)
    gesture(rng, pose)
    crossed = rng.random((s, 1)) < 0.25
    side = (np.arange(2) == 0) & crossed[..., None]  # the left leg over the right one; clips are mirrored at random
    over_knee = rng.random((s, 1, 1)) < 0.5
    free = pose.copy()
    free[..., COLUMNS["planted"]] = np.where(side, 0, 1)
    put(rng, free, "hip_flexion", 100 + free[..., COLUMNS["pelvis_tilt"]], 6)
    put(rng, free, "hip_abduction", np.where(over_knee, -16, 25), 5)
    put(rng, free, "hip_rotation", np.where(over_knee, 0, -42), 4)
    put(rng, free, "knee_flexion", np.where(over_knee, 75, 95), 10)
    return np.where((rng.random((s, 1, 1)) < 0.25), _sit_on_floor(rng, pose), free)


def _sit_on_floor(rng: np.random.Generator, seated: Array) -> Array:
    pose = seated.copy()
    shape = pose.shape[:2]
    pose[..., COLUMNS["planted"]] = 0
    bent = np.clip(spread(rng, (*shape, 2), 0.5, 0.45), 0, 1)  # stretched legs, or knees drawn up
    opened = rng.random((shape[0], 1, 1)) < 0.35  # cross-legged
    tilt = pose[..., COLUMNS["pelvis_tilt"]] - 8
    pose[..., COLUMNS["pelvis_tilt"]] = tilt
    hip = np.where(opened, 85, 84 + 36 * bent)
    put(rng, pose, "hip_flexion", hip + tilt, 5)
    put(rng, pose, "hip_abduction", np.where(opened, 35, 8), 6)
    put(rng, pose, "hip_rotation", np.where(opened, -38, -5), 7)
    put(rng, pose, "knee_flexion", np.where(opened, 110, 8 + 95 * bent), 9)
    return pose


def _wave(rng: np.random.Generator, s: int, k: int) -> Array:
    pose = _stand(rng, s, k)
    for name, mean, sd in zip(ARM_DOFS, (25, 80, -55, 75), (25, 30, 20, 30), strict=True):
        pose[..., COLUMNS[name].start] = spread(rng, (s, k, 1), mean, sd, habit=0.9)[..., 0]
    return pose


def _wave_cycle(rng: np.random.Generator, s: int, owner: Array, since: Array) -> Array:
    """A hand to and fro, from the shoulder's rotation, the elbow, or the whole arm."""
    amplitude = np.abs(rng.normal([18, 12, 8], [10, 10, 8], (s, 3)))
    phase = rng.uniform(0, 2 * np.pi, (s, 1)) + rng.choice([0, np.pi], (s, 3))
    angle = phase[owner] + 2 * np.pi * rng.uniform(0.6, 2, (s, 1))[owner] * since[:, None]
    out = np.zeros((len(owner), LIMITS.shape[1]))
    for i, name in enumerate(("shoulder_rotation", "elbow_flexion", "shoulder_abduction")):
        out[:, COLUMNS[name].start] = amplitude[owner, i] * np.sin(angle[:, i])
    return out


# One kick in key poses: left hip flexion, left knee, trunk tilt, twist of the thorax, left foot planted.
_KICK = np.array([[5, 15, 4, 0, 1], [-22, 75, 10, 12, 0], [-10, 95, 8, 10, 0], [62, 40, -8, -12, 0],
                  [70, 8, -12, -14, 0], [35, 45, 0, -5, 0], [5, 20, 4, 0, 1]], float)  # fmt: skip


def _kick(rng: np.random.Generator, s: int, k: int) -> Array:
    pose = _stand(rng, s, k)
    phase = (np.arange(k) + rng.integers(len(_KICK), size=(s, 1))) % len(_KICK)
    strength = rng.uniform(0.5, 1.5, (s, 1))
    values = _KICK[phase]
    values[..., 0] *= strength
    values[..., :4] += spread(rng, (s, k, 4), 0, [7, 8, 4, 6])
    for i, name in enumerate(("hip_flexion", "knee_flexion", "pelvis_tilt", "thorax_twist", "planted")):
        pose[..., COLUMNS[name].start] = values[..., i]
    sideways = np.where(rng.random((s, 1)) < 0.3, rng.uniform(10, 40, (s, 1)), 4)
    pose[..., COLUMNS["hip_abduction"].start] = sideways * np.maximum(0, values[..., 0]) / 60
    pose[..., COLUMNS["foot_forward"]] = 0
    pose[..., COLUMNS["foot_out"]] = 0.04
    put(rng, pose, "pelvis_roll", 5, 4)
    put(rng, pose, "pelvis_height", 0.97, 0.015)
    return pose


def _bend(rng: np.random.Generator, s: int, k: int) -> Array:
    """Forward to the floor, backward and sideways, from the hips and the spine."""
    pose = _stand(rng, s, k)
    amount = np.where(np.arange(k) % 3 == rng.integers(3, size=(s, 1)), 0.1, rng.uniform(0, 1.2, (s, k)))[..., None]
    aside = (rng.random((s, 1, 1)) < 0.25) * rng.choice([-1, 1], (s, k, 1))
    forward = np.where(aside != 0, rng.uniform(-0.2, 0.3, (s, k, 1)), amount)
    put(rng, pose, "pelvis_tilt", 5 + 65 * forward * rng.uniform(0.5, 1, (s, 1, 1)), 6)
    put(rng, pose, "lumbar_flexion", 35 * forward * rng.uniform(0.3, 1.2, (s, 1, 1)), 6)
    put(rng, pose, "thorax_flexion", 22 * forward, 7)
    put(rng, pose, "lumbar_bend", 22 * aside * amount, 3)
    put(rng, pose, "thorax_bend", 22 * aside * amount, 3)
    put(rng, pose, "pelvis_roll", 8 * aside * amount, 2)
    put(rng, pose, "thorax_twist", 0, 12)
    hanging = (rng.random((s, 1, 2)) < 0.6) & (aside == 0)
    lean = pose[..., COLUMNS["pelvis_tilt"]] + pose[..., COLUMNS["lumbar_flexion"]]
    arm = np.clip(lean + pose[..., COLUMNS["thorax_flexion"]], 0, 120) * rng.uniform(0.6, 1, (s, 1, 1))
    for name, value in (("shoulder_flexion", arm), ("shoulder_abduction", 8.0), ("elbow_flexion", 15.0)):
        columns = pose[..., COLUMNS[name]]
        columns[...] = np.where(hanging, spread(rng, columns.shape, value, 12), columns)
    pose[..., COLUMNS["pelvis_height"]] -= np.clip(0.25 * forward * rng.uniform(-0.3, 1, (s, 1, 1)), 0, 0.4)
    return pose


def _lie(rng: np.random.Generator, s: int, k: int) -> Array:
    """On the back, the side or the front, rolling a little; or on hands and knees."""
    pose = neutral(s, k)
    pose[..., COLUMNS["planted"]] = 0
    _look_and_lean(rng, pose, 0.8)
    prone = rng.random((s, 1, 1)) < 0.35
    side = rng.random((s, 1, 1)) < 0.3
    put(rng, pose, "pelvis_turn", np.where(side, rng.uniform(60, 100, (s, 1, 1)), rng.uniform(-25, 25, (s, 1, 1))), 10)
    put(rng, pose, "pelvis_tilt", np.where(prone, 90.0, -90.0), 5)
    drawn = np.clip(spread(rng, (s, k, 2), 0.25, 0.35), 0, 1) * np.where(prone & ~side, 0.15, 1)
    put(rng, pose, "hip_flexion", 80 * drawn, 5)
    put(rng, pose, "knee_flexion", np.where(prone, 20, 105 * drawn), 10)
    put(rng, pose, "hip_abduction", 10, 8)
    put(rng, pose, "ankle_dorsiflexion", -30, 10)
    gesture(rng, pose)
    # The floor is in the way of an arm: on the back none goes behind the body, on the front none before it, and on the
    # side the lower one lies before the chest.
    flexion, abduction = pose[..., COLUMNS["shoulder_flexion"]], pose[..., COLUMNS["shoulder_abduction"]]
    lower = side & (prone == [False, True])
    aside = np.hypot(flexion, abduction)
    flexion[...] = np.where(side, flexion, np.where(prone, -0.1 * np.abs(flexion), np.abs(flexion)))
    flexion[...] = np.where(lower, spread(rng, flexion.shape, 70, 25), flexion)
    abduction[...] = np.where(prone & ~side, aside, np.where(lower, -15, abduction))
    tucked = pose.copy()  # rolling over the back or the shoulders
    for name, mean, sd in (
        ("hip_flexion", 105, 14), ("knee_flexion", 105, 20), ("lumbar_flexion", 35, 10), ("thorax_flexion", 25, 8),
        ("neck_flexion", 25, 10), ("shoulder_flexion", 60, 30), ("shoulder_abduction", 15, 15),
        ("elbow_flexion", 60, 35), ("pelvis_turn", 0, 12),
    ):  # fmt: skip
        put(rng, tucked, name, mean, sd)
    tucked[..., COLUMNS["pelvis_tilt"]] = spread(rng, (s, k, 1), 0, 110)
    pose = np.where(rng.random((s, 1, 1)) < 0.12, tucked, pose)
    crawling = pose.copy()
    for name, mean, sd in (
        ("pelvis_tilt", 80, 8), ("pelvis_turn", 0, 5), ("hip_flexion", 90, 12), ("knee_flexion", 92, 10),
        ("shoulder_flexion", 85, 12), ("shoulder_abduction", 5, 8), ("elbow_flexion", 12, 12),
        ("shoulder_rotation", 10, 15), ("neck_flexion", -25, 12),
    ):  # fmt: skip
        put(rng, crawling, name, mean, sd)
    return np.where(rng.random((s, 1, 1)) < 0.2, crawling, pose)


def _free(rng: np.random.Generator, s: int, k: int) -> Array:
    """A wander through the whole range of motion, poses held now and then.

    Every joint goes anywhere within its limits; or, as in an examination of the joints, a few at a time go through
    their ranges, often on both sides alike, from hanging or from held-out arms.
    """
    half = (k + 1) // 2
    pose = neutral(s, half)
    # Beta(2, 2) keeps off the ends of the ranges, where nobody stays long.
    anywhere = LIMITS[0] + (LIMITS[1] - LIMITS[0]) * rng.beta(2, 2, pose.shape)
    share = rng.uniform(0.3, 1, (s, 1, 1))  # of the way from neutral
    wild = pose + share * (anywhere - pose)
    gesturing = wild.copy()
    gesture(rng, gesturing)
    wild = np.where(rng.random((s, 1, 1)) < 0.4, gesturing, wild)

    examined = pose.copy()
    examined[..., COLUMNS["shoulder_flexion"]] += 85 * (rng.random((s, 1, 1)) < 0.25)
    examined[..., COLUMNS["shoulder_abduction"]] += 80 * (rng.random((s, 1, 1)) < 0.35)
    through = LIMITS[0] + (LIMITS[1] - LIMITS[0]) * rng.random(pose.shape)
    examined = np.where(rng.random((s, 1, LIMITS.shape[1])) < 0.15, through, examined)
    left, right = (np.array([COLUMNS[dof.name].start + i for dof in DOFS if dof.paired]) for i in (0, 1))
    alike = rng.random((s, 1, 1)) < 0.6
    examined[..., right] = np.where(alike, examined[..., left], examined[..., right])

    exam = rng.random((s, 1, 1)) < 0.3
    moving = np.where(exam, examined, wild)
    first_of_stance = COLUMNS["pelvis_tilt"].start
    trunk = slice(COLUMNS["lumbar_flexion"].start, COLUMNS["planted"].start)
    pose[..., :first_of_stance] = moving[..., :first_of_stance]
    pose[..., trunk] = moving[..., trunk]
    _stance(rng, pose, (0.9, 0.12))
    pose[..., COLUMNS["planted"]] = rng.random((s, 1, 2)) < 0.7
    pose[..., COLUMNS["pelvis_height"]] += np.where(exam, 0.08, 0)
    put(rng, pose, "pelvis_tilt", 10 - 7 * exam, 18)
    put(rng, pose, "pelvis_roll", 0, 8)
    put(rng, pose, "hip_rotation", -5, 18)
    return np.repeat(pose, 2, axis=1)[:, :k]


# One jump in key poses: hips above ankles, trunk tilt, arms' flexion, flight.
_JUMP = np.array([[0.97, 5, 0, 0], [0.75, 30, -35, 0], [0.68, 35, -40, 0], [0.99, 5, 90, 0.1], [0.93, 5, 120, 0.5],
                  [0.99, 8, 80, 0.15], [0.72, 28, 30, 0], [0.85, 15, 10, 0], [0.97, 5, 0, 0]], float)  # fmt: skip


def _jump(rng: np.random.Generator, s: int, k: int) -> Array:
    pose = _stand(rng, s, k)
    phase = (np.arange(k) + rng.integers(len(_JUMP), size=(s, 1))) % len(_JUMP)
    values = _JUMP[phase]
    values[..., 3] *= rng.uniform(0.3, 1.2, (s, 1))
    values[..., 0] -= (phase == 4) * rng.uniform(-0.05, 0.4, (s, 1))  # legs drawn up in flight, or not
    values[..., :3] += spread(rng, (s, k, 3), 0, [0.03, 6, 15])
    pose[..., COLUMNS["pelvis_height"]] = values[..., :1]
    pose[..., COLUMNS["pelvis_tilt"]] = values[..., 1:2]
    swinging = rng.random((s, 1, 1)) < 0.75
    arms = pose[..., COLUMNS["shoulder_flexion"]]
    arms[...] = np.where(swinging, values[..., 2:3] * rng.uniform(0.3, 1.3, (s, 1, 1)), arms)
    pose[..., COLUMNS["lift"]] = values[..., 3:]
    return pose


TASKS = (
    Task("walk", 0.17, (0.6, 1.8), gait.walk_keys, gait.walk_cycle),
    Task("run", 0.1, (0.6, 1.8), gait.run_keys, gait.run_cycle),
    Task("turn", 0.06, (0.5, 1.2), _turn, gait.walk_cycle),
    Task("stand", 0.1, (0.4, 1.2), _stand),
    Task("reach", 0.11, (0.35, 1.0), _reach),
    Task("crouch", 0.07, (0.5, 1.2), _crouch),
    Task("sit", 0.1, (0.5, 1.5), _sit),
    Task("wave", 0.04, (0.6, 1.5), _wave, _wave_cycle),
    Task("kick", 0.05, (0.12, 0.3), _kick),
    Task("bend", 0.06, (0.4, 1.0), _bend),
    Task("lie", 0.05, (0.6, 1.5), _lie),
    Task("jump", 0.04, (0.12, 0.22), _jump),
    Task("free", 0.12, (0.3, 0.8), _free),
)
