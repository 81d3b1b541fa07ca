"""Which way is up, and where the floor is, from the people that a camera sees (docs/lifting.md).

Who stands upright says roughly where up is; feet that all meet one floor say it better. Both come from lifted poses of
a camera that does not move. Nothing here is applied unless asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.angles import angle_definitions
from nearfar.camera import camera_to_world
from nearfar.errors import InputError
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton

__all__ = ["Level", "estimate_level", "upright", "with_level"]

Array = npt.NDArray[Any]

STRAIGHT = 0.93
"""From neck to between the ankles, as a share of trunk and legs stretched out: from here on a person is upright."""
LEAST_POSES, LEAST_SHARE = 4, 0.1
"""So many poses, and so large a share of all, must be upright."""
FLOOR_UNIT, BODY_WEIGHT = 300.0, 5.0
"""Of the cost in `_level_floor`: feet 15 mm off the floor weigh as much as 0.1 rad between body and vertical."""
SOFT = 30.0
"""mm off the floor within which a foot's height counts squared, and beyond which it counts once."""
MOST_TILT = 60.0
"""Degrees. From steeper views people's height above the floor cannot be told from their depth."""
HIGH = 300.0
"""mm above the floor from which a person is said to stand on something."""
TYPICAL_ERROR = 3.0
"""Degrees, mean over clips of the CMU benchmark's val split with 5 px of noise and an assumed field of view
(benchmarks/camera.py)."""


@dataclass(frozen=True, eq=False)
class Level:
    """How a camera is turned against the vertical, and how high it is.

    The world's origin is on the floor below the camera; z points up, y along the horizontal part of the optical axis, x
    to the right. The floor is where the lowest joints of people who stand are, and of several people those of whoever
    stands lowest: on a skeleton without feet about 70 mm above the ground.

    Attributes:
        rotation: (3, 3) world-to-camera R (p_cam = R (p_world − c)).
        centre: (3,) c, the camera in the world, mm: (0, 0, its height above the floor).
        poses: how many upright poses say so.
        stands: person -> mm above that floor, where they stand.
    """

    rotation: Array
    centre: Array
    poses: int
    stands: Mapping[int, float]

    @property
    def tilt(self) -> float:
        """Degrees that the camera looks down (up where negative)."""
        return float(np.degrees(np.arcsin(-self.rotation[2, 2])))

    @property
    def roll(self) -> float:
        """Degrees that the camera is turned anticlockwise about its optical axis, as seen from behind it."""
        return float(np.degrees(np.arctan2(self.rotation[0, 2], -self.rotation[1, 2])))

    def to_dict(self) -> dict[str, Any]:
        """As plain data for provenance: degrees, mm."""
        return {
            "tilt_degrees": round(self.tilt, 2),
            "roll_degrees": round(self.roll, 2),
            "typical_error_degrees": TYPICAL_ERROR,
            "camera_height_mm": round(float(self.centre[2]), 1),
            "upright_poses": self.poses,
            "stands_at_mm": {str(person): round(height, 1) for person, height in self.stands.items()},
            "rotation": self.rotation.round(6).tolist(),
            "centre": self.centre.round(1).tolist(),
        }

    def __str__(self) -> str:
        down, height = ("down" if self.tilt >= 0 else "up"), self.centre[2] / 1000
        high = [f"; person {who} stands {mm / 1000:.2f} m above it" for who, mm in self.stands.items() if mm > HIGH]
        return (
            f"camera looks {abs(self.tilt):.1f} degrees {down}, rolled by {self.roll:.1f}, {height:.2f} m above the "
            f"floor (estimated from {self.poses} upright poses; angles typically within {TYPICAL_ERROR:g} degrees)"
            + "".join(high)
        )


def estimate_level(poses: PoseSet) -> Level:
    """Estimate tilt, roll and height of a camera that does not move from lifted poses of upright people.

    1. A pose is upright where neck and ankles are almost as far apart as they can be (`STRAIGHT`).
    2. Up is, first, midway between the mean direction from ankles to neck and that from hips to neck, each the mean in
       which outliers count less (the geometric median of unit vectors).
    3. Each person's lowest joints then lie on a plane: up is turned such that their mean distance from it is least,
       without leaving the body's direction more than feet can tell.

    Args:
        poses: camera-frame poses, or root-relative ones with `root_position`; of any number of people.

    Raises:
        InputError: several sequences, world-frame poses, poses without joints or places, a skeleton without neck,
            hips, knees and ankles, too few upright poses, or a camera tilted by more than 60 degrees.
    """
    joints = _placed(poses)
    if poses.sequence is not None and (views := len(np.unique(poses.sequence.codes))) > 1:
        raise InputError(f"level: expected what one camera saw, got {views} sequences: level each of them alone")
    is_upright, body, trunk = upright(joints, poses.skeleton)
    there = np.isfinite(joints).any(axis=(1, 2))
    count, least = int(is_upright.sum()), max(LEAST_POSES, LEAST_SHARE * there.sum())
    if count < least:
        raise InputError(
            f"level: too few people stand upright: {count} of {int(there.sum())} poses, expected at least {least:.0f}"
        )
    standing = joints[is_upright]
    up = _unit(_middle(_unit(body[is_upright])) + _middle(_unit(trunk[is_upright])))
    who = np.zeros(len(poses), np.int64) if poses.person is None else np.asarray(poses.person)
    up = _level_floor(standing, who[is_upright], up)
    ahead = np.array([0.0, 0.0, 1.0]) - up[2] * up
    if np.degrees(np.arccos(np.clip(-up[1], -1, 1))) > MOST_TILT:
        raise InputError(f"level: the people do not stand up in the image: their up is {np.round(up, 2).tolist()}")
    y = _unit(ahead)
    lowest = _lowest(standing, up) @ up
    own = {int(person): lowest[who[is_upright] == person] for person in np.unique(who[is_upright])}
    floors = {person: float(np.median(heights)) for person, heights in own.items()}
    often = LEAST_SHARE * max(map(len, own.values()))  # who is seldom seen says little
    floor = min(floors[person] for person, heights in own.items() if len(heights) >= often)
    stands = {person: height - floor for person, height in floors.items()}
    return Level(np.stack([np.cross(y, up), y, up], axis=1), np.array([0.0, 0.0, -floor]), count, stands)


