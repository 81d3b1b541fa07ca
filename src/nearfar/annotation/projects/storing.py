"""Putting poses and pairs into the database, many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection
from tqdm import tqdm

from nearfar.annotation import schema
from nearfar.annotation.database import insert_many
from nearfar.annotation.projects.lessons import Lessons
from nearfar.annotation.projects.pairs import Pairs
from nearfar.annotation.projects.placing import crop_boxes, usable_joints
from nearfar.annotation.schema import Purpose
from nearfar.annotation.settings import Settings
from nearfar.errors import InputError

__all__ = ["insert_lessons", "insert_pairs", "insert_poses"]

Array = npt.NDArray[Any]

CROP = ("crop_x", "crop_y", "crop_width", "crop_height")


def insert_pairs(
    connection: Connection,
    pairs: Pairs,
    settings: Settings,
    rng: np.random.Generator,
    *,
    purpose: Purpose = "work",
    progress: bool = False,
) -> None:
    """Store pairs to be asked: all of one pose one after the other, the poses in random order."""
    shuffle = {pose: int(rng.integers(1 << 31)) for pose in np.unique(pairs.pose).tolist()}
    wanted = settings.answers if purpose == "work" else 0
    with tqdm(total=len(pairs), desc="storing pairs", unit="pair", leave=False, disable=not progress) as bar:
        for part in _chunks(pairs):
            unknown = [None] * len(part)
            truth = unknown if part.truth is None else part.truth.tolist()
            columns = (
                part.pose.tolist(),
                part.joints.tolist(),
                part.priority.tolist(),
                truth,
                part.explanation or unknown,
            )
            rows = [
                {
                    "pose_id": pose, "joint_a": a, "joint_b": b, "purpose": purpose, "truth": true, "explanation": why,
                    "priority": priority, "shuffle": shuffle[pose], "wanted": wanted, "need": wanted,
                }
                for pose, (a, b), priority, true, why in zip(*columns, strict=True)
            ]  # fmt: skip
            insert_many(connection, schema.pair, rows)
            bar.update(len(part))


def insert_lessons(connection: Connection, lessons: Lessons) -> None:
    """Store rendered lessons; the worked examples keep their order."""
    poses, names = lessons.poses, lessons.poses.sequence
    if poses.keypoints is None or poses.image_size is None or names is None:
        raise InputError("lessons: need keypoints, image sizes and names")
    boxes = crop_boxes(poses.keypoints, usable_joints(poses, poses.image_size), poses.image_size)
    rows = [
        {"id": schema.LESSON_POSES + row, "image": name, "lesson": True, **dict(zip(CROP, box, strict=True))}
        for row, (name, box) in enumerate(zip(names.values().tolist(), boxes.tolist(), strict=True))
    ]
    insert_many(connection, schema.pose, rows)
    pairs = [
        {
            "pose_id": schema.LESSON_POSES + lesson.pose, "joint_a": lesson.joints[0], "joint_b": lesson.joints[1],
            "purpose": lesson.purpose, "truth": lesson.truth, "explanation": lesson.explanation, "priority": -number,
            "shuffle": 0, "wanted": 0, "need": 0,
        }
        for number, lesson in enumerate(lessons.questions)
    ]  # fmt: skip
    insert_many(connection, schema.pair, pairs)


def insert_poses(connection: Connection, rows: Array, names: tuple[str, ...], image: Array, boxes: Array) -> None:
    """Store the poses of some rows, with names[image[row]] and the (x, y, width, height) of their crops."""
    for some in np.array_split(rows, max(1, len(rows) // 10_000)):
        values = [
            {
                "id": row,
                "image": names[image[row]],
                "lesson": False,
                **dict(zip(CROP, boxes[row].tolist(), strict=True)),
            }
            for row in some.tolist()
        ]
        insert_many(connection, schema.pose, values)


def _chunks(pairs: Pairs, size: int = 10_000) -> Iterator[Pairs]:
    """The pairs, some at a time."""
    for at in range(0, len(pairs), size):
        yield pairs.select(slice(at, at + size))
