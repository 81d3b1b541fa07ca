"""``nearfar data pack``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.labels import RelativeLabels
    from nearfar.poses import PoseSet


@dataclass(frozen=True)
class Pack:
    """Pack poses and labels as a store: shuffled rows on disk, to train from without holding them in memory.

    `nearfar train --data STORE` reads it in windows.
    """

    poses: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Files of poses, one after the other in memory."""
    out: Path
    """Folder to make."""
    labels: tuple[str, ...] = ()
    """A label file for each file of poses, or the column of benchmark files: answer or crowd_answer. Without any the
    store serves full supervision."""
    seed: int = 0
    """Other seeds shuffle otherwise."""

    def run(self) -> None:
        """Count, deal out, shuffle."""
        from nearfar.datasets import load_poses
        from nearfar.training import pack

        if len(self.labels) not in {0, 1, len(self.poses)}:
            raise InputError(f"--labels: expected one for each of {len(self.poses)} files, got {len(self.labels)}")
        rows = sum(len(load_poses(path)) for path in self.poses)
        store = pack(self._parts(), self.out, rows=rows, seed=self.seed)
        print(f"{self.out}: {store.rows} poses, {store.labels} labels")
        if left_out := rows - store.rows:
            print(f"left out: {left_out} poses without a sure label, or that cannot be learnt from")

    def _parts(self) -> Iterator[tuple[PoseSet, RelativeLabels | None]]:
        from nearfar.cli.train import read_labels
        from nearfar.datasets import load_poses

        names = self.labels * len(self.poses) if len(self.labels) == 1 else self.labels
        for i, path in enumerate(self.poses):
            poses = load_poses(path)
            yield poses, read_labels(names[i], path, poses) if names else None
