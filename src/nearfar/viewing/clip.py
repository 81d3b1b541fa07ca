"""Poses of one clip laid out as frames x people, in the axes of a scene to look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton

__all__ = ["DEFAULT_RATE", "Clip", "clip_of", "to_scene"]

Array = npt.NDArray[Any]

DEFAULT_RATE = 30.0
"""Frames a second taken where the poses carry no time stamps."""

SIDE_BY_SIDE = 1000.0
"""mm between people whose place in the scene is not known."""


@dataclass(frozen=True, eq=False)
class Clip:
    """F frames of up to P people.

    Attributes:
        skeleton: skeleton of the J joints.
        frame_index: (F,) numbers of the frames within the clip, ascending.
        time: (F,) seconds, ascending.
        person: (P,) identities.
        keypoints: (F, P, J, 2) pixels, or None.
        scores: (F, P, J), or None.
        scene: (F, P, J, 3) mm, x right, y up, z towards the viewer (see `to_scene`), or None.
        camera: whether depth from the camera is known in `scene`: False for world-frame poses.
        placed: whether the people stand where they stood: False for root-relative poses without root positions.
        timed: whether `time` came with the poses rather than from `DEFAULT_RATE`.
        image_size: (2,) width and height in pixels of the frames, or None.
    """

    skeleton: Skeleton
    frame_index: Array
    time: Array
    person: Array
    keypoints: Array | None
    scores: Array | None
    scene: Array | None
    camera: bool
    placed: bool
    timed: bool
    image_size: Array | None

    @cached_property
    def roots(self) -> Array:
        """(F, P, 3) mm, where each person stands: the root, or the middle of the joints where it is missing."""
        if self.scene is None:
            raise InputError("clip: there are no 3D joints")
        root = self.scene[:, :, self.skeleton.root_index]
        seen = np.asarray(np.isfinite(self.scene).all(axis=-1, keepdims=True))
        count = np.where(seen.sum(axis=2) > 0, seen.sum(axis=2), np.nan)
        middle = np.where(seen, self.scene, 0).sum(axis=2) / count
        return np.where(np.isfinite(root), root, middle)


def to_scene(joints: npt.ArrayLike, *, world: bool) -> Array:
    """Joints (..., 3) in axes for looking at: x right, y up, z towards the viewer; right-handed, mm.

    Args:
        joints: (..., 3) mm along the camera's axes (x right, y down, z forward), or the world's (z up).
        world: whether they are in the world frame.
    """
    x, y, z = np.moveaxis(np.asarray(joints, dtype=np.float64), -1, 0)
    return np.stack([x, z, -y] if world else [x, -y, -z], axis=-1)


def clip_of(poses: PoseSet) -> Clip:
    """Lay the poses of one clip out as frames x people; a person absent from a frame is NaN there.

    Rows are frames in the order of `frame_index`; without it, of `time`; without both, row n of a person is frame n.

    Raises:
        InputError: no poses, several sequences, or two rows for one person in one frame.
    """
    n = len(poses)
    if n == 0:
        raise InputError("poses: nothing to show, the pose set is empty")
    if poses.sequence is not None and len(names := np.unique(poses.sequence.codes)) > 1:
        first = ", ".join(repr(poses.sequence.names[code]) for code in names[:3])
        raise InputError(f"poses: expected one clip, got {len(names)} sequences ({first}, ...): select one of them")
    person, who = np.unique(np.zeros(n, int) if poses.person is None else poses.person, return_inverse=True)
    frame_index, when = _frames(poses, who)
    rows = np.full((len(frame_index), len(person)), -1)
    rows[when, who] = np.arange(n)
    if (rows >= 0).sum() != n:
        row = int(np.flatnonzero(rows[when, who] != np.arange(n))[0])
        raise InputError(
            f"poses: row {row}: frame {int(frame_index[when[row]])} has two poses of person {person[who[row]]}"
        )

    def lay_out(column: Array | None) -> Array | None:
        if column is None:
            return None
        shape = (-1, *[1] * (column.ndim - 1))
        missing = 0 if column is poses.scores else np.nan
        flat = np.where((rows >= 0).reshape(shape), column[rows.ravel()].astype(np.float64), missing)
        return flat.reshape(*rows.shape, *column.shape[1:])

    stamps = None if poses.time is None else lay_out(poses.time)
    size = None if poses.image_size is None else np.asarray(poses.image_size[0], dtype=np.float64)
    scene = None if poses.joints is None else _scene(poses, lay_out)
    return Clip(
        skeleton=poses.skeleton,
        frame_index=frame_index,
        time=_seconds(frame_index, stamps),
        person=person,
        keypoints=lay_out(poses.keypoints),
        scores=lay_out(poses.scores),
        scene=scene,
        camera=poses.frame != "world",
        placed=poses.frame != "root" or poses.root_position is not None,
        timed=stamps is not None,
        image_size=size,
    )


def _frames(poses: PoseSet, who: Array) -> tuple[Array, Array]:
    """Frame numbers (F,), and for each row the position (N,) of its frame among them."""
    for column in (poses.frame_index, poses.time):
        if column is not None:
            values, when = np.unique(column, return_inverse=True)
            numbers = values if column is poses.frame_index else np.arange(len(values))
            return numbers.astype(np.int64), when
    count = np.zeros(len(who), dtype=np.int64)
    for p in np.unique(who):
        mine = who == p
        count[mine] = np.arange(mine.sum())
    return np.arange(count.max() + 1), count


def _seconds(frame_index: Array, stamps: Array | None) -> Array:
    if stamps is None:
        return np.asarray((frame_index - frame_index[0]) / DEFAULT_RATE)
    seconds = np.nanmean(stamps, axis=1)
    if not np.isfinite(seconds).all() or (np.diff(seconds) <= 0).any():
        raise InputError("poses: time stamps must be finite and rise with the frame number")
    return np.asarray(seconds)


def _scene(poses: PoseSet, lay_out: Any) -> Array:
    joints: Array = lay_out(poses.joints)
    if poses.frame == "root":
        if poses.root_position is not None:
            joints = joints + lay_out(poses.root_position)[:, :, None]
        else:
            people = joints.shape[1]
            offset = (np.arange(people) - (people - 1) / 2) * SIDE_BY_SIDE
            joints = joints + offset[:, None, None] * np.array([1.0, 0.0, 0.0])
    return to_scene(joints, world=poses.frame == "world")
