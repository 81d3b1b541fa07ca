"""The rest pose: which way each limb of a skeleton points when nothing is turned, and how long a person's limbs are."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.skeleton import Skeleton

__all__ = ["RestPose", "fixed_lengths", "rest_pose"]

Array = npt.NDArray[Any]
Places = Mapping[str, tuple[float, float, float]]

_ENOUGH = 0.8  # share of the joints that the table must know


@dataclass(frozen=True, eq=False)
class RestPose:
    """How a skeleton rests: y up, facing +z, the person's left at +x.

    Attributes:
        directions: (J, 3) unit vectors from each joint's parent to the joint; (0, 0, 0) for the root.
        lengths: (J,) mm of those limbs in the rest pose itself, NaN where it does not say; not a person's.
        bends: (J, 3) at hinges (elbows, knees): which way the limb beyond turns when the hinge bends; else NaN.
        source: "table", or what was done where the table lacks the skeleton's joints.
    """

    directions: Array
    lengths: Array
    bends: Array
    source: str


@cache
def _table() -> tuple[Places, Places]:
    """Positions (mm) and bends by joint name."""
    table = tomllib.loads((resources.files("nearfar.export") / "rest.toml").read_text("utf-8"))
    return table["position"], table["bend"]


def rest_pose(skeleton: Skeleton, joints: npt.ArrayLike) -> RestPose:
    """The rest pose of a skeleton: by joint names from ``rest.toml``, a T-pose.

    A joint that the table lacks lies straight on from the limb before it. Where it lacks the root or more than a fifth
    of the joints (animals), the rest pose is that of the frame in which most joints are there (the first of several),
    and no joint is taken for a hinge.

    Args:
        skeleton: any.
        joints: (T, J, 3) y up, the motion that it is for; NaN where missing.
    """
    positions, bends = _table()
    parents, p = skeleton.parents, np.asarray(joints, dtype=np.float64)
    named = np.array([name in positions for name in skeleton.joints])
    table = bool(named[skeleton.root_index]) and named.mean() > _ENOUGH
    if table:
        source = "table"
        places = np.array([positions.get(name, (np.nan,) * 3) for name in skeleton.joints], dtype=np.float64)
    else:
        best = int(np.argmax(np.isfinite(p).all(axis=-1).sum(axis=-1)))
        source, places = f"frame {best}", p[best]
    ends = places - places[parents]
    lengths = np.linalg.norm(ends, axis=-1)
    said = lengths > 1e-6  # not NaN, and not two names of one place
    directions = np.where(said[:, None], ends / np.where(said, lengths, 1)[:, None], np.nan)
    directions[skeleton.root_index] = 0
    for joint in _from_root(skeleton):
        if np.isnan(directions[joint]).any():
            before = directions[parents[joint]]
            directions[joint] = before if before.any() else (0, 1, 0)
    turns = np.array([bends.get(name if table else "", (np.nan,) * 3) for name in skeleton.joints], dtype=np.float64)
    return RestPose(directions, np.where(said, lengths, np.nan), turns, source)


def fixed_lengths(skeleton: Skeleton, joints: npt.ArrayLike, rest: RestPose) -> Array:
    """One person's limb lengths (J,) mm, of the limb to each joint: the median over the frames that show both ends.

    A limb that is never seen is as long as its mirror limb, or else as in the rest pose, scaled as the limbs that are.

    Raises:
        InputError: a limb whose length nothing says.
    """
    p, parents = np.asarray(joints, dtype=np.float64), skeleton.parents
    seen = np.linalg.norm(p - p[:, parents], axis=-1)
    there = np.isfinite(seen).any(axis=0)
    lengths = np.full(skeleton.num_joints, np.nan)
    lengths[there] = np.nanmedian(seen[:, there], axis=0)
    mirrored = skeleton.mirror_permutation
    lengths = np.where(np.isnan(lengths) & (parents[mirrored] == mirrored[parents]), lengths[mirrored], lengths)
    lengths[skeleton.root_index] = 0
    known = np.isfinite(lengths) & np.isfinite(rest.lengths) & (parents >= 0)
    scale = float(np.median(lengths[known] / rest.lengths[known])) if known.any() else 1.0
    lengths = np.where(np.isnan(lengths), scale * rest.lengths, lengths)
    if np.isnan(lengths).any():
        never = ", ".join(np.array(skeleton.joints)[np.isnan(lengths)])
        raise InputError(f"never there: {never}; an armature needs the length of every limb of {skeleton.name!r}")
    return lengths


def _from_root(skeleton: Skeleton) -> list[int]:
    """Joints, parents before children."""
    order = [skeleton.root_index]
    for joint in order:
        order += np.flatnonzero(skeleton.parents == joint).tolist()
    return order
