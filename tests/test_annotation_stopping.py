from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa
from annotation_samples import NOW, SETTINGS, fill, key, nearer
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from nearfar.annotation import schema
from nearfar.annotation.database import connect, migrate, transaction, with_retries
from nearfar.annotation.queue import Event, next_task, overrides, record, recount, refreshing
from nearfar.annotation.queue.blocking import block_person
from nearfar.annotation.queue.counting import PairState
from nearfar.annotation.queue.refreshing import CLAIM_SECONDS, agreement_of, is_due, refresh
from nearfar.annotation.queue.stopping import decide, probabilities, votes_from
from nearfar.annotation.queue.upkeep import look_after
from nearfar.annotation.settings import Settings

PAIR, PERSON, MERGING = schema.pair, schema.person, schema.merging
RISKY = replace(SETTINGS, stop_risk=0.1, fewest_answers=2, answers=2, most_answers=6)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = connect(database_url)
    migrate(engine)
    yield engine
    engine.dispose()


def work(engine: Engine, settings: Settings, people: dict[int, float], *, now: float = NOW, seed: int = 0) -> int:
    """Everybody answers all they are asked; joint_b is nearer, and each says so with their own probability."""
    rng, keys, given = random.Random(seed), count((seed << 40) + 1), 0
    while True:
        tasks = {person: next_task(engine, settings, person, "work", now) for person in people}
        if not any(tasks.values()):
            return given
        for person, task in tasks.items():
            if task is not None:
                choices = [right if rng.random() < people[person] else "ab"[right == "a"] for right in nearer(task, 1)]
                events = [Event(key(next(keys)), q.id, 1, c, 900) for q, c in zip(task.questions, choices, strict=True)]
                record(engine, settings, person, events, now)
                given += len(events)


def pairs(engine: Engine) -> list[sa.Row]:
    with engine.connect() as connection:
        return list(connection.execute(select(PAIR).where(PAIR.c.purpose == "work").order_by(PAIR.c.id)))


def state(**values: object) -> PairState:
    return PairState(**{"id": 1, "purpose": "work", "wanted": 2, "least": 0, "answered": 0, "leased": 0, "closed": None, "probability": None, "risk": None, **values})  # fmt: skip


def test_a_fixed_number_of_answers() -> None:
    assert decide(state(answered=1), SETTINGS).closed is None
    assert decide(state(answered=2), SETTINGS).closed == "answers"
    assert decide(state(answered=1, closed="answers"), SETTINGS).closed is None
    assert decide(state(answered=2, closed="admin"), SETTINGS).closed == "admin"
    assert decide(state(answered=9, purpose="gold", wanted=0), SETTINGS).closed is None


def test_risk_closes_early_or_asks_on() -> None:
    assert decide(state(answered=1, risk=0.0), RISKY).closed is None, "too few"
    assert decide(state(answered=2, risk=0.05), RISKY).closed == "risk"
    asked_on = decide(state(answered=2, risk=0.3), RISKY)
    assert (asked_on.closed, asked_on.wanted, asked_on.need) == (None, 3, 1)
    assert decide(state(answered=2, leased=1, risk=0.3), RISKY).need == 0, "one at a time"
    assert decide(state(answered=6, risk=0.3), RISKY).closed == "most"
    assert decide(state(answered=3, wanted=3, risk=0.3, closed="risk"), RISKY).need == 1


@given(
    st.integers(0, 12),
    st.integers(0, 4),
    st.integers(1, 6),
    st.none() | st.floats(0, 0.5),
    st.sampled_from([None, "risk", "most"]),
)
def test_what_is_open_needs_something(
    answered: int, leased: int, wanted: int, risk: float | None, closed: str | None
) -> None:
    pair = state(answered=answered, leased=leased, wanted=wanted, risk=risk, closed=closed)
    after = decide(pair, RISKY)
    assert decide(after, RISKY) == after
    assert (after.closed is None) == (after.answered < after.wanted and after.closed is None)
    assert after.closed is not None or leased or after.need
    assert after.wanted <= max(RISKY.most_answers, wanted)


