"""A bar for long work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

__all__ = ["progress"]

_Item = TypeVar("_Item")


def progress(items: Iterable[_Item], what: str, unit: str = "file") -> Iterable[_Item]:
    """The items one after the other, with a bar on stderr where that is a terminal."""
    from tqdm import tqdm

    bar: Iterable[_Item] = tqdm(items, what, unit=unit, leave=False, disable=None)
    return bar
