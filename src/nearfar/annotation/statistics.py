"""Numbers of the dashboard. None of them reads all answers: they come from tallies, pairs and the last merging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from nearfar.annotation import schema
from nearfar.annotation.quality import Share, median_ms, share_of
from nearfar.annotation.queue.refreshing import Agreement
from nearfar.annotation.queue.tallies import COUNTED, time_edges_ms
from nearfar.annotation.schema import TIME_BINS
from nearfar.annotation.settings import Settings

__all__ = [
    "Dashboard",
    "GoldFailure",
    "Hour",
    "Progress",
    "TimeBin",
    "dashboard",
    "gold_failures",
    "progress",
]

HOURS = 24


@dataclass(frozen=True)
class Progress:
    """How far the project is.

    Attributes:
        open: pairs that are still asked.
        closed: pairs by why they are asked no more: "answers", "risk", "most", "admin".
        answers: that count, to pairs of work.
        wanted: answers that open pairs need besides.
    """

    open: int
    closed: dict[str, int]
    answers: int
    wanted: int

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return self.open + sum(self.closed.values())


@dataclass(frozen=True)
class Hour:
    """Answers of one hour; `start` is seconds since 1970."""

    start: float
    answers: int


@dataclass(frozen=True)
class TimeBin:
    """Answers that took from `start_ms` to `end_ms`, None: or longer."""

    start_ms: float
    end_ms: float | None
    answers: int


@dataclass(frozen=True)
class Dashboard:
    """Everything at a glance.

    Attributes:
        progress: of the pairs of work.
        answers: of everybody, to pairs of work and of gold; blocked people's too.
        cost: of those answers; 0 without a price.
        hours: the last day's answers, hour by hour, the last one unfinished.
        agreement: among the answers to one pair, in the last merging; None before it.
        merged_at: when that was.
        gold: right answers to pairs of gold, of people who are not blocked, as are the following.
        first: A chosen, of A and B; without bias near 1/2.
        left: the left button chosen, of A and B.
        unsure: "can't tell".
        times: response times.
        median_ms: their median.
    """

    progress: Progress
    answers: int
    cost: float
    hours: tuple[Hour, ...]
    agreement: Agreement | None
    merged_at: float | None
    gold: Share
    first: Share
    left: Share
    unsure: Share
    times: tuple[TimeBin, ...]
    median_ms: float | None


@dataclass(frozen=True)
class GoldFailure:
    """A question with a known answer that somebody answered otherwise.

    Attributes:
        question_id, pair_id, pose_id, joint_a, joint_b: what was asked; joints in the order of the pair.
        truth: -1 joint_a is nearer, +1 joint_b, 0 the same.
        said: the same of what was said; None for "can't tell".
        person_id, name: who.
        purpose: gold, practice or test.
    """

    question_id: int
    pair_id: int
    pose_id: int
    joint_a: int
    joint_b: int
    truth: int
    said: int | None
    person_id: int
    name: str
    purpose: schema.Purpose


def dashboard(connection: Connection, settings: Settings, now: float) -> Dashboard:
    """Read everything at a glance: some tenths of a second for a million pairs, so keep it for some seconds."""
    person, tally, merging = schema.person, schema.tally, schema.merging
    query = (
        select(
            person.c.blocked_at.is_not(None).label("blocked"),
            *(func.sum(tally.c[name]).label(name) for name in COUNTED),
        )
        .join_from(tally, person)
        .group_by(person.c.blocked_at.is_not(None))
    )
    sums = {bool(row["blocked"]): row for row in connection.execute(query).mappings()}
    everybody = sum(int(row["work"]) + int(row["gold"]) for row in sums.values())
    trusted: Any = sums.get(False, {})
    counts = {name: int(trusted.get(name) or 0) for name in COUNTED}
    answers = counts["work"] + counts["gold"]
    decided = answers - counts["same"] - counts["unsure"]
    times = [counts[f"time_{i}"] for i in range(TIME_BINS)]
    ends = (*time_edges_ms(), None)
    last = connection.execute(select(merging.c.agreement, merging.c.merged_at)).one_or_none()
    return Dashboard(
        progress(connection),
        everybody,
        everybody * settings.price_per_answer,
        _hours(connection, now),
        None if last is None or last.agreement is None else Agreement(**last.agreement),
        None if last is None else last.merged_at,
        share_of(counts["gold_right"], counts["gold"]),
        share_of(counts["first"], decided),
        share_of(counts["left"], decided),
        share_of(counts["unsure"], answers),
        tuple(TimeBin(0.0 if i == 0 else ends[i - 1] or 0.0, ends[i], count) for i, count in enumerate(times)),
        median_ms(times),
    )


def progress(connection: Connection) -> Progress:
    """How far the project is: one pass over the pairs."""
    pair = schema.pair
    left = pair.c.wanted - pair.c.answered
    query = (
        select(
            pair.c.closed,
            func.count().label("pairs"),
            func.sum(pair.c.answered).label("answered"),
            func.sum(left).filter(left > 0).label("wanted"),
        )
        .where(pair.c.purpose == "work")
        .group_by(pair.c.closed)
    )
    rows = connection.execute(query).all()
    return Progress(
        open=sum(row.pairs for row in rows if row.closed is None),
        closed={row.closed: row.pairs for row in rows if row.closed is not None},
        answers=sum(int(row.answered) for row in rows),
        wanted=sum(int(row.wanted or 0) for row in rows if row.closed is None),
    )


def gold_failures(connection: Connection, *, most: int = 50, before: int | None = None) -> list[GoldFailure]:
    """Wrong answers to questions whose answer is known, newest question first.

    Args:
        connection: to the database.
        most: how many.
        before: only questions with lower numbers, for the next page.
    """
    question, pair, person = schema.question, schema.pair, schema.person
    query = (
        select(
            question.c.id.label("question_id"), pair.c.id.label("pair_id"), pair.c.pose_id, pair.c.joint_a,
            pair.c.joint_b, pair.c.truth, question.c.choice, question.c.swapped, person.c.id.label("person_id"),
            person.c.name, pair.c.purpose,
        )
        .join_from(question, pair)
        .join(person, person.c.id == question.c.person_id)
        .where(schema.failed)
        .order_by(question.c.id.desc())
        .limit(most)
    )  # fmt: skip
    if before is not None:
        query = query.where(question.c.id < before)
    failures = []
    for row in connection.execute(query).mappings():
        values = dict(row)
        said = {"a": -1, "b": 1, "same": 0}.get(values.pop("choice"))
        swapped = values.pop("swapped")
        failures.append(GoldFailure(**values, said=-said if swapped and said is not None else said))
    return failures


def _hours(connection: Connection, now: float) -> tuple[Hour, ...]:
    tally, last = schema.tally, int(now // 3600)
    query = (
        select(tally.c.hour, func.sum(tally.c.work + tally.c.gold))
        .where(tally.c.hour > last - HOURS, tally.c.hour <= last)
        .group_by(tally.c.hour)
    )
    found = {hour: int(count) for hour, count in connection.execute(query)}
    return tuple(Hour(hour * 3600.0, found.get(hour, 0)) for hour in range(last - HOURS + 1, last + 1))