def with_level(poses: PoseSet, level: Level) -> PoseSet:
    """The poses in the world frame: z up, the floor at 0; ``provenance["level"]`` says how the camera stands.

    Raises:
        InputError: as `estimate_level`, for frames and places.
    """
    joints = camera_to_world(_placed(poses), level.rotation, level.centre).astype(np.float32)
    provenance = {**poses.provenance, "level": level.to_dict()}
    return dataclasses.replace(poses, joints=joints, frame="world", root_position=None, provenance=provenance)


def upright(joints: Array, skeleton: Skeleton) -> tuple[Array, Array, Array]:
    """Which of (N, J, 3) poses are upright (N,), and the lines (N, 3) from ankles to neck and from hips to neck.

    Raises:
        InputError: the skeleton lacks neck, hips, knees or ankles.
    """
    points = angle_definitions(skeleton).points
    names = (
        "neck",
        "hip_centre",
        *(f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle")),
    )
    if lacking := [name for name in names if name not in points]:
        raise InputError(f"level: needs neck, hips, knees and ankles; skeleton {skeleton.name!r} has no {lacking[0]}")
    at = {name: joints[:, points[name]].mean(axis=1) for name in names}
    trunk, body = at["neck"] - at["hip_centre"], at["neck"] - (at["left_ankle"] + at["right_ankle"]) / 2
    legs = [
        np.linalg.norm(at[f"{side}_{upper}"] - at[f"{side}_{lower}"], axis=-1)
        for side in ("left", "right")
        for upper, lower in (("hip", "knee"), ("knee", "ankle"))
    ]
    longest = np.linalg.norm(trunk, axis=-1) + np.sum(legs, axis=0) / 2
    return np.linalg.norm(body, axis=-1) > STRAIGHT * longest, body, trunk  # False for NaN


def _placed(poses: PoseSet) -> Array:
    """(N, J, 3) joints in the camera frame."""
    if poses.joints is None:
        raise InputError("level: needs 3D joints, and these poses have none: lift them first")
    joints = np.asarray(poses.joints, dtype=np.float64)
    if poses.frame == "root" and poses.root_position is not None:
        return joints + np.asarray(poses.root_position, dtype=np.float64)[:, None]
    if poses.frame != "camera":
        raise InputError(f"level: needs poses whose place before the camera is known, got frame {poses.frame!r}")
    return joints


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _middle(directions: Array) -> Array:
    """Geometric median of unit vectors (N, 3), by Weiszfeld's iteration."""
    middle = _unit(directions.sum(axis=0))
    for _ in range(20):
        away = np.maximum(np.linalg.norm(directions - middle, axis=1), 0.02)
        middle = _unit((directions / away[:, None]).sum(axis=0))
    return middle


def _level_floor(joints: Array, who: Array, body_up: Array) -> Array:
    """Up, such that the lowest joints of each person lie on a level floor.

    Minimises mean |h| / `FLOOR_UNIT` + `BODY_WEIGHT` · |up − body_up|², h the height of a pose's lowest joint against
    its person's median (people are not lifted to the same scale, nor do all stand on one floor), by iteratively
    reweighted least squares.
    """
    up = body_up
    axes = np.linalg.svd(body_up[None])[2][1:]  # the two directions in which up can turn
    for _ in range(20):
        lowest = _lowest(joints, up)
        heights = lowest @ up
        for person in np.unique(who):
            own = np.flatnonzero(who == person)
            lowest[own] -= lowest[own[np.argsort(heights[own])[len(own) // 2]]]
        weight = 1 / np.maximum(np.abs(lowest @ up), SOFT) / len(lowest) / FLOOR_UNIT
        turned = lowest @ axes.T
        normal = (turned * weight[:, None]).T @ turned + 2 * BODY_WEIGHT * np.eye(2)
        slope = (turned * weight[:, None]).T @ (lowest @ up) + 2 * BODY_WEIGHT * (axes @ (up - body_up))
        up = _unit(up - axes.T @ np.linalg.solve(normal, slope))
    return up


def _lowest(joints: Array, up: Array) -> Array:
    """(N, 3) the lowest joint of each of (N, J, 3) poses."""
    below = np.nanargmin(joints @ up, axis=1)
    return np.asarray(joints[np.arange(len(joints)), below])
