"""Metres from a person's height: lifted poses are of about average people until somebody says how tall they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.geometry import limb_lengths
from nearfar.poses import PoseSet

__all__ = ["AVERAGE_STATURE", "check_heights", "statures", "with_statures"]

AVERAGE_STATURE = 1750.0
"""mm: the stature that a skeleton's `unit_limb_mm` belongs to (Drillis & Contini 1966)."""
PLAUSIBLE = (0.3, 2.8)
"""Metres that a person can be tall."""


def check_heights(heights: Sequence[float]) -> None:
    """Refuse heights in metres that no person has.

    Raises:
        InputError: one of them is such.
    """
    if bad := [height for height in heights if not PLAUSIBLE[0] <= height <= PLAUSIBLE[1]]:
        raise InputError(f"height: expected metres, {PLAUSIBLE[0]:g} to {PLAUSIBLE[1]:g}, got {bad[0]:g}")


def statures(poses: PoseSet, mean_limb_lengths: npt.ArrayLike | None = None) -> dict[int, float]:
    """How tall each person is as lifted, in mm.

    A person's size is the median over poses of the geometric mean of their rigid limbs over the same limbs of the mean
    person. How tall the mean person is follows from their unit limb: on the human skeletons the shank, 0.246 of the
    stature (Drillis & Contini, 1966).

    Args:
        poses: poses with 3D joints.
        mean_limb_lengths: (L,) mm, of the people that the lifter learned from (its card has them); without them the
            unit limb and its mirror image alone are looked at.

    Returns:
        Person -> mm, in order of the persons' numbers; NaN for someone of whom no limb was lifted.

    Raises:
        InputError: no joints, or a skeleton that knows no unit limb in mm.
    """
    skeleton = poses.skeleton
    if poses.joints is None:
        raise InputError("height: needs 3D joints, and these poses have none: lift them first")
    if skeleton.unit_limb is None or skeleton.unit_limb_mm is None:
        raise InputError(f"height: skeleton {skeleton.name!r} does not say how tall its average is (unit_limb_mm)")
    unit = [skeleton.index(joint) for joint in skeleton.unit_limb]
    both = {tuple(unit), tuple(int(skeleton.mirror_permutation[joint]) for joint in unit)}
    is_unit = np.array([(limb.parent, limb.child) in both for limb in skeleton.limbs])
    if mean_limb_lengths is None:
        mean, used = np.full(len(skeleton.limbs), skeleton.unit_limb_mm), is_unit
    else:
        mean, used = np.asarray(mean_limb_lengths, np.float64), np.array([limb.rigid for limb in skeleton.limbs])
    average = AVERAGE_STATURE * float(mean[is_unit].mean()) / skeleton.unit_limb_mm
    with np.errstate(divide="ignore"):
        size = np.log(limb_lengths(poses.joints, skeleton)[:, used] / mean[used])
    known = np.isfinite(size)
    per_pose = np.where(known, size, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    per_pose[~known.any(axis=1)] = np.nan
    who = np.zeros(len(poses), np.int64) if poses.person is None else np.asarray(poses.person)
    found = {}
    for person in np.unique(who):
        own = per_pose[(who == person) & np.isfinite(per_pose)]
        found[int(person)] = average * float(np.exp(np.median(own))) if len(own) else np.nan
    return found


def with_statures(poses: PoseSet, heights: Sequence[float], mean_limb_lengths: npt.ArrayLike | None = None) -> PoseSet:
    """The poses, with every person as tall as said.

    All joints of a person, and where the root is, are multiplied by one factor for the whole clip: what the person
    measures, how far away they are and how far they walk become metres together, and every joint stays on its ray. The
    limbs' proportions are still those of the lifter.

    Args:
        poses: root-relative or camera-frame poses (a world's origin is not where scaling keeps the image).
        heights: metres, one for each person in order of their numbers.
        mean_limb_lengths: as for `statures`.

    Raises:
        InputError: another number of heights than people, heights no person has, world-frame poses, or as `statures`.
    """
    if poses.frame == "world":
        raise InputError("height: needs poses in the camera's axes; give the height before levelling")
    check_heights(heights)
    lifted = statures(poses, mean_limb_lengths)
    if len(heights) != len(lifted):
        raise InputError(
            f"height: expected one for each of {len(lifted)} people (numbers {', '.join(map(str, lifted))}), "
            f"got {len(heights)}"
        )
    factors = {
        person: 1000 * height / stature if np.isfinite(stature) else 1.0
        for (person, stature), height in zip(lifted.items(), heights, strict=True)
    }
    who = np.zeros(len(poses), np.int64) if poses.person is None else np.asarray(poses.person)
    factor = np.array([factors[person] for person in who.tolist()], np.float32)

    def scaled(values: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
        return None if values is None else np.asarray(values * factor.reshape(-1, *[1] * (values.ndim - 1)))

    said = {
        "heights_m": {str(person): height for person, height in zip(lifted, heights, strict=True)},
        "factors": {str(person): round(value, 5) for person, value in factors.items()},
    }
    return dataclasses.replace(
        poses,
        joints=scaled(poses.joints),
        root_position=scaled(poses.root_position),
        provenance={**poses.provenance, "height": said},
    )
