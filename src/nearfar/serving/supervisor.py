"""Threads that keep worker processes, give them jobs, and end those that take too long."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

from nearfar.errors import InputError
from nearfar.serving import jobs
from nearfar.serving.jobs import Job
from nearfar.serving.limits import Limits
from nearfar.serving.store import Store

__all__ = ["Supervisor"]

log = logging.getLogger(__name__)

START_SECONDS = 180.0
"""The time that a worker may take to load its models."""
LONGEST_MESSAGE = 1 << 20
UPKEEP_SECONDS = 60.0


class WorkerDiedError(Exception):
    """The process ended, or says what it should not."""


class Worker:
    """One process, started with its models."""

    def __init__(self, limits: Limits, detector: str, weights: str | None) -> None:
        self.pipe, theirs = Pipe()
        environment = {**os.environ, "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
        command = [sys.executable, "-m", "nearfar.serving.worker", str(theirs.fileno())]
        # A session of its own: Ctrl-C in a terminal is for the server, which lets jobs come to an end.
        self.process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )
        theirs.close()
        self.send({"limits": asdict(limits), "detector": detector, "weights": weights})

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message.

        Raises:
            WorkerDiedError: there is nobody.
        """
        try:
            self.pipe.send_bytes(json.dumps(message).encode())
        except OSError as error:
            raise WorkerDiedError(str(error)) from None

    def answer(self, go: bool) -> None:
        """Answer a report."""
        with suppress(OSError):  # who died is noticed with the next message
            self.pipe.send_bytes(b"go" if go else b"stop")

    def receive(self, seconds: float) -> dict[str, Any] | None:
        """The next message; None where none comes within the time.

        Raises:
            WorkerDiedError: there will be none.
        """
        try:
            if not self.pipe.poll(seconds):
                return None
            message = json.loads(self.pipe.recv_bytes(LONGEST_MESSAGE))
        except (OSError, EOFError, ValueError) as error:
            raise WorkerDiedError(f"its process ended, or failed ({error or type(error).__name__})") from None
        if not isinstance(message, dict):
            raise WorkerDiedError("it does not speak our language")
        return message

    def end(self) -> None:
        """End the process, at once."""
        self.pipe.close()
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Supervisor:
    """Works on the queue of a store.

    Args:
        store: held by this process.
        limits: of jobs.
        workers: processes.
        detector: name of the 2D detector.
        weights: of the lifter; None for the package's.
        finished: is called with the id of each job that came to an end.
        grace_seconds: how long jobs may go on after `stop`; those that do not end go back to the queue.
    """

    def __init__(
        self,
        store: Store,
        limits: Limits,
        *,
        workers: int = 1,
        detector: str = "mediapipe",
        weights: str | None = None,
        finished: Callable[[str], None] = lambda _id: None,
        grace_seconds: float = 10.0,
    ) -> None:
        self.store = store
        self.limits = limits
        self.workers = workers
        self.finished = finished
        self.durations: Callable[[Job, float], None] = lambda _job, _seconds: None
        self._make: Callable[[], Worker] = lambda: Worker(limits, detector, weights)
        self._grace = grace_seconds
        self._stopping = threading.Event()
        self._stop_by = float("inf")
        self._work = threading.Condition()
        self._ready: dict[int, Worker] = {}
        self._progress: dict[str, tuple[str, float]] = {}
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Give back what was cut off, load the models and begin. Returns when the first worker is ready.

        Raises:
            InputError: the workers cannot work: no detector, no such weights.
        """
        if back := jobs.recover(self.store, time.time()):
            log.warning("%d jobs had been cut off and wait again", back)
        first = self._started()
        for slot in range(self.workers):
            begun = first if slot == 0 else None
            self._threads.append(threading.Thread(target=self._keep, args=(slot, begun), daemon=True))
        self._threads.append(threading.Thread(target=self._keep_up, daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Claim no more; wait for what runs as long as the grace lasts; end the workers."""
        self._stop_by = time.monotonic() + self._grace
        self._stopping.set()
        self.wake()
        for thread in self._threads:
            thread.join(self._grace + 30)

    def wake(self) -> None:
        """Say that there is work."""
        with self._work:
            self._work.notify_all()

    @property
    def ready(self) -> int:
        """Workers that work or wait for work."""
        return len(self._ready)

    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.process.pid for worker in list(self._ready.values())]

    def progress_of(self, job: str) -> tuple[str, float]:
        """Stage of a running job, and how much of it is done."""
        return self._progress.get(job, ("", 0.0))

    def _started(self) -> Worker:
        worker = self._make()
        try:
            message = worker.receive(START_SECONDS)
        except WorkerDiedError as error:
            worker.end()
            raise InputError(f"a worker cannot be started ({error})") from None
        if message is None or "ready" not in message:
            worker.end()
            raise InputError(str((message or {}).get("cannot", f"no worker within {START_SECONDS:g} s")))
        return worker

    def _keep(self, slot: int, worker: Worker | None) -> None:
        """One worker after another, until the end."""
        while not self._stopping.is_set():
            try:
                worker = worker or self._started()
                self._ready[slot] = worker
                self._serve(worker)
            except (InputError, WorkerDiedError) as error:
                log.warning("worker %d: %s", slot, error)
            except Exception:
                log.exception("worker %d", slot)
            self._ready.pop(slot, None)
            if worker is not None:
                worker.end()
            worker = None
            self._stopping.wait(0.5)

    def _serve(self, worker: Worker) -> None:
        while not self._stopping.is_set():
            job = jobs.claim(self.store, time.time())
            if job is not None:
                self._do(worker, job)
                continue
            if worker.receive(0) is not None:
                raise WorkerDiedError("it speaks without being asked")
            with self._work:
                self._work.wait(1.0)

    def _do(self, worker: Worker, job: Job) -> None:
        """Have one claimed job done. The worker is of no use any more where this raises."""
        begun = time.monotonic()
        out = self.store.results / f".{job.id}.{job.attempt}"
        try:
            answer = self._ask(worker, job, out.as_posix())
            if "result" in answer:
                self._keep_result(job, out, answer["result"])
            elif "error" in answer:
                jobs.fail(self.store, job, int(answer["status"]), str(answer["error"]), time.time())
        except TimeoutError:
            reason = f"it took more than the {self.limits.job_seconds:g} s that a job may take"
            jobs.fail(self.store, job, 422, reason, time.time())
            raise WorkerDiedError(f"job {job.id}: {reason}") from None
        except BaseException:
            jobs.put_back(self.store, job, time.time())
            raise
        finally:
            shutil.rmtree(out, ignore_errors=True)
            self._over(job, begun)

    def _keep_result(self, job: Job, out: Path, result: Mapping[str, Any]) -> None:
        """Move what a job made to its place, then say that it is there."""
        final = self.store.result_of(job.id)
        if not jobs.is_wanted(self.store, job):
            return
        shutil.rmtree(final, ignore_errors=True)  # of an attempt that was cut off right here
        out.rename(final)
        if not jobs.finish(self.store, job, result, time.time()):
            shutil.rmtree(final, ignore_errors=True)

    def _ask(self, worker: Worker, job: Job, out: str) -> dict[str, Any]:
        task = {"id": job.id, "kind": job.kind, "name": job.name, "options": dict(job.options), "out": out}
        worker.send({**task, "input": str(self.store.input_of(job.id, job.suffix))})
        ends = time.monotonic() + self.limits.job_seconds
        while True:
            now = time.monotonic()
            if now > self._stop_by:
                raise WorkerDiedError("the server stops")
            if now > ends:
                raise TimeoutError
            message = worker.receive(min(0.5, ends - now))
            if message is None:
                continue
            if "stage" not in message:
                return message
            self._progress[job.id] = (str(message["stage"]), float(message["progress"]))
            worker.answer(jobs.is_wanted(self.store, job))

    def _over(self, job: Job, begun: float) -> None:
        """What is left to do once a job came to an end, or back to the queue."""
        self._progress.pop(job.id, None)
        now = jobs.find_job(self.store, job.owner, job.id)
        if now is None or now.finished:
            self.store.input_of(job.id, job.suffix).unlink(missing_ok=True)
            self.durations(job if now is None else now, time.monotonic() - begun)
        self.finished(job.id)

    def _keep_up(self) -> None:
        from nearfar.serving.access import remove_expired

        while not self._stopping.wait(UPKEEP_SECONDS):
            try:
                jobs.expire(self.store, self.limits, time.time())
                remove_expired(self.store, time.time())
            except Exception:
                log.exception("upkeep")
