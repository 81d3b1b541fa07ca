"""MediaPipe pose landmarks as JSON.

MediaPipe itself writes no files; people save its results in a few shapes, all read here. A file is a list of frames,
or ``{"frames": [...], "image_size": [w, h]}``. A frame is a list of 33 landmarks ``{"x", "y", "z", "visibility"}``, or
an object with such a list, or a list of such lists (one a person), under ``landmarks``, ``pose_landmarks`` or
``poseLandmarks`` (where ``{"landmark": [...]}``, the protobuf shape, is read too), and perhaps ``frame`` and
``timestamp_ms``. A frame without people is null, or has an empty list. x and y are fractions of the image's width and
height (https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker), so the image size must be known. World
landmarks and z are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.datasets.keypoint_files.records import (
    Options,
    Record,
    default_skeleton,
    item,
    listed,
    number,
    poses_from_records,
)
from nearfar.errors import InputError
from nearfar.poses import PoseSet

__all__ = ["frames", "looks_like_frames"]

SKELETONS = {33: "mediapipe33"}
_KEYS = ("landmarks", "pose_landmarks", "poseLandmarks")


def looks_like_frames(data: Any) -> bool:
    """Whether parsed JSON is of one of the shapes that `frames` reads."""
    if isinstance(data, dict):
        return "frames" in data or any(key in data for key in _KEYS)
    if not isinstance(data, list):
        return False
    first = next((frame for frame in data if frame), None)
    if isinstance(first, list):
        while isinstance(first, list) and first:
            first = first[0]
        return isinstance(first, dict) and {"x", "y"} <= first.keys()
    return isinstance(first, dict) and any(key in first for key in _KEYS)


def frames(data: Any, path: Path, options: Options) -> PoseSet:
    """Read frames of landmarks; visibility becomes the score.

    Raises:
        InputError: see `load_keypoints`.
    """
    header: dict[str, Any] = {}
    if isinstance(data, dict):
        header, data = (data, data["frames"]) if "frames" in data else ({}, [data])
    size = None
    if "image_size" in header:
        sides = listed(header["image_size"], f"{path}: image_size")
        if len(sides) != 2:
            raise InputError(f"{path}: image_size: expected [width, height] in pixels, got {sides}")
        size = int(number(sides[0], f"{path}: image_size")), int(number(sides[1], f"{path}: image_size"))
    data = listed(data, f"{path}: frames")
    records = [record for i, frame in enumerate(data) for record in _people(frame, i, path, size)]
    if not records:
        raise InputError(f"{path}: nobody in it: no landmarks in any of {len(data)} frames")
    skeleton = default_skeleton(len(records[0].points), SKELETONS, options, records[0].where)
    provenance = {"format": "MediaPipe landmarks"}
    return poses_from_records(records, skeleton, path, options, provenance, normalised=True)


def _people(frame: Any, i: int, path: Path, size: tuple[int, int] | None) -> Iterator[Record]:
    where = f"{path}: frame {i}"
    about: dict[str, Any] = {}
    if isinstance(frame, dict):
        about, key = frame, next((key for key in _KEYS if key in frame), "landmarks")
        frame = item(frame, key, where)
    if isinstance(frame, dict):
        frame = item(frame, "landmark", where)
    if not frame:
        return
    frame = listed(frame, where)
    people = frame if isinstance(frame[0], list) else [frame]
    milliseconds = about.get("timestamp_ms")
    time = None if milliseconds is None else number(milliseconds, f"{where}: timestamp_ms") / 1000
    for person, landmarks in enumerate(people):
        yield Record(
            where=f"{where}, person {person}",
            points=_points(listed(landmarks, where), f"{where}, person {person}"),
            sequence=path.stem,
            frame=int(number(about.get("frame", i), f"{where}: frame")),
            time=time,
            image_size=size,
        )


def _points(landmarks: list[Any], where: str) -> npt.NDArray[np.float64]:
    rows = [
        (item(landmark, "x", f"{where}, landmark {j}"), item(landmark, "y", f"{where}, landmark {j}"), landmark)
        for j, landmark in enumerate(landmarks)
    ]
    try:
        return np.array([(x, y, landmark.get("visibility", 1.0)) for x, y, landmark in rows], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: x, y and visibility must be numbers") from None
