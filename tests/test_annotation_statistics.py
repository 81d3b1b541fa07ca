from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa
from annotation_samples import NOW, SETTINGS, fill, key, nearer
from sqlalchemy import Engine, select

from nearfar.annotation import schema
from nearfar.annotation.database import connect, migrate
from nearfar.annotation.queue import Event, next_task, record
from nearfar.annotation.queue.blocking import block_person
from nearfar.annotation.queue.refreshing import refresh
from nearfar.annotation.statistics import Dashboard, dashboard, gold_failures, progress

PRICED = replace(SETTINGS, price_per_answer=0.02, images_per_task=4, pairs_per_image=3)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = connect(database_url)
    migrate(engine)
    yield engine
    engine.dispose()


def say(engine: Engine, person: int, choice: str, now: float, first_key: int, settings: object = PRICED) -> int:
    task = next_task(engine, settings, person, "work", now)
    assert task is not None
    events = [Event(key(first_key + i), q.id, 1, choice, 900) for i, q in enumerate(task.questions)]
    record(engine, settings, person, events, now)
    return len(events)


def look(engine: Engine, now: float) -> Dashboard:
    with engine.connect() as connection:
        return dashboard(connection, PRICED, now)


def test_an_empty_project(engine: Engine) -> None:
    fill(engine, poses=2, pairs=3, people=0)
    found = look(engine, NOW)
    assert (found.progress.open, found.progress.pairs, found.progress.answers, found.progress.wanted) == (6, 6, 0, 12)
    assert (found.answers, found.cost, found.agreement, found.median_ms) == (0, 0.0, None, None)
    assert (found.gold.value, found.first.value) == (None, None)


def test_progress_cost_and_hours(engine: Engine) -> None:
    fill(engine, poses=4, pairs=3, people=3)
    say(engine, 1, "a", NOW, 1)
    say(engine, 2, "b", NOW + 3600, 100)
    found = look(engine, NOW + 3600)
    assert (found.progress.closed, found.progress.open, found.progress.answers) == ({"answers": 12}, 0, 24)
    assert found.cost == pytest.approx(0.48)
    assert [hour.answers for hour in found.hours[-2:]] == [12, 12]
    assert len(found.hours) == 24
    assert found.first.value == 0.5
    assert sum(time.answers for time in found.times) == 24
    assert found.median_ms is not None
    assert 707 < found.median_ms < 1000
    block_person(engine, PRICED, 2, "spam", NOW)
    found = look(engine, NOW + 24 * 3600)
    assert found.cost == pytest.approx(0.48), "work that was done was paid"
    assert (found.progress.answers, found.progress.open, found.progress.wanted) == (12, 12, 12)
    assert found.first.value == 1.0
    assert found.hours[0].answers == 12, "a day later, only the second hour is within the last 24"


def test_agreement_comes_from_the_last_merging(engine: Engine) -> None:
    fill(engine, poses=4, pairs=3, people=2)
    say(engine, 1, "same", NOW, 1)
    say(engine, 2, "same", NOW, 100)
    refresh(engine, PRICED, clock=lambda: NOW + 300)
    found = look(engine, NOW + 300)
    assert found.agreement is not None
    assert (found.agreement.raw, found.agreement.answers, found.merged_at) == (1.0, 24, NOW + 300)


def test_gold_failures_are_told_the_way_round_of_the_pair(engine: Engine) -> None:
    fill(engine, poses=8, pairs=3, people=2, gold=40)
    settings = replace(PRICED, gold_share=0.5)
    with engine.connect() as connection:
        truth = {row.id: row.truth for row in connection.execute(select(schema.pair.c.id, schema.pair.c.truth))}
    task = next_task(engine, settings, 1, "work", NOW)
    assert task is not None
    wrong = {}
    for i, (question, high) in enumerate(zip(task.questions, nearer(task, 1), strict=True)):
        record(engine, settings, 1, [Event(key(i + 1), question.id, 1, high, 900)], NOW)
        if truth[question.pair_id] == -1:
            wrong[question.id] = 1
    assert len(wrong) > 2
    with engine.connect() as connection:
        found = gold_failures(connection)
        assert [one.question_id for one in found] == sorted(wrong, reverse=True)
        assert {(one.truth, one.said, one.person_id, one.name, one.purpose) for one in found} == {
            (-1, 1, 1, "person 1", "gold")
        }
        assert gold_failures(connection, most=1, before=found[0].question_id) == found[1:2]
    first = found[0].question_id
    record(engine, settings, 1, [Event(key(900), first, 2, "unsure", 900)], NOW)
    with engine.connect() as connection:
        assert gold_failures(connection, most=1)[0].said is None


def test_statistics_read_no_answers(engine: Engine) -> None:
    fill(engine, poses=2, pairs=3, people=1)
    say(engine, 1, "a", NOW, 1)
    statements: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda c, cursor, statement, *_: statements.append(statement))
    look(engine, NOW)
    with engine.connect() as connection:
        progress(connection)
    assert not [one for one in statements if "answer." in one or "FROM question" in one]
