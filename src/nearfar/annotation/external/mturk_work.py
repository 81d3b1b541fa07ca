"""Work that was handed in at Mechanical Turk: looked through, approved, rejected, rewarded with a bonus."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Engine, RowMapping, func, select, update
from tqdm import tqdm

from nearfar.annotation import schema
from nearfar.annotation.database import with_retries
from nearfar.annotation.external.mturk import AlreadyDoneError, Turk, dollars
from nearfar.annotation.external.mturk_hits import assignments_of, hit_rows
from nearfar.annotation.settings import Settings
from nearfar.errors import InputError
from nearfar.study import wilson_interval

__all__ = ["Submission", "Verdict", "judge", "list_submissions", "send_bonus", "submissions_to_pay"]

Verdict = Literal["good", "bad", "unknown"]

LONGEST_REASON = 1000


@dataclass(frozen=True)
class Submission:
    """An assignment that was handed in, and what we know of it.

    Attributes:
        assignment_id, hit_id, worker_id: at Mechanical Turk.
        state: Submitted, Approved or Rejected.
        reward_cents, hit_assignments: of its HIT.
        verdict: "good"; "bad": the task is not finished, the worker is blocked, or their gold accuracy is surely below
            the project's `gold_pass`; "unknown": we never saw it, or another worker answered it, so that nothing can
            be said about it.
        why: the reason, for "bad" and "unknown".
        answers: given to its task.
        gold, gold_right: the worker's answers to pairs with known answers, in all tasks.
    """

    assignment_id: str
    hit_id: str
    worker_id: str
    state: str
    reward_cents: int
    hit_assignments: int
    verdict: Verdict
    why: str
    answers: int
    gold: int
    gold_right: int


def list_submissions(
    turk: Turk,
    engine: Engine,
    settings: Settings,
    states: Sequence[str] = ("Submitted",),
    *,
    progress: bool = False,
) -> list[Submission]:
    """Ask Mechanical Turk for what was handed in, and compare it with what we have.

    Args:
        turk: Mechanical Turk.
        engine: the project's database.
        settings: how the project asks.
        states: of the assignments that are meant.
        progress: show a progress bar.
    """
    ours = _visits(engine)
    found = []
    for row in tqdm(hit_rows(engine, turk.sandbox), "HITs", disable=not progress):
        for assignment in assignments_of(turk, row["hit_id"], *states):
            number, worker = assignment["AssignmentId"], assignment["WorkerId"]
            visit = ours.get(number)
            verdict, why = _judge(visit, worker, row["hit_id"], settings)
            counts = (visit["answers"], visit["gold"], visit["gold_right"]) if visit else (0, 0, 0)
            status = assignment["AssignmentStatus"]
            found.append(
                Submission(
                    number,
                    row["hit_id"],
                    worker,
                    status,
                    row["reward_cents"],
                    row["assignments"],
                    verdict,
                    why,
                    *counts,
                )
            )
    return found


def judge(
    turk: Turk,
    engine: Engine,
    chosen: Iterable[Submission],
    verdict: Literal["approved", "rejected"],
    message: str,
    *,
    progress: bool = False,
) -> int:
    """Approve or reject work. What Mechanical Turk has judged already, as we ask for, is passed over.

    Args:
        turk: Mechanical Turk.
        engine: the project's database.
        chosen: the assignments.
        verdict: which.
        message: shown to the workers; needed for rejections.
        progress: show a progress bar.

    Returns:
        How many were judged now.

    Raises:
        InputError: a rejection without a reason, or the service refuses; what was judged until then is kept.
    """
    if verdict == "rejected" and not message.strip():
        raise InputError("reject: the worker has to be told why (--reason)")
    if len(message) > LONGEST_REASON:
        raise InputError(f"reason: expected at most {LONGEST_REASON} characters, got {len(message)}")
    operation, goal = {
        "approved": ("approve_assignment", "Approved"),
        "rejected": ("reject_assignment", "Rejected"),
    }[verdict]
    told = {"RequesterFeedback": message} if message.strip() else {}
    count = 0
    for submission in tqdm(list(chosen), verdict, disable=not progress):
        if submission.state != goal:
            override = {"OverrideRejection": True} if submission.state == "Rejected" else {}
            try:
                turk.call(operation, AssignmentId=submission.assignment_id, **told, **override)
                count += 1
            except AlreadyDoneError:
                pass
        _note(engine, submission.assignment_id, verdict=verdict)
    return count


def send_bonus(
    turk: Turk, engine: Engine, chosen: Iterable[Submission], cents: int, reason: str, *, progress: bool = False
) -> int:
    """Pay a bonus for each assignment, once: the same assignment gets none a second time for the same reason.

    Args:
        turk: Mechanical Turk.
        engine: the project's database.
        chosen: of `submissions_to_pay`.
        cents: for each.
        reason: shown to the workers.
        progress: show a progress bar.

    Returns:
        How many were paid now.
    """
    count = 0
    for submission in tqdm(list(chosen), "bonus", disable=not progress):
        digest = hashlib.sha256(f"{submission.assignment_id}\n{reason}".encode()).hexdigest()
        try:
            turk.call(
                "send_bonus",
                WorkerId=submission.worker_id,
                BonusAmount=f"{cents // 100}.{cents % 100:02d}",
                AssignmentId=submission.assignment_id,
                Reason=reason,
                UniqueRequestToken=digest,
            )
            count += 1
        except AlreadyDoneError:
            pass
        _note(engine, submission.assignment_id, bonus=_paid(turk, submission.assignment_id)[1] / 100)
    return count


def submissions_to_pay(
    turk: Turk, chosen: Iterable[Submission], cents: int, reason: str, *, progress: bool = False
) -> list[Submission]:
    """Those of some assignments that have had no bonus for this reason yet: request tokens are forgotten after a day.

    Raises:
        InputError: the amount or the reason cannot be, or one had another amount for this reason.
    """
    if not 1 <= cents <= 10_000:
        raise InputError(f"bonus: expected $0.01..$100, got {dollars(cents)}")
    if not 0 < len(reason.strip()) <= LONGEST_REASON:
        raise InputError(f"reason: expected 1 to {LONGEST_REASON} characters, got {len(reason.strip())}")
    left = []
    for submission in tqdm(list(chosen), "bonuses paid", disable=not progress):
        amounts, _ = _paid(turk, submission.assignment_id)
        if reason not in amounts:
            left.append(submission)
        elif amounts[reason] != cents:
            paid = dollars(amounts[reason])
            raise InputError(f"assignment {submission.assignment_id}: had a bonus of {paid} for this reason already")
    return left


def choose(
    submissions: Sequence[Submission],
    *,
    assignments: Collection[str] = (),
    workers: Collection[str] = (),
    verdict: Verdict | None = None,
) -> list[Submission]:
    """Those of these assignments, those of these workers, and those of this verdict.

    Raises:
        InputError: an assignment or a worker is named that there is not.
    """
    for named, kind, present in (
        (assignments, "assignment", {submission.assignment_id for submission in submissions}),
        (workers, "worker", {submission.worker_id for submission in submissions}),
    ):
        if unknown := sorted(set(named) - present):
            raise InputError(f"{kind} {unknown[0]}: nothing of it is waiting")
    return [
        submission
        for submission in submissions
        if submission.assignment_id in assignments
        or submission.worker_id in workers
        or (verdict is not None and submission.verdict == verdict)
    ]


def _visits(engine: Engine) -> dict[str, RowMapping]:
    """What we know of every assignment that was opened here, by its id."""
    visit, person, task, question, tally = schema.visit, schema.person, schema.task, schema.question, schema.tally
    answered = (
        select(question.c.task_id, func.count().label("answers"))
        .where(question.c.state == "answered")
        .group_by(question.c.task_id)
        .subquery()
    )
    gold = (
        select(tally.c.person_id, func.sum(tally.c.gold).label("gold"), func.sum(tally.c.gold_right).label("right"))
        .group_by(tally.c.person_id)
        .subquery()
    )
    query = (
        select(
            visit.c.assignment_id,
            visit.c.batch_id,
            person.c.external_id,
            person.c.blocked_at,
            task.c.state.label("task_state"),
            func.coalesce(answered.c.answers, 0).label("answers"),
            func.coalesce(gold.c.gold, 0).label("gold"),
            func.coalesce(gold.c.right, 0).label("gold_right"),
        )
        .join_from(visit, person, visit.c.person_id == person.c.id)
        .outerjoin(task, visit.c.task_id == task.c.id)
        .outerjoin(answered, answered.c.task_id == visit.c.task_id)
        .outerjoin(gold, gold.c.person_id == visit.c.person_id)
        .where(visit.c.platform == "mturk")
    )
    with engine.connect() as connection:
        return {row["assignment_id"]: row for row in connection.execute(query).mappings()}


def _judge(visit: RowMapping | None, worker: str, hit_id: str, settings: Settings) -> tuple[Verdict, str]:
    if visit is None:
        return "unknown", "was never opened here"
    if visit["external_id"] != worker:
        return "unknown", f"was answered by another worker, {visit['external_id']}"
    if visit["batch_id"] != hit_id:
        return "unknown", f"was opened as one of another HIT, {visit['batch_id']}"
    if visit["blocked_at"] is not None:
        return "bad", "the worker is blocked"
    if visit["task_state"] != "done":
        return "bad", "the questions were not all answered"
    _, high = wilson_interval(visit["gold_right"], visit["gold"])
    if visit["gold"] and high < settings.gold_pass:
        return "bad", f"{visit['gold_right']} of {visit['gold']} questions with known answers were right"
    return "good", ""


def _paid(turk: Turk, assignment_id: str) -> tuple[dict[str, int], int]:
    """The bonuses of an assignment: cents by reason, and in all."""
    amounts: dict[str, int] = {}
    total = 0
    for bonus in turk.pages("list_bonus_payments", "BonusPayments", AssignmentId=assignment_id):
        cents = round(float(bonus["BonusAmount"]) * 100)
        amounts[bonus["Reason"]] = cents
        total += cents
    return amounts, total


def _note(engine: Engine, assignment_id: str, **values: str | float) -> None:
    visit = schema.visit
    ours = visit.c.platform == "mturk", visit.c.assignment_id == assignment_id
    with_retries(engine, lambda connection: connection.execute(update(visit).where(*ours).values(values)))
