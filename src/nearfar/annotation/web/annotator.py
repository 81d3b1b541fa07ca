"""What annotators see and send: tutorial, questions, answers, results, comments."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Select, insert, select

from nearfar.annotation import schema
from nearfar.annotation.database import reading, with_retries
from nearfar.annotation.external.visits import take_task
from nearfar.annotation.people import Person
from nearfar.annotation.projects.crops import crop_jpeg, find_crop
from nearfar.annotation.projects.project import Project
from nearfar.annotation.queue import (
    MOST_EVENTS,
    MOST_REVISIONS,
    Event,
    Kind,
    Receipt,
    finish_tutorial,
    next_task,
    open_tutorial,
    record,
    stage_after,
)
from nearfar.annotation.web.external import CurrentVisit, show_hand_in
from nearfar.annotation.web.rendering import Pages, page
from nearfar.annotation.web.security import CurrentSession, require
from nearfar.annotation.web.showing import Showing, count_answers, has_open_test, last_result
from nearfar.errors import InputError
from nearfar.web.static_files import StaticFiles

__all__ = ["router"]

log = logging.getLogger(__name__)

LONGEST_COMMENT = 2000
LARGEST_ID = (1 << 62) - 1

KINDS: dict[str, Kind] = {"practice": "practice", "test": "test", "working": "work"}
"""What people are given to do, by stage."""

router = APIRouter()

Annotator = Annotated[Person, Depends(require("annotator"))]
Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]


class Body(BaseModel):
    """JSON with exactly these fields."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class TaskBody(Body):
    """A request for something to do."""

    again: bool = False
    """Take the entry test once more (without it, the page of the result is shown)."""


class EventBody(Body):
    """One answer, or one taken back, as the browser tells it."""

    key: Annotated[UUID, Field(strict=False)]
    question: Id
    revision: Annotated[int, Field(ge=1, le=MOST_REVISIONS)]
    choice: Literal["a", "b", "same", "unsure", "undone"]
    response_ms: Annotated[int, Field(ge=0, le=86_400_000)]
    answered_at: Annotated[float, Field(ge=0, le=1e11)]


class AnswersBody(Body):
    """Answers, in any order, some perhaps sent before."""

    events: Annotated[list[EventBody], Field(max_length=MOST_EVENTS)]


class CommentBody(Body):
    """A remark, about a question or in general."""

    question: Id | None = None
    text: Annotated[str, Field(min_length=1, max_length=LONGEST_COMMENT)]


async def project_of(request: Request) -> Project:
    """The project that is served. Async like all that waits for nothing: every other dependency takes a thread."""
    project: Project = request.app.state.project
    return project


async def showing_of(request: Request) -> Showing:
    """What puts its questions into words."""
    pages: Pages = request.app.state.pages
    return Showing(request.app.state.project, pages.texts)


Shown = Annotated[Showing, Depends(showing_of)]
Served = Annotated[Project, Depends(project_of)]


@router.get("/ask")
def show_questions(request: Request, session: CurrentSession, person: Annotator, again: bool = False) -> Response:
    """The page that asks, or where this person has to go first."""
    if person.stage in ("tutorial", "failed"):
        return RedirectResponse(f"/{person.stage}", 303)
    config = {
        "texts": request.app.state.pages.texts.section("script"),
        "outbox": f"{person.id}-{person.created_at!r}",  # two projects may be served from one address one after another
        "again": again,
    }
    return page(request, "question.html", person=person, csrf_token=session.csrf_token, config=config)


@router.get("/tutorial")
def show_tutorial(request: Request, session: CurrentSession, person: Annotator) -> Response:
    """How it works, with worked examples."""
    return _tutorial(request, session.csrf_token, person, early=False)


@router.post("/tutorial")
def leave_tutorial(request: Request, session: CurrentSession, person: Annotator, project: Served) -> Response:
    """Go on, if the person has had time to read."""
    if finish_tutorial(project.engine, project.settings, person.id, time.time()) == "tutorial":
        return _tutorial(request, session.csrf_token, person, early=True)
    return RedirectResponse("/ask", 303)


def _tutorial(request: Request, csrf_token: str, person: Person, *, early: bool) -> Response:
    showing = Showing(request.app.state.project, request.app.state.pages.texts)
    project, texts, now = showing.project, showing.texts, time.time()
    settings = project.settings
    first = person.stage == "tutorial"
    left = max(0.0, open_tutorial(project.engine, person.id, now) + settings.reading_seconds - now) if first else 0.0
    with project.engine.connect() as connection:
        examples = showing.examples(connection)
        following = {"practice": "practice", "test": "test", "working": "work"}
        step = following[stage_after(connection, settings, "tutorial")] if first else "questions"
        tested = first and stage_after(connection, settings, "practice") == "test"
    steps = []
    if step == "practice":
        steps.append(texts("tutorial.next_practice", count=settings.practice_questions))
    if tested:
        count = settings.test_questions
        steps.append(texts("tutorial.next_test", count=count, needed=settings.right_to_pass(count)))
    return page(
        request,
        "tutorial.html",
        person=person,
        csrf_token=csrf_token,
        examples=examples,
        subject=settings.subject,
        next=step,
        steps=steps,
        early=math.ceil(left) if early else None,
        config={"texts": texts.section("script"), "wait_seconds": left},
    )


