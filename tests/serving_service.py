"""A service with a real worker, and a real server of it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from nearfar.serving.access import create_token
from nearfar.serving.app import create_app
from nearfar.serving.limits import Limits
from nearfar.serving.service import Service
from nearfar.serving.store import Store
from nearfar.serving.supervisor import Supervisor
from nearfar.web.protection import Protection
from nearfar.web.rates import Rate
from nearfar.web.server import server_config

UNBOUNDED = Protection(
    body_bytes=10_000, session_rate=Rate(1e6, 1e6), address_rate=Rate(1e6, 1e6), sign_in_rate=Rate(1e6, 1e6)
)


@dataclass
class Running:
    """A service, its application and tokens of two clients."""

    service: Service
    app: FastAPI
    ada: str
    bo: str

    def client(self, token: str | None = None, *, address: str = "10.0.0.1") -> TestClient:
        client = TestClient(self.app, base_url="http://localhost", client=(address, 5000))
        if token is not None:
            client.headers["Authorization"] = f"Bearer {token}"
        return client


@contextlib.contextmanager
def running(folder: Path, *, work: bool = True, protection: Protection = UNBOUNDED, **limits: Any) -> Iterator[Running]:
    """A service; where it does not `work`, its jobs wait."""
    with Store(folder) as store:
        store.hold()
        supervisor = Supervisor(store, Limits(**limits), grace_seconds=2)
        service = Service(store, Limits(**limits), supervisor)
        if work:
            supervisor.start()
        now = time.time()
        tokens = [create_token(store, name, now) for name in ("ada", "bo")]
        try:
            yield Running(service, create_app(service, protection=protection), *tokens)
        finally:
            supervisor.stop()


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The application behind uvicorn; its address. The service goes on after it: the module's other tests need it."""
    server = uvicorn.Server(server_config(app, "127.0.0.1", 0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < until, "the server did not start"
        time.sleep(0.02)
    yield f"http://localhost:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(30)


def ended(client: TestClient, job: str) -> dict[str, Any]:
    """The job, once it came to an end."""
    until = time.monotonic() + 120
    while (said := client.get(f"/v1/jobs/{job}", params={"wait": 20}).json())["state"] in ("queued", "running"):
        assert time.monotonic() < until, said
    return said