def test_people_who_agree_are_asked_less_than_people_who_do_not(engine: Engine) -> None:
    fill(engine, poses=8, pairs=3, people=6)
    sure = dict.fromkeys(range(1, 7), 1.0)
    work(engine, RISKY, sure)
    refresh(engine, RISKY, clock=lambda: NOW)
    agreed = pairs(engine)
    assert {pair.closed for pair in agreed} == {"risk"}
    assert all(pair.probability > 0.9 and pair.risk < 0.1 for pair in agreed)
    assert sum(pair.answered for pair in agreed) < 24 * RISKY.most_answers
    assert recount(engine, RISKY) == 0


def test_coin_tossers_are_asked_to_the_most(engine: Engine) -> None:
    fill(engine, poses=6, pairs=3, people=7)
    work(engine, RISKY, dict.fromkeys(range(1, 8), 0.5))
    found = pairs(engine)
    assert all(pair.closed in ("risk", "most") for pair in found)
    assert any(pair.closed == "most" and pair.answered == RISKY.most_answers for pair in found)


def test_what_an_admin_asks_for_is_asked_however_sure_the_label_is(engine: Engine) -> None:
    fill(engine, poses=8, pairs=3, people=8)
    work(engine, RISKY, dict.fromkeys(range(1, 7), 1.0))
    refresh(engine, RISKY, clock=lambda: NOW)
    more, again = [pair for pair in pairs(engine) if pair.closed == "risk"][:2]
    with_retries(engine, lambda connection: overrides.ask_more(connection, more.id, 2, NOW))
    with_retries(engine, lambda connection: overrides.reopen(connection, again.id, NOW))
    refresh(engine, RISKY, clock=lambda: NOW + 100)
    found = {pair.id: pair for pair in pairs(engine)}
    assert found[more.id].closed is found[again.id].closed is None, "merging leaves what an admin wants"
    work(engine, RISKY, dict.fromkeys((7, 8), 1.0), now=NOW + 200, seed=1)
    found = {pair.id: pair for pair in pairs(engine)}
    assert (found[more.id].closed, found[again.id].closed) == ("risk", "risk")
    assert found[more.id].answered >= max(more.wanted, more.answered) + 2
    assert found[again.id].answered > again.answered
    assert recount(engine, RISKY) == 0


def test_nothing_is_known_of_a_pair_whose_answers_count_no_more(engine: Engine) -> None:
    fill(engine, poses=2, pairs=3, people=2, wanted=1)
    settings = replace(SETTINGS, answers=1)
    work(engine, settings, {1: 1.0})
    refresh(engine, settings, clock=lambda: NOW)
    assert all(pair.probability is not None for pair in pairs(engine))
    block_person(engine, settings, 1, "spam", NOW + 1)
    assert {(pair.closed, pair.answered, pair.probability, pair.risk) for pair in pairs(engine)} == {
        (None, 0, None, None)
    }


def test_merging_tells_the_skilled_from_the_careless_and_opens_what_they_closed(engine: Engine) -> None:
    fill(engine, poses=30, pairs=3, people=5, wanted=5)
    settings = replace(SETTINGS, answers=5, most_answers=9)
    work(engine, settings, {1: 0.95, 2: 0.95, 3: 0.95, 4: 0.5, 5: 0.05})
    assert all(pair.probability is None for pair in pairs(engine))
    done = refresh(engine, settings, clock=lambda: NOW + 5)
    assert done is not None
    assert (done.answers, done.pairs, done.closed, done.reopened) == (450, 90, 0, 0)
    with engine.connect() as connection:
        skill = {row.id: row.skill_first for row in connection.execute(select(PERSON))}
        merging = connection.execute(select(MERGING)).one()
        agreed = {row.id: row.agreed / row.compared for row in connection.execute(select(PERSON))}
    assert min(skill[1], skill[2], skill[3]) > 0.85
    assert 0.3 < skill[4] < 0.7
    assert skill[5] < 0.3
    assert agreed[1] > 0.85 > agreed[4] > agreed[5]
    assert sum(pair.probability > 0.5 for pair in pairs(engine)) >= 86, "joint_b is nearer"
    assert all(pair.risk == pytest.approx(min(pair.probability, 1 - pair.probability)) for pair in pairs(engine))
    assert (merging.merged_at, merging.answers, merging.claimed_until) == (NOW + 5, 450, None)
    # The same answers under a risk that few of them keep: merging opens the others.
    done = refresh(engine, replace(settings, stop_risk=0.02), clock=lambda: NOW + 500)
    assert done is not None
    assert 0 < done.reopened == sum(pair.closed is None for pair in pairs(engine)) < 90
    assert recount(engine, settings) == 0


