"""Signing in without passwords: single-use links, and the sessions that they start.

Tokens are 256 random bits. The database keeps their SHA-256 only: who reads it cannot sign in with what it holds.
All functions take a transaction (`database.with_retries`).
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field

from sqlalchemy import Connection, insert, select, update

from nearfar.annotation import schema
from nearfar.annotation.audit import write_log
from nearfar.annotation.people import (
    PERSON_COLUMNS,
    Person,
    check_name,
    create_person,
    find_person,
    get_person,
    person_of,
)
from nearfar.annotation.schema import Role
from nearfar.errors import InputError

__all__ = [
    "Invitation",
    "Link",
    "Session",
    "end_session",
    "find_session",
    "invite",
    "link_for",
    "list_invitations",
    "revoke",
    "see_session",
    "sign_in",
    "start_session",
]

DAY = 86400.0
SESSION_DAYS = 30
IDLE_DAYS = 7
LINK_DAYS = 7

SEEN_SECONDS = 600.0
"""How exactly the database knows when a session was used last: each request would be a write otherwise."""

_TOKEN_BYTES = 32
_LONGEST_TOKEN = 100


@dataclass(frozen=True)
class Session:
    """A signed-in browser.

    Attributes:
        token: the secret that the browser shows; kept nowhere else.
        csrf_token: what its pages send along with every change.
        person: who signed in, as they are now.
        seen_at: when it was used last, to within `SEEN_SECONDS`.
        expires_at: when it ends at the latest.
    """

    token: str = field(repr=False)
    csrf_token: str = field(repr=False)
    person: Person
    seen_at: float
    expires_at: float


@dataclass(frozen=True)
class Link:
    """A link to sign in, which is shown once.

    Attributes:
        id: number of the invitation.
        token: the secret part of the link ``/join#TOKEN``.
        expires_at: seconds since 1970.
    """

    id: int
    token: str = field(repr=False)
    expires_at: float


@dataclass(frozen=True)
class Invitation:
    """A link that was given out, without its secret.

    Attributes:
        id: its number.
        name: of the person who will use it.
        role: theirs.
        person_id: theirs, for a new link of somebody known.
        created_at: seconds since 1970.
        created_by: name of who made it; None for the command line.
        expires_at: seconds since 1970.
    """

    id: int
    name: str
    role: Role
    person_id: int | None
    created_at: float
    created_by: str | None
    expires_at: float


def hash_token(token: str) -> str:
    """What the database keeps of a token: its SHA-256 in hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def invite(
    connection: Connection, name: str, role: Role, now: float, *, by: int | None = None, days: float = LINK_DAYS
) -> Link:
    """Make a link for somebody new, who is added when they use it.

    Raises:
        InputError: the name is taken, invited already, or cannot be one.
    """
    name = check_name(name)
    if find_person(connection, name) is not None:
        raise InputError(f"name: {name!r} is taken; for a new device, give them a new link")
    if any(name == open_one.name for open_one in list_invitations(connection, now)):
        raise InputError(f"name: {name!r} is invited already; take that link back first")
    return _new_link(connection, name, role, None, now, by, days)


def link_for(
    connection: Connection, person_id: int, now: float, *, by: int | None = None, days: float = LINK_DAYS
) -> Link:
    """Make a link for somebody known: for a new device, or after their session ended.

    Raises:
        InputError: there is no such person, they are blocked, or they come from a platform that signs them in.
    """
    person = get_person(connection, person_id)
    if person.blocked:
        raise InputError(f"{person.name} is blocked; unblock them first")
    if person.platform != "invited":
        raise InputError(f"{person.name} signs in through {person.platform}")
    return _new_link(connection, person.name, person.role, person_id, now, by, days)


def list_invitations(connection: Connection, now: float) -> list[Invitation]:
    """The links that can still be used, newest first."""
    maker, known = schema.person.alias(), schema.person.alias()
    table = schema.invitation
    query = (
        select(table, maker.c.name.label("maker"), known.c.name.label("known"))
        .outerjoin_from(table, maker, table.c.created_by == maker.c.id)
        .outerjoin(known, table.c.person_id == known.c.id)
        .where(table.c.used_at.is_(None), table.c.revoked_at.is_(None), table.c.expires_at > now)
        .order_by(table.c.id.desc())
    )
    return [
        Invitation(
            row["id"],
            row["known"] or row["name"],
            row["role"],
            row["person_id"],
            row["created_at"],
            row["maker"],
            row["expires_at"],
        )
        for row in connection.execute(query).mappings()
    ]


