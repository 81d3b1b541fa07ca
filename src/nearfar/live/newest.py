"""Things that come one after the other, of which only the newest counts."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

__all__ = ["Newest"]

T = TypeVar("T")


class Newest(Generic[T]):
    """Holds one thing; whoever comes late gets the newest, not the next.

    Attributes:
        count: how many there were, which is the newest one's number (from 1).
        closed: whether none will come any more.
    """

    def __init__(self) -> None:
        self.count = 0
        self.closed = False
        self._value: T | None = None
        self._changed = threading.Condition()

    def put(self, value: T) -> None:
        """Replace what is held, and wake all who wait."""
        with self._changed:
            self.count += 1
            self._value = value
            self._changed.notify_all()

    def after(self, number: int, seconds: float) -> tuple[int, T] | None:
        """The newest thing and its number, later than a number; None where none came within some seconds, or at all."""
        with self._changed:
            self._changed.wait_for(lambda: self.count > number or self.closed, seconds)
            return None if self._value is None or self.count <= number else (self.count, self._value)

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
