"""When a pair is closed: after a fixed number of answers, or when the risk of its merged label is small enough.

With `Settings.stop_risk`, every answer to a pair brings its probability and its risk up to date, with the skills that
people had in the last merging (`consensus.posterior`); who is not known yet counts as the crowd's average.
Lean crowdsourcing (Branson, Van Horn and Perona, CVPR 2017) stops in this way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, select

from nearfar.annotation import schema
from nearfar.annotation.queue.counting import PairState, in_parts
from nearfar.annotation.settings import Settings
from nearfar.consensus import SkillFit, SkillModel, Votes, posterior

__all__ = ["MODEL", "decide", "judge", "probabilities", "settle", "stored_fit", "votes_from"]

MODEL = SkillModel()
"""How answers are merged while people answer."""

CROWD = 0.8
"""Skill of an average person before anything was merged."""

Array = npt.NDArray[np.float64]


def decide(pair: PairState, settings: Settings) -> PairState:
    """Close a pair, open it again, or ask for one answer more, by its answers and its risk.

    What an admin closed stays so, and what has no image; pairs with known answers are never closed. What an admin
    asked more answers of is not closed before it has them (`PairState.least`).
    """
    if pair.purpose != "work" or pair.closed in ("admin", "image"):
        return pair
    if settings.stop_risk is None:
        return replace(pair, closed="answers" if pair.answered >= pair.wanted else None)
    sure = pair.risk is not None and pair.risk < settings.stop_risk
    if sure and pair.answered >= max(settings.fewest_answers, pair.least):
        return replace(pair, closed="risk")
    if pair.answered >= max(settings.most_answers, pair.least):
        return replace(pair, closed="most")
    return replace(pair, closed=None, wanted=max(pair.wanted, pair.answered + 1))


def judge(pair: PairState, probability: float | None) -> PairState:
    """The pair with the probability that its joint_b is nearer, and the risk that goes with it; None: no answers."""
    risk = None if probability is None else min(probability, 1 - probability)
    return replace(pair, probability=probability, risk=risk)


def settle(connection: Connection, settings: Settings, pairs: Mapping[int, PairState]) -> dict[int, PairState]:
    """Decide on locked pairs whose answers changed.

    Args:
        connection: the transaction that changed them, which has stored the questions.
        settings: how the project asks.
        pairs: with the new counts, by number.

    Returns:
        The pairs to be stored.
    """
    if settings.stop_risk is not None:
        left_alone = ("admin", "image")
        judged = [id_ for id_, pair in pairs.items() if pair.purpose == "work" and pair.closed not in left_alone]
        chance = probabilities(connection, judged)
        pairs = {**pairs, **{id_: judge(pairs[id_], chance.get(id_)) for id_ in judged}}
    # What nobody's answers speak for any more is not known until the next merging, which reads answers alone.
    bare = {id_: judge(pair, None) for id_, pair in pairs.items() if not pair.answered}
    return {id_: decide(pair, settings) for id_, pair in {**pairs, **bare}.items()}


def votes_from(pair: npt.ArrayLike, person: npt.ArrayLike, choice: npt.ArrayLike, swapped: npt.ArrayLike) -> Votes:
    """Answers as the models of `consensus` take them.

    Args:
        pair: (M,) numbers of pairs.
        person: (M,) numbers of people.
        choice: (M,) "a", "b", "same" or "unsure".
        swapped: (M,) A was the pair's joint_b.

    Returns:
        The votes. Item i is the i-th number of a pair in rising order; `pose` holds those numbers, and `workers` those
        of the people.
    """
    ids, item = np.unique(np.asarray(pair, np.int64), return_inverse=True)
    workers, worker = np.unique(np.asarray(person, np.int64), return_inverse=True)
    chosen = np.asarray(choice)
    vote = ((chosen == "b").astype(np.int8) - (chosen == "a").astype(np.int8)).astype(np.int8)
    order = np.argsort(item, kind="stable")
    return Votes(
        pose=ids,
        pair=np.tile(np.array([0, 1]), (len(ids), 1)),
        item=item[order],
        worker=worker[order],
        vote=vote[order],
        swapped=np.asarray(swapped, bool)[order],
        unsure=(chosen == "unsure")[order],
        row=order,
        workers=workers,
    )


def stored_fit(connection: Connection, people: Mapping[int, tuple[float, float]]) -> SkillFit:
    """The last merging, as far as it is needed for a few pairs.

    Args:
        connection: to the database.
        people: skills of those who are known, by number.
    """
    merging = schema.merging
    row = connection.execute(select(merging.c.crowd, merging.c.level_shares)).one_or_none()
    levels = len(MODEL.visibility)
    shares = None if row is None else row.level_shares
    if shares is None or len(shares) != levels:
        shares = [1 / levels] * levels
    crowd = CROWD if row is None or row.crowd is None else float(row.crowd)
    workers = np.array(sorted(people), np.int64)
    skill = np.array([people[id_] for id_ in workers.tolist()], np.float64).reshape(-1, 2)
    return SkillFit(MODEL, workers, np.zeros(0), skill, np.full(len(workers), np.nan), crowd, np.array(shares), 0, True)


def probabilities(connection: Connection, ids: list[int]) -> dict[int, float]:
    """Probabilities that joint_b is nearer, by pair, with the skills of the last merging.

    Args:
        connection: to the database.
        ids: pairs; those without answers that count are left out of the result.
    """
    question, person = schema.question, schema.person
    rows: list[tuple[Any, ...]] = []
    for some in in_parts(ids):
        query = (
            select(
                question.c.pair_id, question.c.person_id, question.c.choice, question.c.swapped,
                person.c.skill_first, person.c.skill_second,
            )
            .join_from(question, person)
            .where(question.c.pair_id.in_(some), question.c.state == "answered", person.c.blocked_at.is_(None))
        )  # fmt: skip
        rows += [tuple(row) for row in connection.execute(query)]
    if not rows:
        return {}
    pair, who, choice, swapped, first, second = zip(*rows, strict=True)
    skills = {id_: (a, b) for id_, a, b in zip(who, first, second, strict=True) if a is not None and b is not None}
    votes = votes_from(pair, who, choice, swapped)
    return dict(zip(votes.pose.tolist(), posterior(votes, stored_fit(connection, skills)).tolist(), strict=True))
