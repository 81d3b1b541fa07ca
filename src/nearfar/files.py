"""Writing files so that nobody ever sees half of one, and reading numpy archives without copying or unpickling."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import stat
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "check_claim",
    "check_file",
    "locked",
    "open_npy",
    "open_npz",
    "read_bytes",
    "read_json",
    "read_text",
    "replacing",
    "write_npz",
    "write_safetensors",
    "write_text",
]

Array = npt.NDArray[Any]

_BAD_HEADER = (ValueError, SyntaxError, TypeError, OverflowError, RecursionError, MemoryError, tokenize.TokenError)
"""What numpy raises for headers that are damaged: it tokenizes and evaluates them as Python literals."""

_UNSUSPECTED = 256 << 20
_MOST_RATIO = 100
"""Archives that claim to unpack to more than `_UNSUSPECTED` bytes and so many times their size are not believed."""

_MACHINE = f"{zlib.crc32(platform.node().encode()):08x}"
"""Of this machine or container: processes of others cannot be asked after."""
_PARTIAL = re.compile(rf"\..*\.{_MACHINE}-(\d+)-[0-9a-f]{{8}}\.partial(\..*)?", re.DOTALL)
"""Names of `replacing`'s temporary files on this machine, with the process that writes them."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and is removed when it does not.

    What a process left behind that was killed, the next one to write into the folder removes.

    Raises:
        InputError: the file cannot be written (no such folder, no permission, disk full).
    """
    path = Path(path)
    if not path.name:
        raise InputError("no file name was given to write to")
    temporary = path.with_name(f".{path.stem}.{_MACHINE}-{os.getpid()}-{uuid4().hex[:8]}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent.absolute())
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot write ({error.strerror or error})") from error
    finally:
        with suppress(OSError):  # where the folder is no folder, there is nothing to remove either
            temporary.unlink()


@lru_cache(maxsize=256)
def _remove_abandoned(folder: Path) -> None:
    """Remove what `replacing` left in a folder when its process was killed; looked for once a folder and process."""
    if os.name == "nt":  # asking after a process (signal 0) would end it there
        return
    with suppress(OSError):
        for entry in folder.iterdir():
            if (found := _PARTIAL.fullmatch(entry.name)) and not _is_running(int(found[1])):
                with suppress(OSError):
                    entry.unlink()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True


@contextmanager
def locked(path: str | Path, held: str) -> Iterator[None]:
    """Keep other processes out of what a lock file stands for; its folder is made where it is not there.

    The system lets go of the lock when the process ends, however it ends. The file stays.

    Raises:
        InputError: another process has it (`held` is the message), or the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise InputError(f"{path}: cannot write ({error.strerror or error})") from None
    with file:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(held) from None
        yield


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")


def check_file(path: str | Path) -> Path:
    """The path of a file that is there.

    Raises:
        InputError: no such file, something else of that name, or it cannot be reached.
    """
    path = Path(path)
    try:
        kind = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{path}: cannot read ({getattr(error, 'strerror', None) or error})") from None
    if not stat.S_ISREG(kind):
        raise InputError(f"{path}: not a file")
    return path


def read_bytes(path: str | Path, most: int | None = None) -> bytes:
    """Read a whole file.

    Raises:
        InputError: no such file, more than `most` bytes, or it cannot be read.
    """
    path = check_file(path)
    try:
        if most is not None and (size := path.stat().st_size) > most:
            raise InputError(f"{path}: {size} bytes, more than the {most} that are read")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read ({error.strerror or error})") from None


def read_text(path: str | Path) -> str:
    """Read a UTF-8 text file (a byte-order mark is dropped).

    Raises:
        InputError: no such file, empty, or not text.
    """
    try:
        text = check_file(path).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot read ({error.strerror or error})") from None
    if not text.strip():
        raise InputError(f"{path}: the file is empty")
    return text


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: no such file, empty, not JSON (cut off, for one), or a number of thousands of digits.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{path}: not JSON, or cut off ({error.msg} at {where})") from None
    except RecursionError:
        raise InputError(f"{path}: JSON nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{path}: a number that cannot be read ({error})") from None


