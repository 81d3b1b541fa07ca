"""What is to be lifted: the inputs of a folder, a pattern or a list, here or at any address that fsspec reads."""

from __future__ import annotations

import errno
import glob
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nearfar.errors import InputError
from nearfar.files import check_file
from nearfar.media import IMAGE_SUFFIXES, VIDEO_SUFFIXES

__all__ = ["DISK_FULL", "fetched", "find_inputs", "is_remote", "plain"]

KEYPOINT_SUFFIXES = frozenset({".csv", ".json", ".npy", ".npz"})
LIST_SUFFIXES = (".parquet", ".txt")
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What says nothing of the input that was at work then."""
_OPENPOSE = "_keypoints.json"
_KNOWN = IMAGE_SUFFIXES | VIDEO_SUFFIXES | KEYPOINT_SUFFIXES


def is_remote(place: str | Path) -> bool:
    """Whether it is an address (``s3://...``) and no path of this machine."""
    return "://" in str(place)


def find_inputs(source: str | Path) -> Iterator[tuple[str, str]]:
    """The inputs that a folder, a pattern or a list means, one at a time, in no particular order.

    Args:
        source: a folder or the address of one, searched with its subfolders for images, videos and keypoint files (a
            folder of OpenPose's files is one input); a pattern; or a list, local or not: a ``.txt`` file with a path or
            address a line, or a ``.parquet`` file with a column "input", and perhaps "name". Relative paths in a list
            start at its own folder.

    Yields:
        (name, place): the place is a path or an address; the name is what results are filed under, and what shares are
        drawn by. It is the place relative to the folder or to the pattern's fixed part; in lists the place as it is
        written, without the query of an address (which may hold a signature), or the column "name".

    Raises:
        InputError: no such folder, nothing in it, or no list that can be read.
    """
    text = str(source)
    if text.lower().endswith(LIST_SUFFIXES) and not glob.has_magic(text):
        found: Iterable[tuple[str, str]] = _listed(text)
    elif is_remote(text):
        found = _remote(text)
    else:
        found = _local(text)
    empty = True
    for name, place in found:
        empty = False
        yield name.encode(errors="backslashreplace").decode(), place  # a name of a file need not be UTF-8
    if empty:
        raise InputError(f"{plain(text)}: nothing to lift there ({', '.join(sorted(_KNOWN))})")


@contextmanager
def fetched(place: str) -> Iterator[Path]:
    """A file of this machine that holds what is at a place, for as long as the block lasts.

    Raises:
        InputError: it cannot be had.
        OSError: the disk for temporary files is full.
    """
    if not is_remote(place):
        yield Path(place)
        return
    system, path = _file_system(place)
    name = Path(plain(path)).name or "input"
    with tempfile.TemporaryDirectory(prefix="nearfar-") as folder:
        local = Path(folder) / name
        try:
            system.get_file(path, str(local))
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            raise InputError(f"{plain(place)}: cannot be fetched ({_reason(error, place)})") from None
        except Exception as error:  # every file system of fsspec has its own
            raise InputError(f"{plain(place)}: cannot be fetched ({_reason(error, place)})") from None
        yield local


def _reason(error: Exception, place: str) -> str:
    said = str(error).replace(place, "").strip()
    return f"{type(error).__name__}{': ' if said else ''}{said}"


def plain(address: str) -> str:
    """An address without its query, which may hold a signature; a path as it is."""
    return address.split("?", 1)[0] if is_remote(address) else address


def _file_system(address: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError:
        raise InputError('reading from an address needs fsspec: pip install "nearfar[remote]"') from None
    try:
        system, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise InputError(f"{plain(address)}: cannot be read from here ({error})") from None
    return system, path


def _local(text: str) -> Iterator[tuple[str, str]]:
    root = Path(text)
    if root.is_dir():
        for folder, subfolders, files in os.walk(root):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            if any(name.endswith(_OPENPOSE) for name in files):
                yield Path(folder).relative_to(root).as_posix(), folder
                files = [name for name in files if not name.endswith(_OPENPOSE)]  # noqa: PLW2901
            for name in filter(_is_known, files):
                path = Path(folder, name)
                yield path.relative_to(root).as_posix(), str(path)
    elif glob.has_magic(text):
        base = _fixed_part(text)
        for match in glob.iglob(text, recursive=True):
            if _is_known(Path(match).name) and Path(match).is_file():
                yield os.path.relpath(match, base or "."), match
    else:
        there = "one file; --shard is for many: a folder, a pattern or a list" if root.exists() else "no such folder"
        raise InputError(f"{text}: {there}")


def _remote(address: str) -> Iterator[tuple[str, str]]:
    system, path = _file_system(address)
    has_magic = glob.has_magic(path)
    base = _fixed_part(path) if has_magic else path.rstrip("/")
    try:
        found = system.glob(path) if has_magic else system.find(path)
    except Exception as error:  # every file system of fsspec has its own
        raise InputError(f"{plain(address)}: cannot be listed ({_reason(error, address)})") from None
    for match in filter(lambda match: _is_known(Path(plain(match)).name), found):
        yield plain(match).removeprefix(base).lstrip("/"), system.unstrip_protocol(match)


def _fixed_part(pattern: str) -> str:
    """The folders of a pattern before the first wildcard."""
    parts = pattern.split("/")
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[:first])


def _is_known(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in _KNOWN


def _listed(source: str) -> Iterator[tuple[str, str]]:
    with fetched(source) as path:
        base = "" if is_remote(source) else str(path.parent)
        lines = _parquet_list(path) if path.suffix == ".parquet" else _text_list(path)
        for line, place, name in lines:
            if not place:
                raise InputError(f"{plain(source)}: {line}: an empty input")
            if not is_remote(place) and not os.path.isabs(place):
                if not base:
                    raise InputError(f"{plain(source)}: {line}: {place}: a list from an address needs whole addresses")
                yield name or place, os.path.join(base, place)
            else:
                yield name or (plain(place) if is_remote(place) else place), place


def _text_list(path: Path) -> Iterator[tuple[str, str, str]]:
    try:
        with check_file(path).open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if place := line.rstrip("\r\n"):
                    yield f"line {number}", place, ""
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def _parquet_list(path: Path) -> Iterator[tuple[str, str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(check_file(path))
        columns = [name for name in ("input", "name") if name in file.schema_arrow.names]
        if "input" not in columns:
            raise InputError(f"{path}: a list needs a column 'input'; it has {file.schema_arrow.names}")
        number = 0
        for batch in file.iter_batches(columns=columns):
            values = [column.cast(pa.string()).to_pylist() for column in batch.columns]
            for row in zip(*values, strict=True):
                place, name = row[0] or "", row[1] or "" if len(row) > 1 else ""
                yield f"row {number}", place, name
                number += 1
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a Parquet file, or a damaged one ({error})") from None
