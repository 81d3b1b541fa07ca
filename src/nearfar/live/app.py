"""The page, and what it asks for: always the newest frame, when there is one that it has not had."""

from __future__ import annotations

import hmac
import json
import threading
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.types import Scope

from nearfar.live.newest import Newest
from nearfar.viewing.page import fill
from nearfar.web.protection import Protection, protect
from nearfar.web.rates import Rate
from nearfar.web.secrets import hash_token, new_token
from nearfar.web.static_files import StaticFiles

__all__ = ["Door", "create_app"]

PAGE = Path(__file__).parent / "page"
VIEWER = Path(__file__).parents[1] / "viewing" / "web"
WAIT_SECONDS = 10.0
"""How long a browser waits for a frame before it is told that there is none."""


class Door:
    """Lets browsers in: a link's code is good for one of them, who gets a secret that lasts as long as the process.

    Args:
        tell: is told the code of each link, the next one when one was used.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._known: set[str] = set()
        self._lock = threading.Lock()
        self._change()

    def enter(self, code: str) -> str | None:
        """The secret of somebody who has the code; None where it is another."""
        with self._lock:
            if not hmac.compare_digest(hash_token(code), hash_token(self._code)):
                return None
            token = new_token()
            self._known.add(hash_token(token))
            self._change()
            return token

    def knows(self, authorization: str) -> bool:
        """Whether a request's Authorization header shows a secret that was given out."""
        kind, _, token = authorization.partition(" ")
        return kind.lower() == "bearer" and hash_token(token.strip()) in self._known

    def _change(self) -> None:
        self._code = new_token()
        self._tell(self._code)


def create_app(
    shown: Newest[bytes], door: Door, template: dict[str, object], title: str, hosts: tuple[str, ...]
) -> FastAPI:
    """The application.

    Browsers ask for what is newer than what they have, and wait for it: a slow one skips frames, and none pile up.

    Args:
        shown: the newest frame with its poses, as JSON.
        door: who is let in.
        template: what the page knows of the skeleton (`nearfar.viewing.viewer_template`).
        title: of the page.
        hosts: names under which the server may be asked for.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    static = StaticFiles({**StaticFiles.load(VIEWER).files, **StaticFiles.load(PAGE).files})
    page = fill((PAGE / "index.html").read_text("utf-8"), {"STATIC": f"/static/{static.version}"})
    skeleton = json.dumps({"title": title, "template": template}, allow_nan=False).encode()

    @app.get("/")
    def show_page() -> Response:
        return HTMLResponse(page, headers={"Cache-Control": "no-cache"})

    @app.get("/static/{version}/{name}")
    def show_static(request: Request, version: str, name: str) -> Response:
        response = static.response(version, name, request.headers.get("if-none-match"))
        if response is None:
            raise HTTPException(404, "no such file")
        return response

    @app.post("/enter")
    async def enter(request: Request) -> Response:
        token = door.enter((await request.body()).decode("utf-8", "replace"))
        if token is None:
            raise HTTPException(401, "the link was used already, or is of an earlier run: take the newest one")
        return JSONResponse({"token": token})

    @app.get("/skeleton")
    def show_skeleton(authorization: str = Header("")) -> Response:
        _check(door, authorization)
        return Response(skeleton, media_type="application/json")

    @app.get("/newest")
    def show_newest(after: int = Query(0, ge=0), authorization: str = Header("")) -> Response:
        _check(door, authorization)
        newest = shown.after(after, WAIT_SECONDS)
        if newest is None:
            return Response(status_code=410 if shown.closed else 204)
        number, message = newest
        return Response(message, media_type="application/json", headers={"X-Number": str(number)})

    protection = Protection(hosts=hosts, body_bytes=200, session_rate=Rate(400, 120), sign_in_rate=Rate(10, 0.1))
    protect(app, protection, signs_in=_signs_in)
    return app


def _check(door: Door, authorization: str) -> None:
    if not door.knows(authorization):
        raise HTTPException(401, "not signed in")


def _signs_in(scope: Scope) -> bool:
    return bool(scope["path"] == "/enter")
