"""Arrays of numbers from an HDF5 file, nothing from outside it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.datasets.checks import DEFLATE_RATIO
from nearfar.errors import InputError
from nearfar.files import check_file

__all__ = ["read_hdf5"]

Array = npt.NDArray[Any]


def read_hdf5(path: str | Path, names: Collection[str]) -> dict[str, Array]:
    """Read arrays of numbers. Sizes that the file declares are held against the bytes that it stores for them.

    Args:
        path: the file.
        names: the arrays wanted, ``group/array`` where they lie in groups.

    Returns:
        The arrays by name.

    Raises:
        InputError: no such file, not HDF5, damaged, a name that is missing, no array of numbers or kept outside the
            file; or h5py is not installed.
    """
    path = check_file(path)
    try:
        import h5py
    except ImportError:
        raise InputError(f'{path}: reading HDF5 needs h5py: pip install "nearfar[datasets]"') from None
    try:
        size = path.stat().st_size
        with h5py.File(path, "r") as file:
            if missing := [name for name in names if not _has(file, name, h5py.HardLink)]:
                raise InputError(f"{path}: missing arrays {missing}; it has {sorted(file)}")
            return {name: _numbers(file[name], f"{path}: {name}", size) for name in names}
    except InputError:
        raise
    except (
        OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError,
    ) as error:  # fmt: skip
        raise InputError(f"{path}: not an HDF5 file, or a damaged one ({error})") from None


def _has(group: Any, name: str, hard_link: type) -> bool:
    """Whether the name leads somewhere, and by no link into another place or file."""
    for part in name.split("/"):
        if not isinstance(group.get(part, getlink=True) if hasattr(group, "get") else None, hard_link):
            return False
        group = group[part]
    return True


def _numbers(dataset: Any, where: str, file_size: int) -> Array:
    dtype = getattr(dataset, "dtype", None)
    if getattr(dataset, "shape", None) is None or dtype is None or dtype.kind not in "biuf":
        raise InputError(f"{where}: expected an array of numbers")
    if dataset.external or dataset.is_virtual:
        raise InputError(f"{where}: its numbers are kept in other files, where they are not read")
    stored = min(dataset.id.get_storage_size(), file_size)
    if dataset.size * dtype.itemsize > (stored if dataset.chunks is None else DEFLATE_RATIO * stored):
        raise InputError(f"{where}: claims shape {dataset.shape}, too much for the {stored} bytes stored")
    return np.asarray(dataset[()])
