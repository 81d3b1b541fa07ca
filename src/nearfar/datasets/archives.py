"""Unpacking archives that nobody vouches for: only plain files, only below the folder, never more than declared.

Refused are absolute names and names with "..", links and devices, encrypted members, names that stand twice, members
that overlap, and archives that would fill the disk or that declare implausibly much (zip bombs).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO, Any

from nearfar.datasets.progress import progress
from nearfar.errors import InputError

__all__ = ["check_space", "is_archive", "unpack"]

CHUNK = 1 << 18
SPARE_BYTES = 16 << 20
"""Disk space that must stay free."""

MOST_RATIO = 200
"""Text compresses 20 times, deflate at most 1032 times: what declares more than 200 times its size is no data set."""

UNSUSPECTED_BYTES = 64 << 20
"""Archives that declare no more than this are not held against `MOST_RATIO`."""

MOST_META_BYTES = 1 << 20
"""Longest header (a long name) read from a tar archive."""

_OPENERS: tuple[tuple[bytes, Any], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)


def check_space(folder: Path, needed: int, what: str) -> None:
    """Refuse (InputError) to write `needed` bytes into a folder whose disk has no room for them."""
    free = shutil.disk_usage(folder).free
    if needed + SPARE_BYTES > free:
        raise InputError(f"{what}: needs {needed / 1e6:.1f} MB on the disk of {folder}, which has {free / 1e6:.1f} MB")


def is_archive(path: Path) -> bool:
    """Whether a file begins (and, for .zip, ends) as a .zip or .tar archive does, the latter compressed or not."""
    if zipfile.is_zipfile(path):
        return True
    try:
        with closing(_tar_stream(path)) as stream:
            block = stream.read(tarfile.BLOCKSIZE)
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (OSError, EOFError, lzma.LZMAError, zlib.error, tarfile.TarError):
        return False
    return True


def unpack(archive: Path, folder: Path) -> tuple[str, ...]:
    """Unpack a .zip or .tar (.gz, .bz2, .xz) archive.

    Members go to a hidden folder first and take their places in `folder` when all have come out well, so a failure
    leaves nothing behind. Files of the same names are replaced.

    Returns:
        The names of the files and folders at the archive's top.

    Raises:
        InputError: not an archive, damaged, a member refused (see the module), or the disk is full.
    """
    staging = folder / f".{archive.name}.unpacking"
    try:
        shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
        staging.mkdir(parents=True)
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, staging)
        else:
            _unpack_tar(archive, staging)
        tops = tuple(sorted(entry.name for entry in staging.iterdir()))
        if not tops:
            raise InputError(f"{archive}: the archive is empty")
        _merge(staging, folder)
        return tops
    except InputError:
        raise
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        ValueError,
    ) as error:
        raise InputError(f"{archive}: not a .zip or .tar archive, or a damaged one ({error})") from None
    except OSError as error:
        raise InputError(f"{archive}: cannot unpack ({error.strerror or error})") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _merge(staging: Path, folder: Path) -> None:
    """Move every file below `staging` to the same place below `folder`."""
    for parent, _, files in os.walk(staging):
        place = folder / Path(parent).relative_to(staging)
        place.mkdir(exist_ok=True)
        for name in files:
            (Path(parent) / name).replace(place / name)


def _place(name: str, staging: Path, archive: Path) -> Path:
    """Where a member goes; its name must be relative and stay below."""
    pure = PurePosixPath(name)
    if (
        not pure.parts
        or pure.is_absolute()
        or ".." in pure.parts
        or any(sign in name for sign in ("\\", "\x00"))
        or ":" in pure.parts[0]
    ):
        raise InputError(f"{archive}: refused: member {name!r} would be written outside of its folder")
    return staging / pure


def _check_ratio(archive: Path, declared: int) -> None:
    size = archive.stat().st_size
    if declared > max(UNSUSPECTED_BYTES, MOST_RATIO * size):
        raise InputError(f"{archive}: refused: {size} bytes that declare {declared} unpacked: a zip bomb")


def _write(stream: IO[bytes], path: Path, size: int, archive: Path) -> None:
    """Exactly `size` bytes of a stream to a file that is not there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left = size
    with path.open("xb") as file:
        while left and (chunk := stream.read(min(CHUNK, left))):
            file.write(chunk)
            left -= len(chunk)
        if left or stream.read(1):
            raise InputError(f"{archive}: damaged: {path.name!r} does not have the {size} bytes that it declares")


def _unpack_zip(archive: Path, staging: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        if sum(info.compress_size for info in members) > archive.stat().st_size:
            raise InputError(f"{archive}: refused: its members overlap: a zip bomb")
        declared = sum(info.file_size for info in members)
        _check_ratio(archive, declared)
        check_space(staging, declared, f"{archive}: unpacking")
        for info in progress(members, f"unpack {archive.name}"):
            place = _place(info.filename, staging, archive)
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise InputError(f"{archive}: refused: member {info.filename!r} is a link or a device")
            if info.flag_bits & 1:
                raise InputError(f"{archive}: refused: member {info.filename!r} is encrypted")
            if info.is_dir():
                place.mkdir(parents=True, exist_ok=True)
            else:
                with opened.open(info) as stream:
                    _write(stream, place, info.file_size, archive)


def _unpack_tar(archive: Path, staging: Path) -> None:
    declared = 0
    with (
        closing(_tar_stream(archive)) as stream,
        tarfile.open(fileobj=_Guarded(stream), mode="r:") as opened,  # type: ignore[call-overload]
    ):
        for member in progress(opened, f"unpack {archive.name}"):
            if member.isdir() and str(PurePosixPath(member.name)) == ".":
                continue
            place = _place(member.name, staging, archive)
            if member.isdir():
                place.mkdir(parents=True, exist_ok=True)
                continue
            if not member.isreg() or member.issparse():
                raise InputError(f"{archive}: refused: member {member.name!r} is a link, a device or a sparse file")
            declared += member.size
            _check_ratio(archive, declared)
            check_space(staging, member.size, f"{archive}: unpacking")
            content = opened.extractfile(member)
            if content is not None:
                _write(content, place, member.size, archive)
            opened.members = []  # tarfile would keep every header


def _tar_stream(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        head = file.read(6)
    opener = next((opener for magic, opener in _OPENERS if head.startswith(magic)), None)
    stream: IO[bytes] = path.open("rb") if opener is None else opener(path, "rb")
    return stream


class _Guarded:
    """A stream that tarfile cannot be talked into reading into memory whole: headers declare their own lengths."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MOST_META_BYTES:
            raise tarfile.ReadError(f"a header declares {size} bytes")
        return self._stream.read(size)