def revoke(connection: Connection, invitation_id: int, now: float, *, by: int | None = None) -> None:
    """Take a link back.

    Raises:
        InputError: there is none of that number that could still be used.
    """
    table = schema.invitation
    usable = table.c.id == invitation_id, table.c.used_at.is_(None), table.c.revoked_at.is_(None)
    name = connection.execute(update(table).where(*usable).values(revoked_at=now).returning(table.c.name)).scalar()
    if name is None:
        raise InputError(f"invitation {invitation_id}: there is none that could still be used")
    write_log(connection, now, by, "link revoked", name)


def sign_in(connection: Connection, token: str, now: float, *, leaving: str | None = None) -> Session | None:
    """Use a link: start a session of the person it is for, who is added where they are new.

    The link is used up in one conditional UPDATE: of two browsers that use it at once, one signs in.

    Args:
        connection: a transaction.
        token: the secret part of the link.
        now: seconds since 1970.
        leaving: token of the session that the browser had, which ends.

    Returns:
        The session, or None where the link does not exist, was used or taken back, or expired.

    Raises:
        InputError: the person's name was given to somebody else since the link was made.
    """
    table = schema.invitation
    usable = (table.c.used_at.is_(None), table.c.revoked_at.is_(None), table.c.expires_at > now)
    taking = update(table).where(table.c.token_hash == hash_token(token[:_LONGEST_TOKEN]), *usable)
    row = connection.execute(taking.values(used_at=now).returning(*table.c)).mappings().one_or_none()
    if row is None:
        return None
    if row["person_id"] is None:
        person = create_person(connection, row["name"], row["role"], now, by=row["created_by"])
        connection.execute(update(table).where(table.c.id == row["id"]).values(person_id=person.id))
    else:
        person = get_person(connection, row["person_id"])
        if person.blocked:
            return None
    if leaving is not None:
        end_session(connection, leaving, now)
    write_log(connection, now, person.id, "signed in", person.name)
    return start_session(connection, person.id, now)


def start_session(connection: Connection, person_id: int, now: float) -> Session:
    """Start a session of somebody who has proved who they are."""
    token, csrf_token = secrets.token_urlsafe(_TOKEN_BYTES), secrets.token_urlsafe(_TOKEN_BYTES)
    expires_at = now + SESSION_DAYS * DAY
    values = {
        "token_hash": hash_token(token),
        "person_id": person_id,
        "csrf_token": csrf_token,
        "created_at": now,
        "seen_at": now,
        "expires_at": expires_at,
    }
    connection.execute(insert(schema.session).values(values))
    return Session(token, csrf_token, get_person(connection, person_id), now, expires_at)


def find_session(connection: Connection, token: str, now: float) -> Session | None:
    """The session of a token; None where there is none, it ended, it expired, or it was not used for `IDLE_DAYS`."""
    table = schema.session
    alive = (table.c.ended_at.is_(None), table.c.expires_at > now, table.c.seen_at > now - IDLE_DAYS * DAY)
    query = (
        select(table.c.csrf_token, table.c.seen_at, table.c.expires_at, *PERSON_COLUMNS)
        .join_from(table, schema.person)
        .where(table.c.token_hash == hash_token(token[:_LONGEST_TOKEN]), schema.person.c.blocked_at.is_(None), *alive)
    )
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    return Session(token, row[table.c.csrf_token], person_of(row), row[table.c.seen_at], row[table.c.expires_at])


def see_session(connection: Connection, token: str, now: float) -> None:
    """Note that a session was used."""
    table = schema.session
    connection.execute(update(table).where(table.c.token_hash == hash_token(token)).values(seen_at=now))


def end_session(connection: Connection, token: str, now: float) -> None:
    """Sign out."""
    table = schema.session
    ending = update(table).where(table.c.token_hash == hash_token(token[:_LONGEST_TOKEN]), table.c.ended_at.is_(None))
    person_id = connection.execute(ending.values(ended_at=now).returning(table.c.person_id)).scalar()
    if person_id is not None:
        write_log(connection, now, person_id, "signed out", get_person(connection, person_id).name)


def _new_link(
    connection: Connection, name: str, role: Role, person_id: int | None, now: float, by: int | None, days: float
) -> Link:
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    expires_at = now + days * DAY
    values = {
        "token_hash": hash_token(token),
        "role": role,
        "person_id": person_id,
        "name": name,
        "created_at": now,
        "created_by": by,
        "expires_at": expires_at,
    }
    table = schema.invitation
    number = connection.execute(insert(table).values(values).returning(table.c.id)).scalar_one()
    write_log(connection, now, by, "link made", name, role=role)
    return Link(number, token, expires_at)
