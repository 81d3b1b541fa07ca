"""Writing files so that nobody ever sees half of one, and reading numpy archives without copying or unpickling."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["open_npz", "read_json", "read_text", "replacing", "write_npz", "write_safetensors", "write_text"]

Array = npt.NDArray[Any]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and is removed when it does not.

    Raises:
        InputError: the file cannot be written (no such folder, no permission, disk full).
    """
    path = Path(path)
    if not path.name:
        raise InputError("no file name was given to write to")
    temporary = path.with_name(f".{path.stem}.{uuid4().hex[:8]}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot write ({error.strerror or error})") from error
    finally:
        with suppress(OSError):  # where the folder is no folder, there is nothing to remove either
            temporary.unlink()


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")


def read_text(path: str | Path) -> str:
    """Read a UTF-8 text file (a byte-order mark is dropped).

    Raises:
        InputError: no such file, empty, or not text.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file" if not path.exists() else f"{path}: not a file")
    try:
        text = path.read_text("utf-8-sig")
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
        InputError: no such file, empty, or not JSON (cut off, for one).
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{path}: not JSON, or cut off ({error.msg} at {where})") from None
    except RecursionError:
        raise InputError(f"{path}: JSON nested too deeply") from None


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
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file" if not path.exists() else f"{path}: not a file")
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            return {
                info.filename.removesuffix(".npy"): _read_member(path, file, archive, info)
                for info in archive.infolist()
                if info.filename.endswith(".npy")
            }
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise InputError(f"{path}: not a numpy .npz archive, or a damaged one ({error})") from None
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: cannot read ({error})") from None


def _read_member(path: Path, file: IO[bytes], archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    if info.compress_type == zipfile.ZIP_STORED:
        # The local header has its own name and extra lengths (bytes 26 to 29); the member's bytes follow it.
        file.seek(info.header_offset)
        header = file.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise InputError(f"{path}: damaged archive, member {info.filename!r} is not where it should be")
        file.seek(
            info.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        )
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(file)
        if dtype.hasobject:
            raise InputError(f"{path}: array {info.filename!r} holds pickled objects, which nearfar does not read")
        if dtype.itemsize * int(np.prod(shape, dtype=np.int64)) > 0:
            order: Literal["F", "C"] = "F" if fortran_order else "C"
            mapped: Array = np.memmap(str(path), dtype=dtype, mode="r", offset=file.tell(), shape=shape, order=order)
            return mapped
        return np.empty(shape, dtype)
    with archive.open(info) as member:
        try:
            return np.asarray(np.lib.format.read_array(member, allow_pickle=False))
        except ValueError as error:
            raise InputError(f"{path}: array {info.filename!r}: {error}") from None
