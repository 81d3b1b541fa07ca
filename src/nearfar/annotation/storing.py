"""Putting poses and pairs into the database, many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection
from tqdm import tqdm

from nearfar.annotation import schema
from nearfar.annotation.pairs import Pairs
from nearfar.annotation.settings import Settings

__all__ = ["insert_pairs", "insert_poses"]

Array = npt.NDArray[Any]


def insert_pairs(
    connection: Connection,
    pairs: Pairs,
    settings: Settings,
    rng: np.random.Generator,
    *,
    purpose: str = "work",
    explanations: list[str] | None = None,
    progress: bool = False,
) -> None:
    """Store pairs to be asked: all of one pose one after the other, the poses in random order."""
    shuffle = {int(pose): int(rng.integers(1 << 31)) for pose in np.unique(pairs.pose)}
    wanted = settings.answers if purpose == "work" else 0
    at = 0
    with tqdm(total=len(pairs), desc="storing pairs", unit="pair", leave=False, disable=not progress) as bar:
        for part in _chunks(pairs):
            truth = [None] * len(part) if part.truth is None else part.truth.tolist()
            rows = [
                {
                    "pose_id": pose, "joint_a": a, "joint_b": b, "purpose": purpose, "truth": true,
                    "priority": priority, "shuffle": shuffle[pose], "wanted": wanted, "need": wanted,
                    "explanation": None if explanations is None else explanations[at + i],
                }
                for i, (pose, (a, b), priority, true) in enumerate(
                    zip(part.pose.tolist(), part.joints.tolist(), part.priority.tolist(), truth, strict=True)
                )
            ]  # fmt: skip
            connection.execute(schema.pair.insert(), rows)
            at += len(part)
            bar.update(len(part))


def insert_poses(connection: Connection, rows: Array, names: tuple[str, ...], image: Array, boxes: Array) -> None:
    """Store the poses of some rows, with names[image[row]] and the (x, y, width, height) of their crops."""
    columns = ("crop_x", "crop_y", "crop_width", "crop_height")
    for some in np.array_split(rows, max(1, len(rows) // 10_000)):
        values = [
            {
                "id": row,
                "image": names[image[row]],
                "lesson": False,
                **dict(zip(columns, boxes[row].tolist(), strict=True)),
            }
            for row in some.tolist()
        ]
        connection.execute(schema.pose.insert(), values)


def _chunks(pairs: Pairs, size: int = 10_000) -> Iterator[Pairs]:
    """The pairs, some at a time."""
    for at in range(0, len(pairs), size):
        yield pairs.select(slice(at, at + size))
