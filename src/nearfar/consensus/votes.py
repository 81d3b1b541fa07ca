"""Answers brought together by what they were asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.labels import RelativeLabels
from nearfar.parquet import coded_text

__all__ = ["Growth", "Votes", "places", "votes_of"]

Array = npt.NDArray[Any]


JOINT_BITS = 12
LAST_JOINT = (1 << JOINT_BITS) - 1
"""Items are numbered by their pose and two joints of so many bits each."""


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
    def keys(self) -> Array:
        """(I,) a number for each item, by pose and pair alone; rising."""
        return _keys(self.pose, self.pair)

    @property
    def relation(self) -> Array:
        """(M,) what each answer says of its item the way round that `pair` has it: -1, 0 or +1."""
        return np.where(self.swapped, -self.vote, self.vote)

    @property
    def decided(self) -> Array:
        """(M,) answers that take a side."""
        return np.asarray(self.vote != 0)

    def per_item(self, weights: Array) -> Array:
        """(I,) sums over the answers to each item."""
        return np.bincount(self.item, weights, self.items)

    def per_worker(self, weights: Array) -> Array:
        """(W,) sums over the answers of each worker."""
        return np.bincount(self.worker, weights, len(self.workers))

    def of_items(self, chosen: Array) -> Votes:
        """The answers to the items of an (I,) mask, and those who gave them."""
        kept = chosen[self.item]
        present = np.bincount(self.worker[kept], minlength=len(self.workers)) > 0
        answers = {name: getattr(self, name)[kept] for name in ("vote", "swapped", "unsure", "row")}
        return Votes(
            pose=self.pose[chosen],
            pair=self.pair[chosen],
            item=(np.cumsum(chosen) - 1)[self.item[kept]],
            worker=(np.cumsum(present) - 1)[self.worker[kept]],
            workers=self.workers[present],
            **answers,
        )

    def joined(self, more: Votes) -> Votes:
        """These answers and more of them, whose rows follow on these."""
        workers = np.union1d(self.workers, more.workers)
        columns = {
            name: np.concatenate([getattr(self, name), getattr(more, name)]) for name in ("vote", "swapped", "unsure")
        }
        return _votes(
            pose=np.concatenate([self.pose[self.item], more.pose[more.item]]),
            pair=np.concatenate([self.pair[self.item], more.pair[more.item]]),
            worker=np.concatenate([np.searchsorted(workers, part.workers)[part.worker] for part in (self, more)]),
            row=np.concatenate([self.row, more.row + len(self)]),
            workers=workers,
            **columns,
        )


@dataclass(frozen=True, eq=False)
class Growth:
    """How what was found of some answers goes over to more of them, of which a part was looked at again.

    Attributes:
        votes: all answers now.
        item: (I,) where each item stood before; anything for a new one.
        seen: (I,) items of the part; new ones are among them.
        worker: (W,) where each worker stood before; anything for a new one.
        free: (W,) workers that were fitted again; new ones are among them.
        part: (F,) where these stand in the part.
    """

    votes: Votes
    item: Array
    seen: Array
    worker: Array
    free: Array
    part: Array

    @classmethod
    def of(cls, before: Votes, votes: Votes, seen: Array, free: Array, part: Votes) -> Growth:
        """From the answers before and now, the masks, and the part of the answers now that was looked at."""
        item, _ = places(votes.keys, before.keys)
        worker, _ = places(votes.workers, before.workers)
        return cls(votes, item, seen, worker, free, places(votes.workers[free], part.workers)[0])

    def by_item(self, before: Array, part: Array) -> Array:
        """(I, ...) values of all items, from those of the items before and those of the part."""
        values = np.empty((len(self.item), *before.shape[1:]), before.dtype)
        values[~self.seen] = before[self.item[~self.seen]]
        values[self.seen] = part
        return values

    def by_worker(self, before: Array, part: Array) -> Array:
        """(W, ...) values of all workers, from those before and those of the part's workers."""
        values = np.empty((len(self.worker), *before.shape[1:]), before.dtype)
        values[~self.free] = before[self.worker[~self.free]]
        values[self.free] = part[self.part]
        return values


def places(names: Array, known: Array) -> tuple[Array, Array]:
    """(V,) where each name stands among the known ones, which rise, and whether it does (elsewhere its place is 0)."""
    place = np.minimum(np.searchsorted(known, names), max(len(known) - 1, 0))
    found = known[place] == names if len(known) else np.zeros(len(names), bool)
    return np.where(found, place, 0), found


def votes_of(answers: RelativeLabels) -> Votes:
    """Bring answers together by item.

    Rows are put in an order of their own (item, worker, answer), so that nothing depends on the order of the table.

    Raises:
        InputError: merged labels, which are no answers.
    """
    if answers.kind != "answers":
        raise InputError("consensus: expected raw answers, got labels that are merged already")
    workers, worker = _workers(answers)
    return _votes(
        pose=answers.pose.astype(np.int64),
        pair=np.sort(answers.pair.astype(np.int64), axis=1),
        worker=worker,
        vote=answers.relation.astype(np.int8),
        swapped=answers.pair[:, 0] > answers.pair[:, 1],
        unsure=np.zeros(len(answers), bool) if answers.unsure is None else answers.unsure,
        row=np.arange(len(answers)),
        workers=workers,
    )


def _keys(pose: Array, pair: Array) -> Array:
    return ((pose << JOINT_BITS) + pair[:, 0] << JOINT_BITS) + pair[:, 1]


def _votes(
    pose: Array, pair: Array, worker: Array, vote: Array, swapped: Array, unsure: Array, row: Array, workers: Array
) -> Votes:
    """Answers in any order, with (M,) poses and (M, 2) pairs of their own, by item."""
    keys, item = np.unique(_keys(pose, pair), return_inverse=True)
    item = item.reshape(-1)
    # One number an answer, what counts least last: one sort of integers instead of five.
    what = ((vote.astype(np.int64) + 1) * 2 + swapped) * 2 + unsure
    order = np.argsort((item * len(workers) + worker) * 12 + what, kind="stable")
    return Votes(
        pose=keys >> 2 * JOINT_BITS,
        pair=np.stack([keys >> JOINT_BITS & LAST_JOINT, keys & LAST_JOINT], axis=1),
        item=item[order],
        worker=worker[order],
        vote=vote[order],
        swapped=swapped[order],
        unsure=unsure[order],
        row=row[order],
        workers=workers,
    )


def _workers(answers: RelativeLabels) -> tuple[Array, Array]:
    """(W,) names, rising, and (M,) which of them answered."""
    if answers.annotator is None:
        return np.array([""]), np.zeros(len(answers), np.int64)
    texts, code = coded_text(np.asarray(answers.annotator, dtype=np.str_))
    names, place = np.unique(texts, return_inverse=True)
    return names, place.reshape(-1)[code]
