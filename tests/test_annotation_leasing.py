"""Leases and answers, one behaviour at a time; the machine in test_annotation_queue.py tries them all together."""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, groupby, pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from annotation_samples import LEASE, NOW, SETTINGS, answers, fill, key, nearer
from sqlalchemy import Engine, select

from nearfar.annotation import schema
from nearfar.annotation.database import connect, migrate, transaction
from nearfar.annotation.queue import (
    Event,
    Receipt,
    finish_tutorial,
    next_task,
    open_tutorial,
    overrides,
    record,
    recount,
    release_expired,
)
from nearfar.annotation.queue.blocking import block_person, unblock_person
from nearfar.errors import InputError

PERSON, PAIR, TASK, QUESTION, ANSWER = schema.person, schema.pair, schema.task, schema.question, schema.answer


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = connect(database_url)
    migrate(engine)
    yield engine
    engine.dispose()


def rows(engine: Engine, query: sa.Select[Any]) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(query).all())


def told(receipts: list[Receipt]) -> list[str]:
    return [receipt.reason or receipt.status for receipt in receipts]


def stage(engine: Engine, person: int = 1) -> str:
    return str(rows(engine, select(PERSON.c.stage).where(PERSON.c.id == person))[0].stage)


def test_a_task_has_images_in_a_row_and_few_pairs_of_each(engine: Engine) -> None:
    fill(engine, poses=4, pairs=5, people=1)
    task = next_task(engine, SETTINGS, 1, "work", NOW)
    assert task is not None
    runs = [(pose, len(list(run))) for pose, run in groupby(task.questions, key=lambda q: q.pose_id)]
    assert [size for _, size in runs] == [3, 3]
    assert len({pose for pose, _ in runs}) == 2
    assert task.lease_expires_at == NOW + LEASE
    assert task.done == 0
    assert {q.crop for q in task.questions} == {(1, 2, 30, 40)}
    assert all(q.image == f"{q.pose_id}.png" and not q.lesson for q in task.questions)
    assert next_task(engine, SETTINGS, 1, "work", NOW + 1) == task, "a reload shows the same task"


def test_higher_priorities_are_asked_first(engine: Engine) -> None:
    fill(engine, poses=6, pairs=2, people=1)
    with transaction(engine) as connection:
        connection.execute(sa.update(PAIR).values(priority=PAIR.c.pose_id / 10.0))
    asked = []
    for i in range(3):
        task = next_task(engine, SETTINGS, 1, "work", NOW)
        assert task is not None
        asked.append({q.pose_id for q in task.questions})
        record(engine, SETTINGS, 1, answers(task, "a", 100 * i), NOW)
    assert asked == [{5, 4}, {3, 2}, {1, 0}]


def test_nobody_is_asked_a_pair_twice_and_all_pairs_get_their_answers(engine: Engine) -> None:
    fill(engine, poses=5, pairs=3, people=3)
    keys = count(1)
    given = Counter()
    while True:
        tasks = {person: next_task(engine, SETTINGS, person, "work", NOW) for person in (1, 2, 3)}
        if not any(tasks.values()):
            break
        for person, task in tasks.items():
            for question in task.questions if task else ():
                record(engine, SETTINGS, person, [Event(key(next(keys)), question.id, 1, "a", 900)], NOW)
                given[person, question.pair_id] += 1
    assert set(given.values()) == {1}
    assert Counter(pair for _, pair in given) == dict.fromkeys(range(1, 16), SETTINGS.answers)
    assert {row.closed for row in rows(engine, select(PAIR))} == {"answers"}


