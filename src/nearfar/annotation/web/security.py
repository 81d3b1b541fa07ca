"""Who asks: sessions, roles and CSRF tokens, as FastAPI dependencies.

A browser shows its session as a cookie and proves with a CSRF token that a change was asked for by a page of ours. An
external worker's page, which gets no cookies inside a frame, shows its session as a bearer token instead.
"""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from fastapi import Depends, HTTPException, Request, Response
from sqlalchemy import Engine

from nearfar.annotation import sessions
from nearfar.annotation.database import reading, with_retries
from nearfar.annotation.people import Person
from nearfar.annotation.schema import Role
from nearfar.annotation.sessions import Session
from nearfar.web.protection import SAFE_METHODS, address_of, cookie_name, shown_token

__all__ = [
    "CurrentPerson",
    "CurrentSession",
    "current_person",
    "current_session",
    "drop_cookie",
    "require",
    "session_of",
    "set_cookie",
]

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def engine_of(request: Request) -> Engine:
    """The project's database."""
    engine: Engine = request.app.state.project.engine
    return engine


def session_of(request: Request) -> Session | None:
    """The session that the request shows, where it shows one that lives. For pages that greet strangers too.

    Raises:
        HTTPException: 429, the address showed too many sessions that do not live.
    """
    token, _ = shown_token(request.headers, request.url.scheme)
    if token is None:
        return None
    now = time.time()
    engine = engine_of(request)
    with reading(engine) as connection:
        session = sessions.find_session(connection, token, now)
    if session is None:
        if wait := request.app.state.guesses.take(address_of(request.scope)):
            raise HTTPException(429, "too many unknown sessions", {"Retry-After": str(math.ceil(wait))})
        return None
    if abs(now - session.seen_at) > sessions.SEEN_SECONDS:
        with_retries(engine, lambda connection: sessions.see_session(connection, token, now))
    return session


async def sent_csrf_token(request: Request) -> str | None:
    """The CSRF token of a request: of its header, or of the form that it sends."""
    if request.method in SAFE_METHODS:
        return None
    if (token := request.headers.get("x-csrf-token")) is not None:
        return token
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() in FORMS:
        field = (await request.form(max_files=0, max_fields=100)).get("csrf_token")
        return field if isinstance(field, str) else None
    return None


def current_session(request: Request, csrf_token: Annotated[str | None, Depends(sent_csrf_token)]) -> Session:
    """The session of the request.

    Raises:
        HTTPException: 401 without one; 403, a change without the session's CSRF token.
    """
    session = session_of(request)
    if session is None:
        raise HTTPException(401, "sign in first", {"WWW-Authenticate": "Bearer"})
    _, bearer = shown_token(request.headers, request.url.scheme)
    if request.method not in SAFE_METHODS and not bearer:
        shown = (csrf_token or "").encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(shown, session.csrf_token.encode()):
            raise HTTPException(403, "the page is out of date: reload it and try again")
    return session


async def current_person(session: Annotated[Session, Depends(current_session)]) -> Person:
    """Who asks. Signed in, whatever their role: see `require`."""
    return session.person


CurrentSession = Annotated[Session, Depends(current_session)]
CurrentPerson = Annotated[Person, Depends(current_person)]


def require(*roles: Literal["annotator", "viewer"] | Role) -> Callable[[Session], Awaitable[Person]]:
    """A dependency: the person who asks, with one of the roles. Admins may do everything.

    Raises:
        HTTPException: 401 for strangers, 403 for other roles.
    """

    async def check_role(session: CurrentSession) -> Person:
        if session.person.role != "admin" and session.person.role not in roles:
            raise HTTPException(403, "this page is not for your role")
        return session.person

    return check_role


def set_cookie(request: Request, response: Response, session: Session) -> None:
    """Give the browser a session."""
    response.set_cookie(
        cookie_name(request.url.scheme),
        session.token,
        max_age=int(sessions.SESSION_DAYS * sessions.DAY),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


def drop_cookie(request: Request, response: Response) -> None:
    """Take the session from the browser."""
    secure = request.url.scheme == "https"
    response.delete_cookie(cookie_name(request.url.scheme), path="/", secure=secure, httponly=True, samesite="lax")
