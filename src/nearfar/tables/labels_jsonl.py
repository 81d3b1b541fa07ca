"""Relative depth labels as JSON lines: a header, then one label a line, read and written piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from nearfar.errors import InputError
from nearfar.files import check_file, replacing
from nearfar.labels import SCHEMA, RelativeLabels, join_labels
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton, get_skeleton
from nearfar.tables.labels import label_header, label_rows, labels_of_objects
from nearfar.tables.table import SkeletonLike

__all__ = ["is_labels_jsonl", "iter_labels_jsonl", "read_labels_jsonl", "write_labels_jsonl"]

CHUNK = 50_000
"""Lines that are held in memory at once."""


def write_labels_jsonl(labels: RelativeLabels | Iterable[RelativeLabels], path: str | Path) -> None:
    """Write a header (schema, skeleton, kind, provenance) and one label a line, whole or not at all.

    Args:
        labels: a table, or at least one part of it after the other, on one skeleton and of one kind; the header is that
            of the first. Only one part is held in memory.
        path: the file. Lines of more labels may be appended to it.

    Raises:
        InputError: no part, parts that differ in skeleton or kind, or the file cannot be written.
    """
    parts = iter([labels] if isinstance(labels, RelativeLabels) else labels)
    if (first := next(parts, None)) is None:
        raise InputError(f"{path}: no labels to write")
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(encode(label_header(first)) + "\n")
        for part in chain([first], parts):
            if (part.skeleton.joints, part.kind) != (first.skeleton.joints, first.kind):
                raise InputError(f"{path}: the labels to write are on different skeletons, or of different kinds")
            file.writelines(encode(row) + "\n" for row in label_rows(part))


def read_labels_jsonl(
    path: str | Path, *, skeleton: SkeletonLike | None = None, poses: PoseSet | None = None
) -> RelativeLabels:
    """Read what `write_labels_jsonl` wrote, or lines of labels without a header.

    Args:
        path: the file.
        skeleton: skeleton of the joints, where there is no header; lines without one are raw answers.
        poses: the poses that the labels speak of; labels of other poses or of another skeleton are refused.

    Raises:
        InputError: naming the file, line and field: as for `read_labels_csv`.
    """
    try:
        return join_labels(list(iter_labels_jsonl(path, skeleton=skeleton, poses=poses)))
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(f"{path}:") else f"{path}: {error}") from None


def iter_labels_jsonl(
    path: str | Path, *, skeleton: SkeletonLike | None = None, poses: PoseSet | None = None, rows: int = CHUNK
) -> Iterator[RelativeLabels]:
    """`read_labels_jsonl` in parts of so many rows, at least one part, which may be empty.

    A column that no row of a part has is absent there.
    """
    try:
        with check_file(path).open(encoding="utf-8-sig") as file:
            header, line = _header(file, path)
            known: Skeleton | None
            said = None if skeleton is None else get_skeleton(skeleton)
            if header is None:
                known, kind, provenance = said, "answers", {"file": Path(path).name}
            else:
                known, kind, provenance = _of_header(header, path)
            if known is None:
                raise InputError(f"{path}: which skeleton? no header says it, and none was given")
            if said is not None and said.joints != known.joints:
                raise InputError(f"{path}: its skeleton is {known.name!r}, not {said.name!r}")
            lines, number = chain([line] if header is None else [], file), 1 if header is None else 2
            part = list(islice(lines, rows))
            while True:
                objects, where = _objects(part, number, path)
                yield labels_of_objects(objects, where, path, known, kind, provenance, poses)
                number += len(part)
                if not (part := list(islice(lines, rows))):
                    return
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot read ({error.strerror or error})") from None


def is_labels_jsonl(path: str | Path) -> bool:
    """Whether the first line of a file is a whole object of its own: a header, or a label."""
    try:
        with check_file(path).open(encoding="utf-8-sig") as file:
            first = json.loads(file.readline())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and ("joint_a" in first or ("schema" in first and "labels" not in first))


def _header(file: IO[str], path: str | Path) -> tuple[dict[str, Any] | None, str]:
    """The header, or None where the first line is a label already; and that line."""
    line = file.readline()
    if not line.strip():
        raise InputError(f"{path}: the file is empty, or its first line is")
    (first,), _ = _objects([line], 1, path)
    return (first if "schema" in first else None), line


def _of_header(header: Mapping[str, Any], path: str | Path) -> tuple[Skeleton, str, dict[str, Any]]:
    if header["schema"] != SCHEMA:
        raise InputError(f"{path}: line 1: schema {header['schema']!r}, expected {SCHEMA!r}")
    provenance = header.get("provenance", {})
    if not isinstance(provenance, dict):
        raise InputError(f"{path}: line 1: provenance: expected an object")
    skeleton = Skeleton.from_dict(header.get("skeleton", {}), where=f"{path}: line 1: skeleton")
    return skeleton, header.get("kind", "answers"), provenance


def _objects(lines: list[str], number: int, path: str | Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The objects of lines, the first of which is line `number`, and what error messages call them."""
    told = [(f"line {number + i}", line) for i, line in enumerate(lines) if line.strip()]
    where, texts = [name for name, _ in told], [line for _, line in told]
    try:  # all at once is several times faster than one by one
        objects = json.loads(f"[{','.join(texts)}]")
    except (ValueError, RecursionError):
        objects = []
    if len(objects) != len(texts) or not all(isinstance(entry, dict) for entry in objects):
        objects = [_object(text, name, path) for name, text in told]
    return objects, where


def _object(text: str, where: str, path: str | Path) -> dict[str, Any]:
    try:
        entry = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: {where}: not JSON, or cut off ({error.msg} at column {error.colno})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {where}: cannot be read ({error})") from None
    if not isinstance(entry, dict):
        raise InputError(f"{path}: {where}: expected an object, got {type(entry).__name__}")
    return entry