def test_pairs_that_get_answers_while_merging_are_judged_by_all_of_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(engine, poses=2, pairs=3, people=3, wanted=3)
    settings = replace(SETTINGS, answers=3, stop_risk=0.4, most_answers=3, fewest_answers=3)
    work(engine, settings, {1: 1.0, 2: 1.0})
    read = refreshing.fit_skill

    def answer_meanwhile(*arguments: Any) -> Any:
        work(engine, settings, {3: 0.0}, now=NOW + 1, seed=1)
        return read(*arguments)

    monkeypatch.setattr(refreshing, "fit_skill", answer_meanwhile)
    refresh(engine, settings, clock=lambda: NOW + 1)
    late = [pair.probability for pair in pairs(engine)]
    monkeypatch.undo()
    assert {pair.answered for pair in pairs(engine)} == {3}
    with engine.connect() as connection:
        assert probabilities(connection, [1])[1] == late[0]
    assert max(late) < 0.95, "one of three says otherwise"
    refresh(engine, settings, clock=lambda: NOW + 900)
    assert recount(engine, settings) == 0


def test_one_process_merges_at_a_time(engine: Engine) -> None:
    fill(engine, poses=1, pairs=1, people=1)
    assert refresh(engine, SETTINGS, clock=lambda: NOW) is not None, "nothing to merge is no trouble"
    for until, free in ((NOW + 60, False), (NOW - 1, True), (NOW + 2 * CLAIM_SECONDS, True)):
        with transaction(engine) as connection:
            connection.execute(sa.update(MERGING).values(claimed_until=until))
        assert (refresh(engine, SETTINGS, clock=lambda: NOW) is not None) == free


def test_merging_is_due_when_something_came(engine: Engine) -> None:
    fill(engine, poses=2, pairs=3, people=2, wanted=1)

    def due(now: float) -> bool:
        with engine.connect() as connection:
            return is_due(connection, now, 60.0)

    assert not due(NOW)
    work(engine, SETTINGS, {1: 1.0})
    assert due(NOW + 1)
    look_after(engine, SETTINGS, clock=lambda: NOW + 200)
    assert not due(NOW + 201)
    assert not due(NOW + 300), "nothing came"
    assert due(NOW - 9999), "the clock was set back"
    assert all(pair.probability is not None for pair in pairs(engine))


def test_agreement_is_krippendorffs() -> None:
    """The nominal example of Krippendorff, Computing Krippendorff's alpha-reliability (2011), section B: 0.095."""
    first, second = "0 1 0 0 0 0 0 0 1 0", "1 1 1 0 0 1 0 0 0 0"
    choices = [("a", "b")[int(value)] for coder in (first, second) for value in coder.split()]
    found = agreement_of(votes_from(list(range(10)) * 2, [1] * 10 + [2] * 10, choices, [False] * 20))
    assert found.alpha == pytest.approx(0.095, abs=5e-4)
    assert found.raw == pytest.approx(0.6)
    assert (found.answers, found.pairs) == (20, 10)
    assert agreement_of(votes_from([1], [1], ["a"], [False])).alpha is None
    swapped = votes_from([1, 1, 2, 2], [1, 2, 1, 2], ["a", "b", "same", "unsure"], [False, True, False, False])
    assert agreement_of(swapped).raw == 1.0
