"""``nearfar data check``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.datasets.source import Source


def require_ready(source: Source, folder: Path) -> None:
    """Print everything that is missing or wrong in a data set's folder, and refuse it then (InputError)."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder: nearfar data get {source.name} --out {folder} says how to fill it")
    if problems := source.problems(folder):
        print(*problems, sep="\n")
        many = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise InputError(f"{folder}: not ready as {source.name}: {many}, listed above")


@dataclass(frozen=True)
class Check:
    """Name everything that is missing or wrong in the folder of a published data set; count what is there."""

    name: Annotated[str, tyro.conf.Positional]
    """Data set, as `nearfar data list` has it."""
    folder: Annotated[Path, tyro.conf.Positional]
    """The data set's folder."""

    def run(self) -> None:
        """Check, read, count."""
        from nearfar.datasets.catalogue import get_source

        source = get_source(self.name)
        require_ready(source, self.folder)
        for part in source.prepare(self.folder, None):
            labels = "" if part.labels is None else f", {len(part.labels)} labels"
            print(f"{part.name}: {len(part.poses)} poses of skeleton {part.poses.skeleton.name}{labels}", flush=True)
        print("OK")
