"""The admin's pages about people: invitations, roles, blocks, comments, the audit log. For admins alone."""

from __future__ import annotations

import time
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Response
from sqlalchemy import Connection

from nearfar.annotation import browsing, invitations, people
from nearfar.annotation.audit import read_log
from nearfar.annotation.invitations import Link
from nearfar.annotation.quality import qualities
from nearfar.annotation.queue.blocking import block_person, unblock_person
from nearfar.annotation.web.admin_base import LARGEST, AtDesk, Id, read_cursor, write_cursor
from nearfar.annotation.web.security import require
from nearfar.errors import InputError

__all__ = ["router"]

router = APIRouter(prefix="/admin", dependencies=[Depends(require("admin"))])

PEOPLE = "/admin/people"
MOST_PEOPLE = 100

ShowPeople = Literal["all", "flagged", "blocked"]
Search = Annotated[str, Query(max_length=100)]
Before = Annotated[int | None, Query(ge=1, lt=LARGEST)]
Text = Annotated[str, Form()]


@router.get("/people")
def show_people(desk: AtDesk, search: Search = "", show: ShowPeople = "all", after: Before = None) -> Response:
    """Everybody, how well they answer, and the links that are open."""
    settings = desk.project.settings
    with desk.engine.connect() as connection:
        everybody = people.list_people(connection)
        found = {one.person_id: one for one in qualities(connection, settings)}
        links = invitations.list_invitations(connection, time.time())
    wanted = search.strip().casefold()
    kept = [one for one in everybody if wanted in one.name.casefold()]
    if show == "flagged":
        kept = [one for one in kept if not one.blocked and one.id in found and found[one.id].flags]
    elif show == "blocked":
        kept = [one for one in kept if one.blocked]
    kept = [one for one in kept if after is None or one.id > after]
    some = kept[:MOST_PEOPLE]
    query = urlencode({"search": search, "show": show, "after": some[-1].id if some else 0})
    return desk.page(
        "people.html",
        everybody=some,
        qualities=found,
        links=links,
        settings=settings,
        search=search,
        show=show,
        more=f"{PEOPLE}?{query}" if len(kept) > len(some) else None,
    )


@router.post("/invitations")
def invite(desk: AtDesk, role: Text, name: Text = "") -> Response:
    """Make a link for somebody new, and show it this once."""

    def work(connection: Connection, now: float, *, by: int) -> Link:
        return invitations.invite(connection, name.strip() or None, people.check_role(role), now, by=by)

    return desk.show_link(work, back=PEOPLE)


@router.post("/invitations/{invitation_id}/revoke")
def revoke(desk: AtDesk, invitation_id: Id) -> Response:
    """Take a link back."""
    return desk.act(invitations.revoke, invitation_id, then=PEOPLE)


@router.get("/people/{person_id}")
def show_person(desk: AtDesk, person_id: Id, after: str | None = None) -> Response:
    """One person: their numbers, answers and comments."""
    settings = desk.project.settings
    with desk.engine.connect() as connection:
        try:
            who = people.get_person(connection, person_id)
        except InputError as error:
            return desk.problem(error, PEOPLE)
        [quality] = qualities(connection, settings, person_id)
        answers, end = browsing.answers_of(connection, person_id, after=read_cursor(after), most=12)
        comments, _ = browsing.comments(connection, person_id=person_id)
    shown = desk.shown([given.pair for given in answers])
    more = f"{PEOPLE}/{person_id}?after={write_cursor(end)}" if end else None
    return desk.page(
        "person.html",
        who=who,
        quality=quality,
        settings=settings,
        answers=answers,
        shown=shown,
        comments=comments,
        more=more,
    )


@router.post("/people/{person_id}/link")
def make_link(desk: AtDesk, person_id: Id) -> Response:
    """Make a link for a new device of somebody known, and show it this once."""
    return desk.show_link(invitations.link_for, person_id, back=f"{PEOPLE}/{person_id}")


@router.post("/people/{person_id}/rename")
def rename(desk: AtDesk, person_id: Id, name: Text = "") -> Response:
    """Give somebody another name."""
    return desk.act(people.rename, person_id, name, then=f"{PEOPLE}/{person_id}")


@router.post("/people/{person_id}/role")
def change_role(desk: AtDesk, person_id: Id, role: Text) -> Response:
    """Give somebody another role."""

    def work(connection: Connection, now: float, *, by: int) -> None:
        people.change_role(connection, person_id, people.check_role(role), now, by=by)

    return desk.act(work, then=f"{PEOPLE}/{person_id}")


@router.post("/people/{person_id}/block")
def block(desk: AtDesk, person_id: Id, reason: Text = "") -> Response:
    """Keep somebody out; their answers count no more."""
    project, now, by = desk.project, time.time(), desk.session.person.id

    def work() -> None:
        block_person(project.engine, project.settings, person_id, reason, now, by=by)

    return desk.go_on(work, f"{PEOPLE}/{person_id}")


@router.post("/people/{person_id}/unblock")
def unblock(desk: AtDesk, person_id: Id) -> Response:
    """Let somebody in again; their answers count again."""
    project, now, by = desk.project, time.time(), desk.session.person.id
    return desk.go_on(
        lambda: unblock_person(project.engine, project.settings, person_id, now, by=by), f"{PEOPLE}/{person_id}"
    )


@router.get("/comments")
def show_comments(desk: AtDesk, before: Before = None) -> Response:
    """What people remarked, newest first."""
    with desk.engine.connect() as connection:
        comments, end = browsing.comments(connection, before=before)
    more = f"/admin/comments?before={end}" if end else None
    return desk.page("comments.html", comments=comments, more=more)


@router.get("/audit")
def show_audit(desk: AtDesk, before: Before = None) -> Response:
    """Who did what, newest first."""
    most = 100
    with desk.engine.connect() as connection:
        log = read_log(connection, most=most, before=before)
    more = f"/admin/audit?before={log[-1].id}" if len(log) == most else None
    return desk.page("audit.html", log=log, more=more)
