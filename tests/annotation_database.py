"""A small project's database for tests that need no images: pairs to ask, people, tasks that are done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, insert, update

from nearfar.annotation import schema
from nearfar.annotation.database import connect, migrate, transaction

NOW = 1_700_000_000.0


@contextmanager
def opened(url: str, poses: int = 4) -> Iterator[Engine]:
    """An open database with `poses` poses of three pairs each, wanted by three people."""
    engine = connect(url)
    try:
        migrate(engine)
        with transaction(engine) as connection:
            for pose in range(poses):
                box = {"crop_x": 0, "crop_y": 0, "crop_width": 100, "crop_height": 100}
                connection.execute(insert(schema.pose).values(id=pose, image=f"{pose}.jpg", **box))
                for a, b in ((0, 1), (0, 2), (1, 2)):
                    values = {"pose_id": pose, "joint_a": a, "joint_b": b, "wanted": 3, "need": 3, "shuffle": pose}
                    connection.execute(insert(schema.pair).values(values))
        yield engine
    finally:
        engine.dispose()


def set_stage(engine: Engine, person_id: int, stage: str) -> None:
    """Move a person on."""
    with transaction(engine) as connection:
        connection.execute(update(schema.person).where(schema.person.c.id == person_id).values(stage=stage))
