from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
import sqlalchemy as sa
from annotation_samples import LEASE, NOW, SETTINGS, empty, fill, key
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import Connection, Engine, select

from nearfar.annotation import schema
from nearfar.annotation.database import connect, migrate
from nearfar.annotation.queue import (
    Event,
    Receipt,
    next_task,
    record,
    recount,
    release_expired,
    walking,
)
from nearfar.annotation.queue.blocking import block_person, unblock_person
from nearfar.annotation.queue.refreshing import refresh
from nearfar.annotation.settings import Settings

PERSON, PAIR, TASK, QUESTION, ANSWER = schema.person, schema.pair, schema.task, schema.question, schema.answer


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = connect(database_url)
    migrate(engine)
    if engine.dialect.name == "sqlite":  # nobody cuts the power here
        sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
        engine.dispose()
    yield engine
    engine.dispose()


def rows(engine: Engine, query: sa.Select) -> list:
    with engine.connect() as connection:
        return list(connection.execute(query).mappings())


def statuses(receipts: list[Receipt]) -> list[str]:
    return [receipt.reason or receipt.status for receipt in receipts]


# --- the machine -----------------------------------------------------------------------------------------------------

PEOPLE = (1, 2, 3)
CHOICES = ("a", "b", "same", "unsure", "undone")


