"""MPI-INF-3DHP's annotations: ``annot.mat`` of the training set, ``annot_data.mat`` of the test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.camera import project
from nearfar.datasets.checks import check_array, coordinates
from nearfar.datasets.hdf5 import read_hdf5
from nearfar.datasets.matlab import cells, load_mat
from nearfar.datasets.mpi_inf_3dhp.calibration import TEST_CAMERAS, read_calibration
from nearfar.errors import InputError
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import get_skeleton

__all__ = [
    "ACTIVITIES",
    "CITATION",
    "LICENCE",
    "SEQUENCES",
    "VNECT_CAMERAS",
    "load_test_sequence",
    "load_train_sequence",
]

Array = npt.NDArray[Any]

LICENCE = (
    "MPI-INF-3DHP: for non-commercial scientific research only; the data may not be passed on. "
    "Its licence.txt and README have the terms."
)
CITATION = "Mehta et al., Monocular 3D Human Pose Estimation In The Wild Using Improved CNN Supervision, 3DV 2017."

ACTIVITIES = (
    "Standing/Walking", "Exercising", "Sitting", "Reaching/Crouching", "On The Floor", "Sports", "Miscellaneous",
)  # fmt: skip
"""Of the test set; a file's ``activity_annotation`` counts them from 1 (``mpii_get_activity_name.m``)."""

VNECT_CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)
"""The cameras at the height of chest and knees and two that look down, which nearly everybody trains on."""

SEQUENCES: Mapping[str, tuple[int, int]] = {
    "S1/Seq1": (6416, 25), "S1/Seq2": (12430, 50), "S2/Seq1": (6502, 25), "S2/Seq2": (6081, 25),
    "S3/Seq1": (12488, 50), "S3/Seq2": (12283, 50), "S4/Seq1": (6171, 25), "S4/Seq2": (6675, 25),
    "S5/Seq1": (12820, 50), "S5/Seq2": (12312, 50), "S6/Seq1": (6188, 25), "S6/Seq2": (6145, 25),
    "S7/Seq1": (6239, 25), "S7/Seq2": (6320, 25), "S8/Seq1": (6468, 25), "S8/Seq2": (6054, 25),
}  # fmt: skip
"""Frames with images and frames a second of each training sequence (``mpii_get_sequence_info.m``)."""

_DEPTHS_MM = (300.0, 50_000.0)
_MOST_REPROJECTION_PX = 5.0


def load_train_sequence(
    folder: str | Path, *, cameras: Sequence[int] = VNECT_CAMERAS, universal: bool = False
) -> PoseSet:
    """Read one training sequence, ``S*/Seq*`` with ``annot.mat`` and ``camera.calibration``, on skeleton mpi3dhp28.

    The rows of one camera follow those of another; a sequence is one camera's view, "S1/Seq1 camera 0". `frame_index`
    is the file's own ``frames``; rows beyond the last frame with an image are left out, as the data set's README asks.

    Args:
        folder: the folder; its last two names say which sequence it is.
        cameras: numbers of the cameras to read, of 0 to 13 (11 to 13 hang from the ceiling).
        universal: read ``univ_annot3`` instead of ``annot3``: the pose scaled to one height for all people, about a
            pelvis that stays where it is. It does not project onto the keypoints.

    Returns:
        Keypoints in pixels, joints in mm in the camera's frame, and the camera's intrinsics.

    Raises:
        InputError: a file is missing, damaged or of another kind; there is no such camera; or ``annot3`` does not
            project onto ``annot2``, so that the two files cannot be of one sequence.
    """
    folder = Path(folder)
    path, name = folder / "annot.mat", "/".join(folder.resolve().parts[-2:])
    joints3 = "univ_annot3" if universal else "annot3"
    mat = load_mat(path, {"annot2", joints3, "cameras", "frames"})
    if missing := [key for key in ("annot2", joints3, "cameras", "frames") if key not in mat]:
        raise InputError(f"{path}: missing variables {missing}")
    calibration = read_calibration(folder / "camera.calibration")
    known, frames = (_whole(mat[key], f"{path}: {key}") for key in ("cameras", "frames"))
    with_image, fps = SEQUENCES.get(name, (len(frames), None))
    rows = min(len(frames), with_image)
    keypoints, joints = [], []
    for camera in cameras:
        if camera not in known:
            raise InputError(f"{path}: no camera {camera}; it has {sorted(known.tolist())}")
        if camera not in calibration.intrinsics:
            raise InputError(f"{folder / 'camera.calibration'}: no camera {camera}")
        cell = known.tolist().index(camera)
        keypoints.append(_joints(mat["annot2"], cell, (len(frames), 28, 2), f"{path}: annot2")[:rows])
        joints.append(_joints(mat[joints3], cell, (len(frames), 28, 3), f"{path}: {joints3}")[:rows])
    poses = PoseSet(
        skeleton=get_skeleton("mpi3dhp28"),
        keypoints=np.concatenate(keypoints),
        joints=np.concatenate(joints),
        intrinsics=_of_cameras(calibration.intrinsics, cameras, rows),
        image_size=_of_cameras(calibration.image_size, cameras, rows).astype(np.int32),
        frame_index=np.tile(frames[:rows], len(cameras)),
        time=None if fps is None else np.tile((frames[:rows] - frames[0]) / fps, len(cameras)),
        sequence=_views(name, cameras, rows),
        subject=Category(np.zeros(rows * len(cameras), np.int32), (name.split("/")[0],)),
        provenance=_provenance(universal, "camera.calibration"),
    )
    _check_depth(poses, f"{path}: {joints3}")
    if not universal and (miss := _reprojection(poses)) > _MOST_REPROJECTION_PX:
        raise InputError(f"{path}: annot3 seen by camera.calibration misses annot2 by {miss:.1f} pixels (median)")
    return poses


