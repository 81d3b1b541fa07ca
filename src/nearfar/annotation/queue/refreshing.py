"""All answers merged anew now and then: skills of people, probabilities and risks of pairs, agreement."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine, bindparam, or_, select, update

from nearfar.annotation import schema
from nearfar.annotation.database import upsert, with_retries
from nearfar.annotation.queue.counting import AT_ONCE, PairState, lock_pairs, read_pairs, store_pairs
from nearfar.annotation.queue.stopping import MODEL, decide, judge, probabilities, votes_from
from nearfar.annotation.settings import Settings
from nearfar.consensus import SkillFit, Votes
from nearfar.consensus.skill import fit_skill

__all__ = ["Agreement", "Refreshed", "agreement_of", "is_due", "refresh"]

CLAIM_SECONDS = 600.0
"""How long a process that merges keeps others from it, unless it says again that it is alive."""

ROWS = 50_000
"""Answers read at a time."""

OVERLAP_SECONDS = 120.0
"""An answer may be stored so long after the time that it bears."""

CHANGE = 1e-3
"""Smaller changes of a probability are not written."""

Array = npt.NDArray[Any]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Agreement:
    """How far the answers to one pair agree with each other.

    Attributes:
        raw: share of pairs of answers, to one pair of joints each, that are the same.
        alpha: Krippendorff's alpha for nominal answers (joint_a nearer, joint_b nearer, the same; "can't tell" counts
            as no answer): 1 for perfect agreement, 0 for chance's.
        answers: that were compared.
        pairs: with two answers or more.
    """

    raw: float | None
    alpha: float | None
    answers: int
    pairs: int


@dataclass(frozen=True)
class Refreshed:
    """What a merging did.

    Attributes:
        answers: merged.
        pairs: with answers.
        closed: pairs it closed.
        reopened: pairs it opened again.
        seconds: it took.
    """

    answers: int
    pairs: int
    closed: int
    reopened: int
    seconds: float


def is_due(connection: Connection, now: float, every: float) -> bool:
    """Whether something came since the last merging, which lies `every` seconds back, or ten times what it took."""
    row = connection.execute(select(schema.merging)).mappings().one_or_none()
    answer, person = schema.answer, schema.person
    if row is None or row["merged_at"] is None or row["merged_at"] > now:  # the clock was set back
        since = 0.0
    elif now - row["merged_at"] < max(every, 10 * row["seconds"]):
        return False
    else:
        since = row["merged_at"]
    latest = connection.execute(select(answer.c.received_at).where(answer.c.received_at >= since).limit(1)).first()
    moved = or_(person.c.blocked_at >= since, person.c.unblocked_at >= since)
    return latest is not None or connection.execute(select(person.c.id).where(moved).limit(1)).first() is not None


def refresh(engine: Engine, settings: Settings, *, clock: Clock = time.time) -> Refreshed | None:
    """Merge all answers; store skills, probabilities, risks and agreement; close pairs, and open them again.

    Answers are read while people go on answering. A pair that gets answers meanwhile is judged by those that it has in
    the end, with the skills just found. Only one process merges at a time.

    Args:
        engine: the database.
        settings: how the project asks.
        clock: seconds since 1970.

    Returns:
        What was done; None where another process is at it.
    """
    start, began = clock(), time.perf_counter()
    with _claimed(engine, start) as claim:
        if claim is None:
            return None
        votes = _read_votes(engine)
        fit = fit_skill(votes, MODEL)
        with_retries(engine, lambda connection: _store_skills(connection, votes, fit))
        answered = np.bincount(votes.item, minlength=votes.items)
        found = list(zip(votes.pose.tolist(), fit.probability.tolist(), answered.tolist(), strict=True))
        storing = _Storing(engine, settings, start)
        for at in range(0, len(found), AT_ONCE):
            some = {id_: (chance, count) for id_, chance, count in found[at : at + AT_ONCE]}
            storing.store(some, clock())
        seconds = time.perf_counter() - began
        done = Refreshed(len(votes), votes.items, storing.closed, storing.reopened, seconds)
        values = {
            "merged_at": start,
            "seconds": done.seconds,
            "answers": done.answers,
            "agreement": asdict(agreement_of(votes)),
        }
        with_retries(engine, lambda connection: connection.execute(update(schema.merging).values(values)))
        return done


def agreement_of(votes: Votes) -> Agreement:
    """How far answers to one pair agree (Krippendorff, Content Analysis, 2004, chapter 11)."""
    known = ~votes.unsure
    cell = votes.item[known] * 3 + (votes.relation[known].astype(np.int64) + 1)
    counts = np.bincount(cell, minlength=3 * votes.items).reshape(votes.items, 3).astype(np.float64)
    each = counts.sum(axis=1)
    counts, each = counts[each > 1], each[each > 1]
    total = each.sum()
    if not total:
        return Agreement(None, None, 0, 0)
    same = (counts * (counts - 1)).sum(axis=1)
    raw = float(same.sum() / (each * (each - 1)).sum())
    observed = 1 - (same / (each - 1)).sum() / total
    sums = counts.sum(axis=0)
    expected = 1 - (sums * (sums - 1)).sum() / (total * (total - 1))
    alpha = float(1 - observed / expected) if expected > 0 else None
    return Agreement(raw, alpha, int(total), len(each))


@contextmanager
def _claimed(engine: Engine, now: float) -> Iterator[float | None]:
    """Keep other processes from merging; gives until when, or None where one is at it."""
    table, until = schema.merging, now + CLAIM_SECONDS

    def claim(connection: Connection) -> bool:
        if connection.execute(select(table.c.id)).first() is None:
            connection.execute(upsert(connection.dialect.name, table).values(id=1).on_conflict_do_nothing())
        # A claim that ends later than one made now is from before the clock was set back.
        free = or_(table.c.claimed_until.is_(None), table.c.claimed_until <= now, table.c.claimed_until > until)
        return connection.execute(update(table).where(free).values(claimed_until=until)).rowcount == 1

    if not with_retries(engine, claim):
        yield None
        return
    try:
        yield until
    finally:
        with_retries(engine, lambda connection: connection.execute(update(table).values(claimed_until=None)))


def _read_votes(engine: Engine) -> Votes:
    """The answers that count, to pairs of work."""
    question, person = schema.question, schema.person
    with engine.connect() as connection:
        blocked = set(connection.execute(select(person.c.id).where(person.c.blocked_at.is_not(None))).scalars())
    parts, last = [], 0
    while True:
        query = (
            select(question.c.id, question.c.pair_id, question.c.person_id, question.c.choice, question.c.swapped)
            .where(question.c.id > last, question.c.state == "answered", question.c.correct.is_(None))
            .order_by(question.c.id)
            .limit(ROWS)
        )
        with engine.connect() as connection:  # a new one each time: SQLite's log grows while somebody reads
            rows = connection.execute(query).all()
        if not rows:
            break
        last = rows[-1].id
        _, pair, who, choice, swapped = zip(*rows, strict=True)
        parts.append((np.array(pair), np.array(who), np.array(choice, "U6"), np.array(swapped, bool)))
    if not parts:
        return votes_from([], [], np.zeros(0, "U6"), [])
    pairs, people, choices, sides = (np.concatenate(column) for column in zip(*parts, strict=True))
    counted = ~np.isin(people, list(blocked))
    return votes_from(pairs[counted], people[counted], choices[counted], sides[counted])


def _store_skills(connection: Connection, votes: Votes, fit: SkillFit) -> None:
    merged = np.sign(fit.probability - 0.5)[votes.item]
    compared = votes.per_worker((votes.vote != 0) & (merged != 0))
    agreed = votes.per_worker((votes.vote != 0) & (votes.relation == merged) & (merged != 0))
    table = schema.person
    names = ("skill_first", "skill_second", "compared", "agreed")
    rows = [
        {"row": id_, "new_skill_first": first, "new_skill_second": second, "new_compared": c, "new_agreed": a}
        for id_, (first, second), c, a in zip(
            votes.workers.tolist(), fit.skill.tolist(), compared.astype(int).tolist(), agreed.astype(int).tolist(),
            strict=True,
        )
    ]  # fmt: skip
    if rows:
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
        connection.execute(update(table).where(table.c.id == bindparam("row")).values(values), rows)
    levels = [float(share) for share in fit.level_shares]
    connection.execute(update(schema.merging).values(crowd=float(fit.crowd), level_shares=levels))


@dataclass
class _Storing:
    """What was found of the pairs, on its way into the database.

    Attributes:
        engine, settings: the project's.
        since: when it was last looked which pairs got answers.
        moved: pairs that got answers since the reading began.
        closed, reopened: how many pairs were, so far.
    """

    engine: Engine
    settings: Settings
    since: float
    moved: set[int] = field(default_factory=set)
    closed: int = 0
    reopened: int = 0

    def store(self, found: Mapping[int, tuple[float, int]], now: float) -> None:
        """Store the probabilities of pairs, by number, from so many answers each."""
        with self.engine.connect() as connection:
            stored = read_pairs(connection, found)
        changed = [id_ for id_, old in stored.items() if self._changes(old, found[id_][0])]
        if not changed:
            return

        def write(connection: Connection) -> list[tuple[PairState, PairState]]:
            before = lock_pairs(connection, changed)
            self.moved |= _moved(connection, self.since)
            chance: dict[int, float | None] = {id_: found[id_][0] for id_ in before}
            late = [id_ for id_, old in before.items() if id_ in self.moved or old.answered != found[id_][1]]
            anew = probabilities(connection, late)
            chance |= {id_: anew.get(id_) for id_ in late}
            after = [decide(judge(old, chance[id_]), self.settings) for id_, old in before.items()]
            store_pairs(connection, after)
            connection.execute(update(schema.merging).values(claimed_until=now + CLAIM_SECONDS))
            return list(zip(before.values(), after, strict=True))

        for old, new in with_retries(self.engine, write):
            self.closed += old.closed is None and new.closed is not None
            self.reopened += old.closed is not None and new.closed is None
        self.since = now

    def _changes(self, pair: PairState, chance: float) -> bool:
        """Whether a probability is new, or closes a pair or opens it again (the settings may have changed)."""
        new = pair.probability is None or abs(pair.probability - chance) > CHANGE
        return new or decide(judge(pair, chance), self.settings).closed != pair.closed


def _moved(connection: Connection, since: float) -> set[int]:
    question, answer = schema.question, schema.answer
    query = (
        select(question.c.pair_id)
        .join_from(answer, question)
        .where(answer.c.received_at >= since - OVERLAP_SECONDS)
        .distinct()
    )
    return set(connection.execute(query).scalars())
