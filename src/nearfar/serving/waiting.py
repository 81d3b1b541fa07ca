"""Requests that wait for a job to come to an end."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

__all__ = ["Waiting"]


class Waiting:
    """Who waits for which job. `announce` and `close` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: dict[str, list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}
        self._closed = False

    def enter(self, job: str) -> asyncio.Event:
        """Begin to wait: look at the job after this, then `until` it is announced, so that no end is missed."""
        event = asyncio.Event()
        with self._lock:
            if self._closed:
                event.set()
            self._events.setdefault(job, []).append((asyncio.get_running_loop(), event))
        return event

    async def until(self, job: str, event: asyncio.Event, seconds: float) -> None:
        """Wait for an announcement, for so long at most."""
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)
        finally:
            self.leave(job, event)

    def leave(self, job: str, event: asyncio.Event) -> None:
        """Wait no more."""
        with self._lock:
            left = [entry for entry in self._events.pop(job, []) if entry[1] is not event]
            if left:
                self._events[job] = left

    def announce(self, job: str) -> None:
        """Something came to an end."""
        with self._lock:
            for loop, event in self._events.get(job, []):
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        """Nobody waits any more: the server goes down."""
        with self._lock:
            self._closed = True
            waiting = list(self._events)
        for job in waiting:
            self.announce(job)