def load_test_sequence(folder: str | Path, *, universal: bool = False) -> PoseSet:
    """Read one test sequence, ``TS*`` with ``annot_data.mat``, on skeleton mpi3dhp17; valid frames only.

    `frame_index` is the number of the image (``img_000001.jpg`` is 1), `action` the published name of the activity.

    Args:
        folder: the folder; its name says which sequence it is, and so which camera saw it.
        universal: read ``univ_annot3`` instead of ``annot3``: the pose scaled to one height for all people, which the
            published protocol compares with.

    Raises:
        InputError: the file is missing, damaged or of another kind, or the folder's name is not TS1 to TS6.
    """
    folder = Path(folder)
    path, name = folder / "annot_data.mat", folder.resolve().name
    if name not in TEST_CAMERAS:
        raise InputError(f"{folder}: expected a folder named {', '.join(TEST_CAMERAS)}")
    camera, joints3 = TEST_CAMERAS[name], "univ_annot3" if universal else "annot3"
    arrays = read_hdf5(path, ["annot2", joints3, "valid_frame", "activity_annotation"])
    frames = len(arrays["valid_frame"])
    shapes = {"annot2": (frames, 1, 17, 2), joints3: (frames, 1, 17, 3), "activity_annotation": (frames, 1)}
    for key, shape in {"valid_frame": (frames, 1), **shapes}.items():
        check_array(arrays[key], f"{path}: {key}", "fiu", shape)
    valid = np.flatnonzero(arrays["valid_frame"][:, 0] == 1)
    if not len(valid):
        raise InputError(f"{path}: valid_frame: not one valid frame")
    activity = arrays["activity_annotation"][valid, 0]
    if not np.isin(activity, np.arange(1, len(ACTIVITIES) + 1)).all():
        raise InputError(f"{path}: activity_annotation: expected 1 to {len(ACTIVITIES)}, got {np.unique(activity)[:9]}")
    poses = PoseSet(
        skeleton=get_skeleton("mpi3dhp17"),
        keypoints=coordinates(arrays["annot2"][valid, 0], f"{path}: annot2"),
        joints=coordinates(arrays[joints3][valid, 0], f"{path}: {joints3}"),
        intrinsics=np.tile(camera.intrinsics.astype(np.float32), (len(valid), 1)),
        image_size=np.tile(np.array(camera.image_size, np.int32), (len(valid), 1)),
        frame_index=valid + 1,
        sequence=Category(np.zeros(len(valid), np.int32), (name,)),
        action=Category(activity.astype(np.int32) - 1, ACTIVITIES),
        provenance=_provenance(universal, "test_util/camera_calibration, without distortion"),
    )
    _check_depth(poses, f"{path}: {joints3}")
    return poses


def _whole(value: Any, where: str) -> Array:
    """A row or column of whole numbers, as one axis."""
    line = isinstance(value, np.ndarray) and value.dtype != object and value.size and value.size in value.shape
    numbers = value.ravel() if line else np.array([np.nan])
    if not (np.isfinite(numbers).all() and (numbers == np.round(numbers)).all() and (np.abs(numbers) < 1e9).all()):
        raise InputError(f"{where}: expected a row or column of whole numbers")
    return np.asarray(numbers.astype(np.int64))


def _joints(value: Any, cell: int, shape: tuple[int, int, int], where: str) -> Array:
    """The joints of one camera, from a cell with a row x1, y1, (z1,) x2, … for each frame."""
    contents = cells(value, where)
    if cell >= len(contents):
        raise InputError(f"{where}: {len(contents)} cells, but 'cameras' names more")
    array, (n, joints, axes) = contents[cell], shape
    if not isinstance(array, np.ndarray) or array.dtype == object or array.shape != (n, joints * axes):
        got = getattr(array, "shape", type(array).__name__)
        raise InputError(f"{where}: cell {cell + 1}: expected shape {(n, joints * axes)}, got {got}")
    return coordinates(array, f"{where}: cell {cell + 1}").reshape(shape)


def _of_cameras(values: Mapping[int, Array], cameras: Sequence[int], rows: int) -> Array:
    return np.repeat(np.array([values[camera] for camera in cameras], dtype=np.float32), rows, axis=0)


def _views(name: str, cameras: Sequence[int], rows: int) -> Category:
    codes = np.repeat(np.arange(len(cameras), dtype=np.int32), rows)
    return Category(codes, tuple(f"{name} camera {camera}" for camera in cameras))


def _check_depth(poses: PoseSet, where: str) -> None:
    depth = poses.joints[:, poses.skeleton.root_index, 2]  # type: ignore[index]
    middle = float(np.nanmedian(depth)) if np.isfinite(depth).any() else float("nan")
    if not _DEPTHS_MM[0] <= middle <= _DEPTHS_MM[1]:
        raise InputError(f"{where}: expected mm in the camera's frame, but the median depth is {middle:g}")


def _reprojection(poses: PoseSet) -> float:
    """Median distance in pixels between the keypoints and the projected joints, of at most 1000 poses."""
    some = poses.select(slice(None, None, max(1, len(poses) // 1000)))
    projected = project(some.joints, some.intrinsics)  # type: ignore[arg-type]
    distance = np.linalg.norm(projected - some.keypoints, axis=-1)  # type: ignore[operator]
    return float(np.median(distance[np.isfinite(distance)])) if np.isfinite(distance).any() else np.inf


def _provenance(universal: bool, intrinsics: str) -> dict[str, Any]:
    facts = {"source": "MPI-INF-3DHP", "intrinsics": intrinsics, "licence": LICENCE, "citation": CITATION}
    if universal:
        facts["joints"] = "univ_annot3: scaled to one height for all people; they do not project onto the keypoints"
    return facts
