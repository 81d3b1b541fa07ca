"""``nearfar view``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nearfar.errors import InputError


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
    """Other poses of the same frames (an older result, the truth), shown over the first or beside them."""
    sequence: str | None = None
    """Which clip or image to show, where the poses are of several."""
    title: str | None = None
    """Title of the page."""

    def run(self) -> None:
        """Load, write."""
        from nearfar.cli.inputs import poses_of
        from nearfar.viewing import write_viewer

        files = [self.poses] if self.compare is None else [self.poses, self.compare]
        poses, *others = [poses_of(file, sequence=self.sequence) for file in files]
        name, *names = _names(files)
        compare = dict(zip(names, others, strict=True))
        if self.media is not None and "resampled_hz" in poses.provenance:
            raise InputError(f"{self.poses}: resampled, so its frames are not those of --media; take poses_raw.npz")
        write_viewer(poses, self.out, media=self.media, compare=compare, title=self.title, name=name)
        print(self.out)


def _names(files: list[Path]) -> list[str]:
    """What to call results: by their files, or with the folders where those are called the same."""
    stems = [file.stem for file in files]
    if len(set(stems)) == len(stems):
        return stems
    longer = [f"{file.resolve().parent.name}/{file.stem}" for file in files]
    return longer if len(set(longer)) == len(longer) else [f"{name} ({i + 1})" for i, name in enumerate(stems)]


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.cli(View, prog="nearfar view", args=argv).run()
