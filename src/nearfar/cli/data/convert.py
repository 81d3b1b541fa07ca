"""``nearfar data convert``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from nearfar.datasets.saving import LabelForm, label_form, save_labels
from nearfar.errors import InputError

_Writer = TypeVar("_Writer", bound=Callable[..., Any])


@dataclass(frozen=True)
class Convert:
    """Convert poses or labels between nearfar's files and those of others; the suffix of the output decides.

    Poses: .npz, .csv, .json. Labels: .parquet, .csv, .json, .jsonl, or as --format says.
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
    format: LabelForm | None = None
    """Form of the labels to write, where the name does not say it."""
    poses: Path | None = None
    """The poses that the labels speak of, which the form of relative_depth_lsp_v1.json holds too."""
    to: str | None = None
    """Skeleton to remap to; labels need the joints that they compare there, by name."""

    def run(self) -> None:
        """Read, write."""
        from nearfar import tables
        from nearfar.cli.inputs import image_size
        from nearfar.datasets import load_labels, load_poses
        from nearfar.poses import PoseSet

        size = None if self.image_size is None else image_size(self.image_size)
        if self.labels:
            if size is not None or self.joint_map is not None:
                raise InputError("--image-size and --joint-map are for poses, not for labels")
            form = label_form(self.out, self.format)
            poses = None if self.poses is None else load_poses(self.poses)
            labels = load_labels(self.source, skeleton=self.skeleton, poses=poses)
            if self.to is not None:
                labels, poses = labels.remap(self.to), None if poses is None else poses.remap(self.to)
            save_labels(labels, self.out, form=form, poses=poses)
        else:
            if self.format is not None or self.poses is not None:
                raise InputError("--format and --poses are for labels, not for poses")
            write_poses = _by_suffix(
                self.out, {".npz": PoseSet.save, ".csv": tables.write_poses_csv, ".json": tables.write_poses_json}
            )
            poses = load_poses(self.source, skeleton=self.skeleton, image_size=size, joint_map=self.joint_map)
            write_poses(poses if self.to is None else poses.remap(self.to), self.out)
        print(self.out)


def _by_suffix(out: Path, writers: Mapping[str, _Writer]) -> _Writer:
    if (write := writers.get(out.suffix.lower())) is None:
        raise InputError(f"{out}: expected a name ending in {', '.join(writers)}")
    return write
