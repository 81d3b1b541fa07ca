"""``nearfar data convert``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nearfar.errors import InputError


@dataclass(frozen=True)
class Convert:
    """Convert poses or labels between nearfar's files and those of others; the suffix of the output decides.

    Poses: .npz, .csv, .json. Labels: .parquet, .csv, .json.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """Any file that nearfar reads."""
    out: Annotated[Path, tyro.conf.Positional]
    """The file to write."""
    labels: bool = False
    """The source holds labels, not poses."""
    skeleton: str | None = None
    """Skeleton of the source, where it does not say."""
    image_size: str | None = None
    """WIDTHxHEIGHT in pixels, where the source does not say."""
    joint_map: str | None = None
    """For motion files (BVH, C3D, AMC): the map of their joints, by name or a .toml file."""
    to: str | None = None
    """Skeleton to remap poses to."""

    def run(self) -> None:
        """Read, write."""
        from nearfar import tables
        from nearfar.cli.inputs import image_size
        from nearfar.datasets import load_labels, load_poses

        suffix = self.out.suffix.lower()
        if self.labels:
            labels = load_labels(self.source, skeleton=self.skeleton)
            writers = {".parquet": labels.save}
            writers[".csv"] = lambda path: tables.write_labels_csv(labels, path)
            writers[".json"] = lambda path: tables.write_labels_json(labels, path)
        else:
            size = None if self.image_size is None else image_size(self.image_size)
            poses = load_poses(self.source, skeleton=self.skeleton, image_size=size, joint_map=self.joint_map)
            if self.to is not None:
                poses = poses.remap(self.to)
            writers = {".npz": poses.save}
            writers[".csv"] = lambda path: tables.write_poses_csv(poses, path)
            writers[".json"] = lambda path: tables.write_poses_json(poses, path)
        if suffix not in writers:
            raise InputError(f"{self.out}: expected a name ending in {', '.join(writers)}")
        writers[suffix](self.out)
        print(self.out)