@router.get("/result")
def show_result(request: Request, session: CurrentSession, person: Annotator, project: Served) -> Response:
    """How the entry test went, and what comes next."""
    with project.engine.connect() as connection:
        result = last_result(connection, project.settings, person.id)
        attempts = connection.execute(
            select(schema.person.c.test_attempts).where(schema.person.c.id == person.id)
        ).scalar_one()
    if result is None:
        return RedirectResponse("/ask", 303)
    shown = {"right": result.right, "total": result.total, "needed": result.needed}
    common: dict[str, Any] = {"person": person, "csrf_token": session.csrf_token, **shown}
    if person.stage == "failed":
        return page(request, "failed.html", **common)
    left = project.settings.test_attempts - attempts
    return page(request, "result.html", passed=person.stage == "working", left=left, **common)


@router.get("/failed")
def show_failed(person: Annotator) -> Response:
    """The end, for who did not pass the entry test."""
    return RedirectResponse("/result" if person.stage == "failed" else "/ask", 303)


@router.get("/done")
def show_done(
    request: Request, session: CurrentSession, visit: CurrentVisit, person: Annotator, project: Served
) -> Response:
    """Nothing left to ask at present; for external workers, how to hand in."""
    if visit is not None:
        return show_hand_in(request, session, visit)
    with project.engine.connect() as connection:
        count = count_answers(connection, person.id)
    return page(request, "done.html", person=person, csrf_token=session.csrf_token, count=count)


@router.post("/api/task")
def give_task(
    body: TaskBody, person: Annotator, visit: CurrentVisit, project: Served, showing: Shown
) -> dict[str, Any]:
    """The task that the person has, or a new one; without one, where to go instead."""
    if person.stage in ("tutorial", "failed"):
        return {"task": None, "next": f"/{person.stage}"}
    with project.engine.connect() as connection:
        ended = person.stage == "test" and not has_open_test(connection, person.id)
        tried = ended and last_result(connection, project.settings, person.id) is not None
    if tried and not body.again:
        return {"task": None, "next": "/result"}
    if visit is not None and person.stage == "working":
        task = take_task(project.engine, project.settings, visit, time.time())
    else:
        task = next_task(project.engine, project.settings, person.id, KINDS[person.stage], time.time())
    if task is None:
        return {"task": None, "next": "/done"}
    return {"task": showing.task(task), "next": None, "lock_ms": project.settings.answer_lock_ms}


@router.post("/api/answers")
def take_answers(body: AnswersBody, person: Annotator, project: Served) -> dict[str, Any]:
    """Store answers. Those that are confirmed here are stored for good, each once, however often they are sent."""
    events = [
        Event(str(event.key), event.question, event.revision, event.choice, event.response_ms, event.answered_at)
        for event in body.events
    ]
    receipts = record(project.engine, project.settings, person.id, events, time.time())
    return {"receipts": [_receipt(receipt) for receipt in receipts], "task_done": any(r.task_done for r in receipts)}


def _receipt(receipt: Receipt) -> dict[str, Any]:
    told: dict[str, Any] = {"key": receipt.key, "status": receipt.status}
    if receipt.reason is not None:
        told["reason"] = receipt.reason
    if receipt.feedback is not None:
        told["feedback"] = asdict(receipt.feedback)
    return told


@router.get("/api/images/{question_id}")
def show_image(question_id: Id, person: Annotator, project: Served) -> Response:
    """The picture of a question that was given to this person."""
    question, pair = schema.question, schema.pair
    query = select(pair.c.pose_id).join_from(question, pair).where(question.c.id == question_id)
    return _picture(project, query.where(question.c.person_id == person.id))


@router.get("/api/examples/{pair_id}")
def show_example(pair_id: Id, _person: Annotator, project: Served) -> Response:
    """The picture of a worked example."""
    pair = schema.pair
    return _picture(project, select(pair.c.pose_id).where(pair.c.id == pair_id, pair.c.purpose == "tutorial"))


@router.post("/api/comments", status_code=201)
def take_comment(body: CommentBody, person: Annotator, project: Served) -> dict[str, bool]:
    """Store a remark."""
    question, comment = schema.question, schema.comment
    now = time.time()
    if body.question is not None:
        mine = select(question.c.id).where(question.c.id == body.question, question.c.person_id == person.id)
        with project.engine.connect() as connection:
            if connection.execute(mine).first() is None:
                raise HTTPException(404, "no such question")
    values = {"person_id": person.id, "question_id": body.question, "text": body.text, "at": now}
    with_retries(project.engine, lambda connection: connection.execute(insert(comment).values(values)))
    return {"stored": True}


@router.get("/healthz")
def show_health(project: Served) -> dict[str, str]:
    """Whether the server and its database answer; open to everybody."""
    with project.engine.connect() as connection:
        connection.execute(select(1))
    return {"status": "ok"}


@router.get("/static/{version}/{name}")
def show_static(request: Request, version: str, name: str) -> Response:
    """Style sheets and modules. Under the present version they never change."""
    static: StaticFiles = request.app.state.pages.static
    response = static.response(version, name, request.headers.get("if-none-match"))
    if response is None:
        raise HTTPException(404, "no such file")
    return response


def _picture(project: Project, query: Select[int]) -> Response:
    """The crop of the pose that a query finds; private to the browser that asked."""
    with reading(project.engine) as connection:
        pose_id = connection.execute(query).scalar()
        crop = None if pose_id is None else find_crop(connection, pose_id)
    if crop is None:
        raise HTTPException(404, "no such picture")
    try:
        picture = crop_jpeg(project, crop)
    except InputError as error:
        log.warning("%s", error)
        gone = project.images.is_dir()  # or else the folder of all images is away for a while: the browser tries again
        raise HTTPException(404 if gone else 503, "the picture cannot be read") from None
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})
