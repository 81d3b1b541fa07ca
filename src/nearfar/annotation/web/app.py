"""The studio as a web application."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from sqlalchemy import select
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from nearfar.annotation import schema
from nearfar.annotation.projects.project import Project
from nearfar.annotation.queue.upkeep import keeping_up
from nearfar.annotation.web import admin, annotator, external, sign_in
from nearfar.annotation.web.rendering import STATIC, Pages, page
from nearfar.annotation.web.texts import load_texts
from nearfar.web.protection import Protection, add_security_headers, protect, shown_token
from nearfar.web.secrets import hash_token
from nearfar.web.static_files import StaticFiles

__all__ = ["create_app", "signs_in"]

ENTRANCES = ("/external/mturk", "/external/prolific")
"""Pages that sign external workers in, by what stands in their addresses."""

log = logging.getLogger(__name__)


def create_app(
    project: Project, *, protection: Protection | None = None, language: str = "en", upkeep: bool = True
) -> FastAPI:
    """The studio of one project.

    Args:
        project: an opened project; it stays open as long as the application.
        protection: what is let through; by default what is safe on this machine alone.
        language: of its texts.
        upkeep: look after the project while it is served; no where another process does.

    Raises:
        InputError: no texts of that language.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        with keeping_up(project.engine, project.settings) if upkeep else nullcontext():
            yield

    app = FastAPI(title=project.title, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.project = project
    app.state.pages = Pages(load_texts(language), StaticFiles.load(STATIC), project.title)
    app.state.error_page = partial(_error_page, app.state.pages)
    for router in (sign_in.router, annotator.router, external.router, admin.router):
        app.include_router(router)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(DataError, _not_understood)  # what a database cannot hold: a NUL, a number too large
    for kind in (OperationalError, PoolTimeoutError):
        app.add_exception_handler(kind, _database_failed)
    app.add_exception_handler(Exception, _failed)
    protection = protection or Protection()
    app.state.exports = protection.buckets("export")
    protect(app, protection, signs_in=signs_in)
    return app


def signs_in(scope: Scope) -> bool:
    """Whether a request tries to sign somebody in."""
    path: str = scope["path"]
    return path.startswith(ENTRANCES) or (scope["method"] == "POST" and path.startswith("/join"))


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return _say(request, error.status_code, str(error.detail), dict(error.headers or {}))


async def _not_understood(request: Request, error: Exception) -> Response:
    where = ""
    if isinstance(error, RequestValidationError) and (first := next(iter(error.errors()), None)):
        where = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return _say(request, 422, where or "the request could not be understood")


async def _database_failed(request: Request, error: Exception) -> Response:
    told = str(getattr(error, "orig", None)).partition("\n")[0]  # without the statement's values
    log.error("database: %s: %s", type(error).__name__, told)
    return _say(request, 503, "the database does not answer", {"Retry-After": "5"})


async def _failed(request: Request, _error: Exception) -> Response:
    response = _say(request, 500, "something went wrong on our side")
    add_security_headers(response.headers, request.scope)  # this one is not seen by the middleware
    return response


def _say(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An error, as a page for people and as JSON for programs; nothing of our insides in either."""
    if request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": detail}, status, headers)
    if status == 401 and _is_blocked(request):
        response = page(request, "blocked.html", status=403)
    else:
        response = HTMLResponse(request.app.state.error_page(status), status)
    response.headers.update(headers or {})
    return response


def _error_page(pages: Pages, status: int) -> str:
    known = pages.texts.section("errors")
    shown = status if f"title_{status}" in known else 500 if status >= 500 else 400
    return pages.render("error.html", {"shown": shown})


def _is_blocked(request: Request) -> bool:
    """Whether the session shown, alive or ended, is that of somebody who was blocked: they are told so."""
    token, _ = shown_token(request.headers, request.url.scheme)
    if token is None:
        return False
    session, person = schema.session, schema.person
    query = (
        select(person.c.id)
        .join_from(session, person)
        .where(session.c.token_hash == hash_token(token), person.c.blocked_at.is_not(None))
    )
    project: Project = request.app.state.project
    with project.engine.connect() as connection:
        return connection.execute(query).first() is not None
