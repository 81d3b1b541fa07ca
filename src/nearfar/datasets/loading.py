"""The doors: `load_poses` and `load_labels` read whatever file of poses or labels it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nearfar.datasets.asf_amc import is_amc, load_amc
from nearfar.datasets.bvh import is_bvh, load_bvh
from nearfar.datasets.c3d import load_c3d
from nearfar.datasets.cmu_benchmark import LabelColumn, benchmark_from_arrays, benchmark_labels, is_benchmark
from nearfar.datasets.joint_map import JointMap, joint_map_names
from nearfar.datasets.keypoint_files import keypoints_from_json, load_keypoints, sniff
from nearfar.datasets.keypoint_files.records import Options
from nearfar.datasets.mocap import is_mocap, mocap_from_arrays
from nearfar.datasets.mturk import load_mturk
from nearfar.datasets.relative_depth_lsp import is_relative_depth_lsp, relative_depth_lsp_from_json
from nearfar.errors import InputError
from nearfar.files import open_npz, read_json, read_text
from nearfar.labels import RelativeLabels
from nearfar.poses import PoseSet
from nearfar.sequences import most_seen
from nearfar.skeleton import Skeleton, get_skeleton
from nearfar.tables.crowdkit import is_crowdkit_csv, read_crowdkit_csv
from nearfar.tables.labels import labels_from_json, read_labels_csv
from nearfar.tables.labels_jsonl import is_labels_jsonl, read_labels_jsonl
from nearfar.tables.poses import is_poses_csv, is_poses_json, poses_from_json, read_poses_csv

__all__ = ["load_labels", "load_poses", "load_poses_to_lift"]


def load_poses(
    path: str | Path,
    *,
    skeleton: str | Path | Skeleton | None = None,
    image_size: tuple[int, int] | None = None,
    person: int | None = None,
    split: str | None = None,
    joint_map: str | Path | JointMap | None = None,
    fps: float = 30.0,
    one_clip: bool = False,
) -> PoseSet:
    """Read poses from any file that nearfar knows, told apart by content, not by name.

    Known are a saved `PoseSet`, the CMU benchmark, mocap files, nearfar's CSV and JSON (`nearfar.tables`), motion files
    (BVH, C3D, and AMC with its skeleton beside it), ``relative_depth_lsp_v1.json``, and the keypoints of other programs
    (`load_keypoints`).

    Args:
        path: file or folder.
        skeleton: skeleton of the file's joints, for files that do not say it; for others it must agree.
        image_size: width and height in pixels, for files that do not say it.
        person: keep this identity only.
        split: keep this split only; for mocap files.
        joint_map: which joints or markers become which joint; motion files need it.
        fps: frames a second, by which people are followed in keypoint files that do not say who is who.
        one_clip: the images of a keypoint file are the frames of one clip.

    Raises:
        InputError: nothing there, damaged, an unknown format (the message says what was found), or an argument
            that disagrees with the file.
    """
    path = Path(path)
    options = Options(None if skeleton is None else get_skeleton(skeleton), image_size, person, fps, one_clip)
    kind = sniff(path)
    if (read := _motion_reader(path, kind)) is not None:
        if split is not None:
            raise InputError(f"{path}: split {split!r}: only mocap files have splits inside")
        if joint_map is None:
            known = ", ".join(joint_map_names())
            raise InputError(f"{path}: a motion file is read with a joint map: {known}, or a .toml file")
        return _agreeing(read(path, joint_map), path, options)
    if joint_map is not None:
        raise InputError(f"{path}: joint maps are for motion files: BVH, C3D, and AMC with its skeleton beside it")
    arrays = open_npz(path) if kind == "npz" else {}
    if is_mocap(arrays):
        return _agreeing(mocap_from_arrays(arrays, path, split=split), path, options)
    if split is not None:
        raise InputError(f"{path}: split {split!r}: only mocap files have splits inside")
    if is_benchmark(arrays):
        return _agreeing(benchmark_from_arrays(arrays, path), path, options)
    if PoseSet.is_pose_set(arrays):
        return _agreeing(PoseSet.load(path), path, options)
    if kind == "json":
        data = read_json(path)
        if is_relative_depth_lsp(data):
            return _agreeing(relative_depth_lsp_from_json(data, path, skeleton).poses, path, options)
        if not is_poses_json(data):
            return keypoints_from_json(data, path, options)
        return _agreeing(poses_from_json(data, path), path, options)
    if kind == "text" and is_poses_csv(read_text(path)):
        return _agreeing(read_poses_csv(path, skeleton), path, options)
    return load_keypoints(path, skeleton=skeleton, image_size=image_size, person=person, fps=fps, one_clip=one_clip)


def load_poses_to_lift(
    path: str | Path,
    *,
    skeleton: str | Path | Skeleton | None = None,
    image_size: tuple[int, int] | None = None,
    person: int | None = None,
    people: int | None = None,
    fps: float = 30.0,
    one_clip: bool = False,
) -> PoseSet:
    """`load_poses`, of a file that must hold 2D keypoints; of them the `people` who are seen most, or all.

    Raises:
        InputError: as `load_poses`, or there are no keypoints.
    """
    poses = load_poses(path, skeleton=skeleton, image_size=image_size, person=person, fps=fps, one_clip=one_clip)
    if poses.keypoints is None:
        raise InputError(f"{path}: has no 2D keypoints to lift")
    return poses if people is None else most_seen(poses, people)


def load_labels(
    path: str | Path,
    *,
    skeleton: str | Path | Skeleton | None = None,
    poses: PoseSet | None = None,
    column: LabelColumn = "answer",
) -> RelativeLabels:
    """Read relative depth labels from any file that nearfar knows, told apart by content, not by name.

    Known are a saved `RelativeLabels` (Parquet), the CMU benchmark, nearfar's CSV, JSON and JSON lines, crowd-kit's CSV
    (`nearfar.tables`), ``relative_depth_lsp_v1.json`` and files of its form, and the pickles of raw answers that belong
    to it (`load_mturk`).

    Args:
        path: the file.
        skeleton: skeleton of the joints, for files that do not say it.
        poses: the poses that the labels speak of; labels of other poses or of another skeleton are refused.
        column: which labels of a benchmark file: "answer" or "crowd_answer".

    Raises:
        InputError: nothing there, damaged, an unknown format, or labels that the poses do not bear.
    """
    path = Path(path)
    match sniff(path):
        case "json" if is_labels_jsonl(path):
            return read_labels_jsonl(path, skeleton=skeleton, poses=poses)
        case "json":
            data = read_json(path)
            if not is_relative_depth_lsp(data):
                return labels_from_json(data, path, poses=poses)
            labels = relative_depth_lsp_from_json(data, path, skeleton).labels
        case "text" if is_crowdkit_csv(read_text(path)):
            return read_crowdkit_csv(path, skeleton=skeleton, poses=poses)
        case "text":
            return read_labels_csv(path, skeleton=skeleton, poses=poses)
        case "parquet":
            labels = RelativeLabels.load(path)
        case "npz":
            labels = benchmark_labels(path, column)
        case "pickle":
            labels = load_mturk(path)
        case _:
            known = "Parquet, CSV, JSON (lines), raw answers (.pkl) or a benchmark .npz"
            raise InputError(f"{path}: no labels that nearfar knows: expected {known}")
    if poses is not None:
        labels.check_poses(poses)
    return labels


def _motion_reader(path: Path, kind: str) -> Callable[[Path, str | Path | JointMap], PoseSet] | None:
    """What reads a motion file; None for files of other kinds."""
    if kind == "c3d":
        return load_c3d
    if kind != "text":
        return None
    with path.open("rb") as file:
        head = file.read(16_384).decode("utf-8-sig", errors="replace")
    return load_bvh if is_bvh(head) else load_amc if is_amc(head) else None


def _agreeing(poses: PoseSet, path: Path, options: Options) -> PoseSet:
    """Hold what the caller said against what the file says."""
    if options.skeleton is not None and options.skeleton.joints != poses.skeleton.joints:
        raise InputError(
            f"{path}: its joints are those of skeleton {poses.skeleton.name!r}, not of {options.skeleton.name!r}"
        )
    if options.image_size is not None:
        width, height = options.image_size
        if poses.image_size is None:
            sizes = np.broadcast_to(np.array([width, height], dtype=np.int32), (len(poses), 2))
            poses = dataclasses.replace(poses, image_size=sizes)
        elif (poses.image_size != [width, height]).any():
            raise InputError(f"{path}: the file says another image size than {width}x{height}")
    if options.person is not None:
        known = [] if poses.person is None else np.unique(poses.person).tolist()
        if poses.person is None or options.person not in known:
            has = f"it has {known}" if known else "it names no persons"
            raise InputError(f"{path}: no person {options.person}; {has}")
        poses = poses.select(poses.person == options.person)
    return poses
