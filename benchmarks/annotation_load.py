"""Simulated annotators against a real server that is killed, cut off and starved: is any answer lost or doubled?

    python benchmarks/annotation_load.py --out FOLDER [--database postgresql://...] [--annotators 100] [--seconds 300]

Each annotator does what the page does: asks for a task, answers after a moment's thought, keeps every answer until the
server has acknowledged it, and sends it again, under the same key, whatever happens to the connection. A proxy between
them and the server cuts connections, before the request arrives or after it was handled. The server is killed with
SIGKILL in the middle and started again. With --full-disk (SQLite, as root, on Linux) the project lies on a small file
system that runs full for a while. With --clock-jumps (needs faketime) the server's clock jumps a day on and back.

At the end the acknowledged answers are counted against the stored ones, and every lease against the people.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import sqlalchemy as sa
from PIL import Image

from nearfar.annotation import schema
from nearfar.annotation.database import with_retries
from nearfar.annotation.projects.project import Project, open_project
from nearfar.annotation.queue import next_task, recount, release_expired
from nearfar.annotation.sessions import start_session
from nearfar.files import write_text
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import get_skeleton

CHOICES = ("a", "b", "same", "unsure")
SHARES = (0.45, 0.45, 0.05, 0.05)
UNDO = 0.03
"""Share of answers that are taken back and given again."""


@dataclass
class Record:
    """What the annotators saw.

    Attributes:
        acknowledged: the server's receipt by key of the answer.
        sent: what was sent, by key.
        seconds: time from the first try of each request to its answer, by kind of request.
        failures: requests that had to be sent again, by reason.
        refused: answers that the server refused, by reason.
    """

    acknowledged: dict[str, str] = field(default_factory=dict)
    sent: dict[str, dict[str, object]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"task": [], "answers": [], "image": []})
    failures: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)

    def failed(self, reason: str) -> None:
        """Count a failure."""
        self.failures[reason] = self.failures.get(reason, 0) + 1


class Annotator:
    """One person at the page."""

    def __init__(self, address: str, token: str, think: float, record: Record, seed: int) -> None:
        self.client = httpx.AsyncClient(
            base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=20, trust_env=False
        )
        self.think, self.record, self.random = think, record, random.Random(seed)
        self.stopping = False

    async def run(self, until: float) -> None:
        """Work until the time is up, and then until all answers are acknowledged."""
        async with self.client:
            while time.monotonic() < until:
                found = await self._request("task", "POST", "/api/task", until)
                if found is None:
                    return
                task = found.json()["task"]
                if task is None:
                    await asyncio.sleep(2)
                    continue
                for question in task["questions"]:
                    if question["choice"] is not None:
                        continue
                    if time.monotonic() >= until:
                        return
                    await self._request("image", "GET", question["image"], until)
                    await self._answer(question)

    async def _answer(self, question: dict[str, object]) -> None:
        revision = int(str(question["revision"]))
        choices = self.random.choices(CHOICES, SHARES)
        if self.random.random() < UNDO:
            choices += ["undone", *self.random.choices(CHOICES, SHARES)]
        for choice in choices:
            pause = self.random.expovariate(1 / self.think)
            await asyncio.sleep(pause)
            revision += 1
            event = {
                "key": str(uuid4()), "question": question["id"], "revision": revision, "choice": choice,
                "response_ms": int(1000 * pause), "answered_at": time.time(),
            }  # fmt: skip
            self.record.sent[str(event["key"])] = event
            reply = await self._request("answers", "POST", "/api/answers", None, {"events": [event]})
            for receipt in reply.json()["receipts"] if reply is not None else []:
                self.record.acknowledged[receipt["key"]] = receipt["status"]
                if receipt["status"] == "refused":
                    reason = str(receipt["reason"])
                    self.record.refused[reason] = self.record.refused.get(reason, 0) + 1
                    return

    async def _request(
        self, kind: str, method: str, path: str, until: float | None, body: dict[str, object] | None = None
    ) -> httpx.Response | None:
        """Send until there is an answer; answers are sent for as long as it takes."""
        began, wait = time.monotonic(), 0.2
        while until is None or time.monotonic() < until:
            try:
                reply = await self.client.request(method, path, json=(body or {}) if method == "POST" else None)
                if reply.status_code < 400:
                    self.record.seconds[kind].append(time.monotonic() - began)
                    return reply
                self.record.failed(f"HTTP {reply.status_code}")
                if reply.status_code in (400, 401, 403, 404, 422):
                    raise RuntimeError(f"{method} {path}: {reply.status_code} {reply.text[:300]}")
            except httpx.HTTPError as error:
                self.record.failed(type(error).__name__)
            await asyncio.sleep(wait * self.random.uniform(0.5, 1.5))
            wait = min(2 * wait, 3.0)
        return None


@dataclass
class Server:
    """The server's process, which can be killed and started again on the same port."""

    project: Path
    port: int
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [
            sys.executable,
            "-m",
            "nearfar.cli",
            "annotate",
            "serve",
            str(self.project),
            "--port",
            str(self.port),
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)
        for _ in range(600):
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=2, trust_env=False).status_code == 200:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"the server did not start; see {self.log}")

    def stop(self, how: signal.Signals) -> None:
        """Send a signal, and wait for the end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30)


@contextlib.asynccontextmanager
async def cutting_proxy(target: int, cuts: float, rng: random.Random) -> AsyncIterator[int]:
    """A port that passes connections on, and cuts them off: before a request arrives, or before its answer does.

    Args:
        target: port to pass on to.
        cuts: probability that a piece of data is not passed on, but the connection cut instead.
        rng: source of randomness.
    """

    async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            if rng.random() < cuts:
                sink.transport.abort()
                return
            sink.write(data)
            await sink.drain()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.transport.abort()
            return
        ways = [asyncio.create_task(pass_on(reader, far_writer)), asyncio.create_task(pass_on(far_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the run is over
            return
        finally:
            for way in ways:
                way.cancel()
            writer.transport.abort()
            far_writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def make_project(folder: Path, database: str | None, images: int, answers: int, annotators: int) -> list[str]:
    """A project of plain pictures, and a session's token for each annotator."""
    pictures = folder / "images"
    pictures.mkdir(parents=True)
    rng = np.random.default_rng(0)
    skeleton = get_skeleton("coco17")
    names = tuple(f"{i:06d}.jpg" for i in range(images))
    for name in names:
        Image.new("RGB", (320, 400), tuple(rng.integers(60, 200, 3).tolist())).save(pictures / name)
    keypoints = rng.uniform((40, 40), (280, 360), (images, skeleton.num_joints, 2)).astype(np.float32)
    poses = PoseSet(skeleton, frame="camera", keypoints=keypoints, sequence=Category(np.arange(images), names))
    poses.save(folder / "keypoints.npz")
    command = [
        sys.executable, "-m", "nearfar.cli", "annotate", "init", str(folder / "project"), "--images", str(pictures),
        "--keypoints", str(folder / "keypoints.npz"), "--skeleton", "coco17", "--pairs", "random:5",
        "--answers", str(answers), "--practice-questions", "0", "--test-questions", "0", "--gold-share", "0",
        *(["--database", database] if database else []),
    ]  # fmt: skip
    subprocess.run(command, check=True)

    def arrive(connection: sa.Connection) -> list[str]:
        now = time.time()
        rows = [
            {"name": f"annotator {i}", "role": "annotator", "stage": "working", "created_at": now}
            for i in range(annotators)
        ]
        ids = connection.scalars(sa.insert(schema.person).returning(schema.person.c.id), rows).all()
        return [start_session(connection, person, now).token for person in ids]

    with open_project(folder / "project", database) as project:
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


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own in memory."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