def test_orders_and_sides_are_balanced(engine: Engine) -> None:
    fill(engine, poses=12, pairs=5, people=8, wanted=8)
    settings = replace(SETTINGS, images_per_task=5, pairs_per_image=5)
    keys = count(1)
    for person in range(1, 9):
        while task := next_task(engine, settings, person, "work", NOW):
            record(engine, settings, person, [Event(key(next(keys)), q.id, 1, "a", 900) for q in task.questions], NOW)
    swapped = rows(engine, select(QUESTION.c.pair_id, QUESTION.c.person_id, QUESTION.c.swapped))
    assert set(Counter(row.pair_id for row in swapped if row.swapped).values()) == {4}, (
        "half of the eight, of each pair"
    )
    for person in range(1, 9):
        assert 18 <= sum(row.swapped for row in swapped if row.person_id == person) <= 42
    sides = [row.a_left for row in rows(engine, select(TASK.c.a_left).where(TASK.c.person_id == 1).order_by(TASK.c.id))]
    assert len(sides) == 3
    assert all(a != b for a, b in pairwise(sides))


def test_gold_is_hidden_at_its_share(engine: Engine) -> None:
    fill(engine, poses=60, pairs=5, people=1, gold=60)
    settings = replace(SETTINGS, images_per_task=5, pairs_per_image=5, gold_share=0.2)
    gold = {row.id for row in rows(engine, select(PAIR.c.id).where(PAIR.c.purpose == "gold"))}
    shares, places = [], set()
    for i in range(12):
        task = next_task(engine, settings, 1, "work", NOW)
        assert task is not None
        is_gold = [q.pair_id in gold for q in task.questions]
        shares.append(sum(is_gold) / len(is_gold))
        places |= {place for place, here in enumerate(is_gold) if here}
        record(engine, settings, 1, answers(task, "a", 100 * i), NOW)
    assert 0.15 < sum(shares) / 12 < 0.25
    assert len(places) > 12, "anywhere in a task"
    assert not {"purpose", "truth", "explanation"} & set(vars(task.questions[0])), "pages cannot tell gold"


def test_what_nobody_answered_is_free_when_the_lease_runs_out_and_resumed_by_its_owner(engine: Engine) -> None:
    fill(engine, poses=2, pairs=3, people=3, wanted=1)
    first = next_task(engine, SETTINGS, 1, "work", NOW)
    assert first is not None
    record(engine, SETTINGS, 1, answers(first, "a", 1)[:2], NOW + 1)
    assert next_task(engine, SETTINGS, 2, "work", NOW + 2) is None
    later = NOW + 1 + LEASE + 1
    # The next who asks frees it, without anybody sweeping.
    second = next_task(engine, SETTINGS, 2, "work", later)
    assert second is not None
    assert {q.pair_id for q in second.questions} == {q.pair_id for q in first.questions[2:]}
    record(engine, SETTINGS, 2, answers(second, "b", 100)[:1], later)
    release_expired(engine, SETTINGS, later + LEASE + 1)
    resumed = next_task(engine, SETTINGS, 1, "work", later + LEASE + 2)
    assert resumed is not None
    assert resumed.id == first.id
    assert [q.choice for q in resumed.questions[:2]] == ["a", "a"]
    assert len(resumed.questions) == 5, "what another answered meanwhile is dropped"
    assert recount(engine, SETTINGS) == 0


def test_answers_that_come_after_the_lease_are_taken(engine: Engine) -> None:
    fill(engine, poses=2, pairs=3, people=2, wanted=1)
    first = next_task(engine, SETTINGS, 1, "work", NOW)
    assert first is not None
    second = next_task(engine, SETTINGS, 2, "work", NOW + LEASE + 1)
    assert second is not None
    record(engine, SETTINGS, 2, answers(second, "b", 100), NOW + LEASE + 2)
    receipts = record(engine, SETTINGS, 1, answers(first, "a", 1), NOW + LEASE + 3)
    assert told(receipts) == ["stored"] * 6
    assert receipts[0].task_done
    assert {row.answered for row in rows(engine, select(PAIR))} == {2}
    assert recount(engine, SETTINGS) == 0


def test_a_lease_lasts_while_its_owner_answers(engine: Engine) -> None:
    fill(engine, poses=2, pairs=3, people=1)
    task = next_task(engine, SETTINGS, 1, "work", NOW)
    assert task is not None
    now = NOW
    for event in answers(task, "a", 1)[:5]:
        now += 0.7 * LEASE
        record(engine, SETTINGS, 1, [event], now)
        assert release_expired(engine, SETTINGS, now + 1) == 0
    assert release_expired(engine, SETTINGS, now + LEASE + 1) == 1


