"""AlphaPose results, also what MotionBERT reads: a list with an entry for each person in each image.

Format: AlphaPose's docs/output.md: ``[{"image_id": "0.jpg", "category_id": 1, "keypoints": [x, y, score, …],
"score": 2.9, "box": […], "idx": 1}, …]``, COCO (17 joints) or Halpe (26, or 136 whose first 26 are the body).
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from nearfar.datasets.keypoint_files.records import (
    Options,
    Record,
    as_points,
    default_skeleton,
    item,
    poses_from_records,
)
from nearfar.poses import PoseSet

__all__ = ["result_list"]

SKELETONS = {17: "coco17", 26: "halpe26", 133: "coco17", 136: "halpe26"}


def result_list(data: list[Any], path: Path, options: Options) -> PoseSet:
    """Read a list of results.

    Image names that are numbers (``0.jpg``, ``1.jpg``: a video's frames) are the frames of one sequence; other images
    are a sequence each. `person` is AlphaPose's ``idx`` where it tells the people of every image apart; else they
    are followed through the clip.

    Raises:
        InputError: see `load_keypoints`.
    """
    entries: list[tuple[str, str, Any]] = []
    for i, entry in enumerate(data):
        where = f"{path}: entry {i}"
        entries.append((where, str(item(entry, "image_id", where)), entry))
    is_clip = all(re.fullmatch(r"\d{1,9}", Path(image).stem) for _, image, _ in entries)
    tracks = [_track(entry) for _, _, entry in entries]
    tracked = None not in tracks and len({(e[1], t) for e, t in zip(entries, tracks, strict=True)}) == len(entries)
    records = []
    for (where, image, entry), track in zip(entries, tracks, strict=True):
        records.append(
            Record(
                where=where,
                points=as_points(item(entry, "keypoints", where), where),
                sequence=path.stem if is_clip else image,
                person=track if tracked else None,
                frame=int(Path(image).stem) if is_clip else None,
            )
        )
    skeleton = default_skeleton(len(records[0].points), SKELETONS, options, records[0].where)
    provenance = {"format": "AlphaPose results", "tracked": tracked}
    return poses_from_records(records, skeleton, path, options, provenance)


def _track(entry: dict[str, Any]) -> int | None:
    """The tracker's number of the person: a number, or a list of one."""
    value = entry.get("idx")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else None
