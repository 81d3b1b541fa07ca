"""Links to sign in, which work once.

The secret part of a link stands behind a ``#``, which browsers never send: it reaches no log. The database keeps its
SHA-256 only. All functions take a transaction (`database.with_retries`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, insert, select, update

from nearfar.annotation import schema
from nearfar.annotation.audit import write_log
from nearfar.annotation.people import check_name, create_person, find_person, get_person
from nearfar.annotation.schema import Role
from nearfar.annotation.sessions import DAY, Session, end_session, start_session
from nearfar.errors import InputError
from nearfar.web.secrets import hash_token, new_token

__all__ = ["Invitation", "Link", "invite", "link_for", "list_invitations", "look_up", "revoke", "sign_in"]

LINK_DAYS = 7


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
        name: of the person who will use it; None where they may choose it.
        role: theirs.
        person_id: theirs, for a new link of somebody known.
        created_at: seconds since 1970.
        created_by: name of who made it; None for the command line.
        expires_at: seconds since 1970.
    """

    id: int
    name: str | None
    role: Role
    person_id: int | None
    created_at: float
    created_by: str | None
    expires_at: float


def invite(
    connection: Connection, name: str | None, role: Role, now: float, *, by: int | None = None, days: float = LINK_DAYS
) -> Link:
    """Make a link for somebody new, who is added when they use it.

    Args:
        connection: a transaction.
        name: theirs; None lets them choose it.
        role: what they may do.
        now: seconds since 1970.
        by: who invites them; None for the command line.
        days: how long the link can be used.

    Raises:
        InputError: the name is taken, invited already, or cannot be one.
    """
    if name is not None:
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
    return _invitations(connection, now)


def look_up(connection: Connection, token: str, now: float) -> Invitation | None:
    """What a link is for, without using it; None where it cannot be used."""
    found = _invitations(connection, now, schema.invitation.c.token_hash == hash_token(token))
    return found[0] if found else None


def revoke(connection: Connection, invitation_id: int, now: float, *, by: int | None = None) -> None:
    """Take a link back.

    Raises:
        InputError: there is none of that number that could still be used.
    """
    table = schema.invitation
    taking = update(table).where(table.c.id == invitation_id, *_usable(now)).values(revoked_at=now)
    row = connection.execute(taking.returning(table.c.name)).one_or_none()
    if row is None:
        raise InputError(f"invitation {invitation_id}: there is none that could still be used")
    write_log(connection, now, by, "link revoked", row.name or "")


def sign_in(
    connection: Connection, token: str, now: float, *, name: str | None = None, leaving: str | None = None
) -> Session | None:
    """Use a link: start a session of the person it is for, who is added where they are new.

    The link is used up in one conditional UPDATE: of two browsers that use it at once, one signs in.

    Args:
        connection: a transaction.
        token: the secret part of the link.
        now: seconds since 1970.
        name: what the person wants to be called, where the link leaves that to them.
        leaving: token of the session that the browser had, which ends.

    Returns:
        The session, or None where the link does not exist, was used or taken back, or expired.

    Raises:
        InputError: a name is needed, is taken, or cannot be one. The link can still be used then.
    """
    table = schema.invitation
    taking = update(table).where(table.c.token_hash == hash_token(token), *_usable(now)).values(used_at=now)
    row = connection.execute(taking.returning(*table.c)).mappings().one_or_none()
    if row is None:
        return None
    if row["person_id"] is None:
        person = create_person(connection, row["name"] or name or "", row["role"], now, by=row["created_by"])
        connection.execute(update(table).where(table.c.id == row["id"]).values(person_id=person.id))
    else:
        person = get_person(connection, row["person_id"])
        if person.blocked:
            return None
    if leaving is not None:
        end_session(connection, leaving, now)
    write_log(connection, now, person.id, "signed in", person.name)
    return start_session(connection, person.id, now)


def _usable(now: float) -> tuple[ColumnElement[bool], ...]:
    table = schema.invitation
    return table.c.used_at.is_(None), table.c.revoked_at.is_(None), table.c.expires_at > now


def _invitations(connection: Connection, now: float, *which: ColumnElement[bool]) -> list[Invitation]:
    maker, known, table = schema.person.alias(), schema.person.alias(), schema.invitation
    query = (
        select(table, maker.c.name.label("maker"), known.c.name.label("known"))
        .outerjoin_from(table, maker, table.c.created_by == maker.c.id)
        .outerjoin(known, table.c.person_id == known.c.id)
        .where(*_usable(now), *which)
        .order_by(table.c.id.desc())
    )
    return [
        Invitation(
            id=row["id"],
            name=row["known"] or row["name"],
            role=row["role"],
            person_id=row["person_id"],
            created_at=row["created_at"],
            created_by=row["maker"],
            expires_at=row["expires_at"],
        )
        for row in connection.execute(query).mappings()
    ]


def _new_link(
    connection: Connection, name: str | None, role: Role, person_id: int | None, now: float, by: int | None, days: float
) -> Link:
    token = new_token()
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
    write_log(connection, now, by, "link made", name or "", role=role)
    return Link(number, token, expires_at)
