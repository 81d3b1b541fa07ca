"""``nearfar export``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nearfar.export import FORMATS

_KNOWN = "\n".join(f"{name}: {entry.text}" for name, entry in FORMATS.items())


@dataclass(frozen=True)
class Export:
    """Write poses as files that other programs open; the name's suffix says which."""

    poses: Annotated[Path, tyro.conf.Positional]
    """Poses, as `nearfar lift` writes them (poses.npz), or any other file of poses."""
    out: Annotated[Path, tyro.conf.arg(help=f"The file to write. Formats by suffix:\n{_KNOWN}")]
    format: str | None = None
    """The format, where the suffix does not say it."""
    person: int | None = None
    """Only the person of this number; without it all, in a file each where the format holds one."""
    sequence: str | None = None
    """Only this clip or image, where the poses are of several."""
    skeleton: str | None = None
    """Bring the poses to this skeleton first."""
    fps: float | None = None
    """Frames a second of motion files, instead of the clip's own."""
    media: Path | None = None
    """The image or video that the poses were found in, for videos and pictures."""

    def run(self) -> None:
        """Load, choose, write."""
        from nearfar.cli.inputs import poses_of
        from nearfar.export import export

        poses = poses_of(self.poses, sequence=self.sequence)
        if self.skeleton is not None:
            poses = poses.remap(self.skeleton)
        written = export(poses, self.out, self.format, person=self.person, fps=self.fps, media=self.media)
        for note in written.notes:
            print(note)
        for path in written.paths:
            print(path)


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.cli(Export, prog="nearfar export", args=argv).run()
