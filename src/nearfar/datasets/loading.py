"""`load_poses`: whatever file of poses it is, as a `PoseSet`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from nearfar.datasets.cmu_benchmark import benchmark_from_arrays, is_benchmark
from nearfar.datasets.mocap import is_mocap, mocap_from_arrays
from nearfar.errors import InputError
from nearfar.files import open_npz
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton, get_skeleton

__all__ = ["load_poses"]


def load_poses(
    path: str | Path,
    *,
    skeleton: str | Path | Skeleton | None = None,
    image_size: tuple[int, int] | None = None,
    person: int | None = None,
    split: str | None = None,
) -> PoseSet:
    """Read poses from any file that nearfar knows, told apart by content, not by name.

    Known are: a saved `PoseSet`, the CMU benchmark, mocap files.

    Args:
        path: file or folder.
        skeleton: skeleton of the file's joints, for files that do not say it; for others it must agree.
        image_size: width and height in pixels, for files that do not say it.
        person: keep this identity only.
        split: keep this split only; for mocap files.

    Raises:
        InputError: nothing there, damaged, an unknown format (the message says what was found), or an argument
            that disagrees with the file.
    """
    path = Path(path)
    arrays = open_npz(path)
    if is_mocap(arrays):
        poses = mocap_from_arrays(arrays, path, split=split)
    elif split is not None:
        raise InputError(f"{path}: split {split!r}: only mocap files have splits inside")
    elif is_benchmark(arrays):
        poses = benchmark_from_arrays(arrays, path)
    elif PoseSet.is_pose_set(arrays):
        poses = PoseSet.load(path)
    else:
        raise InputError(f"{path}: no poses that nearfar knows; its arrays are {sorted(arrays)}")
    return _agreeing(poses, path, skeleton, image_size, person)


def _agreeing(
    poses: PoseSet,
    path: Path,
    skeleton: str | Path | Skeleton | None,
    image_size: tuple[int, int] | None,
    person: int | None,
) -> PoseSet:
    """Hold what the caller said against what the file says."""
    if skeleton is not None and get_skeleton(skeleton).joints != poses.skeleton.joints:
        raise InputError(
            f"{path}: its joints are those of skeleton {poses.skeleton.name!r}, not of {get_skeleton(skeleton).name!r}"
        )
    if image_size is not None:
        sizes = np.broadcast_to(np.asarray(image_size), (len(poses), 2))
        if poses.image_size is not None and (poses.image_size != sizes).any():
            raise InputError(f"{path}: the file says another image size than {image_size[0]}x{image_size[1]}")
        poses = dataclasses.replace(poses, image_size=np.array(sizes))
    if person is not None:
        known = [] if poses.person is None else np.unique(poses.person).tolist()
        if poses.person is None or person not in known:
            raise InputError(f"{path}: no person {person}; " + (f"it has {known}" if known else "it names no persons"))
        poses = poses.select(poses.person == person)
    return poses
