from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest
from annotation_samples import NOW, SETTINGS, fill, key, nearer
from sqlalchemy import Engine, select, update

from nearfar.annotation import schema
from nearfar.annotation.database import connect, migrate, with_retries
from nearfar.annotation.people import create_person
from nearfar.annotation.quality import PersonQuality, block_flagged, median_ms, qualities, share_of
from nearfar.annotation.queue import Event, next_task, record
from nearfar.annotation.queue.blocking import ban, ban_reason, block_person, lift_ban, list_bans, unblock_person
from nearfar.annotation.queue.tallies import time_bin, time_edges_ms
from nearfar.annotation.schema import TIME_BINS
from nearfar.errors import InputError

GOLD = replace(SETTINGS, images_per_task=10, pairs_per_image=3, gold_share=0.5, fast_ms=250, hasty_share=0.3)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = connect(database_url)
    migrate(engine)
    yield engine
    engine.dispose()


def behave(engine: Engine, person: int, how: str) -> None:
    keys = count((person << 32) + 1)
    with engine.connect() as connection:
        truth = {row.id: row.truth for row in connection.execute(select(schema.pair.c.id, schema.pair.c.truth))}
    for _ in range(2):
        task = next_task(engine, GOLD, person, "work", NOW)
        assert task is not None
        events = []
        for question, low, high in zip(task.questions, nearer(task, -1), nearer(task, 1), strict=True):
            right = low if truth[question.pair_id] == -1 else high
            choice, ms = right, 900
            if how == "reversed":
                choice = "ab"[right == "a"]
            elif how == "A":
                choice = "a"
            elif how == "left":
                choice = "a" if task.a_left else "b"
            elif how == "hasty":
                ms = 100
            elif how == "unsure":
                choice = "unsure"
            events.append(Event(key(next(keys)), question.id, 1, choice, ms))
        record(engine, GOLD, person, events, NOW)


def everybody(engine: Engine) -> dict[int, PersonQuality]:
    with engine.connect() as connection:
        return {one.person_id: one for one in qualities(connection, GOLD)}


HOWS = ("good", "reversed", "A", "left", "hasty", "unsure")


def test_flags_name_what_is_wrong_and_block_by_themselves(engine: Engine) -> None:
    fill(engine, poses=20, pairs=3, people=len(HOWS), gold=60, wanted=6)
    for person, how in enumerate(HOWS, 1):
        behave(engine, person, how)
    found = everybody(engine)
    flags = {how: found[person].flags for person, how in enumerate(HOWS, 1)}
    assert flags["good"] == ()
    assert flags["reversed"] == ("gold",)
    assert "first" in flags["A"]
    assert "left" in flags["left"]
    assert "first" not in flags["left"]
    assert flags["hasty"] == ("hasty",)
    assert flags["unsure"] == ("gold",)
    good = found[1]
    assert good.answers > 80
    assert good.gold.value == 1.0
    assert good.gold.low is not None
    assert 0.8 < good.gold.low < 1.0
    assert found[6].unsure.value == 1.0
    assert good.median_ms is not None
    assert 707 < good.median_ms < 1000
    assert found[5].median_ms is not None
    assert found[5].median_ms < 125
    unblock_person(engine, GOLD, 2, NOW)  # was not blocked: nothing
    assert block_flagged(engine, GOLD, NOW) == [p for p, how in enumerate(HOWS, 1) if how != "good"]
    found = everybody(engine)
    assert [one.person_id for one in found.values() if one.blocked_at is None] == [1]
    assert "known" in str(found[2].block_reason)
    unblock_person(engine, GOLD, 2, NOW + 1)
    assert block_flagged(engine, GOLD, NOW + 2) == [], "an admin has let 2 in again"
    assert everybody(engine)[2].flags == ("gold",), "but sees why"


def test_an_admin_who_tries_the_studio_out_is_not_locked_out(engine: Engine) -> None:
    fill(engine, poses=20, pairs=3, people=2, gold=20, wanted=6)
    person = schema.person
    with_retries(engine, lambda c: c.execute(update(person).where(person.c.id == 1).values(role="admin")))
    for number in (1, 2):
        behave(engine, number, "A")
    assert all(one.flags for one in everybody(engine).values())
    assert block_flagged(engine, GOLD, NOW) == [2]


