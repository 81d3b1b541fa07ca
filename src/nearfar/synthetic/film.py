"""Cameras before motion of any source: world-frame poses become training data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.camera import project, world_to_camera
from nearfar.errors import InputError
from nearfar.geometry import limb_lengths
from nearfar.poses import Category, PoseSet
from nearfar.synthetic.cameras import sample_cameras

__all__ = ["film"]

Array = npt.NDArray[Any]

TAKE_REACH = 1000.0
"""mm: a take ends where the root would leave a circle of this radius; cameras stand 2.5 m and more from its centre."""


def film(poses: PoseSet, views: int = 4, *, seed: int = 0) -> PoseSet:
    """See world-frame poses through sampled cameras (`nearfar.synthetic.cameras`).

    Motion that wanders is cut into takes, each within a circle of one metre's radius, and each take gets cameras of its
    own around it. The same arguments always give the same cameras.

    Args:
        poses: world frame, mm, z up, the floor about z = 0; rows of a sequence and person in order of time.
        views: cameras around each take.
        seed: another seed is other cameras.

    Returns:
        ``N * views`` rows, take after take, view after view: camera-frame joints (mm), keypoints (px, no distortion),
        intrinsics and image sizes, with the columns of `poses`. A sequence is one view of one take: ``cmu/01_01 take 0
        camera 3``. Joints missing in `poses` are missing; so are keypoints of joints behind the camera.
        `mean_limb_lengths` are the means over the set, None where a limb is never whole.

    Raises:
        InputError: the poses are not in the world frame or have no joints, or `views` is not positive.
    """
    if poses.joints is None or poses.frame != "world" or not len(poses):
        raise InputError(f"filming needs joints in the world frame; these poses' frame is {poses.frame!r}")
    if isinstance(views, bool) or not isinstance(views, int | np.integer) or views < 1:
        raise InputError(f"filming: expected at least 1 camera, got {views!r}")
    root = poses.joints[:, poses.skeleton.root_index]
    takes = list(_takes(poses, root))
    lengths = np.array([len(take) for take in takes])
    low, high = (
        np.stack([reduce(root[take], axis=0) for take in takes]) for reduce in (np.fmin.reduce, np.fmax.reduce)
    )
    centre = np.nan_to_num((low + high) / 2)
    rng = np.random.default_rng([seed, len(poses)])  # the parts of a data set do not share cameras
    cameras = sample_cameras(rng, len(takes), views, centre[:, 2])
    rows = np.concatenate([np.tile(take, views) for take in takes])
    camera = np.repeat(np.arange(len(takes) * views), np.repeat(lengths, views))
    joints = np.empty((len(rows), poses.skeleton.num_joints, 3), np.float32)
    keypoints = np.empty((*joints.shape[:2], 2), np.float32)
    for part in np.array_split(np.arange(len(rows)), max(1, len(rows) // 65536)):
        ground = np.where([True, True, False], centre[camera[part] // views], 0)
        joints[part] = world_to_camera(
            poses.joints[rows[part]] - ground[:, None], cameras.rotation[camera[part]], cameras.centre[camera[part]]
        )
        keypoints[part] = project(joints[part], cameras.intrinsics[camera[part]])
    filmed = poses.select(rows)
    return dataclasses.replace(
        filmed,
        frame="camera",
        joints=joints,
        keypoints=keypoints,
        scores=None,
        intrinsics=cameras.intrinsics[camera].astype(np.float32),
        image_size=cameras.image_size[camera].astype(np.int32),
        sequence=Category(camera.astype(np.int32), _names(poses, takes, views)),
        mean_limb_lengths=_mean_where_seen(limb_lengths(joints, poses.skeleton)),
        provenance={
            **poses.provenance,
            "cameras": {"views": int(views), "seed": int(seed)},
            "intrinsics": "the sampled camera's",
        },
    )


def _mean_where_seen(lengths: Array) -> Array | None:
    """(L,) mean lengths, or None."""
    if not np.isfinite(lengths).any(axis=0).all():
        return None
    return np.asarray(np.nanmean(lengths, axis=0, dtype=np.float64))


def _takes(poses: PoseSet, root: Array) -> Iterator[Array]:
    """Rows of each take, in order."""
    clip = np.zeros(len(poses), np.int64) if poses.sequence is None else poses.sequence.codes.astype(np.int64)
    if poses.person is not None:
        _, person = np.unique(poses.person, return_inverse=True)
        clip = clip * (person.max() + 1) + person
    for rows in np.split(np.argsort(clip, kind="stable"), np.flatnonzero(np.diff(np.sort(clip))) + 1):
        path, at = root[rows, :2], 0
        while at < len(rows):
            size = _within_reach(path[at:])
            yield rows[at : at + size]
            at += size


def _within_reach(path: Array) -> int:
    """How many of the first places (M, 2) lie within a box whose diagonal is twice `TAKE_REACH`; at least one."""
    size, step = 1, 256
    low = high = path[0]
    while size < len(path):  # in steps, so that a long path does not cost its square
        some = path[size : size + step]
        lows = np.fmin.accumulate(np.concatenate([low[None], some]))[1:]
        highs = np.fmax.accumulate(np.concatenate([high[None], some]))[1:]
        outside = np.linalg.norm(highs - lows, axis=1) > 2 * TAKE_REACH
        if outside.any():
            return size + int(np.argmax(outside))
        low, high, size = lows[-1], highs[-1], size + len(some)
    return size


def _names(poses: PoseSet, takes: list[Array], views: int) -> tuple[str, ...]:
    """A name for each view of each take."""
    names = []
    count: dict[str, int] = {}
    for take in takes:
        clip = "motion" if poses.sequence is None else poses.sequence.names[poses.sequence.codes[take[0]]]
        if poses.person is not None:
            clip += f" person {poses.person[take[0]]}"
        number = count.get(clip, 0)
        count[clip] = number + 1
        names += [f"{clip} take {number} camera {view}" for view in range(views)]
    return tuple(names)
