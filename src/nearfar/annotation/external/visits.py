"""Workers of Mechanical Turk and Prolific: they come by external URL, with the platform's parameters as their ticket.

A visit is one assignment of one worker: tutorial, practice and entry test where they have not passed them yet, then one
task of work. The platform does not sign its parameters, so they are not believed further than they must be: a HIT's
address carries a key that only Mechanical Turk shows its workers, a study has to be the registered one, and before
anything is paid, assignments are compared with what the platform itself says (`mturk_work`).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from nearfar.annotation import schema
from nearfar.annotation.audit import write_log
from nearfar.annotation.database import with_retries
from nearfar.annotation.people import PERSON_COLUMNS, Person, block, create_person, get_person, person_of
from nearfar.annotation.queue.blocking import ban_reason
from nearfar.annotation.queue.leasing import next_task
from nearfar.annotation.queue.tasks import Task
from nearfar.annotation.schema import Platform
from nearfar.annotation.sessions import Session, start_session
from nearfar.annotation.settings import Settings
from nearfar.errors import InputError
from nearfar.web.secrets import hash_token

__all__ = [
    "Arrival",
    "Completion",
    "RefusedError",
    "Visit",
    "complete",
    "is_done",
    "mturk_arrival",
    "open_visit",
    "prolific_arrival",
    "start_visit_session",
    "take_task",
    "visit_of_session",
]

PREVIEW = "ASSIGNMENT_ID_NOT_AVAILABLE"
"""What Mechanical Turk gives as assignment while a worker only looks."""

SUBMIT_HOSTS = {"www.mturk.com": False, "workersandbox.mturk.com": True}
"""Where work may be handed in, and whether it is the sandbox."""

PROLIFIC_COMPLETE = "https://app.prolific.com/submissions/complete?cc="

_MTURK_ID = re.compile("[A-Z0-9]{1,64}")
_PROLIFIC_ID = re.compile("[A-Za-z0-9_-]{1,64}")
_KEY = re.compile("[0-9a-f]{0,64}")

Refusal = Literal["assignment", "hit", "study"]


class RefusedError(InputError):
    """Somebody comes who is not let in.

    Attributes:
        reason: "assignment": it is another worker's, or another HIT's; "hit", "study": not registered.
    """

    def __init__(self, reason: Refusal, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Arrival:
    """Who comes, as the platform says.

    Attributes:
        platform: "mturk" or "prolific".
        worker_id: the worker's id there.
        assignment_id: of this work, there; at Prolific the submission (SESSION_ID).
        batch_id: the HIT; at Prolific the study.
        submit_url: Mechanical Turk: where the work is handed in.
        key: that the address carried.
    """

    platform: Platform
    worker_id: str
    assignment_id: str
    batch_id: str
    submit_url: str | None = None
    key: str = ""


@dataclass(frozen=True)
class Visit:
    """One assignment of one worker (columns of `schema.visit`)."""

    id: int
    platform: Platform
    assignment_id: str
    batch_id: str
    person_id: int
    task_id: int | None
    submit_url: str | None
    submitted_at: float | None
    completion_code: str | None


@dataclass(frozen=True)
class Completion:
    """How a worker tells the platform that the work is done.

    Attributes:
        url: where to.
        method: "post": a form with `fields`; "get": a link; "code": the worker types the code.
        fields: of the form.
        code: of this visit.
        answers: given in its task.
    """

    url: str
    method: Literal["post", "get", "code"]
    fields: Mapping[str, str]
    code: str
    answers: int


_VISIT = tuple(schema.visit.c[name] for name in Visit.__dataclass_fields__)


def mturk_arrival(parameters: Iterable[tuple[str, str]]) -> Arrival | None:
    """Read the parameters that Mechanical Turk adds to an external question's address.

    Args:
        parameters: names and values of the query, as sent.

    Returns:
        Who comes; None for a preview, where nothing can be answered.

    Raises:
        InputError: a parameter is missing, there twice, or cannot be.
    """
    given = _given(parameters, ("assignmentId", "hitId", "workerId", "turkSubmitTo", "key"))
    if given.get("assignmentId") == PREVIEW:
        return None
    ids = {name: _checked(given, name, _MTURK_ID) for name in ("assignmentId", "hitId", "workerId")}
    key = _checked({"key": "", **given}, "key", _KEY)
    return Arrival(
        "mturk", ids["workerId"], ids["assignmentId"], ids["hitId"], _submit_url(given.get("turkSubmitTo", "")), key
    )


def prolific_arrival(parameters: Iterable[tuple[str, str]]) -> Arrival:
    """Read the parameters of a Prolific study's address.

    Raises:
        InputError: a parameter is missing, there twice, or cannot be.
    """
    given = _given(parameters, ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID"))
    person, study, submission = (
        _checked(given, name, _PROLIFIC_ID) for name in ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")
    )
    return Arrival("prolific", person, submission, study)


def open_visit(connection: Connection, settings: Settings, arrival: Arrival, now: float) -> tuple[Visit, Person]:
    """Let a worker in: find or make the person and the visit. Blocked people are found, too: see `Person.blocked`.

    Args:
        connection: a transaction.
        settings: how the project asks.
        arrival: who comes.
        now: seconds since 1970.

    Raises:
        RefusedError: the HIT or the study is not registered, or the assignment is another worker's.
    """
    visit = _find_visit(connection, arrival)
    if visit is None:
        _check_registered(connection, settings, arrival)
        visit = _new_visit(connection, arrival, now)
    person = get_person(connection, visit.person_id)
    if person.external_id != arrival.worker_id or visit.batch_id != arrival.batch_id:
        raise RefusedError("assignment", f"assignment {arrival.assignment_id}: was opened by another worker")
    return visit, person


def start_visit_session(connection: Connection, visit: Visit, now: float) -> Session:
    """Start a session of a visit's person that knows its visit: inside a frame there are no cookies to tell it."""
    return start_session(connection, visit.person_id, now, visit_id=visit.id)


