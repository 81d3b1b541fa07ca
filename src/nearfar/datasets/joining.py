"""Putting the parts of a data set together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nearfar.errors import InputError
from nearfar.poses import Category, PoseSet

__all__ = ["join_poses"]


def join_poses(parts: Sequence[PoseSet], provenance: Mapping[str, Any]) -> PoseSet:
    """The rows of several pose sets, one after the other.

    Args:
        parts: at least one, on one skeleton, in one frame and with the same columns.
        provenance: where the whole came from; it replaces that of the parts.

    Raises:
        InputError: the parts differ in skeleton, frame or columns.
    """
    first = parts[0]
    if any((part.skeleton, part.frame) != (first.skeleton, first.frame) for part in parts):
        raise InputError("joining pose sets: they are on different skeletons, or in different frames")
    changes: dict[str, Any] = {"provenance": dict(provenance), "mean_limb_lengths": None}
    for field in dataclasses.fields(PoseSet):
        columns = [getattr(part, field.name) for part in parts]
        if field.name in changes or not any(isinstance(column, np.ndarray | Category) for column in columns):
            continue
        if any(column is None for column in columns):
            raise InputError(f"joining pose sets: only some of them have {field.name}")
        join = _joined if isinstance(columns[0], Category) else np.concatenate
        changes[field.name] = join(columns)
    return dataclasses.replace(first, **changes)


def _joined(columns: Sequence[Category]) -> Category:
    names = list(dict.fromkeys(name for column in columns for name in column.names))
    number = {name: i for i, name in enumerate(names)}
    codes = [np.array([number[name] for name in c.names], dtype=np.int32)[c.codes] for c in columns if len(c.codes)]
    return Category(np.concatenate(codes) if codes else np.zeros(0, np.int32), tuple(names))
