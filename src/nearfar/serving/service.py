"""What the requests share: the store, the queue's supervisor, who waits, and the figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool

from nearfar.serving import jobs
from nearfar.serving.jobs import BusyError, Job, Kind, ReusedError
from nearfar.serving.limits import Limits
from nearfar.serving.metrics import Metrics
from nearfar.serving.schemas import JobOut
from nearfar.serving.store import Store
from nearfar.serving.supervisor import Supervisor
from nearfar.serving.uploads import receive
from nearfar.serving.waiting import Waiting

__all__ = ["Service"]


class Service:
    """The service behind the requests.

    Args:
        store: held by this process, until the service is stopped.
        limits: what is taken.
        supervisor: does the jobs; it is started by `start`.
    """

    def __init__(self, store: Store, limits: Limits, supervisor: Supervisor) -> None:
        self.store = store
        self.limits = limits
        self.supervisor = supervisor
        self.waiting = Waiting()
        self.metrics = Metrics(store, supervisor)
        self._uploads = 0
        supervisor.finished = self.waiting.announce
        supervisor.durations = self.metrics.count_job

    async def take(
        self, request: Request, kind: Kind, owner: str, name: str, options: Mapping[str, Any], key: str | None
    ) -> Job:
        """Receive the file of a request and queue a job for it.

        Raises:
            HTTPException: 429 and 503 where there is no room, 422 for a key that came with another request, and as
                `nearfar.serving.uploads.receive`.
        """
        await run_in_threadpool(self._check_room, owner, key)
        async with self._upload():
            upload = await receive(request, self.store, kind, self.limits)
        job = Job(jobs.new_id(), owner, kind, name, upload.suffix, options, upload.digest)
        path = self.store.input_of(job.id, job.suffix)
        upload.path.rename(path)
        try:
            taken, new = await run_in_threadpool(self._add, job, key)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        if new:
            self.supervisor.wake()
        else:
            path.unlink(missing_ok=True)
        return taken

    async def settled(self, owner: str, id_: str, seconds: float) -> Job | None:
        """The job as it is once it came to an end, or after so many seconds; None where it is not there."""
        event = self.waiting.enter(id_)
        try:
            job = await run_in_threadpool(jobs.find_job, self.store, owner, id_)
            if job is None or job.finished or seconds <= 0:
                return job
            await self.waiting.until(id_, event, seconds)
            return await run_in_threadpool(jobs.find_job, self.store, owner, id_)
        finally:
            self.waiting.leave(id_, event)

    def shown(self, job: Job) -> JobOut:
        """What a client sees of a job."""
        stage, progress = self.supervisor.progress_of(job.id)
        before = jobs.jobs_before(self.store, job)
        return JobOut.of(job, stage=stage, progress=progress, jobs_before=before, keep_hours=self.limits.keep_hours)

    def is_ready(self) -> bool:
        """Whether jobs are done: a worker is there, and disk space."""
        return self.supervisor.ready > 0 and self.store.free_bytes() > 1e6 * self.limits.free_mb

    def _check_room(self, owner: str, key: str | None) -> None:
        if self.store.free_bytes() < 1e6 * self.limits.free_mb:
            raise HTTPException(503, "the disk is full", {"Retry-After": "60"})
        try:
            jobs.check_room(self.store, self.limits, owner, self.supervisor.workers, key)
        except BusyError as error:
            raise _refusal(error) from None

    def _add(self, job: Job, key: str | None) -> tuple[Job, bool]:
        workers = self.supervisor.workers
        try:
            return jobs.add_job(self.store, job, self.limits, workers, time.time(), idempotency_key=key)
        except BusyError as error:
            raise _refusal(error) from None
        except ReusedError as error:
            raise HTTPException(422, str(error)) from None

    @asynccontextmanager
    async def _upload(self) -> AsyncIterator[None]:
        """One of the places for files that come in."""
        for _ in range(50):  # small files leave quickly: a moment's patience spares the client a second try
            if self._uploads < self.limits.uploads:
                break
            await asyncio.sleep(0.1)
        else:
            raise HTTPException(503, "too many files come in at once", {"Retry-After": "5"})
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1


def _refusal(busy: BusyError) -> HTTPException:
    return HTTPException(429 if busy.of_client else 503, str(busy), {"Retry-After": str(busy.retry_after)})
