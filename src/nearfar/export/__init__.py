"""Poses as files that other programs open: `export`, and one module a format.

A format is a function ``write_x(poses, path, *, fps=None)`` that writes one file, whole or not at all, and returns what
the user should know about it (one line each: gaps filled, resampled, moved), and one line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from nearfar.errors import InputError
from nearfar.poses import PoseSet

__all__ = ["FORMATS", "Format", "Written", "export", "select"]

Writer = Callable[..., tuple[str, ...]]


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        writer: module of this package and function, ``module:function``.
        text: what it is, in a few words.
        one_clip: it holds poses of one clip at a constant rate, and takes `fps`; else any poses.
        one_person: it holds one person; several become several files.
    """

    writer: str
    text: str
    one_clip: bool = False
    one_person: bool = False

    def load(self) -> Writer:
        """The writer, imported now."""
        module, function = self.writer.split(":")
        writer: Writer = getattr(import_module(f"nearfar.export.{module}"), function)
        return writer


FORMATS: Mapping[str, Format] = {
    "csv": Format("tables:write_csv", "tidy table: a row a person, frame and joint"),
    "json": Format("tables:write_json", "everything, self-contained, by a published schema"),
    "npz": Format("tables:write_npz", "arrays, as `nearfar lift` writes them"),
    "parquet": Format("tables:write_parquet", "the table of csv, typed and compressed"),
}
"""What can be written, by the suffix of its files."""


@dataclass(frozen=True)
class Written:
    """What `export` did.

    Attributes:
        paths: the files written.
        notes: what the user should know, one line each.
    """

    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def export(
    poses: PoseSet,
    path: str | Path,
    format: str | None = None,  # noqa: A002
    *,
    fps: float | None = None,
) -> Written:
    """Write poses to a file of another program.

    Formats of one person (BVH) become one file each where there are several: ``walk.bvh`` becomes
    ``walk-person0.bvh``, ``walk-person1.bvh``.

    Args:
        poses: poses; for motion files of one clip.
        path: the file to write.
        format: a key of `FORMATS`; by default the suffix of `path`.
        fps: frames a second of motion files; by default the clip's own.

    Raises:
        InputError: no such format, poses that the format cannot hold, or a file that cannot be written.
    """
    path = Path(path)
    chosen = _format(path, format)
    if not len(poses):
        raise InputError(f"{path}: there are no poses to export")
    if not chosen.one_clip:
        if fps is not None:
            moving = ", ".join(name for name, entry in FORMATS.items() if entry.one_clip)
            raise InputError(f"{path}: a frame rate is for motion files ({moving}); tables keep the frames as they are")
        return Written((path,), chosen.load()(poses, path))
    if poses.sequence is not None and len(codes := np.unique(poses.sequence.codes)) > 1:
        names = [poses.sequence.names[code] for code in codes[:5]]
        shown = ", ".join(names) + (", ..." if len(codes) > 5 else "")
        raise InputError(f"{path}: holds one clip, and these poses are of {len(codes)} ({shown}): choose a sequence")
    people = [] if poses.person is None else [int(person) for person in np.unique(poses.person)]
    if not chosen.one_person or len(people) < 2:
        return Written((path,), chosen.load()(poses, path, fps=fps))
    paths = tuple(path.with_name(f"{path.stem}-person{person}{path.suffix}") for person in people)
    notes: list[str] = []
    for person, file in zip(people, paths, strict=True):
        notes += chosen.load()(select(poses, person=person), file, fps=fps)
    return Written(paths, tuple(notes))


def select(poses: PoseSet, *, sequence: str | None = None, person: int | None = None) -> PoseSet:
    """The poses of one clip, of one person, or both.

    Raises:
        InputError: there is no such clip or person; the message names those there are.
    """
    if sequence is not None:
        names = () if poses.sequence is None else poses.sequence.names
        if poses.sequence is None or sequence not in names:
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            raise InputError(f"no sequence {sequence!r}; there is {shown or 'none'}")
        poses = poses.select(poses.sequence.codes == names.index(sequence))
    if person is not None:
        people = np.zeros(len(poses), np.int64) if poses.person is None else poses.person
        if person not in people:
            raise InputError(f"no person {person}; there are {', '.join(map(str, np.unique(people))) or 'none'}")
        poses = poses.select(people == person)
    return poses


def _format(path: Path, name: str | None) -> Format:
    name = path.suffix.removeprefix(".").lower() if name is None else name.lower()
    if name not in FORMATS:
        said = f"{name!r}" if name else "none in the name"
        raise InputError(f"{path}: no such export format ({said}); known are {', '.join(FORMATS)}")
    return FORMATS[name]
