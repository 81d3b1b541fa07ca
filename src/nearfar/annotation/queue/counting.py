"""How many answers a pair has, has given out, and needs; kept right in the transaction that changes them.

Locks are always taken in this order, so that no two transactions wait for each other: one person, then pairs in the
order of their numbers. (SQLite has one writer at a time; there the locks cost nothing.) A question's state changes
only under the locks of its person and its pair.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection, Engine, RowMapping, bindparam, case, func, select, update

from nearfar.annotation import schema
from nearfar.annotation.database import with_retries
from nearfar.annotation.queue.tallies import retally
from nearfar.annotation.settings import Settings
from nearfar.errors import InputError

__all__ = ["PairState", "lease_more", "lock_pairs", "lock_person", "read_pairs", "recount", "store_pairs"]

AT_ONCE = 2000
"""Pairs looked at in one transaction, and numbers in one query."""


@dataclass(frozen=True)
class PairState:
    """What changes about a pair (columns of `schema.pair`)."""

    id: int
    purpose: schema.Purpose
    wanted: int
    least: int
    answered: int
    leased: int
    closed: str | None
    probability: float | None
    risk: float | None

    @property
    def need(self) -> int:
        """Answers to ask for now."""
        return max(0, self.wanted - self.answered - self.leased) if self.closed is None else 0


_COLUMNS = [schema.pair.c[name] for name in PairState.__dataclass_fields__]


def lock_person(connection: Connection, person_id: int) -> RowMapping:
    """The row of a person, whom nobody else changes before the transaction ends.

    Raises:
        InputError: there is no such person.
    """
    query = select(schema.person).where(schema.person.c.id == person_id).with_for_update(key_share=True)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise InputError(f"person {person_id}: there is none of that number")
    return row


def lock_pairs(connection: Connection, ids: Iterable[int]) -> dict[int, PairState]:
    """Pairs by number, which nobody else changes before the transaction ends."""
    return read_pairs(connection, ids, lock=True)


def read_pairs(connection: Connection, ids: Iterable[int], *, lock: bool = False) -> dict[int, PairState]:
    """Pairs by number."""
    found = {}
    for some in in_parts(sorted(set(ids))):
        query = select(*_COLUMNS).where(schema.pair.c.id.in_(some)).order_by(schema.pair.c.id)
        query = query.with_for_update(key_share=True) if lock else query
        found.update({row["id"]: PairState(**row) for row in connection.execute(query).mappings()})
    return found


def store_pairs(connection: Connection, pairs: Collection[PairState]) -> None:
    """Write locked pairs."""
    if not pairs:
        return
    names = ("wanted", "least", "answered", "leased", "need", "closed", "probability", "risk")
    table = schema.pair
    query = (
        update(table).where(table.c.id == bindparam("row")).values({name: bindparam(f"new_{name}") for name in names})
    )
    rows = [{"row": pair.id, **{f"new_{name}": getattr(pair, name) for name in names}} for pair in pairs]
    connection.execute(query, rows)


def lease_more(connection: Connection, ids: Collection[int], by: int) -> None:
    """Count `by` more questions given out of each of the locked pairs."""
    if not ids:
        return
    table = schema.pair
    left = table.c.wanted - table.c.answered - table.c.leased - by
    need = case((table.c.closed.is_(None) & (left > 0), left), else_=0)
    for some in in_parts(sorted(ids)):
        connection.execute(update(table).where(table.c.id.in_(some)).values(leased=table.c.leased + by, need=need))


def in_parts(ids: list[int]) -> Iterable[list[int]]:
    """Some numbers at a time."""
    return (ids[at : at + AT_ONCE] for at in range(0, len(ids), AT_ONCE))


def recount(engine: Engine, settings: Settings) -> int:
    """Count everything anew from the questions and answers; safe while people answer.

    Returns:
        How many pairs and tallies were wrong. It is 0 unless somebody changed the database by hand.
    """
    wrong, ids = 0, [0]
    while ids := with_retries(engine, partial(_next_pairs, after=ids[-1])):
        wrong += with_retries(engine, partial(_recount, ids=ids))
    with engine.connect() as connection:
        people = connection.execute(select(schema.person.c.id)).scalars().all()

    def retally_one(connection: Connection, person_id: int) -> bool:
        lock_person(connection, person_id)
        return retally(connection, settings, person_id)

    return wrong + sum(with_retries(engine, partial(retally_one, person_id=person_id)) for person_id in people)


def _next_pairs(connection: Connection, after: int) -> list[int]:
    column = schema.pair.c.id
    return list(connection.execute(select(column).where(column > after).order_by(column).limit(AT_ONCE)).scalars())


def _recount(connection: Connection, ids: list[int]) -> int:
    before = lock_pairs(connection, ids)
    question, person = schema.question, schema.person
    live = (question.c.state == "answered") & person.c.blocked_at.is_(None)
    query = (
        select(
            question.c.pair_id,
            func.sum(case((live, 1), else_=0)),
            func.sum(case((question.c.state == "leased", 1), else_=0)),
        )
        .join_from(question, person)
        .where(question.c.pair_id.in_(ids))
        .group_by(question.c.pair_id)
    )
    counts = {row[0]: (int(row[1]), int(row[2])) for row in connection.execute(query)}
    after = {}
    for id_, pair in before.items():
        answered, leased = counts.get(id_, (0, 0))
        after[id_] = replace(pair, answered=answered, leased=leased)
    stored = select(schema.pair.c.id, schema.pair.c.need).where(schema.pair.c.id.in_(ids))
    needs = dict(connection.execute(stored).all())
    wrong = {id_: pair for id_, pair in after.items() if pair != before[id_] or pair.need != needs[id_]}
    store_pairs(connection, wrong.values())
    return len(wrong)
