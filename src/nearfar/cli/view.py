"""``nearfar view``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nearfar.errors import InputError
from nearfar.poses import PoseSet


@dataclass(frozen=True)
class View:
    """Make the 3D viewer of poses: one HTML file that opens offline."""

    poses: Annotated[Path, tyro.conf.Positional]
    """Poses, as `nearfar lift` writes them (poses.npz)."""
    out: Path = Path("view.html")
    """The file to write."""
    media: Path | None = None
    """Image or video to show beside the poses."""
    compare: Path | None = None
    """Other poses of the same frames, shown in the same scene."""
    sequence: str | None = None
    """Which clip or image to show, where the poses are of several."""
    title: str | None = None
    """Title of the page."""

    def run(self) -> None:
        """Load, write."""
        from nearfar.datasets import load_poses
        from nearfar.viewing import write_viewer

        compare = None if self.compare is None else {self.compare.stem: load_poses(self.compare)}
        poses = load_poses(self.poses)
        if self.sequence is not None:
            poses = _of_sequence(poses, self.sequence, self.poses)
        write_viewer(poses, self.out, media=self.media, compare=compare, title=self.title, name=self.poses.stem)
        print(self.out)


def _of_sequence(poses: PoseSet, name: str, file: Path) -> PoseSet:
    names = () if poses.sequence is None else poses.sequence.names
    if poses.sequence is None or name not in names:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise InputError(f"{file}: no sequence {name!r}; it has {shown or 'none'}")
    return poses.select(poses.sequence.codes == names.index(name))


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.cli(View, prog="nearfar view", args=argv).run()
