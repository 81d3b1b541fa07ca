"""Simulated annotators against a real server that is killed, cut off and starved: is any answer lost or doubled?

    python -m benchmarks.annotation_load --out FOLDER [--postgresql] [--processes 2] [--annotators 100] [--seconds 300]

A proxy between the annotators (`annotators.py`) and the server cuts connections, before the request arrives or after it
was handled. The server is killed with SIGKILL in the middle and started again; of several processes one is killed, and
has to be replaced. With --postgresql a PostgreSQL server of its own is started, and with --restarts it loses its power
and comes back. With --full-disk (SQLite, as root, on Linux) the project lies on a small file system that runs full for
a while. With --clock-jumps (needs faketime) the server's clock jumps a day on and back.

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
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np

from benchmarks.annotators import Server, audit, hire, make_project, work
from nearfar.annotation.projects.project import open_project
from nearfar.files import write_text

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import postgresql

FAULTS = ("lost", "altered", "unknown", "doubled", "counters_wrong", "leases_stuck")


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


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own in memory."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


async def disturb(
    server: Server,
    options: argparse.Namespace,
    folder: Path,
    clock: Path | None = None,
    cluster: postgresql.Cluster | None = None,
) -> None:
    """Kill servers, stop PostgreSQL, fill the disk and move the clock, at even distances over the run."""
    began = time.monotonic()

    async def wait(share: float) -> None:
        await asyncio.sleep(max(0.0, began + share * options.seconds - time.monotonic()))

    trouble = options.kills + options.restarts
    for i in range(trouble):
        await wait((i + 1) / (trouble + 1))
        if i >= options.kills and cluster is not None:
            await asyncio.to_thread(cluster.stop)
            await asyncio.sleep(1)
            await asyncio.to_thread(cluster.start)
        elif options.processes > 1:
            os.kill(random.choice(server.workers()), signal.SIGKILL)
        else:
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


async def run(options: argparse.Namespace, folder: Path, cluster: postgresql.Cluster | None) -> dict[str, object]:
    """One run: set up, disturb, count."""
    database = None if cluster is None else postgresql.new_database(cluster.address)
    make_project(folder, database, options.questions, options.answers)
    with open_project(folder / "project", database) as project:
        tokens = hire(project, options.annotators)
    environment = {"NEARFAR_DATABASE": database} if database else {}
    clock = None
    if options.clock_jumps:
        clock = folder / "clock"
        clock.write_text("+0")
        library = next(Path("/usr/lib").rglob("libfaketimeMT.so.1"))
        environment |= {
            "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip
    with Server(folder / "project", options.out / "server.log", options.processes, environment) as server:
        before = set(server.workers())
        async with cutting_proxy(server.port, options.cuts, random.Random(options.seed)) as entrance:
            trouble = asyncio.create_task(disturb(server, options, folder, clock, cluster))
            began = time.monotonic()
            record = await work(f"http://127.0.0.1:{entrance}", tokens, options.think, options.seconds)
            took = time.monotonic() - began
            await trouble
        replaced = len(set(server.workers()) - before)
    with open_project(folder / "project", database) as project:
        counted = audit(project, record)
    quantiles = {
        kind: [round(1000 * q, 1) for q in np.quantile(seconds or [0], (0.5, 0.95, 0.99)).tolist()]
        for kind, seconds in record.seconds.items()
    }
    return {
        "database": "postgresql" if database else "sqlite",
        **{k: v for k, v in vars(options).items() if k not in ("out", "postgresql")},
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "wall_seconds": round(took, 1),
        "answers_per_second": round(len(record.acknowledged) / took, 1),
        "milliseconds_p50_p95_p99": quantiles,
        "sent_again": record.failures,
        "refused": record.refused,
        "processes_replaced": replaced,
        **counted,
    }


def main() -> None:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--postgresql", action="store_true", help="start a PostgreSQL server; SQLite otherwise")
    parser.add_argument("--processes", type=int, default=1, help="server processes")
    parser.add_argument("--annotators", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--think", type=float, default=1.5, help="mean seconds before an answer")
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--answers", type=int, default=3)
    parser.add_argument("--kills", type=int, default=2, help="how often a server process is killed (SIGKILL)")
    parser.add_argument("--restarts", type=int, default=0, help="how often PostgreSQL loses its power and comes back")
    parser.add_argument("--cuts", type=float, default=0.01, help="probability that a piece of data cuts its connection")
    parser.add_argument("--full-disk", type=int, default=0, metavar="MB", help="run on a disk of so many megabytes")
    parser.add_argument("--clock-jumps", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    folder = options.out / "work"
    shutil.rmtree(folder, ignore_errors=True)
    disk = small_disk(folder, options.full_disk) if options.full_disk else contextlib.nullcontext(folder)
    with disk, postgresql.running_cluster() if options.postgresql else contextlib.nullcontext() as cluster:
        result = asyncio.run(run(options, folder, cluster))
    text = json.dumps(result, indent=1, default=str) + "\n"
    write_text(options.out / "load.json", text)
    print(text, end="")
    if any(result[name] for name in FAULTS):
        sys.exit(1)


if __name__ == "__main__":
    main()
