"""Making things before they are asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")


def ahead(items: Iterable[T], most: int = 4) -> Iterator[T]:
    """The items in their order, made in a thread of their own while the ones before them are worked on.

    So a video is decoded while its frames are searched, drawn on or encoded. What making an item raises is raised in
    its place. Whoever breaks off waits for `most` items at the longest.

    Args:
        items: made one at a time.
        most: how many are made before they are asked for, and held in memory.
    """
    end = object()
    making = iter(items)
    with ThreadPoolExecutor(1, "ahead") as pool:
        coming = deque(pool.submit(next, making, end) for _ in range(most))
        while (item := coming.popleft().result()) is not end:
            coming.append(pool.submit(next, making, end))
            yield item  # type: ignore[misc]
