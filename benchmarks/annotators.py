"""Simulated annotators at a real server of the annotation tool, and its books looked over afterwards.

Each annotator does what the page does: asks for a task, fetches each picture once, answers after a moment's thought,
keeps every answer until the server has acknowledged it, and sends it again, under the same key, whatever happens to the
connection. Each has an address of its own, as people behind a reverse proxy have.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import httpx
import numpy as np
import sqlalchemy as sa
from PIL import Image

from nearfar.annotation import schema
from nearfar.annotation.database import transaction, with_retries
from nearfar.annotation.projects.project import Project, init_project
from nearfar.annotation.queue import next_task, recount, release_expired
from nearfar.annotation.sessions import start_session
from nearfar.annotation.settings import Settings
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import get_skeleton
from nearfar.web.server import raise_file_limit

CHOICES = ("a", "b", "same", "unsure")
SHARES = (0.45, 0.45, 0.05, 0.05)
UNDO = 0.03
"""Share of answers that are taken back and given again."""

PAIRS_PER_POSE = 5
PICTURES = 100
SIZE = (640, 480)


@dataclass
class Record:
    """What the annotators saw.

    Attributes:
        since: requests that began earlier (time.monotonic) are not timed: people were still arriving.
        acknowledged: the server's receipt by key of the answer.
        sent: what was sent, by key.
        seconds: time from the first try of each request to its answer, by kind of request.
        failures: requests that had to be sent again, by reason.
        refused: answers that the server refused, by reason.
    """

    since: float = 0.0
    acknowledged: dict[str, str] = field(default_factory=dict)
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"task": [], "answers": [], "image": []})
    failures: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)

    def failed(self, reason: str) -> None:
        """Count a failure."""
        self.failures[reason] = self.failures.get(reason, 0) + 1


@dataclass
class Annotator:
    """One person at the page.

    Attributes:
        client: with connections that all people share.
        address: of the server.
        token: of the person's session.
        number: of the person.
        think: mean seconds before an answer, exponentially distributed; 0 for none.
        record: where what they see is written.
    """

    client: aiohttp.ClientSession
    address: str
    token: str
    number: int
    think: float
    record: Record

    def __post_init__(self) -> None:
        self.random = random.Random(self.number)
        who = f"10.{self.number >> 16 & 255}.{self.number >> 8 & 255}.{self.number & 255}"
        self.headers = {"Authorization": f"Bearer {self.token}", "X-Forwarded-For": who}

    async def run(self, begin: float, until: float) -> None:
        """Come at a time, work until another, and then until all answers are acknowledged."""
        await asyncio.sleep(max(0.0, begin - time.monotonic()))
        while time.monotonic() < until:
            found = await self._request("task", "POST", "/api/task", {}, until)
            if found is None:
                return
            if found["task"] is None:
                await asyncio.sleep(2)
                continue
            looked_at = set()
            for question in found["task"]["questions"]:
                if question["choice"] is not None:
                    continue
                if question["image"] not in looked_at:
                    looked_at.add(question["image"])
                    await self._request("image", "GET", question["image"], None, until)
                if not await self._answer(question, until):
                    return

    async def _answer(self, question: dict[str, Any], until: float) -> bool:
        """Answer, and perhaps take it back and answer again; False where time is up before."""
        revision = question["revision"]
        choices = self.random.choices(CHOICES, SHARES)
        if self.random.random() < UNDO:
            choices += ["undone", *self.random.choices(CHOICES, SHARES)]
        for choice in choices:
            pause = self.random.expovariate(1 / self.think) if self.think else 0.0
            if time.monotonic() + pause >= until:
                return False
            await asyncio.sleep(pause)
            revision += 1
            event = {
                "key": str(uuid4()), "question": question["id"], "revision": revision, "choice": choice,
                "response_ms": int(1000 * pause), "answered_at": time.time(),
            }  # fmt: skip
            self.record.sent[event["key"]] = event
            reply = await self._request("answers", "POST", "/api/answers", {"events": [event]}, None)
            for receipt in reply["receipts"] if reply else []:
                self.record.acknowledged[receipt["key"]] = receipt["status"]
                if receipt["status"] == "refused":
                    reason = str(receipt["reason"])
                    self.record.refused[reason] = self.record.refused.get(reason, 0) + 1
                    return True
        return True

    async def _request(
        self, kind: str, method: str, path: str, body: dict[str, Any] | None, until: float | None
    ) -> dict[str, Any] | None:
        """Send until there is an answer, or time is up; answers (until None) are sent for as long as it takes."""
        began, wait = time.monotonic(), 0.2
        while until is None or time.monotonic() < until:
            try:
                async with self.client.request(method, self.address + path, json=body, headers=self.headers) as reply:
                    told = await reply.read()
                    if reply.status < 400:
                        if began >= self.record.since:
                            self.record.seconds[kind].append(time.monotonic() - began)
                        return {} if kind == "image" else await reply.json()
                    self.record.failed(f"HTTP {reply.status}")
                    away = float(reply.headers.get("retry-after", 0))
                    if reply.status in (400, 401, 403, 404, 422):
                        raise RuntimeError(f"{method} {path}: {reply.status} {told[:300]!r}")
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                self.record.failed(type(error).__name__)
                away = 0.0
            await asyncio.sleep(max(away, wait * self.random.uniform(0.5, 1.5)))
            wait = min(2 * wait, 3.0)
        return None


async def work(address: str, tokens: list[str], think: float, seconds: float, arriving: float = 0.0) -> Record:
    """Let people work for a time that begins when all of them have come, one after the other.

    Args:
        address: of the server.
        tokens: of the people's sessions.
        think: mean seconds before an answer.
        seconds: that they work.
        arriving: seconds over which they come.
    """
    raise_file_limit()
    now = time.monotonic()
    record = Record(now + arriving)
    limits = aiohttp.TCPConnector(limit=0, keepalive_timeout=4)  # the server closes what was idle for 5 s
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(connector=limits, timeout=timeout) as client:
        people = [Annotator(client, address, token, i, think, record) for i, token in enumerate(tokens)]
        each = arriving / max(1, len(people))
        await asyncio.gather(*(one.run(now + i * each, now + arriving + seconds) for i, one in enumerate(people)))
    return record


@dataclass
class Server:
    """The server, which can be killed and started again on the same port.

    Attributes:
        project: its folder.
        log: file of what it says.
        processes: that serve.
        environment: of the server's process, beside this one's.
        port: that it listens on.
    """

    project: Path
    log: Path
    processes: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", self.port))
            self.port = probe.getsockname()[1]

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGTERM)

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [
            sys.executable, "-m", "nearfar.cli", "annotate", "serve", str(self.project), "--port", str(self.port),
            "--processes", str(self.processes), "--trusted-proxy", "127.0.0.1",
        ]  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **self.environment}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        for _ in range(1200):
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.address}/healthz", timeout=2, trust_env=False).status_code == 200:
                    break
            if self.process.poll() is not None:
                raise RuntimeError(f"the server did not start; see {self.log}")
            time.sleep(0.1)
        while len(self.workers()) < self.processes:
            time.sleep(0.1)

    def workers(self) -> list[int]:
        """Numbers of the processes that serve."""
        if self.process is None:
            return []
        if self.processes == 1:
            return [self.process.pid]
        return [pid for pid in children(self.process.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def stop(self, how: signal.Signals) -> None:
        """Send a signal, and wait for the end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(120)


