"""How good each person's answers are, and who is not to be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Engine, func, select

from nearfar.annotation import schema
from nearfar.annotation.queue.blocking import block_person
from nearfar.annotation.queue.tallies import COUNTED, time_edges_ms
from nearfar.annotation.schema import TIME_BINS, Platform, Role, Stage
from nearfar.annotation.settings import Settings
from nearfar.study import wilson_interval

__all__ = ["FLAG_WORDS", "Flag", "PersonQuality", "Share", "block_flagged", "median_ms", "qualities", "share_of"]

Flag = Literal["gold", "hasty", "first", "left"]

FLAG_WORDS: Mapping[Flag, str] = {
    "gold": "fails questions whose answer is known",
    "hasty": "answers hastily",
    "first": "nearly always, or never, takes A",
    "left": "nearly always, or never, takes the left button",
}

ONE_SIDED = 0.7
"""A or B are right equally often, and A's button is equally often on the left: shares beyond this and its
complement, surely (95 %), are flagged."""

FEWEST_ANSWERS = 20
"""Nobody is flagged for haste or sides before so many answers."""


@dataclass(frozen=True)
class Share:
    """A share with its 95 % Wilson interval.

    Attributes:
        part, whole: counts.
        value: part / whole; None of nothing.
        low, high: the interval.
    """

    part: int
    whole: int
    value: float | None
    low: float | None
    high: float | None

    def surely_below(self, bound: float) -> bool:
        """Whether the whole interval lies below."""
        return self.high is not None and self.high < bound

    def surely_above(self, bound: float) -> bool:
        """Whether the whole interval lies above."""
        return self.low is not None and self.low > bound


@dataclass(frozen=True)
class PersonQuality:
    """Numbers of one person. Lessons are left out; what was undone is not counted.

    Attributes:
        person_id, name, role, platform, external_id, stage, blocked_at, block_reason: who it is.
        answers: to pairs of work and of gold.
        gold: right ones of those with known answers.
        hasty: answers in less than `Settings.fast_ms`.
        unsure: "can't tell".
        first: A chosen, of A and B.
        left: the left button chosen, of A and B.
        agreement: with the merged labels, in the last merging.
        median_ms: of the response times, to within their bins.
        last_hour: the beginning of the hour of the last answer, seconds since 1970; None before the first.
        flags: what speaks against the person.
    """

    person_id: int
    name: str
    role: Role
    platform: Platform
    external_id: str | None
    stage: Stage
    blocked_at: float | None
    block_reason: str | None
    answers: int
    gold: Share
    hasty: Share
    unsure: Share
    first: Share
    left: Share
    agreement: Share
    median_ms: float | None
    last_hour: float | None
    flags: tuple[Flag, ...]


def share_of(part: int, whole: int) -> Share:
    """A share with its interval."""
    if not whole:
        return Share(part, 0, None, None, None)
    low, high = wilson_interval(part, whole)
    return Share(part, whole, part / whole, float(low), float(high))


def median_ms(times: list[int]) -> float | None:
    """The median of binned response times (`tallies.time_edges_ms`), taken as spread evenly within a bin."""
    half, before = sum(times) / 2, 0
    if not half:
        return None
    edges = (0.0, *time_edges_ms())
    for i, count in enumerate(times):
        if count and before + count >= half:
            end = edges[i + 1] if i + 1 < len(edges) else edges[i]
            return edges[i] + (end - edges[i]) * (half - before) / count
        before += count
    return None


def qualities(connection: Connection, settings: Settings, person_id: int | None = None) -> list[PersonQuality]:
    """The numbers of everybody who may answer or has answered, by name; or of one person.

    Reads the tallies (one row a person and hour), not the answers.
    """
    person, tally = schema.person, schema.tally
    sums = select(
        tally.c.person_id,
        func.max(tally.c.hour).label("hour"),
        *(func.sum(tally.c[name]).label(name) for name in COUNTED),
    )
    query = select(person)
    if person_id is not None:
        sums = sums.where(tally.c.person_id == person_id)
        query = query.where(person.c.id == person_id)
    counts = {row["person_id"]: dict(row) for row in connection.execute(sums.group_by(tally.c.person_id)).mappings()}
    rows = connection.execute(query.order_by(person.c.name, person.c.id)).mappings()
    return [
        _quality(dict(row), counts.get(row["id"], {}), settings)
        for row in rows
        if row["role"] == "annotator" or row["id"] in counts or person_id is not None
    ]


def block_flagged(engine: Engine, settings: Settings, now: float) -> list[int]:
    """Block annotators who are flagged, but for those whom an admin has let in again.

    Returns:
        The people who were blocked.
    """
    with engine.connect() as connection:
        spared = set(
            connection.execute(select(schema.person.c.id).where(schema.person.c.unblocked_at.is_not(None))).scalars()
        )
        flagged = [one for one in qualities(connection, settings) if one.flags and one.blocked_at is None]
    # An admin who tries the studio out is flagged soon, and would be locked out of it.
    flagged = [one for one in flagged if one.role == "annotator"]
    blocked = [one for one in flagged if one.person_id not in spared]
    for one in blocked:
        reason = "by itself: " + "; ".join(FLAG_WORDS[flag] for flag in one.flags)
        block_person(engine, settings, one.person_id, reason, now)
    return [one.person_id for one in blocked]


def _quality(row: Mapping[str, Any], tally: Mapping[str, Any], settings: Settings) -> PersonQuality:
    counts = {name: int(tally.get(name) or 0) for name in COUNTED}
    answers = counts["work"] + counts["gold"]
    decided = answers - counts["same"] - counts["unsure"]
    gold, hasty = share_of(counts["gold_right"], counts["gold"]), share_of(counts["hasty"], answers)
    first, left = share_of(counts["first"], decided), share_of(counts["left"], decided)
    flags: list[Flag] = []
    if gold.surely_below(settings.gold_pass):
        flags.append("gold")
    if answers >= FEWEST_ANSWERS and hasty.surely_above(settings.hasty_share):
        flags.append("hasty")
    sides: tuple[tuple[Flag, Share], ...] = (("first", first), ("left", left))
    for name, side in sides:
        one_sided = side.surely_above(ONE_SIDED) or side.surely_below(1 - ONE_SIDED)
        if decided >= FEWEST_ANSWERS and one_sided:
            flags.append(name)
    return PersonQuality(
        row["id"], row["name"], row["role"], row["platform"], row["external_id"], row["stage"], row["blocked_at"],
        row["block_reason"], answers, gold, hasty, share_of(counts["unsure"], answers), first, left,
        share_of(row["agreed"], row["compared"]), median_ms([counts[f"time_{i}"] for i in range(TIME_BINS)]),
        tally["hour"] * 3600.0 if answers else None, tuple(flags),
    )  # fmt: skip