def test_a_clock_that_was_set_back_keeps_no_lease(engine: Engine) -> None:
    fill(engine, poses=1, pairs=1, people=2, wanted=1)
    assert next_task(engine, SETTINGS, 1, "work", NOW) is not None
    assert next_task(engine, SETTINGS, 2, "work", NOW - 10) is not None, "its end lies further than a lease lasts"


def test_an_answer_taken_back_opens_its_pair_and_its_task(engine: Engine) -> None:
    fill(engine, poses=1, pairs=1, people=2, wanted=1)
    task = next_task(engine, SETTINGS, 1, "work", NOW)
    assert task is not None
    (question,) = task.questions
    assert record(engine, SETTINGS, 1, [Event(key(1), question.id, 1, "a", 900)], NOW)[0].task_done
    assert rows(engine, select(PAIR.c.closed, PAIR.c.need)) == [("answers", 0)]
    assert not record(engine, SETTINGS, 1, [Event(key(2), question.id, 2, "undone", 0)], NOW)[0].task_done
    assert rows(engine, select(PAIR.c.closed, PAIR.c.answered, PAIR.c.leased)) == [(None, 0, 1)]
    again = next_task(engine, SETTINGS, 1, "work", NOW)
    assert again is not None
    assert (again.id, again.questions[0].choice, again.questions[0].revision) == (task.id, None, 2)
    # Undone again after its lease: it is free for others.
    record(engine, SETTINGS, 1, [Event(key(3), question.id, 3, "b", 900)], NOW)
    record(engine, SETTINGS, 1, [Event(key(4), question.id, 4, "undone", 0)], NOW + 2 * LEASE)
    assert rows(engine, select(PAIR.c.need)) == [(1,)]
    assert next_task(engine, SETTINGS, 2, "work", NOW + 2 * LEASE) is not None
    assert recount(engine, SETTINGS) == 0


def test_events_count_by_their_revision_not_by_their_arrival(engine: Engine) -> None:
    fill(engine, poses=1, pairs=1, people=1)
    task = next_task(engine, SETTINGS, 1, "work", NOW)
    assert task is not None
    made = [Event(key(i), task.questions[0].id, i, c, 900) for i, c in ((1, "a"), (2, "undone"), (3, "b"))]
    assert told(record(engine, SETTINGS, 1, [made[2], made[0], made[0]], NOW)) == ["stored", "stored", "already"]
    assert told(record(engine, SETTINGS, 1, [made[1], made[2]], NOW)) == ["stored", "already"]
    assert rows(engine, select(QUESTION.c.choice, QUESTION.c.revision)) == [("b", 3)]
    assert len(rows(engine, select(ANSWER))) == 3


def test_what_does_not_belong_is_refused(engine: Engine) -> None:
    fill(engine, poses=2, pairs=3, people=2)
    task = next_task(engine, SETTINGS, 1, "work", NOW)
    assert task is not None
    a, b = task.questions[:2]
    stored = Event(key(1), a.id, 1, "a", 900)
    assert told(record(engine, SETTINGS, 1, [stored], NOW)) == ["stored"]
    wrong = [
        Event(key(2), a.id, 1, "a", 900),  # another tab
        Event(key(1), b.id, 1, "a", 900),  # a key used before
        Event(key(1), a.id, 2, "a", 900),
        Event(key(3), 10**9, 1, "a", 900),
    ]
    assert told(record(engine, SETTINGS, 1, wrong, NOW)) == ["conflict", "conflict", "conflict", "unknown"]
    assert told(record(engine, SETTINGS, 2, [Event(key(4), a.id, 2, "b", 900), stored], NOW)) == ["unknown"] * 2
    assert len(rows(engine, select(ANSWER))) == 1
    with pytest.raises(InputError, match="at most 200"):
        record(engine, SETTINGS, 1, [stored] * 201, NOW)
    with pytest.raises(InputError, match="person 99"):
        record(engine, SETTINGS, 99, [stored], NOW)
    assert record(engine, SETTINGS, 1, [], NOW) == []


