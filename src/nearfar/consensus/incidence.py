"""Which worker answered what to which item, as a sparse matrix: what every EM here spends its time on.

An answer is a *kind*: what was said, and how it was asked. What a worker's answers of one kind mean depends on nothing
but the item's hidden state, so both steps of EM are products with one sparse (I, W·C) matrix of counts: the E step sums
a table (W, C, S) of log likelihoods over the answers to each item, and the M step sums the items' posteriors (I, S)
over the answers of each worker and kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor  # torch itself is loaded where it is used: the annotation server starts without it

__all__ = ["Incidence", "ranges"]

Array = npt.NDArray[Any]

CHUNK = 200_000
"""Answers that are worked on at once: few enough to stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Incidence:
    """M answers by item, and the same by worker and kind.

    Attributes:
        code: (M,) worker · kinds + kind of each answer, in the order of the items.
        first: (I + 1,) where the answers of each item start.
        workers, kinds: W and C.
    """

    code: Tensor
    first: Tensor
    workers: int
    kinds: int

    @classmethod
    def of(cls, item: Array, worker: Array, kind: Array, items: int, workers: int, kinds: int) -> Incidence:
        """From (M,) items (rising), workers and kinds."""
        import torch

        first = np.searchsorted(item, np.arange(items + 1))
        return cls(torch.from_numpy(worker * kinds + kind), torch.from_numpy(first), workers, kinds)

    @property
    def items(self) -> int:
        """How many items there are."""
        return len(self.first) - 1

    def per_item(self, table: Array, start: int = 0, stop: int | None = None) -> Array:
        """(I, S) sums of a (W, C, S) table over the answers to each item, or to the items start..stop alone."""
        import torch

        stop = self.items if stop is None else stop
        low, high = int(self.first[start]), int(self.first[stop])
        rows = torch.from_numpy(
            np.ascontiguousarray(table.reshape(self.workers * self.kinds, math.prod(table.shape[2:])))
        )
        if high == low:
            return np.zeros((stop - start, rows.shape[1]), rows.numpy().dtype)
        sums = torch.nn.functional.embedding_bag(
            self.code[low:high], rows, self.first[start : stop + 1] - low, mode="sum", include_last_offset=True
        )
        return np.asarray(sums.numpy())

    def per_worker(self, values: Array, start: int = 0) -> Array:
        """(W, C, S) sums over the answers of each worker and kind to the items that (i, S) values start at."""
        first, code = self.first.numpy(), self.code.numpy()
        size = self.workers * self.kinds
        sums = np.zeros((values.shape[1], size))
        for low, high in ranges(first, CHUNK, start, start + len(values)):
            here, counts = code[first[low] : first[high]], np.diff(first[low : high + 1])
            for i, column in enumerate(values[low - start : high - start].T):
                sums[i] += np.bincount(here, np.repeat(column, counts), size)
        return sums.T.reshape(self.workers, self.kinds, values.shape[1])


def ranges(first: Array, most: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
    """Ranges of the groups start..stop with at most so many members, or one; group g is first[g]..first[g + 1]."""
    stop = len(first) - 1 if stop is None else stop
    while start < stop:
        end = int(np.searchsorted(first, first[start] + most, side="right")) - 1
        end = min(max(end, start + 1), stop)
        yield start, end
        start = end
