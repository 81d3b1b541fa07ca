"""A person's way down the queue.

The queue is the index `ix_pair_queue`: pairs that need answers, by priority, then in random order of their poses.
Whoever has answered much of what is still open would have to walk past all that each time. So each person keeps a place
before which nothing was left for them. A walk looks at the first `HEAD` pairs, where pairs that came back, or are asked
more often, may stand; goes on from the person's place to the end; and sees the rest, between head and place, last.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Exists, RowMapping, exists, select, tuple_

from nearfar.annotation import schema

__all__ = ["Place", "Walk", "not_asked"]

HEAD = 100
"""Pairs at the head of the queue that every walk looks at."""

BATCH = 100
"""Pairs looked at at a time."""

MOST_BATCHES = 50
"""Batches in one transaction; a longer walk goes on in the next one, so that others can write in between."""

Place = tuple[float, int, int]
"""Of a pair in the queue: priority, shuffle, number. The queue is walked downwards."""


@dataclass(frozen=True)
class _Leg:
    """A part of the way: from `start` (included) or the top, to `end` (not included) or the bottom."""

    start: Place | None
    end: Place | None
    is_head: bool = False


@dataclass
class Walk:
    """Where somebody is on their way.

    Attributes:
        person_id: who.
        legs: what lies ahead.
        place: where to begin the next time; None: at the head.
        found: something was found behind the head, so that `place` stays.
        waiting: poses that were found and not yet given.
        seen: poses that were found.
    """

    person_id: int
    legs: tuple[_Leg, ...]
    place: Place | None
    found: bool = False
    waiting: list[int] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, person: RowMapping) -> Walk:
        """The walk of a person (row of `schema.person`)."""
        place = (person["queue_priority"], person["queue_shuffle"], person["queue_pair"])
        if any(part is None for part in place):
            return cls(person["id"], (_Leg(None, None),), None)
        return cls(person["id"], (_Leg(None, place, True), _Leg(place, None)), place)

    @property
    def ended(self) -> bool:
        """Whether the whole queue was seen."""
        return not self.legs and not self.waiting

    def copy(self) -> Walk:
        """A copy to go on with, in a transaction that may have to be tried again."""
        return replace(self, waiting=list(self.waiting), seen=set(self.seen))

    def poses(self, connection: Connection, count: int) -> list[int]:
        """The next poses, up to `count`, of which something is free for the person; none at the end, or of patience."""
        batches = 0
        while self.legs and len(self.waiting) < count and batches < MOST_BATCHES:
            self._look(connection)
            batches += 1
        if not self.legs and not self.found:
            self.place = None
        poses, self.waiting = self.waiting[:count], self.waiting[count:]
        return poses

    def _look(self, connection: Connection) -> None:
        leg, *rest = self.legs
        pair, question = schema.pair, schema.question
        place = tuple_(pair.c.priority, pair.c.shuffle, pair.c.id)
        query = select(pair.c.priority, pair.c.shuffle, pair.c.id, pair.c.pose_id).where(schema.queued)
        if leg.start is not None:
            query = query.where(place <= tuple_(*leg.start))
        if leg.end is not None:
            query = query.where(place > tuple_(*leg.end))
        limit = HEAD if leg.is_head else BATCH
        query = query.order_by(pair.c.priority.desc(), pair.c.shuffle.desc(), pair.c.id.desc()).limit(limit)
        rows = connection.execute(query).all()
        # In two steps, as a planner that thinks itself clever would read all that the person was ever asked.
        asked = select(question.c.pair_id).where(
            question.c.person_id == self.person_id,
            question.c.pair_id.in_([row.id for row in rows]),
            question.c.state != "dropped",
        )
        mine = set(connection.execute(asked).scalars()) if rows else set()
        free = [row for row in rows if row.id not in mine]
        places: list[Place] = [(row.priority, row.shuffle, row.id) for row in (free[:1] or rows[-1:])]
        if not leg.is_head and not self.found and places:
            self.place, self.found = places[0], bool(free)
        ahead: tuple[_Leg, ...] = ()
        if len(rows) == limit:
            last = rows[-1]
            ahead = (_Leg((last.priority, last.shuffle, last.id - 1), leg.end),)
        # What is left of the way between the head and the place is seen last.
        self.legs = (*rest, *ahead) if leg.is_head else (*ahead, *rest)
        for row in free:
            if row.pose_id not in self.seen:
                self.seen.add(row.pose_id)
                self.waiting.append(row.pose_id)


def not_asked(person_id: int) -> Any:
    """Condition: the pair was not asked of the person, or dropped unanswered."""
    question, pair = schema.question, schema.pair
    mine = (question.c.person_id == person_id) & (question.c.pair_id == pair.c.id) & (question.c.state != "dropped")
    asked: Exists = exists().where(mine)
    return ~asked
