"""The service as a web application, and as a server."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import Scope

from nearfar.serving.api import router
from nearfar.serving.metrics import Measured
from nearfar.serving.service import Service
from nearfar.viewing.page import fill
from nearfar.viewing.viewer import viewer_sources
from nearfar.web.protection import Protection, add_security_headers, protect
from nearfar.web.rates import Rate
from nearfar.web.server import Server, server_config
from nearfar.web.static_files import StaticFiles

__all__ = ["create_app", "run"]

PAGE = Path(__file__).parent / "page"

DESCRIPTION = (
    "Images, videos and 2D keypoints to 3D poses. The body of a request is the file itself. Poses are root-relative "
    "millimetres in the camera's axes (x right, y down, z forward), on the skeleton that the answer describes."
)


def create_app(service: Service, *, protection: Protection | None = None) -> FastAPI:
    """The application of a service, which is stopped with it.

    Args:
        service: its store is held, and its supervisor was started.
        protection: what is let through; by default what is safe on this machine alone.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        service.waiting.close()
        await run_in_threadpool(service.supervisor.stop)

    from nearfar import __version__

    app = FastAPI(
        title="nearfar", version=__version__, description=DESCRIPTION, lifespan=lifespan,
        docs_url=None, redoc_url=None, openapi_url=None,
    )  # fmt: skip
    app.state.service = service
    app.include_router(router)
    _add_page(app)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(sqlite3.OperationalError, _database_failed)
    app.add_exception_handler(Exception, _failed)
    protect(app, protection or default_protection(), signs_in=_signs_in, reads_body=_reads_body)
    app.add_middleware(Measured, metrics=service.metrics)
    return app


def default_protection(hosts: tuple[str, ...] = (), trusted_proxies: tuple[str, ...] = ()) -> Protection:
    """What the service lets through: bodies other than files are small, and polling is not cut off."""
    return Protection(
        hosts=("localhost", "127.0.0.1", "[::1]", *hosts),
        trusted_proxies=trusted_proxies,
        body_bytes=10_000,
        session_rate=Rate(200, 20),
        sign_in_rate=Rate(10, 0.1),
    )


def run(app: FastAPI, service: Service, host: str, port: int, **options: Any) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        app: of `create_app`.
        service: its service.
        host: address to listen on.
        port: port.
        **options: uvicorn's, such as ``ssl_certfile`` and ``ssl_keyfile``.
    """
    Server(server_config(app, host, port, **options), service.waiting.close).run_until_told()


def _add_page(app: FastAPI) -> None:
    static = StaticFiles.load(PAGE)
    text = fill((PAGE / "index.html").read_text("utf-8"), {"STATIC": f"/static/{static.version}"})
    # The viewer runs in a sandboxed frame, which obeys this page's policy beside its own.
    viewer, style = viewer_sources()
    policy = (
        f"default-src 'none'; script-src 'self' {viewer}; style-src 'self' {style}; img-src 'self' blob: data:; "
        "media-src blob:; connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )

    @app.get("/", include_in_schema=False)
    def show_page() -> Response:
        return HTMLResponse(text, headers={"Content-Security-Policy": policy, "Cache-Control": "no-cache"})

    @app.get("/static/{version}/{name}", include_in_schema=False)
    def show_static(request: Request, version: str, name: str) -> Response:
        response = static.response(version, name, request.headers.get("if-none-match"))
        if response is None:
            raise HTTPException(404, "no such file")
        return response


def _signs_in(scope: Scope) -> bool:
    return bool(scope["method"] == "POST" and scope["path"] == "/v1/sessions")


def _reads_body(scope: Scope) -> bool:
    return scope["method"] == "POST" and scope["path"] in ("/v1/images", "/v1/videos", "/v1/keypoints")


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, StarletteHTTPException):
        raise error
    return JSONResponse({"detail": str(error.detail)}, error.status_code, dict(error.headers or {}))


async def _not_understood(_request: Request, error: Exception) -> Response:
    where = "the request could not be understood"
    if isinstance(error, RequestValidationError) and (first := next(iter(error.errors()), None)):
        where = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return JSONResponse({"detail": where}, 422)


async def _database_failed(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"detail": "the database does not answer"}, 503, {"Retry-After": "5"})


async def _failed(request: Request, _error: Exception) -> Response:
    response = JSONResponse({"detail": "something went wrong on our side"}, 500)
    add_security_headers(response.headers, request.scope)  # this one is not seen by the middleware
    return response
