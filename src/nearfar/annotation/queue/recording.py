"""Answers taken in: each once, in whatever order they come, and whatever became of the lease meanwhile."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, update

from nearfar.annotation import schema
from nearfar.annotation.database import with_retries
from nearfar.annotation.queue.counting import PairState, lock_pairs, lock_person, store_pairs
from nearfar.annotation.queue.stages import stage_after
from nearfar.annotation.queue.stopping import settle
from nearfar.annotation.queue.tallies import Given, add_tally
from nearfar.annotation.queue.tasks import is_alive, renewed
from nearfar.annotation.schema import Choice, Stage
from nearfar.annotation.settings import Settings
from nearfar.errors import InputError

__all__ = ["MOST_EVENTS", "MOST_REVISIONS", "Event", "Feedback", "Reason", "Receipt", "record"]

MOST_EVENTS = 200
"""Events of one call."""

MOST_REVISIONS = 1000
"""Answers and undoings of one question."""

LONGEST_MS = 24 * 3600 * 1000
"""Longer response times are cut off at a day."""

LATEST = 1e11
"""Times of browsers' clocks beyond the year 5000 are taken for unknown."""

Reason = Literal["conflict", "unknown", "blocked", "finished"]


@dataclass(frozen=True)
class Event:
    """An answer, or its undoing, as the browser made it.

    Attributes:
        key: 36 characters (a UUID) that the browser made: an event sent twice has the same.
        question: number of the question.
        revision: 1 for the first event of the question, and so on; the highest is what the person says.
        choice: a, b, same, unsure, or undone.
        response_ms: from the end of the lock to the key.
        answered_at: seconds since 1970 by the browser's clock; None where unknown.

    Raises:
        InputError: no such choice, or numbers out of range.
    """

    key: str
    question: int
    revision: int
    choice: Choice
    response_ms: int
    answered_at: float | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.key) <= 36 or "\0" in self.key:
            raise InputError(f"answer: key: expected a UUID of 36 characters, got {len(self.key)}")
        if self.choice not in get_args(Choice):
            raise InputError(f"answer: choice: expected one of {', '.join(get_args(Choice))}")
        if not 0 < self.question < 1 << 62:
            raise InputError(f"answer: question: expected a number from 1, got {self.question}")
        if not 1 <= self.revision <= MOST_REVISIONS:
            raise InputError(f"answer: revision: expected 1..{MOST_REVISIONS}, got {self.revision}")
        if self.response_ms < 0:
            raise InputError(f"answer: response_ms: expected 0 or more, got {self.response_ms}")


@dataclass(frozen=True)
class Feedback:
    """What practice tells after an answer.

    Attributes:
        right: the right choice: a, b or same.
        correct: whether that was chosen.
        explanation: why it is right; None where nothing is known to say.
    """

    right: Choice
    correct: bool
    explanation: str | None


@dataclass(frozen=True)
class Receipt:
    """What became of an event.

    Attributes:
        key: of the event.
        status: "stored"; "already" stored before; or "refused".
        reason: why it was refused: "conflict" (another event of this revision, or under this key, is stored: load the
            task anew), "unknown" (no such question of this person), "blocked", or "finished" (practice or a test
            that is over).
        feedback: of practice, unless refused.
        task_done: nothing is left to answer in the question's task.
    """

    key: str
    status: Literal["stored", "already", "refused"]
    reason: Reason | None = None
    feedback: Feedback | None = None
    task_done: bool = False


def record(engine: Engine, settings: Settings, person_id: int, events: Sequence[Event], now: float) -> list[Receipt]:
    """Store answers, all in one transaction: when this returns, they are on disk.

    Args:
        engine: the database.
        settings: how the project asks.
        person_id: whose answers they are.
        events: at most `MOST_EVENTS`.
        now: seconds since 1970.

    Returns:
        A receipt for each event, in their order.

    Raises:
        InputError: too many events, or there is no such person.
    """
    if len(events) > MOST_EVENTS:
        raise InputError(f"answers: expected at most {MOST_EVENTS} at once, got {len(events)}")
    if not events:
        return []
    return with_retries(engine, lambda connection: _Recording(connection, settings, person_id, now).run(events))


