"""3DPW (von Marcard et al., ECCV 2018): sequence files of people filmed by a moving camera outdoors.

A sequence is a Python 2 pickle with, for each actor, ``jointPositions`` (N, 72), the 24 joints of the SMPL body model
in the world, in metres, and ``poses2d`` (N, 3, 18), x, y and score of OpenPose's COCO joints (zero where fewer than six
were found); and for each frame ``cam_poses`` (N, 4, 4), world to camera. ``campose_valid`` marks the frames whose
camera was aligned with the image. Everything is at the 30 images a second of the videos; ``img_frame_ids`` (into the
60 Hz of the inertial sensors) is not needed. The published readme spells ``poses2D``; the files have ``poses2d``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nearfar.camera import check_intrinsics, project
from nearfar.datasets.checks import check_array, complaints, coordinates
from nearfar.datasets.joining import join_poses
from nearfar.datasets.progress import progress
from nearfar.datasets.source import Prepared, Source
from nearfar.errors import InputError
from nearfar.poses import Category, PoseSet
from nearfar.safe_pickle import load_pickle
from nearfar.skeleton import Skeleton, get_skeleton
from nearfar.skeleton_maps import remap

__all__ = ["SOURCE", "Keypoints", "load_threedpw"]

Array = npt.NDArray[Any]
Keypoints = Literal["detected", "projected"]

LICENCE = (
    "3DPW: for non-commercial scientific research only; the data may not be passed on. "
    "The licence is on the data set's page."
)
CITATION = (
    "von Marcard et al., Recovering Accurate 3D Human Pose in The Wild Using IMUs and a Moving Camera, ECCV 2018."
)

_FPS = 30.0
_SPLITS = {"train": 24, "validation": 12, "test": 24}
"""Number of published sequences."""

_KEYS = ("sequence", "jointPositions", "poses2d", "cam_poses", "cam_intrinsics", "campose_valid")
_DEPTHS_MM = (300.0, 100_000.0)


def load_threedpw(
    path: str | Path, *, skeleton: str | Path | Skeleton = "h36m17", keypoints: Keypoints = "detected"
) -> PoseSet:
    """Read one sequence file: joints in mm in the camera's frame, with keypoints.

    The joints are SMPL's, mapped to `skeleton` as `nearfar.remap` says: they are near the joints of the same name that
    other data sets mark, but not the same points (the pages on skeletons and on this data set say which differ).
    `person` is the actor, `frame_index` the number of the image (``image_00000.jpg`` is 0). Frames whose camera is not
    valid are left out.

    Args:
        path: the ``.pkl`` file.
        skeleton: skeleton of the poses; "smpl24" is the file's own, and has projected keypoints only.
        keypoints: "detected" are the file's OpenPose detections, mapped to `skeleton` (frames without any are left out;
            a detection farther outside the image than the image is large is none); "projected" are the joints as the
            camera sees them.

    Raises:
        InputError: no such file, a damaged one or one of another kind, or a skeleton that cannot be had.
    """
    if keypoints not in get_args(Keypoints):
        raise InputError(f"keypoints: expected one of {get_args(Keypoints)}, got {keypoints!r}")
    target = get_skeleton(skeleton)
    data = _open(path)
    camera, image_size = _camera(data, str(path))
    actors = [_actor(data, actor, str(path)) for actor in range(len(data["poses2d"]))]
    provenance = {
        "source": "3DPW",
        "joints": f"SMPL's, mapped to {target.name}",
        "keypoints": f"OpenPose's, mapped to {target.name}" if keypoints == "detected" else "projected joints",
        "intrinsics": "cam_intrinsics",
        "licence": LICENCE,
        "citation": CITATION,
    }
    parts = []
    for person, (joints, detections, frames) in enumerate(actors):
        mapped = remap("smpl24", target).points(joints)
        points, scores = project(mapped, camera).astype(np.float32), None
        if keypoints == "detected":
            points, scores = _detected(detections, image_size, target)
        n = len(frames)
        poses = PoseSet(
            skeleton=target,
            keypoints=points,
            scores=scores,
            joints=mapped,
            intrinsics=np.tile(camera.astype(np.float32), (n, 1)),
            image_size=np.tile(image_size, (n, 1)),
            time=frames / _FPS,
            frame_index=frames,
            person=np.full(n, person),
            sequence=Category(np.zeros(n, np.int32), (data["sequence"],)),
        )
        parts.append(poses if scores is None else poses.select((scores > 0).any(axis=1)))
    whole = join_poses(parts, provenance)
    if not len(whole):
        raise InputError(f"{path}: not one frame with a valid camera and {keypoints} keypoints")
    return whole


def _open(path: str | Path) -> dict[str, Any]:
    data = load_pickle(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}: not a 3DPW sequence: expected a dict, got {type(data).__name__}")
    if missing := [key for key in _KEYS if key not in data]:
        raise InputError(f"{path}: not a 3DPW sequence: missing {missing}; its keys are {sorted(map(str, data))}")
    if not isinstance(data["sequence"], str):
        raise InputError(f"{path}: sequence: expected a name, got {type(data['sequence']).__name__}")
    actors = {key: len(data[key]) for key in _KEYS[1:3] + _KEYS[5:] if isinstance(data[key], list | tuple)}
    if len(actors) != 3 or len(set(actors.values())) != 1 or not data["poses2d"]:
        raise InputError(f"{path}: expected jointPositions, poses2d and campose_valid as lists of one entry an actor")
    return data


def _numbers(value: Any, shape: tuple[int | None, ...], where: str) -> Array:
    if not isinstance(value, np.ndarray):
        raise InputError(f"{where}: expected an array, got {type(value).__name__}")
    numbers = value.astype(np.uint8) if value.dtype == np.bool_ else value
    check_array(numbers, where, "fiu", shape)
    return numbers


def _camera(data: Mapping[str, Any], path: str) -> tuple[Array, Array]:
    """(4,) fx, fy, cx, cy and (2,) image size: the published principal points lie in the middle of the image."""
    matrix = _numbers(data["cam_intrinsics"], (3, 3), f"{path}: cam_intrinsics").astype(np.float64)
    try:
        intrinsics = check_intrinsics(matrix[[0, 1, 0, 1], [0, 1, 2, 2]])
    except InputError as error:
        raise InputError(f"{path}: cam_intrinsics: {error}") from None
    size = np.round(2 * intrinsics[2:])
    if not (size > 0).all() or (size > 100_000).any():
        raise InputError(f"{path}: cam_intrinsics: expected a principal point in the middle of the image")
    return intrinsics, size.astype(np.int32)


def _actor(data: Mapping[str, Any], actor: int, path: str) -> tuple[Array, Array, Array]:
    """Joints (n, 24, 3) mm in the camera's frame, detections (n, 18, 3), and the numbers of the frames: valid ones."""
    poses = _numbers(data["cam_poses"], (None, 4, 4), f"{path}: cam_poses").astype(np.float64)
    n = len(poses)
    positions, detections, valid = (
        _numbers(data[key][actor], shape, f"{path}: {key} of actor {actor}")
        for key, shape in (("jointPositions", (n, 72)), ("poses2d", (n, 3, 18)), ("campose_valid", (n,)))
    )
    frames = np.flatnonzero(valid == 1)
    rotation, translation = poses[frames, :3, :3], poses[frames, :3, 3]
    world = positions[frames].reshape(-1, 24, 3).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # damaged numbers are refused below
        product = rotation @ np.swapaxes(rotation, 1, 2)
        seen = 1000 * (world @ np.swapaxes(rotation, 1, 2) + translation[:, None])
    if not np.allclose(product, np.eye(3), atol=1e-3):
        raise InputError(f"{path}: cam_poses: expected rotations")
    joints = coordinates(seen, f"{path}: joints of actor {actor}")
    depth = joints[:, 0, 2]
    if len(frames) and not _DEPTHS_MM[0] <= float(np.median(depth)) <= _DEPTHS_MM[1]:
        raise InputError(
            f"{path}: jointPositions of actor {actor}: expected metres; median depth {np.median(depth):g} mm"
        )
    return joints, np.swapaxes(detections[frames], 1, 2), frames


