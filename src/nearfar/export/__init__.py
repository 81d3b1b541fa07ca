"""Poses as files that other programs open: `export`, and one module a format.

A format is one line in `FORMATS`, and a function that writes one file, whole or not at all, and returns what the user
should know about it (lines of text: gaps filled, resampled). The function is ``write_x(poses, path)`` for tables, for
files of one clip ``write_x(poses, path, *, fps=None, person=None)``, for pictures ``write_x(poses, path, *, media)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
        one_clip: it holds poses of one clip at a constant rate; else any poses.
        one_person: it holds one person; several become several files.
        pictures: it shows the frames that the poses were found in.
    """

    writer: str
    text: str
    one_clip: bool = False
    one_person: bool = False
    pictures: bool = False

    def load(self) -> Writer:
        """The writer, imported now."""
        module, function = self.writer.split(":")
        writer: Writer = getattr(import_module(f"nearfar.export.{module}"), function)
        return writer


FORMATS: Mapping[str, Format] = {
    "bvh": Format("bvh:write_bvh", "joint rotations, for animation programs", one_clip=True, one_person=True),
    "glb": Format("glb:write_glb", "animated skeletons and a mesh, for any viewer", one_clip=True),
    "c3d": Format("c3d:write_c3d", "marker trajectories, binary, for biomechanics", one_clip=True),
    "trc": Format("trc:write_trc", "marker trajectories, for OpenSim", one_clip=True, one_person=True),
    "mot": Format("mot:write_mot", "joint angles, for OpenSim", one_clip=True, one_person=True),
    "xml": Format("marker_set:write_marker_set", "OpenSim marker set of the skeleton's joints"),
    "csv": Format("tables:write_csv", "tidy table: a row a person, frame and joint"),
    "json": Format("tables:write_json", "everything, self-contained, by a published schema"),
    "npz": Format("tables:write_npz", "arrays, as `nearfar lift` writes them"),
    "parquet": Format("tables:write_parquet", "the table of csv, typed and compressed"),
    **dict.fromkeys(
        ("mp4", "mov", "mkv"), Format("overlay:write_video", "video with the skeletons drawn on --media", pictures=True)
    ),
    **dict.fromkeys(
        ("png", "jpg"),
        Format("overlay:write_pictures", "picture a frame, as the video: frames/%06d.png", pictures=True),
    ),
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
    person: int | None = None,
    fps: float | None = None,
    media: str | Path | None = None,
) -> Written:
    """Write poses to a file of another program.

    Formats of one person (BVH) become one file each where there are several: ``walk.bvh`` becomes
    ``walk-person0.bvh``, ``walk-person1.bvh``. People keep their places to each other.

    Args:
        poses: poses; for motion files of one clip.
        path: the file to write.
        format: a key of `FORMATS`; by default the suffix of `path`.
        person: only the person of this number.
        fps: frames a second of motion files; by default the clip's own.
        media: the image or video that the poses were found in, for pictures.

    Raises:
        InputError: no such format or person, poses that the format cannot hold, or a file that cannot be written.
    """
    path = Path(path)
    chosen = _format(path, format)
    if not len(poses):
        raise InputError(f"{path}: there are no poses to export")
    people = [0] if poses.person is None else np.unique(poses.person).tolist()
    if person is not None and person not in people:
        raise InputError(f"no person {person}; there are {', '.join(map(str, people))}")
    if media is not None and not chosen.pictures:
        raise InputError(f"{path}: --media is for videos and pictures (.mp4, .png)")
    write = chosen.load()
    if not chosen.one_clip:
        if fps is not None:
            moving = ", ".join(name for name, entry in FORMATS.items() if entry.one_clip)
            raise InputError(f"{path}: a frame rate is for motion files ({moving}); others keep the frames as they are")
        chosen_poses = poses if person is None else select(poses, person=person)
        if not chosen.pictures:
            return Written((path,), write(chosen_poses, path))
        if media is None:
            raise InputError(f"{path}: pictures need the image or video that the poses were found in (--media)")
        return Written((path,), write(chosen_poses, path, media=media))
    if poses.sequence is not None and len(codes := np.unique(poses.sequence.codes)) > 1:
        shown = _some([poses.sequence.names[code] for code in codes])
        raise InputError(f"{path}: holds one clip, and these poses are of {len(codes)} ({shown}): choose a sequence")
    if poses.joints is not None:
        there = np.asarray(np.isfinite(poses.joints).any(axis=(1, 2)))
        people = [number for number in people if poses.person is None or there[poses.person == number].any()]
    if person is not None or not chosen.one_person or len(people) < 2:
        return Written((path,), write(poses, path, fps=fps, person=person))
    paths = tuple(path.with_name(f"{path.stem}-person{number}{path.suffix}") for number in people)
    notes = [write(poses, file, fps=fps, person=number) for number, file in zip(people, paths, strict=True)]
    return Written(paths, tuple(note for said in notes for note in said))


def select(poses: PoseSet, *, sequence: str | None = None, person: int | None = None) -> PoseSet:
    """The poses of one clip, of one person, or both.

    Raises:
        InputError: there is no such clip or person; the message names those there are.
    """
    if sequence is not None:
        names = () if poses.sequence is None else poses.sequence.names
        if poses.sequence is None or sequence not in names:
            raise InputError(f"no sequence {sequence!r}; there is {_some(names) or 'none'}")
        poses = poses.select(poses.sequence.codes == names.index(sequence))
    if person is not None:
        people = np.zeros(len(poses), np.int64) if poses.person is None else poses.person
        if person not in people:
            raise InputError(f"no person {person}; there are {', '.join(map(str, np.unique(people))) or 'none'}")
        poses = poses.select(people == person)
    return poses


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _format(path: Path, name: str | None) -> Format:
    name = path.suffix.removeprefix(".").lower() if name is None else name.lower()
    if name not in FORMATS:
        said = f"{name!r}" if name else "none in the name"
        raise InputError(f"{path}: no such export format ({said}); known are {', '.join(FORMATS)}")
    return FORMATS[name]
