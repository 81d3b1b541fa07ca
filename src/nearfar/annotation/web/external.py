"""The doors for workers of Mechanical Turk and Prolific, and the page on which they hand in.

Mechanical Turk shows our page in a frame, where browsers keep no cookies: the first page carries the session's token in
a <meta>, and its script shows the token with every request and changes pages in place (`static/main.js`). Only pages of
this module may be framed, and only by Mechanical Turk.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field
from sqlalchemy import Connection, select

from nearfar.annotation import schema
from nearfar.annotation.database import with_retries
from nearfar.annotation.external import visits as external
from nearfar.annotation.external.visits import SUBMIT_HOSTS, Arrival, Completion, RefusedError, Visit
from nearfar.annotation.projects.crops import crop_jpeg, find_crop
from nearfar.annotation.projects.project import Project
from nearfar.annotation.schema import Platform
from nearfar.annotation.web.rendering import Pages, page
from nearfar.annotation.web.security import CurrentSession
from nearfar.annotation.web.showing import Showing
from nearfar.errors import InputError
from nearfar.web.protection import content_security_policy

__all__ = ["CurrentVisit", "current_visit", "router", "show_hand_in"]

router = APIRouter()

LARGEST_ID = (1 << 62) - 1

FRAMED = content_security_policy("https://*.mturk.com").replace(
    "form-action 'self'", " ".join(["form-action 'self'", *(f"https://{host}" for host in SUBMIT_HOSTS)])
)


def current_visit(request: Request, session: CurrentSession) -> Visit | None:
    """The visit of an external worker's session; None for invited people."""
    if session.person.platform == "invited":
        return None
    with _project(request).engine.connect() as connection:
        return external.visit_of_session(connection, session.token)


CurrentVisit = Annotated[Visit | None, Depends(current_visit)]


@router.get("/external/mturk")
def enter_from_mturk(request: Request) -> Response:
    """The page of a HIT: of one that a worker has accepted, or is only looking at."""
    try:
        arrival = external.mturk_arrival(request.query_params.multi_items())
        response = _preview(request) if arrival is None else _enter(request, arrival)
    except InputError as error:
        response = _refuse(request, "mturk", error)
    response.headers["Content-Security-Policy"] = FRAMED
    return response


@router.get("/external/prolific")
def enter_from_prolific(request: Request) -> Response:
    """The page of a Prolific study."""
    try:
        return _enter(request, external.prolific_arrival(request.query_params.multi_items()))
    except InputError as error:
        return _refuse(request, "prolific", error)


@router.get("/external/examples/{pair_id}")
def show_public_example(request: Request, pair_id: Annotated[int, Field(ge=1, le=LARGEST_ID)]) -> Response:
    """The picture of a worked example, for previews: of drawn people only, never an image of the project."""
    pair, project = schema.pair, _project(request)
    query = select(pair.c.pose_id).where(
        pair.c.id == pair_id, pair.c.purpose == "tutorial", pair.c.pose_id >= schema.LESSON_POSES
    )
    with project.engine.connect() as connection:
        pose_id = connection.execute(query).scalar()
        crop = None if pose_id is None else find_crop(connection, pose_id)
    if crop is None:
        raise HTTPException(404, "no such example")
    headers = {"Cache-Control": "public, max-age=86400"}
    try:
        picture = crop_jpeg(project, crop)
    except InputError as error:
        raise HTTPException(410, "the picture cannot be shown") from error
    return Response(picture, media_type="image/jpeg", headers=headers)


def show_hand_in(request: Request, session: CurrentSession, visit: Visit) -> Response:
    """The end of a visit: how to hand it in; or that there is nothing left to ask, where it has not been done."""
    project, now = _project(request), time.time()
    with project.engine.connect() as connection:
        done = external.is_done(connection, visit)
    if not done and external.take_task(project.engine, project.settings, visit, now) is not None:
        return RedirectResponse("/ask", 303)

    def hand_in(connection: Connection) -> Completion | None:
        if not external.is_done(connection, visit):
            return None
        return external.complete(connection, project.settings, visit, now)

    completion = with_retries(project.engine, hand_in)
    context: dict[str, Any] = {"person": session.person, "csrf_token": session.csrf_token, "platform": visit.platform}
    if completion is None:
        return page(request, "external_nothing.html", **context)
    pages: Pages = request.app.state.pages
    config = {"texts": pages.texts.section("script")}
    return page(request, "hand_in.html", completion=completion, count=completion.answers, config=config, **context)


def _enter(request: Request, arrival: Arrival) -> Response:
    """Start a session; the page brings its worker to where they stand."""
    project, now = _project(request), time.time()

    def enter(connection: Connection) -> tuple[str | None, bool]:
        visit, person = external.open_visit(connection, project.settings, arrival, now)
        if person.blocked:
            return None, False
        session = external.start_visit_session(connection, visit, now)
        return session.token, external.is_done(connection, visit)

    token, done = with_retries(project.engine, enter)
    if token is None:
        return page(request, "external_blocked.html", status=403, platform=arrival.platform)
    return page(request, "external.html", token=token, config={"next": "/done" if done else "/ask"})


def _preview(request: Request) -> Response:
    """What a worker sees who has not accepted the HIT: what it is about; nothing can be answered."""
    project, pages = _project(request), request.app.state.pages
    with project.engine.connect() as connection:
        examples = Showing(project, pages.texts).examples(connection)
    public = [
        {**example, "image": example["image"].replace("/api/", "/external/")}
        for example in examples
        if example["lesson"]
    ]
    config = {"texts": pages.texts.section("script"), "wait_seconds": 0}
    return page(request, "external_preview.html", examples=public[:1], subject=project.settings.subject, config=config)


def _refuse(request: Request, platform: Platform, error: InputError) -> Response:
    reason = error.reason if isinstance(error, RefusedError) else "address"
    status = 403 if isinstance(error, RefusedError) else 400
    return page(request, "external_refused.html", status=status, reason=reason, detail=str(error), platform=platform)


def _project(request: Request) -> Project:
    project: Project = request.app.state.project
    return project
