"""What a lease and an answer cost the annotation studio, by the number of pairs in its database.

    python benchmarks/annotation_queue.py --out FOLDER [--postgresql postgresql://USER@HOST/EMPTY_DATABASE]

For each size: a database with so many open pairs, five of each pose, and gold; one veteran has answered a tenth of
them, all still open. Timed are new tasks (25 questions and gold) of newcomers and of the veteran, answers stored one at
a time as the page sends them, half a task of answers at once, and the numbers of the dashboard. SQLite writes with
synchronous=FULL, so each figure holds a write to the disk. Prints a Markdown table of milliseconds: median / 95th
percentile.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import tyro
from sqlalchemy import Engine, Table, delete, insert, update

from nearfar.annotation import schema
from nearfar.annotation.database import connect, migrate, transaction
from nearfar.annotation.queue import Event, next_task, record
from nearfar.annotation.settings import Settings
from nearfar.annotation.statistics import dashboard
from nearfar.errors import InputError

SETTINGS = Settings(answers=3, images_per_task=5, pairs_per_image=5, gold_share=0.1)
PAIRS_PER_POSE = 5
GOLD = 500
VETERAN, NEWCOMERS = 1, 50
AT_ONCE = 10_000
COLUMNS = ("lease, newcomer", "lease, veteran", "one answer", "half a task of answers", "dashboard")


@dataclass(frozen=True)
class Arguments:
    """Fill, lease, answer, time."""

    out: Path
    """Folder for the SQLite databases."""
    postgresql: str | None = None
    """Address of a PostgreSQL database of its own: what is in it is deleted."""
    sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """Pairs."""
    tasks: int = 40
    """Timed tasks of newcomers, and of the veteran."""


def main(arguments: Arguments) -> None:
    """Print the table."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(f"| database | pairs | {' | '.join(COLUMNS)} |")
    print(f"|---|---:|{'---:|' * len(COLUMNS)}")
    for size in arguments.sizes:
        path = arguments.out / f"queue_{size}.db"
        path.unlink(missing_ok=True)
        urls = {"SQLite": f"sqlite:///{path}", "PostgreSQL": arguments.postgresql}
        for name, url in urls.items():
            if url is not None:
                engine = connect(url)
                migrate(engine)
                fill(engine, size)
                cells = [
                    f"{np.median(ms):.1f} / {np.quantile(ms, 0.95):.1f}" for ms in measure(engine, arguments.tasks)
                ]
                print(f"| {name} | {size:,} | {' | '.join(cells)} |", flush=True)
                engine.dispose()


def fill(engine: Engine, pairs: int) -> None:
    """Poses, pairs, gold, people, and what the veteran has answered."""
    rng, poses = random.Random(0), pairs // PAIRS_PER_POSE
    with transaction(engine) as connection:
        for table in reversed(schema.metadata.sorted_tables):
            connection.execute(delete(table))
    box = {"crop_x": 0, "crop_y": 0, "crop_width": 200, "crop_height": 300}
    insert_all(engine, schema.pose, ({"id": i, "image": f"{i}.jpg", **box} for i in range(poses + GOLD)))
    shuffles = [rng.randrange(1 << 31) for _ in range(poses + GOLD)]
    rows = (
        {
            "pose_id": pose, "joint_a": j, "joint_b": j + 1, "purpose": purpose, "shuffle": shuffles[pose],
            "wanted": wanted, "need": wanted, "truth": truth,
        }
        for first, last, count, purpose, wanted, truth in (
            (0, poses, PAIRS_PER_POSE, "work", SETTINGS.answers, None), (poses, poses + GOLD, 1, "gold", 0, 1),
        )
        for pose in range(first, last)
        for j in range(count)
    )  # fmt: skip
    insert_all(engine, schema.pair, rows)
    people = range(VETERAN, VETERAN + NEWCOMERS + 1)
    worker = {"role": "annotator", "stage": "working", "created_at": 0.0}
    insert_all(engine, schema.person, ({"id": i, "name": f"person {i}", **worker} for i in people))
    now = time.time()
    order = sorted(range(poses), key=lambda pose: -shuffles[pose])[: poses // 10]  # from the head of the queue
    with transaction(engine) as connection:
        first = connection.execute(schema.pair.select().order_by(schema.pair.c.id).limit(1)).one().id
        task = {"person_id": VETERAN, "kind": "work", "a_left": True, "leased_at": now, "lease_expires_at": now}
        done = connection.execute(
            insert(schema.task).values(**task, state="done").returning(schema.task.c.id)
        ).scalar_one()
    answered = [first + pose * PAIRS_PER_POSE + j for pose in order for j in range(PAIRS_PER_POSE)]
    asked = {"task_id": done, "person_id": VETERAN, "position": 0, "state": "answered", "revision": 1, "choice": "a"}
    insert_all(engine, schema.question, ({**asked, "pair_id": id_, "swapped": id_ % 2 == 0} for id_ in answered))
    with transaction(engine) as connection:
        for at in range(0, len(answered), AT_ONCE):
            some = schema.pair.c.id.in_(answered[at : at + AT_ONCE])
            connection.execute(update(schema.pair).where(some).values(answered=1, need=SETTINGS.answers - 1))
    if engine.dialect.name == "postgresql":  # as its autovacuum does
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


def insert_all(engine: Engine, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert many rows."""
    rows = iter(rows)
    while some := list(islice(rows, AT_ONCE)):
        with transaction(engine) as connection:
            connection.execute(insert(table), some)


def measure(engine: Engine, tasks: int) -> tuple[list[float], ...]:
    """Milliseconds of each thing that `COLUMNS` names."""
    ms: tuple[list[float], ...] = tuple([] for _ in COLUMNS)
    newcomer, veteran, single, whole, numbers = ms
    take(engine, VETERAN, [], [], [])  # finds the place in the queue, once, and compiles the statements
    for i in range(tasks):
        take(engine, VETERAN + 1 + i % NEWCOMERS, newcomer, single, whole)
        take(engine, VETERAN, veteran, single, whole)
    for _ in range(5):
        with engine.connect() as connection, timed(numbers):
            dashboard(connection, SETTINGS, time.time())
    return ms


def take(engine: Engine, person: int, lease: list[float], single: list[float], whole: list[float]) -> None:
    """One task from beginning to end: half of its answers one by one, the others together."""
    with timed(lease):
        task = next_task(engine, SETTINGS, person, "work", time.time())
    if task is None:
        raise InputError("sizes: too few pairs for so many tasks")
    events = [Event(str(uuid4()), question.id, 1, "a", 900) for question in task.questions]
    half = len(events) // 2
    for event in events[:half]:
        with timed(single):
            record(engine, SETTINGS, person, [event], time.time())
    with timed(whole):
        record(engine, SETTINGS, person, events[half:], time.time())


@contextmanager
def timed(ms: list[float]) -> Iterator[None]:
    """Append how long the block took."""
    start = time.perf_counter()
    yield
    ms.append((time.perf_counter() - start) * 1000)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
