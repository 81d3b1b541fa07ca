"""OpenPose: a folder of ``*_keypoints.json`` files, one a frame.

Format: "Output Format" in OpenPose's documentation: ``{"people": [{"person_id": [-1], "pose_keypoints_2d": [x, y,
score, …], …}]}``, BODY_25 (25 joints) or COCO (18 joints), a joint not found is 0, 0, 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nearfar.datasets.keypoint_files.records import (
    Options,
    Record,
    as_points,
    default_skeleton,
    item,
    listed,
    poses_from_records,
)
from nearfar.errors import InputError
from nearfar.files import read_json
from nearfar.poses import PoseSet

__all__ = ["folder", "frame_file"]

SKELETONS = {25: "body25", 18: "coco18"}
_SUFFIX = "_keypoints.json"
_NAME = re.compile(r"(?P<clip>.*?)_?(?P<frame>\d+)_keypoints\.json")


def folder(path: Path, options: Options) -> PoseSet:
    """Read all ``*_keypoints.json`` of a folder.

    The number at the end of a file's name is the frame, what stands before it the sequence. OpenPose finds people
    anew in each frame: unless the file has a ``person_id``, they are followed through the clip. Hands and face are left
    out.

    Raises:
        InputError: see `load_keypoints`.
    """
    files = sorted(path.glob(f"*{_SUFFIX}"))
    if not files:
        found = sorted(entry.name for entry in path.iterdir())
        shown = ", ".join(found[:5]) + (", …" if len(found) > 5 else "") if found else "nothing"
        raise InputError(f"{path}: expected a folder of OpenPose's *{_SUFFIX} files, found {shown}")
    return _poses([record for file in files for record in _people(read_json(file), file, path.name)], path, options)


def frame_file(data: dict[str, Any], path: Path, options: Options) -> PoseSet:
    """Read one frame's file.

    Raises:
        InputError: see `load_keypoints`.
    """
    return _poses(list(_people(data, path, path.parent.name)), path, options)


def _people(data: Any, file: Path, clip: str) -> Iterator[Record]:
    name = _NAME.fullmatch(file.name)
    for i, person in enumerate(listed(item(data, "people", str(file)), f"{file}: people")):
        where = f"{file}: person {i}"
        key = "pose_keypoints" if isinstance(person, dict) and "pose_keypoints" in person else "pose_keypoints_2d"
        identity = person.get("person_id", -1) if isinstance(person, dict) else -1
        if isinstance(identity, list):
            identity = identity[0] if identity else -1
        yield Record(
            where=where,
            points=as_points(item(person, key, where), where),
            sequence=(name["clip"] or clip) if name else file.name.removesuffix(_SUFFIX),
            person=identity if isinstance(identity, int) and identity >= 0 else None,
            frame=int(name["frame"]) if name else None,
        )


def _poses(records: list[Record], path: Path, options: Options) -> PoseSet:
    if not records:
        raise InputError(f"{path}: nobody in it: OpenPose found no person in any frame")
    skeleton = default_skeleton(len(records[0].points), SKELETONS, options, records[0].where)
    return poses_from_records(records, skeleton, path, options, {"format": "OpenPose"})