async def disturb(server: Server, options: argparse.Namespace, folder: Path, clock: Path | None, began: float) -> None:
    """Kill the server, fill the disk and move the clock, at even distances over the run."""

    async def wait(share: float) -> None:
        await asyncio.sleep(max(0.0, began + share * options.seconds - time.monotonic()))

    for i in range(options.kills):
        await wait((i + 1) / (options.kills + 1))
        server.stop(signal.SIGKILL)
        await asyncio.to_thread(server.start)
    if options.full_disk:
        await wait(0.4)
        filler = folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        await wait(0.6)
        filler.unlink()
    if clock is not None:
        for share, offset in ((0.25, "+1d"), (0.5, "+0"), (0.75, "-1d")):
            await wait(share)
            clock.write_text(offset)


async def run(options: argparse.Namespace, folder: Path, log: Path) -> dict[str, object]:
    """One run: set up, disturb, count."""
    tokens = make_project(folder, options.database, options.images, options.answers, options.annotators)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if options.database:
        environment["NEARFAR_DATABASE"] = options.database
    clock = None
    if options.clock_jumps:
        clock = folder / "clock"
        clock.write_text("+0")
        library = next(Path("/usr/lib").rglob("libfaketimeMT.so.1"))
        environment |= {
            "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip
    server = Server(folder / "project", port, environment, log)
    record = Record()
    server.start()
    try:
        async with cutting_proxy(port, options.cuts, random.Random(options.seed)) as entrance:
            address = f"http://127.0.0.1:{entrance}"
            people = [
                Annotator(address, token, options.think, record, options.seed + i) for i, token in enumerate(tokens)
            ]
            began = time.monotonic()
            trouble = asyncio.create_task(disturb(server, options, folder, clock, began))
            await asyncio.gather(*(person.run(began + options.seconds) for person in people))
            took = time.monotonic() - began
            await trouble
    finally:
        server.stop(signal.SIGTERM)
    with open_project(folder / "project", options.database) as project:
        counted = audit(project, record)
    quantiles = {
        kind: [round(1000 * q, 1) for q in np.quantile(seconds or [0], (0.5, 0.95, 0.99)).tolist()]
        for kind, seconds in record.seconds.items()
    }
    return {
        "database": "postgresql" if options.database else "sqlite",
        **{k: v for k, v in vars(options).items() if k not in ("out", "database")},
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "wall_seconds": round(took, 1),
        "answers_per_second": round(len(record.acknowledged) / took, 1),
        "milliseconds_p50_p95_p99": quantiles,
        "sent_again": record.failures,
        "refused": record.refused,
        **counted,
    }


def main() -> None:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--database", help="an empty PostgreSQL database; SQLite otherwise")
    parser.add_argument("--annotators", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--think", type=float, default=1.5, help="mean seconds before an answer")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--answers", type=int, default=3)
    parser.add_argument("--kills", type=int, default=2, help="how often the server is killed (SIGKILL)")
    parser.add_argument("--cuts", type=float, default=0.01, help="probability that a piece of data cuts its connection")
    parser.add_argument("--full-disk", type=int, default=0, metavar="MB", help="run on a disk of so many megabytes")
    parser.add_argument("--clock-jumps", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    folder = options.out / "work"
    shutil.rmtree(folder, ignore_errors=True)
    disk = small_disk(folder, options.full_disk) if options.full_disk else contextlib.nullcontext(folder)
    with disk:
        result = asyncio.run(run(options, folder, options.out / "server.log"))
    text = json.dumps(result, indent=1, default=str) + "\n"
    write_text(options.out / "load.json", text)
    print(text, end="")
    if any(result[name] for name in ("lost", "altered", "unknown", "doubled", "counters_wrong", "leases_stuck")):
        sys.exit(1)


if __name__ == "__main__":
    main()