def visit_of_session(connection: Connection, token: str) -> Visit | None:
    """The visit of a session; None for invited people."""
    session = schema.session
    query = select(*_VISIT).join_from(schema.visit, session).where(session.c.token_hash == hash_token(token))
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _visit_of(row)


def is_done(connection: Connection, visit: Visit) -> bool:
    """Whether the work of a visit is done."""
    query = select(schema.task.c.state).join_from(schema.visit, schema.task).where(schema.visit.c.id == visit.id)
    return visit.submitted_at is not None or connection.execute(query).scalar() == "done"


def take_task(engine: Engine, settings: Settings, visit: Visit, now: float) -> Task | None:
    """The one task of work of a visit: given once, resumed as often as needed.

    A task that is not finished goes with the worker to the visit in which they go on with it (they may have returned
    the other assignment); each visit ends with a task of its own.

    Args:
        engine: the database.
        settings: how the project asks.
        visit: whose.
        now: seconds since 1970.

    Returns:
        The task; None where the visit's work is done (`is_done`), or there is none to be had.
    """
    with engine.connect() as connection:
        if is_done(connection, visit):
            return None
    task = next_task(engine, settings, visit.person_id, "work", now)
    if task is None:
        return None
    table = schema.visit
    others = table.c.person_id == visit.person_id, table.c.task_id == task.id, table.c.id != visit.id

    def bind(connection: Connection) -> bool:
        if is_done(connection, visit):  # what was left of the visit's task was not needed any more
            return False
        connection.execute(update(table).where(*others).values(task_id=None))
        connection.execute(update(table).where(table.c.id == visit.id).values(task_id=task.id))
        return True

    return task if with_retries(engine, bind) else None


def complete(connection: Connection, settings: Settings, visit: Visit, now: float) -> Completion:
    """How the worker hands in a visit whose work is done. Asked again, it says the same.

    Raises:
        InputError: the work is not done.
    """
    table, question = schema.visit, schema.question
    if not is_done(connection, visit):
        raise InputError(f"assignment {visit.assignment_id}: its questions are not all answered")
    first = table.c.id == visit.id, table.c.completion_code.is_(None)
    code = secrets.token_hex(10).upper()
    if connection.execute(update(table).where(*first).values(completion_code=code, submitted_at=now)).rowcount:
        write_log(
            connection, now, visit.person_id, "handed in", visit.assignment_id, platform=visit.platform, code=code
        )
    row = connection.execute(select(table).where(table.c.id == visit.id)).mappings().one()
    code = row["completion_code"]
    counted = select(func.count()).where(question.c.task_id == row["task_id"], question.c.state == "answered")
    answers = connection.execute(counted).scalar_one()
    if visit.submit_url is not None:
        fields = {"assignmentId": visit.assignment_id, "code": code, "answers": str(answers)}
        return Completion(f"{visit.submit_url}/mturk/externalSubmit", "post", fields, code, answers)
    if settings.prolific_code:
        return Completion(PROLIFIC_COMPLETE + settings.prolific_code, "get", {}, settings.prolific_code, answers)
    return Completion("", "code", {}, code, answers)