def write_safetensors(path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write torch tensors and a JSON header (under the key "nearfar") as safetensors, whole or not at all."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replacing(path) as temporary:
        temporary.touch()  # with the permissions of any other file; safetensors would make it private
        mode = temporary.stat().st_mode
        try:
            save_file(plain, temporary, metadata={"nearfar": json.dumps(header)})
        except SafetensorError as error:
            raise InputError(f"{path}: cannot write ({error})") from None
        temporary.chmod(mode)


def write_npz(path: str | Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays as an uncompressed ``.npz`` (which `open_npz` can map into memory), whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def open_npz(path: str | Path) -> dict[str, Array]:
    """Read an ``.npz`` file: stored members are mapped into memory, compressed ones are read.

    Raises:
        InputError: no such file, not a numpy archive, truncated, or an array of pickled objects.
    """
    path = check_file(path)
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            check_claim(archive, path)
            return {
                info.filename.removesuffix(".npy"): _read_member(path, file, archive, info)
                for info in archive.infolist()
                if info.filename.endswith(".npy")
            }
    except InputError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: not a numpy .npz archive, or a damaged one ({error})") from None


def check_claim(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse (`InputError`) archives that claim to unpack to far more than the file at `path` can hold."""
    claimed = sum(info.file_size for info in archive.infolist())
    if claimed > max(_UNSUSPECTED, _MOST_RATIO * path.stat().st_size):
        raise InputError(f"{path}: claims to unpack to {claimed} bytes, too many for a file of its size")


def open_npy(path: str | Path) -> Array:
    """Map an ``.npy`` file into memory.

    Raises:
        InputError: no such file, not a numpy array, truncated, or an array of pickled objects.
    """
    path = check_file(path)
    try:
        with path.open("rb") as file:
            header = _npy_header(file, path.stat().st_size, str(path))
            return _mapped(path, file.tell(), *header)
    except OSError as error:
        raise InputError(f"{path}: cannot read ({error.strerror or error})") from None


def _read_member(path: Path, file: IO[bytes], archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    where = f"{path}: array {info.filename!r}"
    if info.compress_type != zipfile.ZIP_STORED:
        with archive.open(info) as member:
            shape, fortran_order, dtype = _npy_header(member, info.file_size, where)
            data = member.read(math.prod(shape) * dtype.itemsize)
            if len(data) < math.prod(shape) * dtype.itemsize:
                raise InputError(f"{where}: ends after {len(data)} bytes of shape {shape} of {dtype}")
        return np.ndarray(shape, dtype, buffer=bytearray(data), order="F" if fortran_order else "C")
    # The local header has its own name and extra lengths (bytes 26 to 29); the member's bytes follow it.
    file.seek(info.header_offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise InputError(f"{path}: damaged archive, member {info.filename!r} is not where it should be")
    begin = info.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    file.seek(begin)
    array_header = _npy_header(file, info.file_size, where)
    return _mapped(path, file.tell(), *array_header)


def _mapped(path: Path, offset: int, shape: tuple[int, ...], fortran_order: bool, dtype: np.dtype[Any]) -> Array:
    if not math.prod(shape) * dtype.itemsize:
        return np.empty(shape, dtype)
    order: Literal["F", "C"] = "F" if fortran_order else "C"
    mapped: Array = np.memmap(str(path), dtype=dtype, mode="r", offset=offset, shape=shape, order=order)
    return mapped


def _npy_header(file: IO[bytes], size: int, where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and type of an array in numpy's format, which fit the `size` bytes of its member."""
    begin = file.tell()
    try:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(file)
        needed = math.prod(shape) * max(dtype.itemsize, 1)
    except _BAD_HEADER as error:
        raise InputError(f"{where}: not a numpy array, or a damaged one (in its header: {error})") from None
    if dtype.hasobject:
        raise InputError(f"{where} holds pickled objects, which nearfar does not read")
    if min(shape, default=0) < 0 or needed > size - (file.tell() - begin):
        claim = f"it claims shape {shape} of {dtype}, too much for its {size} bytes"
        raise InputError(f"{where}: not a numpy array, or a damaged one ({claim})")
    return shape, fortran_order, dtype
