"""The annotation tool at scale: its queue by the number of questions, its servers by the number of annotators.

On a PostgreSQL server of its own (Debian's), which shares this machine with the servers of the tool and the simulated
annotators; the queue on SQLite, too.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import sqlalchemy as sa

from benchmarks.annotators import Record, Server, children, hire, make_project, processor_seconds, work
from benchmarks.speed.section import Curve, Figure, Section, Setting
from nearfar.annotation import schema
from nearfar.annotation.database import transaction
from nearfar.annotation.projects.project import Project, open_project
from nearfar.annotation.queue import Event, next_task, record
from nearfar.annotation.statistics import dashboard

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
import postgresql

THINK = 10.0
"""Mean seconds that annotators take before they answer, pauses included, exponentially distributed."""

ARRIVALS = 20.0
"""Annotators who come in a second, at most: each wants a task and pictures at once, and answers from then on."""

Times = Mapping[str, list[float]]
"""Milliseconds by what took them."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        questions: in the database.
        tasks: of newcomers, and of the veteran.
        annotators: at once.
        arriving, seconds: over which they come (longer where they are many), and then work.
        greedy: annotators who do not think: their answers a second are what the servers can do.
        faults: options of annotation_load.py.
    """

    questions: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    tasks: int = 24
    annotators: tuple[int, ...] = (10, 100, 1000)
    arriving: float = 6.0
    seconds: float = 10.0
    greedy: int = 64
    faults: tuple[str, ...] = ("--annotators", "100", "--seconds", "24", "--think", "1")


QUICK = Size((1000, 10_000), 4, (4, 20), 1.0, 3.0, 8, ("--annotators", "8", "--seconds", "12", "--think", "0.5"))


def measure(setting: Setting) -> Section:
    """Measure the queue on both databases, then the servers at the largest, then faults."""
    size = QUICK if setting.quick else Size()
    folder = setting.folder / "annotation"
    shutil.rmtree(folder, ignore_errors=True)
    queues: dict[str, dict[int, Times]] = {"PostgreSQL": {}, "SQLite": {}}
    loads: dict[int, Load] = {}
    with postgresql.running_cluster() as cluster:
        for questions in size.questions:
            place = folder / f"sqlite_{questions}"
            with open_project(make_project(place, None, questions, 3)) as project:
                queues["SQLite"][questions] = time_queue(project, size.tasks)
            shutil.rmtree(place)
            place = folder / f"postgresql_{questions}"
            database = postgresql.new_database(cluster.address)
            with open_project(make_project(place, database, questions, 3), database) as project:
                queues["PostgreSQL"][questions] = time_queue(project, size.tasks)
                if questions == size.questions[-1]:
                    loads = {count: load(project, cluster, database, size, count) for count in (1, 2)}
            shutil.rmtree(place)
    trouble = ["--postgresql", "--processes", "2", "--kills", "1", "--restarts", "1", *size.faults]
    command = [sys.executable, "-m", "benchmarks.annotation_load", "--out", str(folder / "faults"), *trouble]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    faults = json.loads((folder / "faults" / "load.json").read_text("utf-8"))
    shutil.rmtree(folder)
    curves = (queue_curve(queues), load_curve(loads))
    figures = (*queue_figures(queues, size), *load_figures(loads), *fault_figures(faults))
    notes = (
        f"Annotators take {THINK:g} s for an answer in the mean (exponential) and fetch each picture once; "
        "requests count from the first try to the answer, once all have come.",
        "Annotators, servers and PostgreSQL share the machine. The page itself never waits for an answer to be stored.",
        "The veteran has answered a tenth of all questions, all of which are still open.",
    )
    return Section("Annotation", figures, curves, notes)


# The queue


def time_queue(project: Project, tasks: int) -> Times:
    """Milliseconds of new tasks of newcomers and of a veteran, of answers one by one, and of the dashboard."""
    hire(project, tasks + 1)
    with project.engine.connect() as connection:
        veteran, *newcomers = connection.scalars(sa.select(schema.person.c.id).order_by(schema.person.c.id)).all()
    make_veteran(project, veteran)
    ms: dict[str, list[float]] = {"task, newcomer": [], "task, veteran": [], "answer": [], "dashboard": []}
    take(project, veteran, [], [])  # compiles the statements, and finds the veteran's place in the queue
    for newcomer in newcomers:
        take(project, newcomer, ms["task, newcomer"], ms["answer"])
        take(project, veteran, ms["task, veteran"], ms["answer"])
    for _ in range(3):
        with project.engine.connect() as connection, timed(ms["dashboard"]):
            dashboard(connection, project.settings, time.time())
    return ms


def make_veteran(project: Project, person: int) -> None:
    """Let somebody have answered a tenth of all questions, from the head of the queue; all of them stay open."""
    pair, question, task = schema.pair, schema.question, schema.task
    now = time.time()
    with transaction(project.engine) as connection:
        count = connection.execute(sa.select(sa.func.count()).select_from(pair)).scalar_one()
        values = {"person_id": person, "kind": "work", "a_left": True, "leased_at": now, "lease_expires_at": now}
        done = connection.execute(sa.insert(task).values(**values, state="done").returning(task.c.id)).scalar_one()
        order = (pair.c.priority.desc(), pair.c.shuffle.desc(), pair.c.id.desc())
        answered = {
            "task_id": done, "person_id": person, "position": 0, "swapped": False, "state": "answered", "revision": 1,
            "choice": "a",
        }  # fmt: skip
        columns = [sa.literal(value).label(name) for name, value in answered.items()]
        head = sa.select(pair.c.id, *columns).where(schema.queued).order_by(*order).limit(count // 10)
        connection.execute(sa.insert(question).from_select(["pair_id", *answered], head))
        theirs = pair.c.id.in_(sa.select(question.c.pair_id).where(question.c.person_id == person))
        connection.execute(sa.update(pair).where(theirs).values(answered=1, need=pair.c.wanted - 1))
    if project.engine.dialect.name == "postgresql":  # as its autovacuum does
        with project.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


def take(project: Project, person: int, task_ms: list[float], answer_ms: list[float]) -> None:
    """One task from beginning to end: ten answers one by one, the others together."""
    with timed(task_ms):
        task = next_task(project.engine, project.settings, person, "work", time.time())
    assert task is not None, "too few questions for so many tasks"
    events = [Event(str(uuid4()), question.id, 1, "a", 900) for question in task.questions]
    for event in events[:10]:
        with timed(answer_ms):
            record(project.engine, project.settings, person, [event], time.time())
    record(project.engine, project.settings, person, events[10:], time.time())


@contextmanager
def timed(ms: list[float]) -> Iterator[None]:
    """Append how long the block took."""
    start = time.perf_counter()
    yield
    ms.append((time.perf_counter() - start) * 1000)


# The servers


@dataclass(frozen=True)
class Load:
    """What some server processes did.

    Attributes:
        people: what the annotators saw, by how many they were.
        most: answers a second of annotators who do not think.
        server_ms, database_ms: processor time of an answer then, with its share of tasks and pictures.
    """

    people: Mapping[int, Record]
    most: float
    server_ms: float
    database_ms: float


def load(project: Project, cluster: postgresql.Cluster, database: str, size: Size, processes: int) -> Load:
    """Serve a project to more and more annotators, all of them new."""
    log = project.folder.parent / "server.log"
    with Server(project.folder, log, processes, {"NEARFAR_DATABASE": database}) as server:
        asyncio.run(work(server.address, hire(project, 4), 0, 2))  # compiles the statements
        people = {}
        for count in size.annotators:
            tokens, arriving = hire(project, count), max(size.arriving, count / ARRIVALS)
            people[count] = asyncio.run(work(server.address, tokens, THINK, size.seconds, arriving))
        tokens, servers = hire(project, size.greedy), server.workers()
        before, stored = processor_seconds(servers), database_seconds(cluster)
        greedy = asyncio.run(work(server.address, tokens, 0, size.seconds, size.arriving))
        answers = max(1, len(greedy.acknowledged))
        server_ms = 1000 * (processor_seconds(servers) - before) / answers
        database_ms = 1000 * (database_seconds(cluster) - stored) / answers
    return Load(people, len(greedy.seconds["answers"]) / size.seconds, server_ms, database_ms)


def database_seconds(cluster: postgresql.Cluster) -> float:
    """Processor time that PostgreSQL took so far."""
    return processor_seconds([cluster.pid, *children(cluster.pid)])


# The report


def p95(values: list[float]) -> float:
    """95th percentile."""
    return float(np.quantile(values, 0.95))


def queue_curve(queues: Mapping[str, Mapping[int, Times]]) -> Curve:
    """Questions against time."""
    lines = {
        f"{database}: {what}": [(questions, p95(ms[what])) for questions, ms in sizes.items()]
        for database, sizes in queues.items()
        for what in ("task, newcomer", "task, veteran", "answer")
    }
    return Curve("Queue", "questions in the database", "ms, 95th percentile", lines)


def load_curve(loads: Mapping[int, Load]) -> Curve:
    """Annotators against time."""
    lines = {
        f"{'one server process' if processes == 1 else f'{processes} server processes'}: {what}": [
            (count, 1000 * p95(seen.seconds[kind])) for count, seen in one.people.items() if seen.seconds[kind]
        ]
        for processes, one in loads.items()
        for kind, what in (("answers", "answer"), ("task", "next task"))
    }
    return Curve("Annotators", "annotators at once", "ms, 95th percentile", lines)


def queue_figures(queues: Mapping[str, Mapping[int, Times]], size: Size) -> Iterator[Figure]:
    """The queue at its largest, against its smallest."""
    least, most = size.questions[0], size.questions[-1]
    for database, sizes in queues.items():
        for what, ms in sizes[most].items():
            ratio = float(np.median(sizes[least][what]) / np.median(ms))
            goal = None if what == "dashboard" else 0.5
            name = f"{database}, {most:,} questions: {what}"
            than = f"as fast as with {least:,}"
            yield Figure(name, float(np.median(ms)), "ms", min(ms), max(ms), than, ratio, goal)


def load_figures(loads: Mapping[int, Load]) -> Iterator[Figure]:
    """The servers with all annotators, and what they can do."""
    for processes, one in loads.items():
        who = "1 server process" if processes == 1 else f"{processes} server processes"
        count, seen = max(one.people.items())
        for kind, what in (("answers", "answer"), ("task", "next task")):
            ms = [1000 * seconds for seconds in seen.seconds[kind]]
            for share, named in ((0.5, "median"), (0.95, "p95"), (0.99, "p99")):
                if ms:
                    value = float(np.quantile(ms, share))
                    yield Figure(f"{who}, {count:,} annotators: {what}, {named}", value, "ms", min(ms), max(ms))
        few = loads[1].most
        yield Figure(
            f"{who}: answers a second at most", one.most, "1/s", one.most, one.most, "one process",
            None if processes == 1 else one.most / few,
        )  # fmt: skip
        for place, value in (("the server", one.server_ms), ("PostgreSQL", one.database_ms)):
            yield Figure(f"{who}: processor time of an answer, {place}", value, "ms", value, value)


def fault_figures(faults: Mapping[str, float]) -> Iterator[Figure]:
    """What was lost and doubled when a server process was killed and PostgreSQL lost its power."""
    named = {
        "acknowledged": "answers acknowledged", "lost": "answers lost", "altered": "answers altered",
        "doubled": "answers counted twice", "counters_wrong": "counters wrong", "leases_stuck": "leases stuck",
        "processes_replaced": "processes replaced",
    }  # fmt: skip
    for name, what in named.items():
        value = float(faults[name])
        goal = None if name in ("acknowledged", "processes_replaced") else 0.0
        told = f"a process killed, PostgreSQL cut off: {what}"
        yield Figure(told, value, "", value, value, goal=goal, at_most=goal is not None)