def children(pid: int) -> list[int]:
    """Of a process (Linux)."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def processor_seconds(pids: list[int]) -> float:
    """That processes took so far, with their children that have ended (Linux)."""
    taken = 0
    for pid in pids:
        taken += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return taken / os.sysconf("SC_CLK_TCK")


def make_project(folder: Path, database: str | None, questions: int, answers: int) -> Path:
    """A project with so many questions, five of each pose, some of them gold, and pictures that the poses share."""
    pictures = folder / "images"
    pictures.mkdir(parents=True)
    rng = np.random.default_rng(0)
    skeleton = get_skeleton("coco17")
    poses = questions // PAIRS_PER_POSE
    names = tuple(f"{i:04d}.jpg" for i in range(min(poses, PICTURES)))
    for name in names:
        rough = Image.fromarray(rng.integers(40, 220, (12, 16, 3), np.uint8))
        rough.resize(SIZE, Image.Resampling.BICUBIC).save(pictures / name)
    low, high = (40, 40), (SIZE[0] - 40, SIZE[1] - 40)
    keypoints = rng.uniform(low, high, (poses, skeleton.num_joints, 2)).astype(np.float32)
    shown = Category(np.arange(poses) % len(names), names)
    asked = PoseSet(skeleton, frame="camera", keypoints=keypoints, sequence=shown)
    project = init_project(
        folder / "project", images=pictures, keypoints=asked,
        pairs=f"random:{PAIRS_PER_POSE}", database=database, lessons=False,
        settings=Settings(answers=answers, practice_questions=0, test_questions=0, gold_share=0.1),
    )  # fmt: skip
    known = schema.pair.c.pose_id < max(4, min(100, poses // 20))
    gold = sa.update(schema.pair).where(known).values(purpose="gold", truth=1, wanted=0, need=0)
    with project, transaction(project.engine) as connection:
        connection.execute(gold)
    return folder / "project"


def hire(project: Project, count: int) -> list[str]:
    """People who have passed their test: a session's token for each."""

    def arrive(connection: sa.Connection) -> list[str]:
        now = time.time()
        rows = [
            {"name": f"annotator {uuid4()}", "role": "annotator", "stage": "working", "created_at": now}
            for _ in range(count)
        ]
        ids = connection.scalars(sa.insert(schema.person).returning(schema.person.c.id), rows).all()
        return [start_session(connection, person, now).token for person in ids]

    return with_retries(project.engine, arrive)


