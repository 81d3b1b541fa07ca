"""``nearfar view``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


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
    title: str | None = None
    """Title of the page."""

    def run(self) -> None:
        """Load, write."""
        from nearfar.datasets import load_poses
        from nearfar.viewing import write_viewer

        compare = None if self.compare is None else {self.compare.stem: load_poses(self.compare)}
        poses = load_poses(self.poses)
        write_viewer(poses, self.out, media=self.media, compare=compare, title=self.title, name=self.poses.stem)
        print(self.out)


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.cli(View, prog="nearfar view", args=argv).run()