@pytest.mark.parametrize(
    "wrong",
    [{"key": ""}, {"key": "x" * 37}, {"key": "a\0b"}, {"choice": "c"}, {"revision": 0}, {"revision": 1001},
     {"response_ms": -1}, {"question": 0}, {"question": 1 << 63}],
)  # fmt: skip
def test_events_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="answer: "):
        Event(**{"key": key(1), "question": 1, "revision": 1, "choice": "a", "response_ms": 5, **wrong})


def test_practice_tells_what_is_right(engine: Engine) -> None:
    fill(engine, poses=1, people=1, practice=3, stage="practice")
    settings = replace(SETTINGS, practice_questions=3, test_questions=0)
    assert next_task(engine, settings, 1, "work", NOW) is None
    task = next_task(engine, settings, 1, "practice", NOW)
    assert task is not None
    assert len(task.questions) == 3
    truth = {row.id: row.truth for row in rows(engine, select(PAIR.c.id, PAIR.c.truth))}
    for i, question in enumerate(task.questions):
        event = Event(key(i + 1), question.id, 1, "a", 900)
        for status in ("stored", "already"):  # told again where the first receipt was lost
            (receipt,) = record(engine, settings, 1, [event], NOW)
            assert receipt.status == status
            feedback = receipt.feedback
            assert feedback is not None
            says_first = question.joint_a < question.joint_b
            assert (
                feedback.right
                == {0: "same", -1: "a" if says_first else "b", 1: "b" if says_first else "a"}[truth[question.pair_id]]
            )
            assert feedback.correct == (feedback.right == "a")
            assert feedback.explanation == f"because {question.pose_id}"
    assert receipt.task_done
    assert stage(engine) == "working"


def test_gold_is_not_told_by_being_alone_on_its_image(engine: Engine) -> None:
    fill(engine, poses=60, pairs=4, people=4, wanted=9)
    settings = replace(SETTINGS, images_per_task=3, pairs_per_image=4, gold_share=0.2)
    with transaction(engine) as connection:
        for pair_id in range(1, 81):  # all pairs of twenty poses
            overrides.make_gold(connection, pair_id, 1, "", NOW)
    purpose = {row.id: row.purpose for row in rows(engine, select(PAIR.c.id, PAIR.c.purpose))}
    asked: Counter[str] = Counter()
    for person in (1, 2, 3, 4):
        for number in range(10):
            task = next_task(engine, settings, person, "work", NOW)
            assert task is not None
            images = Counter(question.pose_id for question in task.questions)
            assert set(images.values()) == {4}, "gold or not"
            runs = [pose for pose, _ in groupby(q.pose_id for q in task.questions)]
            assert len(runs) == len(images), "all questions of an image in a row"
            asked.update(purpose[question.pair_id] for question in task.questions)
            record(engine, settings, person, answers(task, "a", 10_000 * person + 100 * number + 1), NOW)
    assert asked["gold"] / asked.total() == pytest.approx(0.2, abs=0.08)
    assert recount(engine, settings) == 0


@pytest.mark.parametrize("lucky", [True, False])
def test_the_entry_test_is_graded(engine: Engine, lucky: bool) -> None:
    fill(engine, poses=1, people=1, test=6, stage="test")
    truth = {row.id: row.truth for row in rows(engine, select(PAIR.c.id, PAIR.c.truth))}
    asked: set[int] = set()
    for attempt in (1, 2):
        task = next_task(engine, SETTINGS, 1, "test", NOW)
        assert task is not None
        assert not asked & {q.pair_id for q in task.questions}, "others, while there are"
        asked |= {q.pair_id for q in task.questions}
        right = 2 if lucky and attempt == 2 else 1  # of 3, 60 % are asked for
        for i, (question, low, high) in enumerate(zip(task.questions, nearer(task, -1), nearer(task, 1), strict=True)):
            good, bad = (low, high) if truth[question.pair_id] < 0 else (high, low)
            event = Event(key(10 * attempt + i), question.id, 1, good if i < right else bad, 900)
            (receipt,) = record(engine, SETTINGS, 1, [event], NOW)
            assert receipt.feedback is None
        assert receipt.task_done
        late = Event(key(90 + attempt), question.id, 2, good, 900)
        assert told(record(engine, SETTINGS, 1, [late], NOW)) == ["finished"]
        assert stage(engine) == ("test" if attempt == 1 else "working" if lucky else "failed")
    assert rows(engine, select(PERSON.c.test_attempts)) == [(2,)]
    assert next_task(engine, SETTINGS, 1, "test", NOW) is None
    assert recount(engine, SETTINGS) == 0