@dataclass
class _Asked:
    """A question, and what the events have made of it so far."""

    row: RowMapping
    state: str
    revision: int
    choice: Choice | None
    correct: int | None
    live: Given | None
    revisions: dict[int, tuple[Any, ...]]

    def right_choice(self) -> Choice | None:
        truth = self.row["truth"]
        if truth is None:
            return None
        if truth == 0:
            return "same"
        return "a" if (truth < 0) != self.row["swapped"] else "b"

    def feedback(self) -> Feedback | None:
        right = self.right_choice()
        if self.row["kind"] != "practice" or right is None or self.choice is None:
            return None
        return Feedback(right, self.choice == right, self.row["explanation"])


class _Recording:
    """One transaction that stores the events of one person."""

    def __init__(self, connection: Connection, settings: Settings, person_id: int, now: float) -> None:
        self.connection, self.settings, self.person_id, self.now = connection, settings, person_id, now
        self.asked: dict[int, _Asked] = {}
        self.pairs: dict[int, PairState] = {}
        self.tally: dict[int, Counter[str]] = defaultdict(Counter)
        self.answers: list[dict[str, Any]] = []

    def run(self, events: Sequence[Event]) -> list[Receipt]:
        person = lock_person(self.connection, self.person_id)
        keys = self._keys(events)
        self._load({event.question for event in events})
        receipts = [self._take(event, keys, blocked=person["blocked_at"] is not None) for event in events]
        if self.answers:
            self._store()
            self._finish(person)
        done = self._done({asked.row["task_id"] for asked in self.asked.values()})
        return [
            replace(
                receipt,
                task_done=asked.row["task_id"] in done,
                feedback=asked.feedback() if receipt.status != "refused" else None,
            )
            if (asked := self.asked.get(event.question)) is not None
            else receipt
            for receipt, event in zip(receipts, events, strict=True)
        ]

    def _keys(self, events: Sequence[Event]) -> dict[str, tuple[int, int, str]]:
        """What is stored under the events' keys: question, revision and choice."""
        answer = schema.answer
        query = select(answer.c.key, answer.c.question_id, answer.c.revision, answer.c.choice)
        rows = self.connection.execute(query.where(answer.c.key.in_({event.key for event in events})))
        return {row.key: (row.question_id, row.revision, row.choice) for row in rows}

    def _load(self, ids: set[int]) -> None:
        """The person's questions among these, their answers, and their locked pairs."""
        question, task, pair, answer = schema.question, schema.task, schema.pair, schema.answer
        query = (
            select(
                question.c.id, question.c.task_id, question.c.pair_id, question.c.swapped, question.c.state,
                question.c.revision, question.c.choice, question.c.correct,
                task.c.kind, task.c.a_left, task.c.state.label("task_state"), task.c.lease_expires_at,
                pair.c.purpose, pair.c.truth, pair.c.explanation,
            )
            .join_from(question, task)
            .join(pair, pair.c.id == question.c.pair_id)
            .where(question.c.id.in_(ids), question.c.person_id == self.person_id)
        )  # fmt: skip
        rows = self.connection.execute(query).mappings().all()
        said: dict[int, dict[int, tuple[Any, ...]]] = defaultdict(dict)
        found = select(answer).where(answer.c.question_id.in_([row["id"] for row in rows]))
        for row in self.connection.execute(found).mappings():
            said[row["question_id"]][row["revision"]] = (row["response_ms"], row["received_at"])
        for row in rows:
            live = None
            if row["choice"] is not None:
                live = Given(
                    row["purpose"], row["choice"], row["a_left"], row["correct"], *said[row["id"]][row["revision"]]
                )
            self.asked[row["id"]] = _Asked(
                row, row["state"], row["revision"], row["choice"], row["correct"], live, said[row["id"]]
            )
        self.pairs = lock_pairs(self.connection, [row["pair_id"] for row in rows])

    def _take(self, event: Event, keys: dict[str, tuple[int, int, str]], *, blocked: bool) -> Receipt:
        this = (event.question, event.revision, event.choice)
        asked = self.asked.get(event.question)
        reason: Reason
        if asked is None:
            reason = "unknown"
        elif keys.get(event.key) == this:
            return Receipt(event.key, "already")
        elif blocked:
            reason = "blocked"
        elif event.key in keys or event.revision in asked.revisions:
            reason = "conflict"
        elif asked.row["kind"] != "work" and asked.row["task_state"] == "done" and event.revision > asked.revision:
            reason = "finished"
        else:
            keys[event.key] = this
            self._add(asked, event)
            return Receipt(event.key, "stored")
        return Receipt(event.key, "refused", reason)

    def _add(self, asked: _Asked, event: Event) -> None:
        """Take in a new event."""
        response_ms = min(event.response_ms, LONGEST_MS)
        at = event.answered_at
        self.answers.append(
            {
                "key": event.key,
                "question_id": event.question,
                "revision": event.revision,
                "choice": event.choice,
                "response_ms": response_ms,
                "answered_at": at if at is not None and abs(at) < LATEST else None,
                "received_at": self.now,
            }
        )
        asked.revisions[event.revision] = (response_ms, self.now)
        if event.revision < asked.revision:
            return  # a later one is known already
        if asked.live is not None:
            self.tally[asked.live.hour].subtract(asked.live.counts(self.settings))
        before, asked.revision = asked.state, event.revision
        if event.choice == "undone":
            asked.choice = asked.correct = asked.live = None
            if before == "answered":
                asked.state = self._reopen(asked)
        else:
            asked.choice, asked.state = event.choice, "answered"
            right = asked.right_choice()
            asked.correct = None if right is None else int(event.choice == right)
            row = asked.row
            asked.live = Given(row["purpose"], event.choice, row["a_left"], asked.correct, response_ms, self.now)
            self.tally[asked.live.hour].update(asked.live.counts(self.settings))
        pair = self.pairs[asked.row["pair_id"]]
        self.pairs[pair.id] = replace(
            pair,
            answered=pair.answered + (asked.state == "answered") - (before == "answered"),
            leased=pair.leased + (asked.state == "leased") - (before == "leased"),
        )

    def _reopen(self, asked: _Asked) -> str:
        """The state of a question whose answer was taken back: given out again while its lease would have lasted."""
        row = asked.row
        holds = row["task_state"] == "leased" or (
            row["task_state"] == "done" and is_alive(row["lease_expires_at"], self.settings, self.now)
        )
        return "leased" if holds else "released"

    def _store(self) -> None:
        question = schema.question
        self.connection.execute(insert(schema.answer), self.answers)
        for id_, asked in self.asked.items():
            values = {
                "state": asked.state, "revision": asked.revision, "choice": asked.choice, "correct": asked.correct
            }  # fmt: skip
            if any(asked.row[name] != value for name, value in values.items()):
                self.connection.execute(update(question).where(question.c.id == id_).values(values))
        add_tally(self.connection, self.person_id, self.tally)
        store_pairs(self.connection, settle(self.connection, self.settings, self.pairs).values())

    def _finish(self, person: RowMapping) -> None:
        """Bring the tasks' states up to date: leased while something is open, or done."""
        task, question = schema.task, schema.question
        for row in {asked.row["task_id"]: asked.row for asked in self.asked.values()}.values():
            here = question.c.task_id == row["task_id"]
            query = select(question.c.state).distinct().where(here)
            states = set(self.connection.execute(query).scalars())
            state: str = row["task_state"]
            values: dict[str, Any] = {}
            if "leased" in states:
                state = "leased"
            elif "released" in states:
                state = "expired"
            elif "answered" in states:
                state = "done"
            if state == "leased" and (until := renewed(row["lease_expires_at"], self.settings, self.now)) is not None:
                values["lease_expires_at"] = until
            if state != row["task_state"]:
                values |= {"state": state, "finished_at": self.now if state == "done" else None}
            if values:
                self.connection.execute(update(task).where(task.c.id == row["task_id"]).values(values))
            if state == "done" and row["task_state"] != "done" and row["kind"] != "work":
                self._advance(person, row)

    def _advance(self, person: RowMapping, task: RowMapping) -> None:
        """Move the person on who has finished practice or the entry test."""
        values: dict[str, Any] = {}
        if task["kind"] == "practice" and person["stage"] == "practice":
            values["stage"] = stage_after(self.connection, self.settings, "practice")
        elif task["kind"] == "test" and person["stage"] == "test":
            question = schema.question
            query = select(func.sum(question.c.correct), func.count()).where(
                question.c.task_id == task["task_id"], question.c.state == "answered"
            )
            right, total = self.connection.execute(query).one()
            attempts = person["test_attempts"] + 1
            stage: Stage = "failed" if attempts >= self.settings.test_attempts else "test"
            if int(right or 0) >= self.settings.right_to_pass(total):
                stage = "working"
            values = {"stage": stage, "test_attempts": attempts}
        if values:
            table = schema.person
            self.connection.execute(update(table).where(table.c.id == self.person_id).values(values))

    def _done(self, tasks: set[int]) -> set[int]:
        table = schema.task
        query = select(table.c.id).where(table.c.id.in_(tasks), table.c.state == "done")
        return set(self.connection.execute(query).scalars())
