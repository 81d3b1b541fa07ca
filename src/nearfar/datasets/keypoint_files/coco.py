"""COCO keypoint JSON: annotations with their images, and lists of results.

Format: https://cocodataset.org/#format-data and https://cocodataset.org/#format-results. A keypoint is x, y and a
visibility (0 not labelled, 1 labelled but hidden, 2 labelled and visible); in results the third number is the
detector's score.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.datasets.keypoint_files.records import (
    Options,
    Record,
    as_points,
    default_skeleton,
    item,
    listed,
    number,
    poses_from_records,
)
from nearfar.errors import InputError
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton, get_skeleton, skeleton_names

__all__ = ["annotation_file", "result_list"]

SKELETONS = {17: "coco17", 133: "coco17"}
"""By number of joints: COCO, and COCO-WholeBody, whose first 17 are COCO's."""


def annotation_file(data: dict[str, Any], path: Path, options: Options) -> PoseSet:
    """Read ``{"images": […], "annotations": […], "categories": […]}``.

    A sequence is a photo (its ``file_name``), and its people are counted through, unless the file says
    ``video_id`` or ``vid_id`` and ``frame_id`` of an image and ``track_id`` of an annotation, as PoseTrack does.
    Labelled joints, hidden or visible, have score 1, others are missing; `PoseSet.occluded` says which are hidden.
    Crowds (``iscrowd``) and annotations with no labelled joint are left out.

    Raises:
        InputError: see `load_keypoints`.
    """
    images = {}
    for i, image in enumerate(listed(data.get("images", []), f"{path}: images")):
        images[_identity(image, "id", f"{path}: image {i}")] = image
    entries = listed(data["annotations"], f"{path}: annotations")
    if entries and not any(isinstance(entry, dict) and "keypoints" in entry for entry in entries):
        raise InputError(f"{path}: none of its {len(entries)} annotations has keypoints")
    left_out = crowds = 0
    records = []
    for i, entry in enumerate(entries):
        where = f"{path}: annotation {i}"
        image_id = _identity(entry, "image_id", where)
        if entry.get("iscrowd"):
            crowds += 1
            continue
        if images and image_id not in images:
            raise InputError(f"{where}: image_id {image_id!r} is not among the file's {len(images)} images")
        points = as_points(item(entry, "keypoints", where), where)
        if not np.isin(points[:, 2], (0, 1, 2)).all():
            raise InputError(f"{where}: visibility must be 0, 1 or 2, got {points[:, 2].tolist()}")
        if not points[:, 2].any():
            left_out += 1
            continue
        image = images.get(image_id, {})
        video = image.get("video_id", image.get("vid_id"))
        size = None
        if {"width", "height"} <= image.keys():
            size = int(number(image["width"], f"{where}: width")), int(number(image["height"], f"{where}: height"))
        frame = None if video is None else int(number(item(image, "frame_id", where), f"{where}: frame_id"))
        records.append(
            Record(
                where=where,
                points=_flags_to_scores(points),
                sequence=str(image.get("file_name", image_id) if video is None else video),
                person=int(number(entry["track_id"], f"{where}: track_id")) if "track_id" in entry else None,
                frame=frame,
                image_size=size,
                occluded=points[:, 2] == 1,
            )
        )
    skeleton = _skeleton(data, records, path, options)
    provenance = {
        "format": "COCO keypoint annotations",
        "annotations_without_keypoints": left_out,
        "annotations_of_crowds": crowds,
    }
    return poses_from_records(records, skeleton, path, options, provenance)


def result_list(data: list[Any], path: Path, options: Options) -> PoseSet:
    """Read ``[{"image_id": 785, "category_id": 1, "keypoints": […], "score": 0.9}, …]``.

    A sequence is an image, and its people are counted through. Where all third numbers of the file are 0, 1
    or 2 they are read as visibility, else as scores.

    Raises:
        InputError: see `load_keypoints`.
    """
    records = list(_results(data, path))
    if all(np.isin(record.points[:, 2], (0, 1, 2)).all() for record in records):
        records = [Record(r.where, _flags_to_scores(r.points), r.sequence) for r in records]
    skeleton = _skeleton({}, records, path, options)
    return poses_from_records(records, skeleton, path, options, {"format": "COCO keypoint results"})


def _results(data: list[Any], path: Path) -> Iterator[Record]:
    for i, entry in enumerate(data):
        where = f"{path}: result {i}"
        image_id = item(entry, "image_id", where)
        yield Record(where, as_points(item(entry, "keypoints", where), where), str(image_id))


def _identity(entry: Any, key: str, where: str) -> int | str:
    """What a file calls an image: a number, or a name."""
    value = item(entry, key, where)
    if not isinstance(value, int | str):
        raise InputError(f"{where}: {key}: expected a number or a name, got {type(value).__name__}")
    return value


def _flags_to_scores(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(J, 3) with visibility as third number to (J, 3) with a score: NaN and 0 where not labelled, else 1."""
    labelled = points[:, 2:] > 0
    return np.concatenate([np.where(labelled, points[:, :2], np.nan), labelled], axis=1)


def _skeleton(data: dict[str, Any], records: list[Record], path: Path, options: Options) -> Skeleton:
    """The skeleton whose joints the file's category names, else the usual one of that many joints."""
    joints = len(records[0].points) if records else 17
    if options.skeleton is None:
        categories = data.get("categories", [])
        for category in categories if isinstance(categories, list) else []:
            names = category.get("keypoints", []) if isinstance(category, dict) else []
            for skeleton in map(get_skeleton, skeleton_names()):
                if names == list(skeleton.joints) and len(names) == joints:
                    return skeleton
    return default_skeleton(joints, SKELETONS, options, records[0].where if records else str(path))