def audit(project: Project, record: Record) -> dict[str, object]:
    """Count what was acknowledged against what is stored, and look for leases that are stuck."""
    question, answer, pair = schema.question.c, schema.answer.c, schema.pair.c
    with project.engine.connect() as connection:
        stored = {row.key: row for row in connection.execute(sa.select(schema.answer))}
        twice = connection.execute(
            sa.select(sa.func.count()).select_from(
                sa.select(question.person_id)
                .where(question.choice.is_not(None))
                .group_by(question.person_id, question.pair_id)
                .having(sa.func.count() > 1)
                .subquery()
            )
        ).scalar_one()
        last = (
            sa.select(answer.question_id, sa.func.max(answer.revision).label("revision"))
            .group_by(answer.question_id)
            .subquery()
        )
        wrong_last = connection.execute(
            sa.select(sa.func.count())
            .select_from(schema.question)
            .join(last, last.c.question_id == question.id)
            .where(last.c.revision != question.revision)
        ).scalar_one()
    acknowledged = {key for key, status in record.acknowledged.items() if status != "refused"}
    altered = sum(
        (stored[key].choice, stored[key].revision) != (record.sent[key]["choice"], record.sent[key]["revision"])
        for key in acknowledged & stored.keys()
    )
    corrected = recount(project.engine, project.settings)
    later = time.time() + 60 * project.settings.lease_minutes + 1
    while release_expired(project.engine, project.settings, later):
        pass
    with project.engine.connect() as connection:
        stuck = connection.execute(sa.select(sa.func.sum(pair.leased))).scalar_one()
        newcomer = with_retries(
            project.engine,
            lambda c: c.execute(
                schema.person.insert().values(name="newcomer", role="annotator", stage="working", created_at=later)
            ).inserted_primary_key[0],
        )
        wanting = connection.execute(sa.select(sa.func.count()).where(pair.need > 0)).scalar_one()
    lent = next_task(project.engine, project.settings, newcomer, "work", later)
    return {
        "sent": len(record.sent),
        "acknowledged": len(acknowledged),
        "stored": len(stored),
        "lost": len(acknowledged - stored.keys()),
        "altered": altered,
        "unknown": len(stored.keys() - record.sent.keys()),
        "doubled": int(twice) + int(wrong_last),
        "counters_wrong": corrected,
        "leases_stuck": int(stuck) + int(wanting > 0 and lent is None),
    }
