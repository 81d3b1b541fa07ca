"""The web server, set up to face strangers."""

from __future__ import annotations

import asyncio
import copy
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["Server", "raise_file_limit", "server_config"]

HEADER_SECONDS = 15.0
CONNECTIONS = 2000
"""Of one process."""

OPEN_FILES = 65536


def server_config(app: ASGIApp | Callable[[], ASGIApp], host: str, port: int, **options: Any) -> uvicorn.Config:
    """How an application is served.

    Slow clients are cut off while they send headers (bodies: `protection.Bodies`), connections are bounded, and the log
    holds no query strings. Behind which proxies we are is for `protection.Proxies` to say, not for uvicorn, which
    believes everybody on this machine.

    Args:
        app: the application; or what makes it, with ``factory=True``.
        host: address to listen on.
        port: port.
        **options: more of uvicorn's, such as ``ssl_certfile``.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=ImpatientProtocol,
        ws="none",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=10,
        log_config=log_config(),
        **options,
    )


def raise_file_limit() -> None:
    """Let this process and its children open as many files, and so connections, as the system lets them."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Server(uvicorn.Server):
    """A server that lets nobody wait once it was told to end.

    Args:
        config: of `server_config`.
        release: answers the requests that wait for something to happen.
    """

    def __init__(self, config: uvicorn.Config, release: Callable[[], None]) -> None:
        super().__init__(config)
        self._release = release

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Release who waits, then end as usual."""
        self._release()
        super().handle_exit(sig, frame)

    def run_until_told(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        # uvicorn raises the signal that ended it once more: SIGTERM, too, is to end in good order then.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with suppress(KeyboardInterrupt):
                self.run()
        finally:
            signal.signal(signal.SIGTERM, before)


def log_config() -> dict[str, Any]:
    """The logging of uvicorn, without query strings."""
    config = copy.deepcopy(LOGGING_CONFIG)
    config["filters"] = {"plain": {"()": WithoutQuery}}
    config["handlers"]["access"]["filters"] = ["plain"]
    return config


class WithoutQuery(logging.Filter):
    """Cuts the query off the paths in the access log: what people typed stays out of it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; keep it."""
        if isinstance(record.args, tuple) and len(record.args) == 5:
            client, method, path, version, status = record.args
            record.args = (client, method, str(path).partition("?")[0], version, status)
        return True


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that gives clients `HEADER_SECONDS` for the headers of a request, and for a body that nobody reads."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Stop waiting once the headers are complete; begin again with the next request, or once it was answered."""
        super().data_received(data)
        # Answered before its body came (no token, another host): else a client could go on with it for ever.
        unread = self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE
        if self.conn.their_state is not h11.IDLE and not unread:
            self._stop()
        elif self._waiting is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _stop(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