def _detected(detections: Array, image_size: Array, target: Skeleton) -> tuple[Array, Array]:
    """Keypoints (n, J, 2) and scores (n, J) on the target skeleton, of OpenPose's (n, 18, 3)."""
    xy, scores = detections[..., :2], np.nan_to_num(detections[..., 2]).clip(0, 1)
    near = ((xy >= -image_size) & (xy <= 2 * image_size)).all(axis=-1)
    found = near & (scores > 0)
    mapping = remap("coco18", target)
    points = mapping.points(np.where(found[..., None], xy, np.nan).astype(np.float32))
    return points, mapping.scores(np.where(found, scores, 0).astype(np.float32))


def _files(folder: Path, split: str) -> list[Path]:
    return sorted((folder / "sequenceFiles" / split).glob("*.pkl"))


def _problems(folder: Path) -> list[str]:
    found = []
    for split, count in _SPLITS.items():
        files = _files(folder, split)
        if len(files) < count:
            found.append(f"{folder / 'sequenceFiles' / split}: {len(files)} of {count} sequences (*.pkl)")
        found += complaints(files, load_threedpw, f"check 3dpw {split}")
    return found


def _prepare(folder: Path, skeleton: str | None) -> Iterator[Prepared]:
    target = skeleton or "h36m17"
    keypoints: Keypoints = "projected" if target == "smpl24" else "detected"
    for split in _SPLITS:
        files = _files(folder, split)
        if not files:
            raise InputError(f"{folder / 'sequenceFiles' / split}: no sequences (*.pkl)")
        bar = progress(files, f"read 3dpw {split}")
        parts = [load_threedpw(file, skeleton=target, keypoints=keypoints) for file in bar]
        yield Prepared(split, join_poses(parts, parts[0].provenance))


SOURCE = Source(
    name="3dpw",
    title="3D Poses in the Wild",
    homepage="https://virtualhumans.mpi-inf.mpg.de/3DPW/",
    licence=f"{LICENCE} Cite: {CITATION}",
    steps=(
        "Open https://virtualhumans.mpi-inf.mpg.de/3DPW/ and read the licence.\n"
        "If you agree, download sequenceFiles.zip there (imageFiles.zip is not needed).\n"
        "Unpack it into one folder, so that sequenceFiles/train, validation and test lie in it."
    ),
    layout="\n".join(f"sequenceFiles/{split}/*.pkl" for split in _SPLITS),
    problems=_problems,
    prepare=_prepare,
)