def test_few_answers_flag_nobody(engine: Engine) -> None:
    fill(engine, poses=2, pairs=3, people=2, wanted=6)
    task = next_task(engine, GOLD, 1, "work", NOW)
    assert task is not None
    record(engine, GOLD, 1, [Event(key(i + 1), q.id, 1, "a", 5) for i, q in enumerate(task.questions)], NOW)
    found = everybody(engine)
    assert found[1].flags == ()
    assert found[1].first.value == 1.0
    assert (found[2].answers, found[2].first.value, found[2].median_ms, found[2].last_hour) == (0, None, None, None)


def test_what_is_undone_is_not_counted(engine: Engine) -> None:
    fill(engine, poses=1, pairs=1, people=1, wanted=6)
    task = next_task(engine, GOLD, 1, "work", NOW)
    assert task is not None
    question = task.questions[0].id
    events = [Event(key(1), question, 1, "a", 5), Event(key(2), question, 2, "undone", 0)]
    record(engine, GOLD, 1, events, NOW)
    assert everybody(engine)[1].answers == 0
    record(engine, GOLD, 1, [Event(key(3), question, 3, "same", 400)], NOW + 7200)
    one = everybody(engine)[1]
    assert (one.answers, one.hasty.part, one.first.whole) == (1, 0, 0)
    assert one.last_hour == (NOW + 7200) // 3600 * 3600


def test_shares_and_medians() -> None:
    share = share_of(8, 10)
    assert (share.value, share.part, share.whole) == (0.8, 8, 10)
    assert share.low == pytest.approx(0.490, abs=1e-3)  # Wilson's interval, Brown, Cai and DasGupta (2001)
    assert share.high == pytest.approx(0.943, abs=1e-3)
    assert not share.surely_below(0.9)
    assert share.surely_below(0.95)
    assert share.surely_above(0.48)
    assert share_of(0, 0).value is None
    assert not share_of(0, 0).surely_below(1.0)
    edges = time_edges_ms()
    assert len(edges) == TIME_BINS - 1
    assert [time_bin(ms) for ms in (0, 124, 125, 176, 177, 10**9)] == [0, 0, 1, 1, 2, TIME_BINS - 1]
    times = [0] * TIME_BINS
    assert median_ms(times) is None
    times[4], times[5] = 1, 1
    assert median_ms(times) == edges[4]
    assert median_ms([0] * (TIME_BINS - 1) + [3]) == edges[-1]


def test_bans_keep_out_those_who_have_not_come_yet(engine: Engine) -> None:
    fill(engine, poses=1, people=0)
    ban(engine, GOLD, "mturk", " A1B2 ", "told us to", NOW)
    ban(engine, GOLD, "mturk", "A1B2", "again", NOW)
    with engine.connect() as connection:
        assert ban_reason(connection, "mturk", "A1B2") == "told us to"
        assert ban_reason(connection, "prolific", "A1B2") is None
        assert [(one.external_id, one.reason) for one in list_bans(connection)] == [("A1B2", "told us to")]
    assert lift_ban(engine, "mturk", "A1B2", NOW)
    assert not lift_ban(engine, "mturk", "A1B2", NOW)
    # Who has come already is blocked.
    person = with_retries(
        engine, lambda c: create_person(c, "Worker", "annotator", NOW, platform="prolific", external_id="P9")
    )
    ban(engine, GOLD, "prolific", "P9", "spam", NOW)
    assert everybody(engine)[person.id].block_reason == "spam"
    for wrong in ({"platform": "invited"}, {"external_id": ""}, {"external_id": "x" * 101}, {"reason": " "}):
        with pytest.raises(InputError):
            ban(engine, GOLD, **{"platform": "mturk", "external_id": "A", "reason": "r", "now": NOW, **wrong})


def test_nobody_blocks_themselves(engine: Engine) -> None:
    fill(engine, poses=1, people=1)
    with pytest.raises(InputError, match="themselves"):
        block_person(engine, GOLD, 1, "why", NOW, by=1)
    with pytest.raises(InputError, match="reason"):
        block_person(engine, GOLD, 1, "", NOW)
