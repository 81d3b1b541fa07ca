"""What all of the admin's pages share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Path, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection, Engine

from nearfar.annotation.audit import write_log
from nearfar.annotation.browsing import Cursor, PairView
from nearfar.annotation.database import with_retries
from nearfar.annotation.invitations import Link
from nearfar.annotation.projects.project import Project
from nearfar.annotation.sessions import Session
from nearfar.annotation.web.charts import percent
from nearfar.annotation.web.rendering import Pages, page
from nearfar.annotation.web.security import CurrentSession
from nearfar.annotation.web.showing import Showing
from nearfar.errors import InputError

__all__ = ["AtDesk", "Desk", "Id", "read_cursor", "write_cursor"]

LARGEST = 1 << 62

Id = Annotated[int, Path(ge=1, lt=LARGEST)]


@dataclass(frozen=True)
class Desk:
    """An admin or a viewer at work: one request of theirs.

    Attributes:
        request: the request.
        session: theirs.
    """

    request: Request
    session: Session

    @property
    def project(self) -> Project:
        """The project that is served."""
        project: Project = self.request.app.state.project
        return project

    @property
    def engine(self) -> Engine:
        """Its database."""
        return self.project.engine

    def page(self, template: str, *, status: int = 200, **context: Any) -> Response:
        """Answer with a page below ``templates/admin/``."""
        return page(
            self.request,
            f"admin/{template}",
            status=status,
            person=self.session.person,
            csrf_token=self.session.csrf_token,
            section=self.request.url.path.removeprefix("/admin").strip("/").partition("/")[0],
            is_admin=self.session.person.role == "admin",
            iso=_iso,
            when=_when,
            percent=percent,
            **context,
        )

    def act(self, work: Callable[..., object], *values: object, then: str) -> Response:
        """Call work(connection, *values, now, by=...) in one transaction, and go on as `go_on` does."""
        return self.go_on(lambda: self._do(work, *values), then)

    def go_on(self, work: Callable[[], object], then: str) -> Response:
        """Do something, and go on to a page; or tell what is wrong."""
        try:
            work()
        except InputError as error:
            return self.problem(error, then)
        return RedirectResponse(then, 303)

    def log(self, action: str, what: str, **detail: str) -> None:
        """Note an act that changes nothing in the audit log."""

        def work(connection: Connection, now: float, *, by: int) -> None:
            write_log(connection, now, by, action, what, **detail)

        self._do(work)

    def show_link(self, work: Callable[..., Link], *values: object, back: str) -> Response:
        """Make a link as `act` does, and show it, this once."""
        try:
            link: Link = self._do(work, *values)
        except InputError as error:
            return self.problem(error, back)
        address = f"{self.request.url.scheme}://{self.request.headers['host']}/join#{link.token}"
        return self.page("link.html", address=address, expires_at=link.expires_at, back=back)

    def problem(self, error: InputError, back: str) -> Response:
        """Tell why something cannot be done."""
        return self.page("problem.html", status=422, problem=str(error), back=back)

    def text(self, key: str) -> str:
        """A text of the language file."""
        pages: Pages = self.request.app.state.pages
        return pages.texts(key)

    def words(self, joint: str) -> str:
        """A joint in words."""
        pages: Pages = self.request.app.state.pages
        return pages.texts.joint(joint)

    def shown(self, pairs: list[PairView]) -> dict[int, dict[str, Any]]:
        """Pairs in words and pixels of their crops, by number; `size` is that of the marks."""
        showing = Showing(self.project, self.request.app.state.pages.texts)
        told = {}
        for pair in pairs:
            crop = (pair.crop_x, pair.crop_y, pair.crop_width, pair.crop_height)
            marks = showing.marks(pair.pose_id, crop, pair.joint_a, pair.joint_b)
            apart = math.hypot(marks["a"]["x"] - marks["b"]["x"], marks["a"]["y"] - marks["b"]["y"])
            size = min(0.035, max(0.012, 0.4 * apart / max(crop[2:]))) * max(crop[2:])  # rings that do not touch
            told[pair.id] = marks | {"size": round(size, 1)}
        return told

    def _do(self, work: Callable[..., Any], *values: object) -> Any:
        now, by = time.time(), self.session.person.id
        return with_retries(self.engine, lambda connection: work(connection, *values, now, by=by))


def _desk(request: Request, session: CurrentSession) -> Desk:
    return Desk(request, session)


AtDesk = Annotated[Desk, Depends(_desk)]


def write_cursor(cursor: Cursor) -> str:
    """A cursor as part of an address."""
    return f"{cursor[0]!r}_{cursor[1]}"


def read_cursor(text: str | None) -> Cursor | None:
    """A cursor of `write_cursor`; None for the first page.

    Raises:
        HTTPException: 422, it is none.
    """
    if text is None:
        return None
    first, _, second = text.partition("_")
    try:
        value, number = float(first), int(second)
    except ValueError:
        raise HTTPException(422, "after: expected NUMBER_NUMBER") from None
    if not abs(value) < 1e15 or not 0 <= number < LARGEST:
        raise HTTPException(422, "after: out of range")
    return value, number


def _iso(at: float) -> str:
    return _utc(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def _when(at: float) -> str:
    return _utc(at).strftime("%Y-%m-%d %H:%M UTC")


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(min(max(at, 0.0), 4e9), UTC)
