"""``nearfar data prepare``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Prepare:
    """Read a published data set into nearfar's files: one .npz of poses a part, labels beside it as .labels.parquet."""

    name: Annotated[str, tyro.conf.Positional]
    """Data set, as `nearfar data list` has it."""
    folder: Annotated[Path, tyro.conf.Positional]
    """The data set's folder."""
    out: Path
    """Folder for the files to write."""
    skeleton: str | None = None
    """Skeleton of the poses; by default the data set's usual one."""
    cameras: int = 0
    """See motion that is in the world frame through so many sampled cameras; 0 leaves it in the world frame."""
    seed: int = 0
    """Other seeds are other cameras."""

    def run(self) -> None:
        """Check, read, write."""
        from nearfar.cli.data.check import require_ready
        from nearfar.datasets.catalogue import get_source
        from nearfar.errors import InputError

        source = get_source(self.name)
        if self.skeleton is not None:
            from nearfar.skeleton import get_skeleton

            get_skeleton(self.skeleton)  # before the long work
        if self.cameras < 0 or self.seed < 0:
            raise InputError(f"cameras and seed: expected at least 0, got {self.cameras} and {self.seed}")
        require_ready(source, self.folder)
        parts = 0
        for part in source.prepare(self.folder, self.skeleton):
            path = self.out / f"{part.name}.npz"
            poses = part.poses
            if self.cameras:
                from nearfar.synthetic.film import film

                if part.labels is not None:
                    raise InputError(f"{self.name}: its labels speak of its own images, not of sampled cameras'")
                poses = film(poses, self.cameras, seed=self.seed)
            poses.save(path)
            print(f"{path}: {len(poses)} poses of skeleton {poses.skeleton.name}", flush=True)
            if part.labels is not None:
                path = path.with_suffix(".labels.parquet")
                part.labels.save(path)
                print(f"{path}: {len(part.labels)} labels", flush=True)
            parts += 1
        if not parts:
            raise InputError(f"{self.folder}: nothing to prepare")