def _given(parameters: Iterable[tuple[str, str]], names: Iterable[str]) -> dict[str, str]:
    """The parameters of these names; others are passed over, as platforms add new ones."""
    wanted = set(names)
    given: dict[str, str] = {}
    for name, value in parameters:
        if name in given:
            raise InputError(f"{name}: given twice")
        if name in wanted:
            given[name] = value
    return given


def _checked(given: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> str:
    value = given.get(name)
    if value is None:
        raise InputError(f"{name}: missing")
    if not pattern.fullmatch(value):
        raise InputError(f"{name}: expected {pattern.pattern}")
    return value


def _submit_url(text: str) -> str:
    """Where to hand in: only Mechanical Turk's own sites, or a stranger could have the form sent elsewhere."""
    try:
        address = urlsplit(text[:300])
        plain = address.port is None and address.username is None and not address.query and not address.fragment
    except ValueError:
        raise InputError("turkSubmitTo: not an address") from None
    host = address.hostname or ""
    if address.scheme != "https" or host not in SUBMIT_HOSTS or not plain or address.path not in ("", "/"):
        raise InputError(f"turkSubmitTo: expected https:// and one of {', '.join(SUBMIT_HOSTS)}")
    return f"https://{host}"


def _check_registered(connection: Connection, settings: Settings, arrival: Arrival) -> None:
    if arrival.platform == "prolific":
        if not settings.prolific_study or arrival.batch_id != settings.prolific_study:
            raise RefusedError("study", f"study {arrival.batch_id}: not the project's (setting prolific_study)")
        return
    if settings.unregistered_hits:
        return
    sandbox = SUBMIT_HOSTS[urlsplit(arrival.submit_url or "").hostname or ""]
    hit = schema.hit
    query = select(hit.c.hit_id, hit.c.sandbox).where(hit.c.request_token == arrival.key)
    row = connection.execute(query).mappings().one_or_none()
    # A worker can be faster than the answer that tells us the HIT's id: then the key alone must do.
    if row is None or row["sandbox"] != sandbox or row["hit_id"] not in (None, arrival.batch_id):
        raise RefusedError("hit", f"HIT {arrival.batch_id}: not one of the project's")


def _find_visit(connection: Connection, arrival: Arrival) -> Visit | None:
    visit = schema.visit
    query = select(*_VISIT).where(visit.c.platform == arrival.platform, visit.c.assignment_id == arrival.assignment_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _visit_of(row)


def _new_visit(connection: Connection, arrival: Arrival, now: float) -> Visit:
    person = _find_person(connection, arrival) or _new_person(connection, arrival, now)
    values = {
        "platform": arrival.platform,
        "assignment_id": arrival.assignment_id,
        "batch_id": arrival.batch_id,
        "person_id": person.id,
        "submit_url": arrival.submit_url,
        "opened_at": now,
    }
    try:
        with connection.begin_nested():
            row = connection.execute(insert(schema.visit).values(values).returning(*_VISIT)).mappings().one()
            return _visit_of(row)
    except IntegrityError:  # opened twice at once
        visit = _find_visit(connection, arrival)
        if visit is None:
            raise
        return visit


def _find_person(connection: Connection, arrival: Arrival) -> Person | None:
    person = schema.person
    query = select(*PERSON_COLUMNS).where(
        person.c.platform == arrival.platform, person.c.external_id == arrival.worker_id
    )
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else person_of(row)


def _new_person(connection: Connection, arrival: Arrival, now: float) -> Person:
    """Add a worker, blocked where they were banned before they came."""
    try:
        person = create_person(
            connection, arrival.worker_id, "annotator", now, platform=arrival.platform, external_id=arrival.worker_id
        )
    except InputError:  # came twice at once
        found = _find_person(connection, arrival)
        if found is None:
            raise
        return found
    if (reason := ban_reason(connection, arrival.platform, arrival.worker_id)) is not None:
        block(connection, person.id, reason, now)
    return person


def _visit_of(row: RowMapping) -> Visit:
    return Visit(**{column.name: row[column] for column in _VISIT})
