"""Inputs that end the process which lifts them: noticed by who comes after it, and given up in time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from nearfar.batch.recipe import FailedError
from nearfar.errors import InputError

__all__ = ["Attempts"]

MOST = 3
"""So many processes may end while they lift an input."""


class Attempts:
    """A note on disk of what is being lifted; what it still says when it is opened again did not come to an end.

    A decoder that crashes, or an input that takes all memory, leaves nobody to say which input it was. The note is
    written over in place, without a rename and without waiting for the disk: it costs little, it outlives the process,
    and a note that cannot be read counts as none. It is removed when the work is done.

    Args:
        path: of the note; nobody else writes to it.

    Raises:
        InputError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begun = _read(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{path}: cannot write ({error.strerror or error})") from None
        self._write(self._begun)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._file.close()
        if kind is None:
            self._path.unlink(missing_ok=True)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Lift an input herein.

        Raises:
            FailedError: too many processes ended while they did.
        """
        times = self._begun.pop(name, 0)
        if times >= MOST:
            raise FailedError(f"{name}: {MOST} processes ended while they lifted it (killed, out of memory, a crash)")
        self._write({**self._begun, name: times + 1})
        try:
            yield
        finally:
            self._write(self._begun)

    def _write(self, begun: dict[str, int]) -> None:
        with suppress(OSError):  # the disk is full: the results say so
            self._file.seek(0)
            self._file.write(json.dumps(begun))
            self._file.truncate()
            self._file.flush()


def _read(path: Path) -> dict[str, int]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: times for name, times in found.items() if isinstance(times, int)} if isinstance(found, dict) else {}
