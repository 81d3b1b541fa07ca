"""A small project's database: poses, pairs and people, without images."""

from __future__ import annotations

import random
from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Engine, delete, insert

from nearfar.annotation import schema
from nearfar.annotation.database import transaction
from nearfar.annotation.queue import Event, Task
from nearfar.annotation.settings import Settings

SETTINGS = Settings(
    images_per_task=2, pairs_per_image=3, lease_minutes=10, answers=2, most_answers=4, practice_questions=2,
    test_questions=3, test_pass=0.6, test_attempts=2, gold_share=0.0,
)  # fmt: skip
LEASE = SETTINGS.lease_minutes * 60
NOW = 1_000_000_000.0


def key(number: int) -> str:
    return str(UUID(int=number))


def fill(
    engine: Engine, *, poses: int = 4, pairs: int = 3, people: int = 3, gold: int = 0, practice: int = 0, test: int = 0,
    wanted: int = 2, stage: str = "working", rng: random.Random | None = None,
) -> None:  # fmt: skip
    """Poses 0..; each with `pairs` pairs of work; as many poses of one pair each for the other purposes; people 1..."""
    rng = rng or random.Random(0)
    known = [("gold", gold), ("practice", practice), ("test", test)]
    total = poses + sum(count for _, count in known)
    box = {"crop_x": 1, "crop_y": 2, "crop_width": 30, "crop_height": 40}
    rows = []
    for pose in range(poses):
        shuffle = rng.randrange(1 << 31)
        rows += [pair_row(pose, j, j + 1, "work", shuffle, wanted) for j in range(pairs)]
    pose = poses
    for purpose, count in known:
        for i in range(count):
            truth = (-1, 1, 0)[i % 3] if purpose == "practice" else (-1, 1)[i % 2]
            rows.append({**pair_row(pose, 0, 1, purpose, rng.randrange(1 << 31), 0), "truth": truth})
            pose += 1
    with transaction(engine) as connection:
        connection.execute(insert(schema.pose), [{"id": i, "image": f"{i}.png", **box} for i in range(total)])
        if rows:
            connection.execute(insert(schema.pair), rows)
        add_people(engine, range(1, people + 1), stage, connection)


def pair_row(pose: int, a: int, b: int, purpose: str, shuffle: int, wanted: int) -> dict[str, object]:
    return {
        "pose_id": pose, "joint_a": a, "joint_b": b, "purpose": purpose, "shuffle": shuffle, "wanted": wanted,
        "need": wanted, "truth": None, "explanation": f"because {pose}" if purpose == "practice" else None,
    }  # fmt: skip


def add_people(engine: Engine, numbers: Iterable[int], stage: str, connection: object = None) -> None:
    rows = [{"id": n, "name": f"person {n}", "role": "annotator", "stage": stage, "created_at": NOW} for n in numbers]
    if rows:
        connection.execute(insert(schema.person), rows)


def empty(engine: Engine) -> None:
    """Forget everything but the tables."""
    with transaction(engine) as connection:
        for table in reversed(schema.metadata.sorted_tables):
            connection.execute(delete(table))


def answers(task: Task, choice: str, first_key: int, *, revision: int = 1, ms: int = 900) -> list[Event]:
    """The same answer to all questions of a task."""
    return [Event(key(first_key + i), q.id, revision, choice, ms) for i, q in enumerate(task.questions)]


def nearer(task: Task, joint: int) -> list[str]:
    """Choices that say that the lower (-1) or the higher (+1) joint number is nearer."""
    return ["a" if (q.joint_a < q.joint_b) == (joint < 0) else "b" for q in task.questions]