class Machine(RuleBasedStateMachine):
    """People, browsers and clocks that do what they like; what was acknowledged must be there, and the counts right."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        super().__init__()
        self.engine, self.settings = engine, settings
        empty(engine)
        fill(engine, poses=2, pairs=3, people=len(PEOPLE), gold=2, wanted=settings.answers)
        self.now = NOW
        self.last_key = 0
        self.questions: dict[int, list[int]] = {person: [] for person in PEOPLE}  # ever shown
        self.made: dict[int, list[Event]] = {person: [] for person in PEOPLE}
        self.revision: Counter[int] = Counter()  # the browser's
        self.stored: dict[str, Event] = {}
        self.blocked: set[int] = set()

    def _state(self) -> list:
        return rows(self.engine, select(PAIR))

    @rule(person=st.sampled_from(PEOPLE))
    def ask(self, person: int) -> None:
        before = {row["id"]: row for row in self._state()}
        mine = {
            row["pair_id"]: row["state"]
            for row in rows(self.engine, select(QUESTION).where(QUESTION.c.person_id == person))
        }
        had = {row["id"] for row in rows(self.engine, select(QUESTION).where(QUESTION.c.state == "leased"))}
        task = next_task(self.engine, self.settings, person, "work", self.now)
        after = {row["id"]: row for row in self._state()}
        if person in self.blocked:
            assert task is None
            return
        if task is None:
            left = [
                row
                for row in after.values()
                if row["purpose"] == "work" and row["need"] > 0 and mine.get(row["id"], "dropped") == "dropped"
            ]
            assert not left, "there was something to ask"
            return
        assert self.now < task.lease_expires_at <= self.now + LEASE
        leased = rows(self.engine, select(QUESTION).where(QUESTION.c.state == "leased", QUESTION.c.task_id == task.id))
        assert leased, "a task with nothing left to answer"
        for row in leased:
            if row["id"] not in had and before[row["pair_id"]]["purpose"] == "work":
                pair = after[row["pair_id"]]
                assert pair["closed"] is None
                assert pair["answered"] + pair["leased"] <= pair["wanted"]
        shown = [question.id for question in task.questions]
        poses = [question.pose_id for question in task.questions]
        if not set(shown) & set(self.questions[person]):
            assert len(poses) - 1 == sum(a == b for a, b in pairwise(poses)) + len(set(poses)) - 1, "an image twice"
        self.questions[person] += [id_ for id_ in shown if id_ not in self.questions[person]]

    def _make(self, person: int, question: int, choice: str) -> None:
        self.revision[question] += 1
        self.last_key += 1
        self.made[person].append(
            Event(key(self.last_key), question, self.revision[question], choice, 100 * self.last_key)
        )

    @rule(
        person=st.sampled_from(PEOPLE),
        data=st.data(),
        choices=st.lists(st.sampled_from(CHOICES), min_size=1, max_size=3),
    )
    def answer(self, person: int, data: st.DataObject, choices: list[str]) -> None:
        """The browser makes events of one question, keeps them in its outbox, and sends some, in some order."""
        if self.questions[person]:
            question = data.draw(st.sampled_from(self.questions[person]))
            for choice in choices:
                self._make(person, question, choice)
            made = self.made[person][-len(choices) :]
            if some := data.draw(st.permutations(made))[: data.draw(st.integers(0, len(made)))]:
                self._send(person, list(some))

    @rule(person=st.sampled_from(PEOPLE))
    def work(self, person: int) -> None:
        """A task from beginning to end."""
        self.ask(person)
        for question in self.questions[person]:
            if not self.revision[question]:
                self._make(person, question, "a" if self.last_key % 3 else "b")
                self._send(person, self.made[person][-1:])

    @rule(person=st.sampled_from(PEOPLE), data=st.data())
    def send(self, person: int, data: st.DataObject) -> None:
        """Some of what was ever made, in any order, some of it again."""
        if self.made[person]:
            self._send(person, data.draw(st.lists(st.sampled_from(self.made[person]), min_size=1, max_size=6)))

    def _send(self, person: int, events: list[Event]) -> None:
        receipts = record(self.engine, self.settings, person, events, self.now)
        assert [receipt.key for receipt in receipts] == [event.key for event in events]
        for receipt, event in zip(receipts, events, strict=True):
            if event.key in self.stored:
                assert receipt.status == "already"
            elif person in self.blocked:
                assert (receipt.status, receipt.reason) == ("refused", "blocked")
            else:
                assert receipt.status == "stored", receipt
                self.stored[event.key] = event

    @rule(person=st.sampled_from(PEOPLE), data=st.data())
    def other_tab(self, person: int, data: st.DataObject) -> None:
        """Another tab says something else under a revision that is stored, or sends somebody else's question."""
        events = [event for event in self.stored.values() if event.question in self.questions[person]]
        if not events:
            return
        event = data.draw(st.sampled_from(events))
        self.last_key += 1
        other = replace(event, key=key(self.last_key), choice="same" if event.choice != "same" else "a")
        assert statuses(record(self.engine, self.settings, person, [other], self.now)) == [
            "blocked" if person in self.blocked else "conflict"
        ]
        reused = replace(event, revision=event.revision + 1)
        assert statuses(record(self.engine, self.settings, person, [reused], self.now)) == [
            "blocked" if person in self.blocked else "conflict"
        ]
        stranger = PEOPLE[person % len(PEOPLE)]
        assert statuses(record(self.engine, self.settings, stranger, [event, other], self.now)) == ["unknown"] * 2

    @rule(seconds=st.sampled_from([1.0, LEASE / 3, LEASE * 0.9, LEASE + 1, 40 * LEASE, -1.0, -LEASE / 2, -40 * LEASE]))
    def clock(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def sweep(self) -> None:
        release_expired(self.engine, self.settings, self.now)
        for row in rows(self.engine, select(TASK).where(TASK.c.state == "leased")):
            assert self.now < row["lease_expires_at"] <= self.now + LEASE, "a lease is stuck"

    @rule(person=st.sampled_from(PEOPLE))
    def block(self, person: int) -> None:
        block_person(self.engine, self.settings, person, "test", self.now)
        self.blocked.add(person)

    @precondition(lambda self: self.blocked)
    @rule()
    def unblock(self) -> None:
        for person in list(self.blocked):
            unblock_person(self.engine, self.settings, person, self.now)
        self.blocked.clear()

    @rule()
    def merge(self) -> None:
        assert refresh(self.engine, self.settings, clock=lambda: self.now) is not None

    @invariant()
    def holds(self) -> None:
        with self.engine.connect() as connection:
            check(connection, self.settings)
            stored = {
                row.key: (row.question_id, row.revision, row.choice) for row in connection.execute(select(ANSWER))
            }
            assert stored == {k: (e.question, e.revision, e.choice) for k, e in self.stored.items()}, "lost or doubled"
            last = {}
            for event in self.stored.values():
                if event.revision > last.get(event.question, (0, ""))[0]:
                    last[event.question] = (event.revision, event.choice)
            for row in connection.execute(select(QUESTION)):
                revision, choice = last.get(row.id, (0, "undone"))
                assert (row.revision, row.choice) == (revision, None if choice == "undone" else choice)

    def teardown(self) -> None:
        assert recount(self.engine, self.settings) == 0


TALLIED = ("work", "gold", "gold_right", "first", "left", "same", "unsure", "hasty")


def tallied(connection: Connection, settings: Settings) -> Iterator[tuple[int, str]]:
    """What is counted of every live answer, from the answers themselves."""
    query = (
        select(
            QUESTION.c.person_id,
            QUESTION.c.swapped,
            PAIR.c.purpose,
            PAIR.c.truth,
            TASK.c.a_left,
            ANSWER.c.choice,
            ANSWER.c.response_ms,
        )
        .join_from(QUESTION, PAIR)
        .join(TASK, TASK.c.id == QUESTION.c.task_id)
        .join(ANSWER, (ANSWER.c.question_id == QUESTION.c.id) & (ANSWER.c.revision == QUESTION.c.revision))
        .where(ANSWER.c.choice != "undone")
    )
    for row in connection.execute(query):
        who = row.person_id
        yield who, row.purpose
        says = {"a": -1, "b": 1, "same": 0, "unsure": None}[row.choice]
        if row.swapped and says:
            says = -says
        if row.purpose == "gold" and says == row.truth:
            yield who, "gold_right"
        if row.choice in ("same", "unsure"):
            yield who, row.choice
        if row.choice == "a":
            yield who, "first"
        if (row.choice, row.a_left) in (("a", True), ("b", False)):
            yield who, "left"
        if row.response_ms < settings.fast_ms:
            yield who, "hasty"


def check(connection: Connection, settings: Settings) -> None:
    """What always holds, counted anew here."""
    people = {row.id: row for row in connection.execute(select(PERSON))}
    tasks = {row.id: row for row in connection.execute(select(TASK))}
    questions = connection.execute(select(QUESTION)).all()
    once = Counter((row.person_id, row.pair_id, row.attempt) for row in questions)
    assert max(once.values(), default=1) == 1
    answered = Counter(r.pair_id for r in questions if r.state == "answered" and people[r.person_id].blocked_at is None)
    leased = Counter(row.pair_id for row in questions if row.state == "leased")
    for row in questions:
        assert (row.state == "answered") == (row.choice is not None)
        if row.state == "leased":
            assert tasks[row.task_id].state == "leased"
            assert people[row.person_id].blocked_at is None
        if row.state in ("leased", "released"):
            assert tasks[row.task_id].state in ("leased", "expired")
    for pair in connection.execute(select(PAIR)):
        assert (pair.answered, pair.leased) == (answered[pair.id], leased[pair.id])
        open_need = max(0, pair.wanted - pair.answered - pair.leased)
        assert pair.need == (open_need if pair.closed is None else 0)
        if pair.purpose == "work":
            if settings.stop_risk is None:
                assert (pair.closed == "answers") == (pair.answered >= pair.wanted)
            else:
                assert pair.wanted <= settings.most_answers
                assert pair.closed is not None or pair.answered < settings.most_answers
                assert pair.closed is not None or pair.answered < pair.wanted, "open, and nothing wanted"
    sums = Counter({(row.person_id, name): 0 for row in connection.execute(select(schema.tally)) for name in TALLIED})
    for row in connection.execute(select(schema.tally)):
        sums.update({(row.person_id, name): getattr(row, name) for name in TALLIED})
    assert +sums == +Counter(tallied(connection, settings))
    for person in people:
        sides = [task.a_left for id_, task in sorted(tasks.items()) if task.person_id == person]
        assert all(a != b for a, b in pairwise(sides))


@pytest.mark.parametrize("stop_risk", [None, 0.2])
def test_whatever_people_browsers_and_clocks_do(
    engine: Engine, stop_risk: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HEAD": 2, "BATCH": 2, "MOST_BATCHES": 1}.items():
        monkeypatch.setattr(walking, name, value)  # walks of several legs and transactions, even in a short queue
    settings = replace(SETTINGS, stop_risk=stop_risk, gold_share=0.3, images_per_task=1, pairs_per_image=2)
    examples = 25 if engine.dialect.name == "sqlite" else 5
    run_state_machine_as_test(
        lambda: Machine(engine, settings),
        settings=hypothesis_settings(
            max_examples=examples, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