def test_what_was_left_out_of_the_entry_test_counts_for_nothing(engine: Engine) -> None:
    fill(engine, poses=1, people=1, test=3, stage="test")
    settings = replace(SETTINGS, test_pass=1.0)
    task = next_task(engine, settings, 1, "test", NOW)
    assert task is not None
    with transaction(engine) as connection:  # its image is gone
        gone = PAIR.c.id == task.questions[0].pair_id
        connection.execute(sa.update(PAIR).where(gone).values(closed="image"))
    task = next_task(engine, settings, 1, "test", NOW + 2 * LEASE)
    assert task is not None
    assert len(task.questions) == 2
    truth = {row.id: row.truth for row in rows(engine, select(PAIR.c.id, PAIR.c.truth))}
    for i, (question, low, high) in enumerate(zip(task.questions, nearer(task, -1), nearer(task, 1), strict=True)):
        right = low if truth[question.pair_id] < 0 else high
        record(engine, settings, 1, [Event(key(i + 1), question.id, 1, right, 900)], NOW + 2 * LEASE)
    assert stage(engine) == "working"


def test_the_tutorial_takes_its_time_and_leads_on(engine: Engine) -> None:
    fill(engine, poses=1, people=2, practice=2, stage="tutorial")
    assert finish_tutorial(engine, SETTINGS, 1, NOW) == "tutorial", "never opened"
    assert open_tutorial(engine, 1, NOW) == NOW
    assert open_tutorial(engine, 1, NOW + 5) == NOW
    assert finish_tutorial(engine, SETTINGS, 1, NOW + SETTINGS.reading_seconds - 1) == "tutorial"
    assert finish_tutorial(engine, SETTINGS, 1, NOW + SETTINGS.reading_seconds) == "practice"
    assert finish_tutorial(engine, SETTINGS, 1, NOW + 99) == "practice"
    open_tutorial(engine, 2, NOW)
    assert finish_tutorial(engine, replace(SETTINGS, practice_questions=0), 2, NOW + 99) == "working", "no test pairs"


def test_who_is_blocked_counts_no_more_until_let_in_again(engine: Engine) -> None:
    fill(engine, poses=2, pairs=3, people=2, wanted=1)
    task = next_task(engine, SETTINGS, 1, "work", NOW)
    assert task is not None
    events = answers(task, "a", 1)
    record(engine, SETTINGS, 1, events[:4], NOW)
    block_person(engine, SETTINGS, 1, "spam", NOW)
    assert next_task(engine, SETTINGS, 1, "work", NOW) is None
    assert told(record(engine, SETTINGS, 1, events[3:], NOW)) == ["already", "blocked", "blocked"]
    assert {(row.answered, row.leased, row.need) for row in rows(engine, select(PAIR))} == {(0, 0, 1)}
    assert len(rows(engine, select(ANSWER))) == 4, "they stay stored"
    other = next_task(engine, SETTINGS, 2, "work", NOW)
    assert other is not None
    assert len(other.questions) == 6
    unblock_person(engine, SETTINGS, 1, NOW)
    assert Counter(row.answered for row in rows(engine, select(PAIR))) == {1: 4, 0: 2}
    resumed = next_task(engine, SETTINGS, 1, "work", NOW)
    assert resumed is None, "the other has the rest"
    assert recount(engine, SETTINGS) == 0


