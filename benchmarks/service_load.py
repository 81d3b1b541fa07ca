"""The service under load, with kill -9 of its server and of its workers in the middle.

Fifty clients, each with its own token, send images, keypoints and short videos one after another for three minutes,
with idempotency keys, and send again what was not answered. At the end every job that was taken must be done, once, and
all jobs of the same file must have made the same poses.

    python benchmarks/service_load.py ../shared/media/street_walk.mp4 --out service_load.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from nearfar.detection import detect_media
from nearfar.errors import InputError
from nearfar.media import VideoWriter, read_frames
from nearfar.serving.access import create_token
from nearfar.serving.store import Store
from nearfar.tables import write_poses_json

MIX = {"keypoints": 0.65, "images": 0.27, "videos": 0.08}
FRAMES = 30


@dataclass
class Server:
    """`nearfar serve`, which can be killed and started again."""

    folder: Path
    port: int
    workers: int
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> float:
        """Seconds until it was ready."""
        begun = time.monotonic()
        command = [sys.executable, "-m", "nearfar.cli", "serve", str(self.folder), "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--workers", str(self.workers)], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.match(r"nearfar: http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
            if line.startswith("Ctrl-C"):
                break
        else:
            raise SystemExit("the server did not start")
        return time.monotonic() - begun

    def children(self) -> list[int]:
        """Process ids of the workers."""
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        every = [int(pid) for pid in text.split()]
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            every += [int(pid) for pid in (task / "children").read_text().split()]
        return sorted(set(every))


@dataclass
class Sent:
    """What the clients saw."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    jobs: dict[str, tuple[str, str]] = field(default_factory=dict)  # job -> (kind, file)
    keys: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # idempotency key -> jobs
    statuses: Counter[int] = field(default_factory=Counter)
    again: int = 0
    unfinished: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def make_files(video: Path, folder: Path) -> dict[str, list[Path]]:
    """Six images, eight files of keypoints and three short clips of a real video."""
    files: dict[str, list[Path]] = {"keypoints": [], "images": [], "videos": []}
    frames = list(itertools.islice(read_frames(video), 0, 300))
    from PIL import Image

    for i in range(60, len(frames), (len(frames) - 60) // 6):
        path = folder / f"frame{i}.jpg"
        Image.fromarray(frames[i].image).save(path, quality=90)
        try:
            detect_media(path, progress=False)
        except InputError:
            continue  # nobody is seen there
        files["images"].append(path)
    for start in (60, 100, 140):
        path = folder / f"clip{start}.mp4"
        with VideoWriter(path, fps=60) as writer:
            for frame in frames[start : start + FRAMES]:
                writer.write(frame.image)
        files["videos"].append(path)
    found = detect_media(files["videos"][0], people=2, progress=False)
    for i in range(8):
        path = folder / f"keypoints{i}.json"
        write_poses_json(found.select(slice(3 * i, 3 * i + 3)), path)
        files["keypoints"].append(path)
    return files


def client(server: Server, token: str, files: dict[str, list[Path]], until: float, sent: Sent, seed: int) -> None:
    """Send one file after another until the time is over; wait for each."""
    rng = random.Random(seed)
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:

        def ask(send: Callable[[], httpx.Response]) -> httpx.Response:
            """The answer, however often it takes."""
            while True:
                try:
                    answer = send()
                except httpx.TransportError:
                    with sent.lock:
                        sent.again += 1
                    time.sleep(0.5 + rng.random())
                    continue
                with sent.lock:
                    sent.statuses[answer.status_code] += 1
                if answer.status_code not in (429, 503):
                    return answer
                time.sleep(float(answer.headers.get("retry-after", 1)) * (0.75 + 0.5 * rng.random()))

        while time.monotonic() < until:
            kind = rng.choices(list(MIX), list(MIX.values()))[0]
            file = rng.choice(files[kind])
            content, key = file.read_bytes(), uuid.uuid4().hex
            query = {"name": file.name, "people": "2"} if kind != "keypoints" else {"name": file.name}
            begun = time.monotonic()
            answer = ask(
                lambda kind=kind, query=query, content=content, key=key: http.post(
                    f"/v1/{kind}", params=query, content=content, headers={"Idempotency-Key": key}
                )
            )
            if answer.status_code not in (200, 202):
                continue
            job = answer.headers["location"].rsplit("/", 1)[1]
            with sent.lock:
                sent.jobs[job] = (kind, file.name)
                sent.keys[key].add(job)
            state = "done" if answer.status_code == 200 else ""
            while state not in ("done", "failed", "cancelled") and time.monotonic() < until + 600:
                state = ask(lambda job=job: http.get(f"/v1/jobs/{job}", params={"wait": "20"})).json()["state"]
            with sent.lock:
                if state == "done":
                    sent.seconds[kind].append(time.monotonic() - begun)
                else:
                    sent.unfinished.append(f"{job}: {state}")


def probe(server: Server, until: float, seconds: list[float], missed: list[float]) -> None:
    """Ask a fifth of a second after the other whether the server answers."""
    while time.monotonic() < until:
        begun = time.monotonic()
        try:
            httpx.get(f"{server.url}/health/live", timeout=10).raise_for_status()
            seconds.append(time.monotonic() - begun)
        except httpx.HTTPError:
            missed.append(begun)
        time.sleep(0.2)


def quantiles(values: list[float]) -> dict[str, float]:
    """Number, median and 95th percentile."""
    cut = statistics.quantiles(values, n=100) if len(values) > 1 else values * 99
    return {"count": len(values), "p50_s": round(cut[49], 3), "p95_s": round(cut[94], 3)}


def main() -> None:
    """Run, check, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = make_files(arguments.video, folder)
        with Store(folder / "service") as store:
            tokens = [create_token(store, f"client{i}", time.time()) for i in range(arguments.clients)]
        server = Server(folder / "service", 0, arguments.workers)
        started = [round(server.start(), 1)]
        begun = time.monotonic()
        until = begun + arguments.seconds
        sent, alive, missed = Sent(), [], []
        threads = [
            threading.Thread(target=client, args=(server, token, files, until, sent, i))
            for i, token in enumerate(tokens)
        ]
        threads.append(threading.Thread(target=probe, args=(server, until, alive, missed)))
        for thread in threads:
            thread.start()
        killed = Counter()
        for share, what in ((0.2, "worker"), (0.4, "server"), (0.6, "worker"), (0.75, "server"), (0.85, "worker")):
            time.sleep(max(0.0, begun + share * arguments.seconds - time.monotonic()))
            assert server.process is not None
            if what == "worker":
                os.kill(server.children()[0], signal.SIGKILL)
            else:
                os.kill(server.process.pid, signal.SIGKILL)
                server.process.wait()
                started.append(round(server.start(), 1))
            killed[what] += 1
        for thread in threads:
            thread.join()
        whole = time.monotonic() - begun
        assert server.process is not None
        server.process.terminate()
        stopped = server.process.wait(60)
        database = sqlite3.connect(folder / "service" / "service.db")
        rows = database.execute("SELECT id, kind, name, state, attempts, result FROM job").fetchall()
    states = Counter(row[3] for row in rows)
    digests = defaultdict(set)
    for _, kind, name, state, _, result in rows:
        if state == "done":
            digests[kind, name].add(json.loads(result)["digest"])
    done = {row[0] for row in rows if row[3] == "done"}
    report = {
        "clients": arguments.clients,
        "seconds_of_sending": arguments.seconds,
        "seconds_until_all_was_done": round(whole, 1),
        "workers": arguments.workers,
        "killed": dict(killed),
        "seconds_to_start": started,
        "exit_code_of_sigterm": stopped,
        "jobs_taken": len(sent.jobs),
        "jobs_in_the_database": len(rows),
        "states": dict(states),
        "jobs_lost": len(set(sent.jobs) - done),
        "keys_with_two_jobs": sum(len(jobs) > 1 for jobs in sent.keys.values()),
        "begun_more_than_once": sum(row[4] > 1 for row in rows),
        "files": len(digests),
        "files_with_two_results": sum(len(found) > 1 for found in digests.values()),
        "unfinished": sent.unfinished,
        "jobs_per_second": round(len(done) / whole, 2),
        "latency": {kind: quantiles(values) for kind, values in sent.seconds.items()},
        "health": quantiles(alive) | {"missed": len(missed)},
        "statuses": {str(status): number for status, number in sorted(sent.statuses.items())},
        "sent_again": sent.again,
    }
    text = json.dumps(report, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", "utf-8")
    if report["jobs_lost"] or report["files_with_two_results"] or report["keys_with_two_jobs"] or 500 in sent.statuses:
        raise SystemExit("the service lost something")


if __name__ == "__main__":
    main()
