"""The record of a run: JSON lines for programs, TensorBoard events for eyes."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from nearfar.errors import InputError
from nearfar.files import write_text

__all__ = ["RunLog", "read_log"]


class RunLog:
    """Writes ``log.jsonl`` and, where TensorBoard is installed, ``tensorboard/``; a folder of None writes nothing.

    When a run is resumed at `step`, records after that step are dropped: they will be written again.
    """

    def __init__(self, folder: Path | None, step: int) -> None:
        self._file: IO[str] | None = None
        self._board: Any = None
        if folder is None:
            return
        path = folder / "log.jsonl"
        kept = [row for row in read_log(path) if row["step"] <= step] if step and path.exists() else []
        write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = path.open("a", encoding="utf-8")
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError:  # the extra "training" is not installed
            return
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()

    def write(self, step: int, state: dict[str, float], values: dict[str, float]) -> None:
        """One record: the step, the state of the run and named values."""
        if self._file is not None:
            self._file.write(json.dumps({"step": step, **state, **values}) + "\n")
        if self._board is not None:
            for name, value in {**state, **values}.items():
                self._board.add_scalar(name, value, step)

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        if self._file is not None:
            self._file.flush()


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The records of a ``log.jsonl``; a last line that was cut off by a crash is left out.

    Raises:
        InputError: no such file, or a damaged line before the last.
    """
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read the log ({error})") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            if number < len(lines):
                raise InputError(f"{path}: line {number} is not JSON") from None
    return rows