def test_nobody_is_kept_for_gold_alone(engine: Engine) -> None:
    fill(engine, poses=1, pairs=2, people=2, wanted=1, gold=3)
    settings = replace(SETTINGS, gold_share=0.5)
    first = next_task(engine, settings, 1, "work", NOW)
    assert first is not None
    assert len(first.questions) == 4
    second = next_task(engine, SETTINGS, 2, "work", NOW + LEASE + 1)
    assert second is not None
    record(engine, settings, 2, answers(second, "a", 1), NOW + LEASE + 2)
    assert next_task(engine, settings, 1, "work", NOW + LEASE + 3) is None
    assert rows(engine, select(TASK.c.state).where(TASK.c.id == first.id)) == [("dropped",)]


def test_dropped_questions_are_asked_again_the_same_way_round(engine: Engine) -> None:
    fill(engine, poses=1, pairs=2, people=2, wanted=1)
    first = next_task(engine, SETTINGS, 1, "work", NOW)
    assert first is not None
    second = next_task(engine, SETTINGS, 2, "work", NOW + LEASE + 1)
    assert second is not None
    record(engine, SETTINGS, 2, answers(second, "a", 1), NOW + LEASE + 2)
    assert next_task(engine, SETTINGS, 1, "work", NOW + LEASE + 3) is None
    assert {row.state for row in rows(engine, select(QUESTION).where(QUESTION.c.person_id == 1))} == {"dropped"}
    block_person(engine, SETTINGS, 2, "spam", NOW)
    again = next_task(engine, SETTINGS, 1, "work", NOW + LEASE + 4)
    assert again is not None
    assert {(q.id, q.joint_a) for q in again.questions} == {(q.id, q.joint_a) for q in first.questions}


def test_recount_mends_what_was_changed_by_hand(engine: Engine) -> None:
    fill(engine, poses=1, pairs=2, people=1)
    task = next_task(engine, SETTINGS, 1, "work", NOW)
    assert task is not None
    record(engine, SETTINGS, 1, answers(task, "a", 1)[:1], NOW)
    right = rows(engine, select(PAIR.c.answered, PAIR.c.leased, PAIR.c.need).order_by(PAIR.c.id))
    for wrong in ({"answered": 7}, {"leased": 5}, {"need": 9}):
        with transaction(engine) as connection:
            connection.execute(sa.update(PAIR).where(PAIR.c.id == 1).values(wrong))
            connection.execute(sa.update(schema.tally).values(work=17))
        assert recount(engine, SETTINGS) == 2
        assert rows(engine, select(PAIR.c.answered, PAIR.c.leased, PAIR.c.need).order_by(PAIR.c.id)) == right
    assert rows(engine, select(schema.tally.c.work)) == [(1,)]


