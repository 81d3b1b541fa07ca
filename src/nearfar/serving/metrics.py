"""Figures about the service, as Prometheus reads them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from nearfar.serving.jobs import Job, count_jobs

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from nearfar.serving.store import Store
    from nearfar.serving.supervisor import Supervisor

__all__ = ["Measured", "Metrics"]

JOB_SECONDS = (0.05, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900)


class Metrics(Collector):
    """What is counted while the server runs, and what the queue holds when it is asked."""

    def __init__(self, store: Store, supervisor: Supervisor) -> None:
        self._store = store
        self._supervisor = supervisor
        self.registry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter(
            "nearfar_requests", "Requests answered", ["method", "route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "nearfar_request_seconds", "Time to answer, waiting included", ["route"], registry=registry
        )
        self.work = Histogram(
            "nearfar_job_seconds",
            "Time that a worker took for a job",
            ["kind", "state"],
            buckets=JOB_SECONDS,
            registry=registry,
        )
        self.registry.register(self)

    def count_job(self, job: Job, seconds: float) -> None:
        """Count a job that came to an end."""
        self.work.labels(job.kind, job.state).observe(seconds)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What the queue holds now."""
        held = GaugeMetricFamily("nearfar_jobs", "Jobs that the service holds", labels=["kind", "state"])
        for (kind, state), number in count_jobs(self._store).items():
            held.add_metric([kind, state], number)
        yield held
        yield GaugeMetricFamily("nearfar_workers_ready", "Workers that work or wait", value=self._supervisor.ready)
        yield GaugeMetricFamily("nearfar_disk_free_bytes", "Disk space left", value=self._store.free_bytes())

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)


class Measured:
    """ASGI middleware that counts requests and their time."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and note how."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            # The route's pattern, never the address that was asked for: addresses are endless.
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "DELETE") else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - begun)
