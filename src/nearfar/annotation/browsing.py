"""Pairs and what people said about them, for admins and viewers to look at. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select, tuple_

from nearfar.annotation import schema
from nearfar.errors import InputError

__all__ = [
    "AtWork",
    "Comment",
    "Cursor",
    "GivenAnswer",
    "PairView",
    "Show",
    "Vote",
    "answers_of",
    "at_work",
    "browse",
    "comments",
    "get_pair",
    "get_pairs",
    "votes",
]

RECENT_SECONDS = 900.0

Show = Literal["disputed", "open", "closed", "gold", "all"]
"""Pairs of a list: those with two answers or more, highest risk first; open ones; closed; with known answers; any."""

Cursor = tuple[float, int]
"""Where a page of the list ends: risk (0 where the list is by number) and number of its last pair."""


@dataclass(frozen=True)
class PairView:
    """A pair and the image it is in.

    Attributes:
        id, pose_id: numbers.
        joint_a, joint_b: numbers of the joints, the lower one first.
        purpose: work, gold, tutorial, practice or test.
        truth: the known answer, -1 joint_a nearer, 1 joint_b, 0 the same; None for work.
        explanation: why.
        wanted, answered, leased: answers wanted, given, and waited for.
        closed: why it is closed; None while open.
        probability: that joint_b is nearer, from the last merging.
        risk: that the merged label is wrong.
        image: its file.
        lesson: the image is one of the lessons'.
        crop_x, crop_y, crop_width, crop_height: pixels of the image.
    """

    id: int
    pose_id: int
    joint_a: int
    joint_b: int
    purpose: schema.Purpose
    truth: int | None
    explanation: str | None
    wanted: int
    answered: int
    leased: int
    closed: str | None
    probability: float | None
    risk: float | None
    image: str
    lesson: bool
    crop_x: int
    crop_y: int
    crop_width: int
    crop_height: int


@dataclass(frozen=True)
class Vote:
    """What one person says of a pair.

    Attributes:
        pair_id: of which.
        person_id, name: who.
        blocked: the answer does not count.
        relation: -1 joint_a nearer, 1 joint_b nearer, 0 the same; None where they cannot tell.
        a_is_joint_b: the person saw joint_b marked as A.
        response_ms: the time it took.
        at: seconds since 1970 when it came.
    """

    pair_id: int
    person_id: int
    name: str
    blocked: bool
    relation: int | None
    a_is_joint_b: bool
    response_ms: int
    at: float


@dataclass(frozen=True)
class GivenAnswer:
    """An answer of a person, with its pair."""

    vote: Vote
    pair: PairView


@dataclass(frozen=True)
class AtWork:
    """Somebody who answers at present: how many questions in the last `RECENT_SECONDS`, and when the last."""

    person_id: int
    name: str
    answers: int
    last_at: float


@dataclass(frozen=True)
class Comment:
    """A remark.

    Attributes:
        id: its number.
        person_id, name: whose.
        pair_id: what it is about; None for remarks in general.
        text: what it says.
        at: seconds since 1970.
    """

    id: int
    person_id: int
    name: str
    pair_id: int | None
    text: str
    at: float


_PAIR = [
    schema.pair.c[name] if name in schema.pair.c else schema.pose.c[name] for name in PairView.__dataclass_fields__
]


def get_pair(connection: Connection, pair_id: int) -> PairView:
    """One pair.

    Raises:
        InputError: there is none of that number.
    """
    row = connection.execute(_pairs().where(schema.pair.c.id == pair_id)).mappings().one_or_none()
    if row is None:
        raise InputError(f"pair {pair_id}: there is none of that number")
    return PairView(**row)


def get_pairs(connection: Connection, pair_ids: Collection[int]) -> dict[int, PairView]:
    """Some pairs, by number."""
    rows = connection.execute(_pairs().where(schema.pair.c.id.in_(pair_ids))).mappings()
    return {row["id"]: PairView(**row) for row in rows}


def browse(
    connection: Connection,
    show: Show = "disputed",
    *,
    joint: int | None = None,
    after: Cursor | None = None,
    most: int = 24,
) -> tuple[list[PairView], Cursor | None]:
    """A page of pairs.

    Args:
        connection: to the database.
        show: which.
        joint: only those that ask about it.
        after: the end of the page before.
        most: how many.

    Returns:
        The pairs, and where they end; None on the last page.
    """
    pair = schema.pair
    conditions: dict[Show, ColumnElement[bool]] = {
        "disputed": and_(schema.merged, pair.c.answered > 1),
        "open": and_(pair.c.purpose == "work", pair.c.closed.is_(None)),
        "closed": and_(pair.c.purpose == "work", pair.c.closed.is_not(None)),
        "gold": pair.c.purpose == "gold",
        "all": pair.c.purpose.in_(get_args(schema.Purpose)),
    }
    query = _pairs().where(conditions[show]).limit(most + 1)
    if joint is not None:
        query = query.where(or_(pair.c.joint_a == joint, pair.c.joint_b == joint))
    if show == "disputed":
        query = query.order_by(pair.c.risk.desc(), pair.c.id.desc())
        if after is not None:
            query = query.where(tuple_(pair.c.risk, pair.c.id) < tuple_(*after))
    else:
        query = query.order_by(pair.c.id)
        if after is not None:
            query = query.where(pair.c.id > after[1])
    found = [PairView(**row) for row in connection.execute(query).mappings()]
    page = found[:most]
    return page, (page[-1].risk or 0.0, page[-1].id) if len(found) > most else None


def votes(connection: Connection, pair_ids: list[int]) -> dict[int, list[Vote]]:
    """The live answers to some pairs, by pair, oldest first."""
    found: dict[int, list[Vote]] = {pair_id: [] for pair_id in pair_ids}
    query = _votes().where(schema.question.c.pair_id.in_(pair_ids)).order_by(schema.answer.c.received_at)
    for row in connection.execute(query).mappings():
        vote = _vote(**row)
        found[vote.pair_id].append(vote)
    return found


def answers_of(
    connection: Connection, person_id: int, *, after: Cursor | None = None, most: int = 24
) -> tuple[list[GivenAnswer], Cursor | None]:
    """A person's live answers, newest first; paged as by `browse` (the cursor holds time and question's number)."""
    question, answer = schema.question, schema.answer
    query = (
        _votes()
        .add_columns(question.c.id.label("question_id"))
        .where(question.c.person_id == person_id)
        .order_by(answer.c.received_at.desc(), question.c.id.desc())
        .limit(most + 1)
    )
    if after is not None:
        query = query.where(tuple_(answer.c.received_at, question.c.id) < tuple_(*after))
    rows = [dict(row) for row in connection.execute(query).mappings()]
    numbers = [row.pop("question_id") for row in rows]
    given = [_vote(**row) for row in rows[:most]]
    views = get_pairs(connection, {vote.pair_id for vote in given})
    answers = [GivenAnswer(vote, views[vote.pair_id]) for vote in given]
    return answers, (given[-1].at, numbers[most - 1]) if len(rows) > most else None


def at_work(connection: Connection, now: float) -> list[AtWork]:
    """Who answered in the last `RECENT_SECONDS`, most recent first."""
    question, answer, person = schema.question, schema.answer, schema.person
    last = func.max(answer.c.received_at)
    query = (
        select(
            person.c.id.label("person_id"),
            person.c.name,
            func.count(answer.c.question_id.distinct()).label("answers"),
            last.label("last_at"),
        )
        .join_from(answer, question)
        .join(person, question.c.person_id == person.c.id)
        .where(answer.c.received_at > now - RECENT_SECONDS, answer.c.received_at <= now)
        .group_by(person.c.id, person.c.name)
        .order_by(last.desc())
    )
    return [AtWork(**row) for row in connection.execute(query).mappings()]


def comments(
    connection: Connection,
    *,
    person_id: int | None = None,
    pair_id: int | None = None,
    before: int | None = None,
    most: int = 50,
) -> tuple[list[Comment], int | None]:
    """What people remarked, newest first.

    Args:
        connection: to the database.
        person_id: only theirs.
        pair_id: only those about this pair.
        before: only those with a lower number.
        most: how many.

    Returns:
        The comments, and the number of the last; None on the last page.
    """
    table, question = schema.comment, schema.question
    query = (
        select(*table.c["id", "person_id", "text", "at"], schema.person.c.name, question.c.pair_id)
        .join_from(table, schema.person, table.c.person_id == schema.person.c.id)
        .outerjoin(question, table.c.question_id == question.c.id)
        .order_by(table.c.id.desc())
        .limit(most + 1)
    )
    if person_id is not None:
        query = query.where(table.c.person_id == person_id)
    if pair_id is not None:
        query = query.where(question.c.pair_id == pair_id)
    if before is not None:
        query = query.where(table.c.id < before)
    found = [Comment(**row) for row in connection.execute(query).mappings()]
    return found[:most], found[most - 1].id if len(found) > most else None


def _pairs() -> Select[tuple[object, ...]]:
    return select(*_PAIR).join_from(schema.pair, schema.pose)


def _votes() -> Select[tuple[object, ...]]:
    question, answer, person = schema.question, schema.answer, schema.person
    live = and_(answer.c.question_id == question.c.id, answer.c.revision == question.c.revision)
    return (
        select(
            question.c.pair_id,
            question.c.person_id,
            person.c.name,
            person.c.blocked_at,
            question.c.choice,
            question.c.swapped,
            answer.c.response_ms,
            answer.c.received_at,
        )
        .join_from(question, person)
        .join(answer, live)
        .where(question.c.state == "answered")
    )


def _vote(
    *,
    pair_id: int,
    person_id: int,
    name: str,
    blocked_at: float | None,
    choice: schema.Choice,
    swapped: bool,
    response_ms: int,
    received_at: float,
) -> Vote:
    relations = {"a": 1 if swapped else -1, "b": -1 if swapped else 1, "same": 0}
    relation = relations.get(choice)
    return Vote(pair_id, person_id, name, blocked_at is not None, relation, swapped, response_ms, received_at)
