"""Coming in and going out: the entry page, invitation links, signing out."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from nearfar.annotation import invitations, sessions
from nearfar.annotation.database import with_retries
from nearfar.annotation.web.rendering import page
from nearfar.annotation.web.security import CurrentSession, drop_cookie, engine_of, session_of, set_cookie
from nearfar.errors import InputError
from nearfar.web.protection import shown_token

__all__ = ["router"]

router = APIRouter()

HOMES = {"admin": "/admin", "viewer": "/admin", "annotator": "/ask"}
"""Where people start, by role."""


@router.get("/")
def show_entry(request: Request) -> Response:
    """Greet strangers; bring everybody else to where they start."""
    session = session_of(request)
    if session is None:
        return page(request, "entry.html")
    return RedirectResponse(HOMES[session.person.role], 303)


@router.get("/join")
def show_join(request: Request) -> Response:
    """The page of an invitation link. Its token stands behind the ``#``, where only the page's script sees it."""
    return page(request, "join.html", token="", problem=None)


@router.post("/join/look")
def look_up_invitation(request: Request, token: Annotated[str, Form()]) -> dict[str, str | bool | None]:
    """What a link is for; it can still be used afterwards."""
    with engine_of(request).connect() as connection:
        found = invitations.look_up(connection, token, time.time())
    return {"usable": found is not None, "name": found.name if found else None}


@router.post("/join")
def join(request: Request, token: Annotated[str, Form()], name: Annotated[str, Form()] = "") -> Response:
    """Use a link: the browser gets a new session, and one that it had ends."""
    leaving, _ = shown_token(request.headers, request.url.scheme)
    try:
        session = with_retries(
            engine_of(request),
            lambda connection: invitations.sign_in(connection, token, time.time(), name=name, leaving=leaving),
        )
    except InputError:
        return page(request, "join.html", status=422, token=token, problem="name")
    if session is None:
        return page(request, "join.html", status=403, token="", problem="link")
    response = RedirectResponse("/", 303)
    set_cookie(request, response, session)
    return response


@router.post("/leave")
def leave(request: Request, session: CurrentSession) -> Response:
    """Sign out."""
    now = time.time()
    with_retries(engine_of(request), lambda connection: sessions.end_session(connection, session.token, now))
    response = RedirectResponse("/", 303)
    drop_cookie(request, response)
    return response
