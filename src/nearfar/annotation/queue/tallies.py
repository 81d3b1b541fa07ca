"""Sums of what each person answered, hour by hour, kept with every answer (`schema.tally`)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable, bindparam, delete, insert, select

from nearfar.annotation import schema
from nearfar.annotation.database import upsert
from nearfar.annotation.schema import TIME_BINS
from nearfar.annotation.settings import Settings

__all__ = ["Given", "Tally", "add_tally", "retally", "time_bin", "time_edges_ms"]

Tally = Mapping[int, Counter[str]]
"""By hour since 1970: how much is added to each column of `schema.tally`."""

COUNTED = [column.name for column in schema.tally.c if not column.primary_key]


@dataclass(frozen=True)
class Given:
    """A live answer: what is counted of it."""

    purpose: str
    choice: str
    a_left: bool
    correct: int | None
    response_ms: int
    received_at: float

    def counts(self, settings: Settings) -> Counter[str]:
        """What it adds to a tally; nothing for lessons."""
        if self.purpose not in ("work", "gold"):
            return Counter()
        decided = self.choice in ("a", "b")
        return Counter(
            {
                self.purpose: 1,
                "gold_right": int(self.purpose == "gold" and self.correct == 1),
                "first": int(self.choice == "a"),
                "left": int(decided and (self.choice == "a") == self.a_left),
                "same": int(self.choice == "same"),
                "unsure": int(self.choice == "unsure"),
                "hasty": int(self.response_ms < settings.fast_ms),
                f"time_{time_bin(self.response_ms)}": 1,
            }
        )

    @property
    def hour(self) -> int:
        """Hours since 1970."""
        return int(self.received_at // 3600)


def time_edges_ms() -> tuple[float, ...]:
    """Ends of all bins of response times but the last, which is open; the first begins at 0."""
    return tuple(125 * 2 ** (i / 2) for i in range(TIME_BINS - 1))


_EDGES = time_edges_ms()


def time_bin(response_ms: int) -> int:
    """The bin of a response time."""
    return next((i for i, edge in enumerate(_EDGES) if response_ms < edge), TIME_BINS - 1)


def add_tally(connection: Connection, person_id: int, tally: Tally) -> None:
    """Add to a person's sums; the person is locked."""
    for hour, counts in tally.items():
        if any(counts.values()):
            row = {"person_id": person_id, "hour": hour, **{name: counts[name] for name in COUNTED}}
            connection.execute(_adding(connection.dialect.name), row)


@cache
def _adding(dialect: str) -> Executable:
    """The statement that adds a row to the sums; making it costs more than all else of an answer."""
    table = schema.tally
    query = upsert(dialect, table).values({column.name: bindparam(column.name) for column in table.c})
    sums = {name: table.c[name] + query.excluded[name] for name in COUNTED}
    return query.on_conflict_do_update(index_elements=["person_id", "hour"], set_=sums)


def retally(connection: Connection, settings: Settings, person_id: int) -> bool:
    """Sum everything of a locked person anew.

    Returns:
        Whether anything was wrong.
    """
    right: dict[int, Counter[str]] = defaultdict(Counter)
    for given in _given(connection, person_id):
        right[given.hour].update(given.counts(settings))
    wanted = {hour: +counts for hour, counts in right.items() if +counts}
    table = schema.tally
    rows = connection.execute(select(table).where(table.c.person_id == person_id)).mappings()
    present = {row["hour"]: +Counter({name: row[name] for name in COUNTED}) for row in rows}
    if {hour: counts for hour, counts in present.items() if counts} == wanted:
        return False
    connection.execute(delete(table).where(table.c.person_id == person_id))
    if wanted:
        values: list[dict[str, Any]] = [
            {"person_id": person_id, "hour": hour, **{name: counts[name] for name in COUNTED}}
            for hour, counts in wanted.items()
        ]
        connection.execute(insert(table), values)
    return True


def _given(connection: Connection, person_id: int) -> Iterator[Given]:
    question, answer, pair, task = schema.question, schema.answer, schema.pair, schema.task
    query = (
        select(
            pair.c.purpose,
            question.c.choice,
            task.c.a_left,
            question.c.correct,
            answer.c.response_ms,
            answer.c.received_at,
        )
        .join_from(question, task)
        .join(pair)
        .join(answer, (answer.c.question_id == question.c.id) & (answer.c.revision == question.c.revision))
        .where(question.c.person_id == person_id, question.c.state == "answered")
    )
    return (Given(**row) for row in connection.execute(query).mappings())