def test_whoever_answered_nearly_all_is_not_walked_past_it_all_each_time(engine: Engine) -> None:
    """With a place in the queue, a lease looks at a bounded number of pairs, however many were answered before."""
    fill(engine, poses=400, pairs=2, people=1, wanted=5)
    settings = replace(SETTINGS, images_per_task=20, pairs_per_image=2)
    looked: list[int] = []

    def note(_conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "ORDER BY pair.priority DESC" in statement:
            looked.append(1)

    sa.event.listen(engine, "after_cursor_execute", note)
    most = 0
    for i in range(20):
        looked.clear()
        task = next_task(engine, settings, 1, "work", NOW)
        assert task is not None
        assert len(task.questions) == 40
        record(engine, settings, 1, answers(task, "a", 100 * i), NOW)
        most = max(most, len(looked))
    assert most <= 2 + 1, "batches: the head, the place, one more where the place's is spent"
    assert next_task(engine, settings, 1, "work", NOW) is None


def test_two_tabs_of_one_person_get_one_task(engine: Engine) -> None:
    fill(engine, poses=6, pairs=3, people=1)
    tasks = together(lambda _: next_task(engine, SETTINGS, 1, "work", NOW), range(6))
    assert len({task.id for task in tasks}) == 1
    assert len(rows(engine, select(QUESTION))) == 6


@pytest.mark.parametrize("stop_risk", [None, 0.2])
def test_many_people_at_once_lose_and_double_nothing(engine: Engine, stop_risk: float | None) -> None:
    people = range(1, 9)
    fill(engine, poses=12, pairs=3, people=len(people), gold=4, wanted=3)
    settings = replace(SETTINGS, answers=3, most_answers=5, gold_share=0.2, stop_risk=stop_risk)

    def work(person: int, turn: int = 0) -> list[str]:
        rng, stored, keys = random.Random(person), [], count((turn << 40) + (person << 32))
        while task := next_task(engine, settings, person, "work", NOW):
            events = []
            for question in task.questions:
                for revision, choice in enumerate(rng.choice([["a"], ["b"], ["a", "undone", "b"]]), 1):
                    events.append(Event(key(next(keys)), question.id, revision, choice, 900))
            rng.shuffle(events)
            while events:
                some, events = events[:4], events[4:]
                for _ in range(rng.choice((1, 1, 2))):  # sent again
                    assert {r.status for r in record(engine, settings, person, some, NOW)} <= {"stored", "already"}
                stored += [event.key for event in some]
        return stored

    acknowledged = [one for keys in together(work, people) for one in keys]
    # The last answers may open a pair again when those who could be asked have gone.
    acknowledged += [key for person in people for key in work(person, 1)]
    assert sorted(row.key for row in rows(engine, select(ANSWER))) == sorted(acknowledged)
    work_pairs = rows(engine, select(PAIR).where(PAIR.c.purpose == "work"))
    assert all(pair.closed and not pair.leased and not pair.need for pair in work_pairs)
    if stop_risk is None:
        assert {pair.answered for pair in work_pairs} == {3}
    once = Counter((row.person_id, row.pair_id) for row in rows(engine, select(QUESTION)))
    assert set(once.values()) == {1}
    assert recount(engine, settings) == 0


def test_every_statement_of_lease_and_record_uses_an_index(engine: Engine) -> None:
    """None reads a whole table of pairs, questions, answers or tasks."""
    fill(engine, poses=30, pairs=3, people=2, gold=10, practice=3, wanted=3)
    settings = replace(SETTINGS, gold_share=0.3, stop_risk=0.1)
    statements: list[tuple[str, Any]] = []
    sa.event.listen(engine, "before_cursor_execute", lambda c, cursor, s, p, *_: statements.append((s, p)))
    for person in (1, 2):
        for i in range(3):
            task = next_task(engine, settings, person, "work", NOW)
            assert task is not None
            record(engine, settings, person, answers(task, "a", 1000 * person + 100 * i), NOW)
    task = next_task(engine, settings, 1, "work", NOW)
    release_expired(engine, settings, NOW + LEASE + 1)
    next_task(engine, settings, 1, "work", NOW + LEASE + 2)
    reading = [(s, p[0] if isinstance(p, list) else p) for s, p in statements if s.startswith(("SELECT", "UPDATE"))]
    assert len(reading) > 50
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            explain, column, whole, sorts = "EXPLAIN QUERY PLAN", 3, "SCAN", "TEMP B-TREE FOR ORDER BY"
        else:  # tables so small would be read whole, if that were allowed
            explain, column, whole, sorts = "EXPLAIN", 0, "Seq Scan", "Sort"
            for way in ("seqscan", "bitmapscan", "sort"):
                connection.exec_driver_sql(f"SET enable_{way} = off")
        for statement, parameters in reading:
            plan = [row[column] for row in connection.exec_driver_sql(f"{explain} {statement}", parameters)]
            tables = "|".join(["pair", "question", "answer", "task", "person", "tally", "pose"])
            scans = [s for s in plan if re.search(rf"{whole} (on )?({tables})\b", s) and "ix_pair_queue" not in s]
            assert not scans, (statement, plan)
            if "ORDER BY pair.priority DESC" in statement:
                assert not [step for step in plan if sorts in step], (statement, plan)


def together(work: Any, arguments: Any) -> list[Any]:
    """What `work` gives for each argument, all at once."""
    results: dict[int, Any] = {}

    def run(i: int, argument: Any) -> None:
        try:
            results[i] = work(argument)
        except BaseException as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(arguments)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results.values():
        if isinstance(result, BaseException):
            raise result
    return [results[i] for i in sorted(results)]
