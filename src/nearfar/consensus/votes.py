"""Answers brought together by what they were asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.labels import RelativeLabels

__all__ = ["Votes", "votes_of"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Votes:
    """M answers about I items; an item is one pair of joints of one pose, whichever way round it was asked.

    Attributes:
        pose: (I,) pose of each item; rising.
        pair: (I, 2) its joints, the lower number first.
        item: (M,) which item was asked about; rising.
        worker: (M,) who answered.
        vote: (M,) -1 the first joint *as asked* is nearer, +1 the second is, 0 neither.
        swapped: (M,) whether the item was asked with the higher joint number first.
        unsure: (M,) whether a vote of 0 says "can't tell" rather than "same depth".
        row: (M,) the answer's row in the table it came from.
        workers: (W,) names, rising; one empty name where nobody was named.
    """

    pose: Array
    pair: Array
    item: Array
    worker: Array
    vote: Array
    swapped: Array
    unsure: Array
    row: Array
    workers: Array

    def __len__(self) -> int:
        return len(self.item)

    @property
    def items(self) -> int:
        """How many items there are."""
        return len(self.pose)

    @property
    def relation(self) -> Array:
        """(M,) what each answer says of its item the way round that `pair` has it: -1, 0 or +1."""
        return np.where(self.swapped, -self.vote, self.vote)

    def per_item(self, weights: Array) -> Array:
        """(I,) sums over the answers to each item."""
        return np.bincount(self.item, weights, self.items)

    def per_worker(self, weights: Array) -> Array:
        """(W,) sums over the answers of each worker."""
        return np.bincount(self.worker, weights, len(self.workers))


def votes_of(answers: RelativeLabels) -> Votes:
    """Bring answers together by item.

    Rows are put in an order of their own (item, worker, answer), so that nothing depends on the order of the table.

    Raises:
        InputError: merged labels, which are no answers.
    """
    if answers.kind != "answers":
        raise InputError("consensus: expected raw answers, got labels that are merged already")
    low, high = answers.pair.min(axis=1).astype(np.int64), answers.pair.max(axis=1).astype(np.int64)
    joints = answers.skeleton.num_joints
    keys, item = np.unique((answers.pose.astype(np.int64) * joints + low) * joints + high, return_inverse=True)
    item = item.reshape(-1)
    workers, worker = _workers(answers)
    swapped = answers.pair[:, 0] > answers.pair[:, 1]
    unsure = np.zeros(len(answers), bool) if answers.unsure is None else answers.unsure
    # One number an answer, smallest part last: one sort of integers instead of five.
    what = (answers.relation.astype(np.int64) + 1) * 4 + swapped * 2 + unsure
    order = np.argsort((item.astype(np.int64) * len(workers) + worker) * 12 + what, kind="stable")
    return Votes(
        pose=keys // joints**2,
        pair=np.stack([keys // joints % joints, keys % joints], axis=1),
        item=item[order],
        worker=worker[order],
        vote=answers.relation[order].astype(np.int8),
        swapped=swapped[order],
        unsure=unsure[order],
        row=order,
        workers=workers,
    )


def _workers(answers: RelativeLabels) -> tuple[Array, Array]:
    """(W,) names, rising, and (M,) which of them answered."""
    if answers.annotator is None:
        return np.array([""]), np.zeros(len(answers), np.int64)
    import pyarrow as pa

    coded = pa.array(answers.annotator.astype(np.str_)).dictionary_encode()  # far faster than sorting M strings
    names, place = np.unique(np.array(coded.dictionary.to_pylist(), dtype=np.str_), return_inverse=True)
    return names, place.reshape(-1)[coded.indices.to_numpy(zero_copy_only=False)]
